# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slipway_lab import traffic


class Clock:
    """Time that passes when somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Workers:
    """A fleet whose workers have confirmed so many orders, question by question; the last figure stays."""

    def __init__(self, *seen: int) -> None:
        self._seen: Iterator[int] = iter(seen)
        self._last = 0

    def psql(self, _query: str) -> list[str]:
        self._last = next(self._seen, self._last)
        return [str(self._last)]


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(traffic, "time", clock)
    return clock


def confirmed(accepted: int, *seen: int) -> int:
    fleet: Any = Workers(*seen)
    return traffic.Load(fleet, "r1").confirmed(accepted, still_s=60)


def test_workers_that_are_behind_are_waited_for_as_long_as_they_get_on(clock: Clock) -> None:
    assert confirmed(200, *range(200)) == 199
    assert clock.now == pytest.approx(199 + 61)
    assert confirmed(199, *range(200)) == 199


def test_orders_that_no_worker_takes_are_given_up(clock: Clock) -> None:
    assert confirmed(10, 7) == 7
    assert clock.now == pytest.approx(61)

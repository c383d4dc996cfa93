# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a state: observe, judge, sleep, until it is confirmed, doomed or too late.

Time is monotonic and comes through a :class:`Clock`, so that no test ever sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""

    def utcnow(self) -> datetime:
        """The time of day, aware, in UTC: for records, never for waiting."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        # The one place in the collection where a process sleeps: between two observations.
        time.sleep(seconds)

    def utcnow(self) -> datetime:
        return datetime.now(timezone.utc)


class Verdict(Enum):
    """What one observation says."""

    SUCCESS = "success"
    RETRY = "retry"
    DOOMED = "doomed"


@dataclass(frozen=True)
class Judgement:
    """A verdict on one observation, with its reason in words."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How the waiting ended. ``elapsed_s`` is from the first observation's start."""

    verdict: Verdict
    reason: str
    last: T
    observations: int
    elapsed_s: float

    @property
    def timed_out(self) -> bool:
        """True when the deadline passed without success and without doom."""
        return self.verdict is Verdict.RETRY


def poll(
    observe: Callable[[], T],
    judge: Callable[[T], Judgement],
    *,
    clock: Clock,
    interval_s: float,
    timeout_s: float,
    confirm: int = 1,
) -> Outcome[T]:
    """Observe until ``confirm`` successes in a row, a doomed state, or the deadline.

    The first observation is made at once and the last sleep is clipped to the deadline, so that
    a state reached just before the deadline is still seen. Errors of ``observe`` are not caught:
    what a failed observation means is for the caller to say.

    :param interval_s: seconds between the starts of two observations.
    :param timeout_s: seconds until the deadline; 0 observes once (``confirm`` > 1 then never succeeds).
    :param confirm: successes in a row that are wanted.
    """
    start = clock.monotonic()
    deadline = start + timeout_s
    in_a_row = 0
    observations = 0
    while True:
        began = clock.monotonic()
        last = observe()
        observations += 1
        judgement = judge(last)
        in_a_row = in_a_row + 1 if judgement.verdict is Verdict.SUCCESS else 0
        now = clock.monotonic()
        if judgement.verdict is Verdict.DOOMED or in_a_row >= confirm:
            return Outcome(judgement.verdict, judgement.reason, last, observations, now - start)
        if now >= deadline:
            return Outcome(Verdict.RETRY, judgement.reason, last, observations, now - start)
        clock.sleep(max(0.0, min(began + interval_s, deadline) - now))

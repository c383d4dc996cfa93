# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which queries are slower than before, and which only look so."""

from __future__ import annotations

import random
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._statements import (
    Counted,
    Counts,
    comparable,
    read_counted,
    slower,
)
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate._checks.test_prometheus import rung
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import read
from hypothesis import given
from hypothesis import strategies as st

STATEMENTS: dict[str, Any] = {"kind": "statements", "url": None, "database": "shop"}
ABOVE = rung(above=3)


def counted(calls: int, mean_ms: float, deviation_ms: float = 0.0, reset: str = "t0") -> Counted:
    counts = Counts(calls, calls * mean_ms, calls * (mean_ms**2 + deviation_ms**2), "SELECT $1")
    return Counted(reset, {"7": counts})


def together(before: Counted, since: Counted) -> Counted:
    """What the server tells when both are counted in one."""
    first, second = before.queries["7"], since.queries["7"]
    both = Counts(first.calls + second.calls, first.ms + second.ms, first.squares + second.squares, first.query)
    return Counted(before.reset, {"7": both})


def judged(before: Counted, now: Counted, *, times: float = 1.2, min_calls: int = 100, min_ms: float = 1.0) -> str:
    growths = comparable(before, now, min_calls)
    if not growths:
        return "nothing to compare"
    return "slower" if slower(growths, times, min_ms) else "as before"


@pytest.mark.parametrize(
    ("before", "since", "expected"),
    [
        (counted(1000, 10), counted(1000, 10), "as before"),
        (counted(1000, 10), counted(1000, 11.9), "as before"),
        (counted(1000, 10), counted(1000, 12.1), "slower"),
        # A quarter more, of a query whose times differ by five times that.
        (counted(100, 10, 12), counted(100, 12.5, 12), "as before"),
        (counted(10000, 10, 12), counted(10000, 12.5, 12), "slower"),
        # Ten times as long, and nobody notices.
        (counted(1000, 0.01), counted(1000, 0.1), "as before"),
        (counted(1000, 0.0), counted(1000, 5), "slower"),
        (counted(99, 10), counted(1000, 100), "nothing to compare"),
        (counted(1000, 10), counted(99, 100), "nothing to compare"),
    ],
)
def test_each_pair_of_means_has_its_verdict(before: Counted, since: Counted, expected: str) -> None:
    assert judged(before, together(before, since)) == expected


def test_counts_from_before_a_reset_are_not_taken_away() -> None:
    before = counted(1000, 10)
    assert judged(before, counted(1100, 30, reset="t1")) == "slower"
    # A server that does not tell of resets has fewer calls than it had.
    assert judged(before, counted(900, 30)) == "slower"


def test_another_query_is_not_compared() -> None:
    assert comparable(counted(1000, 10), Counted("t0", {"8": counted(2000, 99).queries["7"]}), 1) == []


def test_the_worst_comes_first() -> None:
    before = Counted("", {"1": Counts(100, 1000, 10000, "a"), "2": Counts(100, 1000, 10000, "b")})
    now = Counted("", {"1": Counts(200, 3000, 50000, "a"), "2": Counts(200, 6000, 260000, "b")})
    assert [each.after.query for each in slower(comparable(before, now, 100), 1.2, 1.0)] == ["b", "a"]


def test_chance_alone_is_seldom_taken_for_slower() -> None:
    """One in a hundred at the threshold itself, so among queries that are as before next to none."""
    draw = random.Random(4)

    def sample(mean_ms: float) -> Counted:
        times = [draw.expovariate(1 / mean_ms) for _call in range(150)]
        return Counted("", {"7": Counts(150, sum(times), sum(time**2 for time in times), "q")})

    alarms = 0
    for _trial in range(400):
        before = sample(10)
        alarms += judged(before, together(before, sample(12))) == "slower"
    assert alarms <= 12


@given(st.integers(2, 10**6), st.floats(0.001, 10**6), st.floats(0, 10**6), st.integers(2, 10**6))
def test_the_same_again_is_never_slower(calls: int, mean_ms: float, deviation_ms: float, again: int) -> None:
    before = counted(calls, mean_ms, deviation_ms)
    now = together(before, counted(again, mean_ms, deviation_ms))
    assert judged(before, now, min_calls=2, min_ms=0.0) == "as before"


@pytest.mark.parametrize("document", [None, [], {}, {"queries": []}, {"reset": "", "queries": {"1": {"calls": "x"}}}])
def test_what_is_no_baseline_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="no counts of pg_stat_statements"):
        read_counted(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": {"value": 3}}, "checks[0].baseline: '…' is not accepted, expected the figures that a look"),
        ({"thresholds": [ABOVE]}, "checks[0].thresholds: 'above or below' is not accepted, expected times_base"),
        ({"min_calls": 1}, "checks[0].min_calls: 1 is not accepted"),
        ({"database": None}, "checks[0].database: None is not accepted, expected a value: a check of kind statements"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read({**STATEMENTS, **changes})
    assert message in refusal.value.message

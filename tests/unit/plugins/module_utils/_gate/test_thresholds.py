# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder: which rung decides, at which age, with how many requests."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action
from ansible_collections.slipway.django.plugins.module_utils._gate._statistics import lower_bound, upper_bound
from ansible_collections.slipway.django.plugins.module_utils._gate._thresholds import (
    Counts,
    Rung,
    judge_counts,
    judge_value,
)
from hypothesis import given
from hypothesis import strategies as st

# The table of the runbooks.
LADDER = (
    Rung(0.0, Action.ROLLBACK, above=0.05),
    Rung(300.0, Action.HOLD, above=0.02),
    Rung(1800.0, Action.HOLD, above=0.01),
    Rung(3600.0, Action.NOTIFY, above=0.005),
    Rung(86400.0, Action.NOTIFY, times_baseline=1.2),
)
BASELINE = Counts(4, 4000)


@pytest.mark.parametrize(
    ("bad", "total", "age_s", "action", "undecided", "code"),
    [
        # at once: 5 %
        (0, 58, 0, None, True, "not_shown"),
        (0, 59, 0, None, False, "ok"),
        (1, 15, 0, None, True, "not_shown"),
        (4, 15, 0, Action.ROLLBACK, False, "threshold"),
        (30, 300, 0, Action.ROLLBACK, False, "threshold"),
        (15, 300, 0, None, True, "not_shown"),
        # after five minutes: 2 %
        (15, 300, 300, Action.HOLD, False, "threshold"),
        (0, 148, 300, None, True, "not_shown"),
        (0, 149, 300, None, False, "ok"),
        (60, 300, 300, Action.ROLLBACK, False, "threshold"),
        # after an hour: half a percent is told, and what is not shown to be below it is no hindrance
        (35, 5000, 3600, Action.NOTIFY, False, "threshold"),
        (0, 300, 3600, None, False, "ok"),
        # after a day: the baseline
        (24, 4000, 86400, Action.NOTIFY, False, "worse_than_baseline"),
        (5, 4000, 86400, None, False, "ok"),
    ],
)
def test_the_ladder_of_the_runbooks(
    bad: int, total: int, age_s: float, action: Action | None, undecided: bool, code: str
) -> None:
    found = judge_counts(Counts(bad, total), LADDER, age_s, BASELINE, 0.95)
    assert (found.action, found.undecided, found.code) == (action, undecided, code)


def test_a_finding_tells_what_it_was_judged_by() -> None:
    found = judge_counts(Counts(30, 300), LADDER, 0, None, 0.95)
    assert found.text == "30 of 300 (10.00%, 95% bounds 7.29% to 13.32%) is above 5.00%"
    assert found.numbers == {
        "bad": 30,
        "total": 300,
        "rate": 0.1,
        "lower": pytest.approx(lower_bound(30, 300, 0.95), abs=1e-6),
        "upper": pytest.approx(upper_bound(30, 300, 0.95), abs=1e-6),
        "threshold": 0.05,
    }


def test_telling_people_is_no_way_round_a_graver_rung() -> None:
    ladder = (Rung(0.0, Action.ROLLBACK, above=0.05), Rung(0.0, Action.NOTIFY, above=0.0))
    found = judge_counts(Counts(1, 20), ladder, 0, None, 0.95)
    assert (found.action, found.undecided) == (None, True)


def test_without_a_baseline_a_rung_that_needs_it_is_not_kept() -> None:
    held = judge_counts(Counts(0, 1000), (Rung(0.0, Action.HOLD, times_baseline=1.2),), 0, None, 0.95)
    assert (held.undecided, held.code) == (True, "no_baseline")
    told = judge_value(1.0, (Rung(0.0, Action.NOTIFY, times_baseline=1.2),), 0, None)
    assert (told.action, told.undecided) == (Action.NOTIFY, False)


def test_a_canary_that_is_worse_than_the_rest_is_found_where_no_threshold_is() -> None:
    rung = (Rung(0.0, Action.ROLLBACK, times_baseline=1.2),)
    assert judge_counts(Counts(2, 15), rung, 0, Counts(1, 285), 0.95).action is Action.ROLLBACK
    assert judge_counts(Counts(1, 15), rung, 0, Counts(1, 285), 0.95).action is None


@pytest.mark.parametrize(
    ("value", "age_s", "action", "text"),
    [
        (1.9, 0.0, None, "1.9"),
        (2.1, 0.0, Action.ROLLBACK, "2.1 is above 2"),
        (1.1, 0.0, None, "1.1"),
        (1.1, 60.0, Action.HOLD, "1.1 is above 1"),
        (0.7, 3600.0, Action.NOTIFY, "0.7 is above 1.2 times the baseline of 0.5"),
        (0.6, 3600.0, None, "0.6"),
        (0.05, 0.0, Action.HOLD, "0.05 is below 0.1"),
    ],
)
def test_one_value(value: float, age_s: float, action: Action | None, text: str) -> None:
    rungs = (
        Rung(60.0, Action.HOLD, above=1.0),
        Rung(0.0, Action.ROLLBACK, above=2.0),
        Rung(3600.0, Action.NOTIFY, times_baseline=1.2),
        Rung(0.0, Action.HOLD, below=0.1),
    )
    found = judge_value(value, rungs, age_s, 0.5)
    assert (found.action, found.text) == (action, text)


def test_of_an_unknown_age_only_what_always_counts_is_asked() -> None:
    assert judge_counts(Counts(15, 300), LADDER, None, BASELINE, 0.95).code == "not_shown"


counts = st.integers(1, 2000).flatmap(lambda total: st.builds(Counts, st.integers(0, total), st.just(total)))
thresholds = st.floats(0.001, 0.9)


@given(seen=counts, above=thresholds)
def test_a_threshold_is_exceeded_or_kept_only_when_it_is_shown(seen: Counts, above: float) -> None:
    found = judge_counts(seen, (Rung(0.0, Action.ROLLBACK, above=above),), 0, None, 0.95)
    low, high = lower_bound(seen.bad, seen.total, 0.95), upper_bound(seen.bad, seen.total, 0.95)
    assert (found.action is not None) == (low > above)
    assert (found.code == "ok") == (high <= above)


@given(seen=counts, above=thresholds, more=thresholds, ages=st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)))
def test_growing_older_never_makes_a_finding_milder(
    seen: Counts, above: float, more: float, ages: tuple[float, float]
) -> None:
    ladder = (Rung(0.0, Action.ROLLBACK, above=above), Rung(ages[0], Action.HOLD, above=more))
    order = {None: 0, Action.NOTIFY: 1, Action.HOLD: 2, Action.ROLLBACK: 3}
    young = judge_counts(seen, ladder, min(ages), None, 0.95)
    old = judge_counts(seen, ladder, max(ages), None, 0.95)
    assert order[old.action] >= order[young.action]


@pytest.mark.parametrize(
    ("value", "baseline", "action", "undecided", "text"),
    [
        (50.0, 100.0, None, False, "50"),
        (49.0, 100.0, Action.HOLD, False, "49 is below 0.5 times the baseline of 100"),
        (0.0, 0.0, None, False, "0"),
        (49.0, None, None, True, "no baseline was taken, which 'hold below 0.5 times the baseline' needs"),
    ],
)
def test_less_than_before(
    value: float, baseline: float | None, action: Action | None, undecided: bool, text: str
) -> None:
    found = judge_value(value, [Rung(0.0, Action.HOLD, below_baseline=0.5)], None, baseline)
    assert (found.action, found.undecided, found.text) == (action, undecided, text)

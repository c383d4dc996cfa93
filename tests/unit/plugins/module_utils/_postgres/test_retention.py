# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups may go, and which never."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import (
    Candidate,
    Plan,
    Rules,
    make_plan,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 16, 0, tzinfo=timezone.utc)
LEVELS = ("list", "read", "checksum", "schema", "restore")


def taken(days: float, **values: object) -> Candidate:
    moment = NOW - timedelta(days=days)
    one = Candidate(moment.strftime("%Y%m%dT%H%M%S.000Z"), moment, "shop", levels=LEVELS[:4])
    return replace(one, **values)  # type: ignore[arg-type]


def plan(candidates: list[Candidate], rules: Rules) -> Plan:
    return make_plan(candidates, rules, database="shop", now=NOW)


def ids(decisions: tuple[object, ...]) -> list[str]:
    return [decision.id for decision in decisions]  # type: ignore[attr-defined]


# --- examples ------------------------------------------------------------------------------------------------------


def test_each_rule_says_what_it_keeps() -> None:
    daily = [taken(days) for days in range(12)]
    made = plan(daily, Rules(keep_last=2, keep_days=3, keep_daily=4, keep_weekly=2, keep_monthly=1, min_keep=1))
    assert [(one.id[:8], one.reason) for one in made.kept] == [
        # Sunday of the week before.
        ("20261115", "the last of the week 2026-W46 (keep_weekly)"),
        ("20261118", "of the last 3 days (keep_days), the last of the day 2026-11-18 (keep_daily)"),
        ("20261119", "of the last 3 days (keep_days), the last of the day 2026-11-19 (keep_daily)"),
        (
            "20261120",
            (
                "one of the last 2 (keep_last), of the last 3 days (keep_days), "
                "the last of the day 2026-11-20 (keep_daily)"
            ),
        ),
        (
            "20261121",
            (
                "the newest, the newest that is verified by list, read, checksum, schema, "
                "one of the last 2 (keep_last), "
                "of the last 3 days (keep_days), the last of the day 2026-11-21 (keep_daily), "
                "the last of the week 2026-W47 (keep_weekly), the last of the month 2026-11 (keep_monthly)"
            ),
        ),
    ]
    assert made.changed
    assert made.reason == "7 of 12 backups are kept by no rule"
    assert made.removed[0].reason == (
        "taken 11 days ago, kept by none of keep_last 2, keep_days 3, keep_daily 4, keep_weekly 2, keep_monthly 1"
    )


def test_a_gap_in_the_calendar_costs_nothing() -> None:
    candidates = [taken(0), taken(40), taken(40.1), taken(80)]
    made = plan(candidates, Rules(keep_daily=3, min_keep=1))
    assert ids(made.removed) == [taken(40.1).id]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (taken(400, pinned="before the sale"), "pinned: before the sale"),
        (taken(400, pinned=""), "pinned"),
        (taken(400, database="other"), "of another database (other)"),
        (taken(400, complete=False), "not complete: not ours to judge"),
        (taken(400, levels=LEVELS), "the newest that is verified by restore"),
    ],
)
def test_never_touched(one: Candidate, reason: str) -> None:
    made = plan([one, taken(300), taken(1), taken(0)], Rules(keep_last=1, min_keep=1))
    assert ids(made.removed) == [taken(300).id, taken(1).id]
    assert made.kept[0].reason == reason


def test_the_only_verified_one_stays_though_newer_ones_are_there() -> None:
    made = plan([taken(9), *(taken(days, levels=()) for days in range(5))], Rules(keep_last=1, min_keep=1))
    assert ids(made.kept) == [taken(9).id, taken(0).id]


def test_the_floor_holds_when_all_are_old() -> None:
    made = plan([taken(100), taken(90), taken(80)], Rules(keep_days=7))
    assert [(one.id, one.reason) for one in made.kept] == [
        (taken(90).id, "one of the newest 2 (min_keep)"),
        (taken(80).id, "the newest, the newest that is verified by list, read, checksum, schema"),
    ]


def test_without_a_rule_nothing_goes() -> None:
    made = plan([taken(days) for days in range(9)], Rules())
    assert not made.changed
    assert made.reason == "all 9 backups are kept"
    assert made.kept[0].reason == "no rule is given"


def test_nothing_there() -> None:
    assert plan([], Rules(keep_last=1)) == Plan((), ())


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Rules(), "keep_last: None is not accepted, expected at least one of keep_last, keep_days, keep_daily,"),
        (Rules(keep_days=-1), "keep_days: -1 is not accepted, expected a number that is at least 0"),
        (Rules(keep_last=1, min_keep=0), "min_keep: 0 is not accepted, expected a number that is at least 1"),
    ],
)
def test_refused(rules: Rules, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        rules.validate()
    assert message in caught.value.message


# --- what holds for all --------------------------------------------------------------------------------------------

number = st.none() | st.integers(0, 6)
all_rules = st.builds(
    Rules,
    keep_last=number,
    keep_days=st.none() | st.integers(0, 60),
    keep_daily=number,
    keep_weekly=number,
    keep_monthly=number,
    min_keep=st.integers(1, 4),
)
all_candidates = st.lists(
    st.builds(
        taken,
        st.floats(0, 100),
        database=st.sampled_from(["shop", "shop", "shop", "other"]),
        levels=st.integers(0, len(LEVELS)).map(lambda count: LEVELS[:count]),
        pinned=st.sampled_from([None, None, None, "because"]),
        complete=st.sampled_from([True, True, True, False]),
    ),
    max_size=25,
    unique_by=lambda one: one.id,
)


@given(all_candidates, all_rules)
def test_each_is_decided_once_with_a_reason(candidates: list[Candidate], rules: Rules) -> None:
    made = plan(candidates, rules)
    assert sorted(ids(made.kept) + ids(made.removed)) == sorted(one.id for one in candidates)
    assert all(one.reason for one in (*made.kept, *made.removed))


@given(all_candidates, all_rules)
def test_what_is_never_removed(candidates: list[Candidate], rules: Rules) -> None:
    removed = set(ids(plan(candidates, rules).removed))
    ours = sorted((one for one in candidates if one.complete and one.database == "shop"), key=lambda one: one.taken_at)
    assert removed <= {one.id for one in ours if one.pinned is None}
    assert not removed & {one.id for one in ours[-rules.min_keep :]}
    for level in LEVELS:
        reached = {one.id for one in ours if level in one.levels}
        assert not reached or reached - removed


@given(all_candidates, all_rules)
def test_a_second_run_removes_nothing(candidates: list[Candidate], rules: Rules) -> None:
    removed = set(ids(plan(candidates, rules).removed))
    assert not plan([one for one in candidates if one.id not in removed], rules).removed


@given(all_candidates, all_rules, st.sampled_from(["keep_last", "keep_days", "keep_daily", "keep_weekly",
       "keep_monthly", "min_keep"]), st.integers(1, 5))  # fmt: skip
def test_a_larger_number_never_removes_more(candidates: list[Candidate], rules: Rules, rule: str, more: int) -> None:
    value = getattr(rules, rule)
    if value is None:
        return
    larger = replace(rules, **{rule: value + more})
    assert set(ids(plan(candidates, larger).removed)) <= set(ids(plan(candidates, rules).removed))


@given(all_candidates, all_rules, st.randoms())
def test_the_order_does_not_matter(candidates: list[Candidate], rules: Rules, random: object) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(shuffled, rules) == plan(candidates, rules)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._release._processes import Running
from ansible_collections.slipway.django.plugins.module_utils._release._prune import (
    Candidate,
    Decision,
    Holds,
    Prune,
    plan_prune,
)
from hypothesis import given
from hypothesis import strategies as st

DAY = 24 * 3600.0
NOTHING = Holds({"blue": None, "green": None}, None, Running({}))


def name(number: int) -> str:
    return f"{number:012x}-{number:08x}"


def built(number: int) -> Candidate:
    """A complete release, built on that day of the month."""
    return Candidate(name(number), f"2026-11-{number:02}T12:00:00Z", 0.0)


def names(decisions: tuple[Decision, ...]) -> list[str]:
    return [decision.name for decision in decisions]


def test_the_newest_stay() -> None:
    plan = plan_prune([built(2), built(4), built(1), built(3)], NOTHING, keep=2)
    assert plan.keep == (Decision(name(4), "among the newest 2"), Decision(name(3), "among the newest 2"))
    assert plan.remove == (
        Decision(name(2), "older than the newest 2, and nothing uses it"),
        Decision(name(1), "older than the newest 2, and nothing uses it"),
    )


def test_what_is_held_stays_however_old_it_is() -> None:
    holds = Holds(
        slots={"blue": name(1), "green": name(2)},
        live="blue",
        running=Running({name(3): "process 7 (celery)"}),
        protected=[name(4)],
    )
    plan = plan_prune([built(number) for number in range(1, 7)], holds, keep=1)
    assert {decision.name: decision.reason for decision in plan.keep} == {
        name(1): "live, in slot blue",
        name(2): "slot green links to it",
        name(3): "process 7 (celery) runs from it",
        name(4): "protected by the caller",
        name(6): "among the newest 1",
    }
    assert names(plan.remove) == [name(5)]


def test_held_releases_do_not_use_up_the_newest() -> None:
    plan = plan_prune([built(1), built(2), built(3)], Holds({"blue": name(1)}, "blue", Running({})), keep=2)
    assert names(plan.remove) == []


@pytest.mark.parametrize(("age", "removed"), [(DAY + 1, True), (DAY - 1, False), (-5.0, False)])
def test_debris_goes_after_a_day(age: float, removed: bool) -> None:
    plan = plan_prune([Candidate(name(1), "", age)], NOTHING, keep=0)
    assert bool(plan.remove) is removed
    reasons = [decision.reason for decision in (*plan.remove, *plan.keep)]
    assert reasons[0].startswith("not complete")


def test_debris_never_counts_as_one_of_the_newest() -> None:
    plan = plan_prune([built(1), Candidate(name(9), "", 2 * DAY)], NOTHING, keep=1)
    assert names(plan.keep) == [name(1)]


def test_what_is_no_release_is_not_ours() -> None:
    plan = plan_prune([Candidate("backup-of-ann", "", 99 * DAY)], NOTHING, keep=0)
    assert plan == Prune((), (Decision("backup-of-ann", "not the name of a release: not ours to remove"),))


def test_one_process_that_can_not_be_looked_at_keeps_all() -> None:
    plan = plan_prune([built(1), built(2)], Holds({}, None, Running({}, "process 7 (worker)")), keep=0)
    assert not plan.remove


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.integers(0, 15).map(name),
        st.sampled_from(["", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"]),
        st.floats(-DAY, 3 * DAY),
    ),
    unique_by=lambda candidate: candidate.name,
)
NAME = st.integers(0, 15).map(name)
HOLDS = st.builds(
    Holds,
    st.fixed_dictionaries({"blue": st.none() | NAME, "green": st.none() | NAME}),
    st.sampled_from([None, "blue", "green"]),
    st.builds(Running, st.dictionaries(NAME, st.just("process 1"), max_size=2)),
    st.lists(NAME, max_size=2),
)


@given(CANDIDATES, HOLDS, st.integers(0, 5))
def test_never_removes_what_is_held_or_among_the_newest(candidates: list[Candidate], holds: Holds, keep: int) -> None:
    plan = plan_prune(candidates, holds, keep=keep)
    assert sorted(names(plan.remove) + names(plan.keep)) == sorted(candidate.name for candidate in candidates)
    by_name = {candidate.name: candidate for candidate in candidates}
    held = {*holds.slots.values(), *holds.running.releases, *holds.protected}
    assert not held & set(names(plan.remove))
    complete = [candidate for candidate in candidates if candidate.complete]
    assert sum(by_name[kept].complete for kept in names(plan.keep)) >= min(keep, len(complete))
    for removed in names(plan.remove):
        newer = [candidate for candidate in complete if candidate.built_at >= by_name[removed].built_at]
        assert not by_name[removed].complete or len(newer) > keep
        assert by_name[removed].complete or by_name[removed].age_s > DAY
    rest = [candidate for candidate in candidates if candidate.name in names(plan.keep)]
    assert not plan_prune(rest, holds, keep=keep).remove

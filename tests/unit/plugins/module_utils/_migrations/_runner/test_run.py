# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._blockers import Blocker
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import (
    Budget,
    Progress,
    Run,
    timeout_of,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st


@given(
    st.floats(0, 600),
    st.floats(0.01, 5),
    st.lists(st.floats(0, 1), min_size=1, max_size=200),
)
def test_a_budget_is_never_overspent(limit_s: float, timeout_s: float, draws: list[float]) -> None:
    """However the dice fall, tries and pauses stay within the limit, but for the first try."""
    dice = iter(draws)
    budget = Budget(limit_s, jitter=lambda limit: limit * next(dice))
    for tries in range(1, len(draws) + 1):
        budget.spent_s += timeout_s
        pause = budget.pause_s(tries, timeout_s)
        if pause is None:
            break
        assert 0 <= pause <= 20 * timeout_s
        budget.spent_s += pause

    assert budget.spent_s <= max(limit_s, timeout_s) + 1e-6


def test_pauses_may_grow_with_the_tries() -> None:
    budget = Budget(1000, jitter=lambda limit: limit)

    assert [budget.pause_s(tries, 0.5) for tries in (1, 2, 3, 4, 5, 9)] == [1, 2, 4, 8, 10, 10]


@given(st.floats(0.01, 60), st.integers(1, 10_000))
def test_tries_wait_longer_until_the_limit(longest_s: float, number: int) -> None:
    assert timeout_of(number, longest_s) <= timeout_of(number + 1, longest_s) <= longest_s
    assert timeout_of(3, longest_s) == pytest.approx(longest_s)


def test_others_wait_no_longer_than_the_stall_budget() -> None:
    budget = Budget(1000, jitter=lambda limit: 0.0, stall_limit_s=3)
    tries = 0
    while True:
        tries += 1
        budget.stalled_s += timeout_of(tries, 1.0)
        if budget.pause_s(tries, 1.0) is None:
            break

    assert (tries, budget.stalled_s) == (4, 2.75)
    assert str(budget) == "the lock_budget of 1000 s and the stall_budget of 3 s"


class LockNotAvailable(Exception):
    sqlstate = "55P03"


BLOCKER = Blocker(4711, "report", "nightly", "client backend", "idle in transaction", 812.04, "SELECT * FROM t")


class Eyes:
    """In place of the watcher."""

    def __init__(self, *blockers: Blocker) -> None:
        self.blockers = list(blockers)

    def end(self) -> list[Blocker]:
        return self.blockers


def run_with(*blockers: Blocker, clock: FakeClock, budget: Budget) -> Run:
    request = Request("applied", False, "/", "s", "default", "r1", "r", 500, 60, 0, 60, "fail", 0)
    return Run(request, None, None, None, Eyes(*blockers), None, clock, budget, progress=Progress(tries=2))  # type: ignore[arg-type]


def test_waiting_for_a_lock_pauses_and_pays() -> None:
    clock = FakeClock()
    run = run_with(BLOCKER, clock=clock, budget=Budget(60, jitter=lambda limit: limit))
    began = clock.monotonic()
    clock.advance(0.5)

    run.wait_for_lock(began, LockNotAvailable())

    assert clock.sleeps == [2.0]
    assert run.budget.spent_s == run.progress.waited_s == 2.5
    assert run.progress.blockers == [BLOCKER]


def test_a_spent_budget_names_who_holds_the_lock_and_never_tries_without_a_limit() -> None:
    clock = FakeClock()
    run = run_with(BLOCKER, clock=clock, budget=Budget(1, jitter=lambda limit: limit))

    with pytest.raises(SlipwayError) as caught:
        run.wait_for_lock(clock.monotonic(), LockNotAvailable())

    assert clock.sleeps == []
    assert "no lock in 2 tries of up to 500 ms within the lock_budget of 1 s" in caught.value.message
    assert (
        "held by process 4711 (nightly, user report, idle in transaction, in its transaction for 812.0 s): SELECT"
        in caught.value.message
    )


def test_an_autovacuum_in_the_way_needs_other_advice() -> None:
    clock = FakeClock()
    vacuum = Blocker(9, "", "", "autovacuum worker", "active", None, "autovacuum: VACUUM public.t")
    run = run_with(vacuum, clock=clock, budget=Budget(0))

    with pytest.raises(SlipwayError, match="lock_timeout_ms: 1500"):
        run.wait_for_lock(clock.monotonic(), LockNotAvailable())


def test_what_surely_did_nothing() -> None:
    assert Progress().nothing_done
    assert not Progress(operations=1).nothing_done
    assert not Progress(statements=1).nothing_done
    assert not Progress(python_ran=True).nothing_done
    assert not Progress(doubtful=True).nothing_done

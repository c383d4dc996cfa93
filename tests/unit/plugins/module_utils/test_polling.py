# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from datetime import timezone

import pytest
from ansible_collections.slipway.django.plugins.module_utils._polling import (
    Judgement,
    Outcome,
    SystemClock,
    Verdict,
    poll,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import assume, given
from hypothesis import strategies as st

SUCCESS, RETRY, DOOMED = Verdict.SUCCESS, Verdict.RETRY, Verdict.DOOMED


def judge(verdict: Verdict) -> Judgement:
    return Judgement(verdict, f"it is {verdict.value}")


def observing(verdicts: Iterable[Verdict], clock: FakeClock, cost_s: float = 0.0) -> Callable[[], Verdict]:
    """Observations that answer in order and take some time each."""
    iterator = iter(verdicts)

    def observe() -> Verdict:
        clock.advance(cost_s)
        return next(iterator)

    return observe


def run(
    verdicts: Iterable[Verdict],
    *,
    interval_s: float = 1.0,
    timeout_s: float = 10.0,
    confirm: int = 1,
    cost_s: float = 0.0,
) -> tuple[Outcome[Verdict], FakeClock]:
    clock = FakeClock()
    outcome = poll(
        observing(verdicts, clock, cost_s),
        judge,
        clock=clock,
        interval_s=interval_s,
        timeout_s=timeout_s,
        confirm=confirm,
    )
    return outcome, clock


def test_success_at_once_does_not_sleep() -> None:
    outcome, clock = run([SUCCESS])

    assert outcome == Outcome(SUCCESS, "it is success", SUCCESS, observations=1, elapsed_s=0.0)
    assert clock.sleeps == []


def test_waits_until_it_succeeds() -> None:
    outcome, clock = run([RETRY, RETRY, SUCCESS])

    assert (outcome.verdict, outcome.observations, outcome.elapsed_s) == (SUCCESS, 3, 2.0)
    assert clock.sleeps == [1.0, 1.0]


def test_doom_ends_it_at_once() -> None:
    outcome, _clock = run([RETRY, DOOMED])

    assert (outcome.verdict, outcome.reason, outcome.observations) == (DOOMED, "it is doomed", 2)


def test_confirmation_starts_again_after_a_relapse() -> None:
    outcome, _clock = run([SUCCESS, SUCCESS, RETRY, SUCCESS, SUCCESS, SUCCESS], confirm=3)

    assert (outcome.verdict, outcome.observations) == (SUCCESS, 6)


def test_the_last_observation_is_made_at_the_deadline() -> None:
    outcome, clock = run([RETRY, RETRY, SUCCESS], interval_s=4.0, timeout_s=5.0)

    assert outcome.verdict is SUCCESS
    assert clock.sleeps == [4.0, 1.0]


def test_timing_out_keeps_the_last_observation_and_its_reason() -> None:
    outcome, _clock = run(itertools.repeat(RETRY), timeout_s=3.0)

    assert outcome.timed_out
    assert (outcome.last, outcome.reason, outcome.elapsed_s) == (RETRY, "it is retry", 3.0)


def test_no_time_still_observes_once() -> None:
    assert run([SUCCESS], timeout_s=0.0)[0].verdict is SUCCESS
    assert run([RETRY], timeout_s=0.0)[0].observations == 1


def test_the_interval_is_between_starts() -> None:
    outcome, clock = run([RETRY, RETRY, SUCCESS], cost_s=0.25)

    assert clock.sleeps == [0.75, 0.75]
    assert outcome.elapsed_s == pytest.approx(2.25)


def test_an_observation_longer_than_the_interval_is_followed_at_once() -> None:
    _outcome, clock = run([RETRY, RETRY, SUCCESS], cost_s=3.0)

    assert clock.sleeps == [0.0, 0.0]


def test_an_error_of_the_observation_is_the_callers() -> None:
    def observe() -> Verdict:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        poll(observe, judge, clock=FakeClock(), interval_s=1, timeout_s=5)


@given(
    verdicts=st.lists(st.sampled_from(list(Verdict)), max_size=30),
    interval_s=st.floats(0.01, 20),
    timeout_s=st.floats(0, 60),
    confirm=st.integers(1, 5),
    cost_s=st.floats(0, 5),
)
def test_it_ends_in_time_and_tells_the_truth(
    verdicts: list[Verdict], interval_s: float, timeout_s: float, confirm: int, cost_s: float
) -> None:
    seen: list[Verdict] = []
    clock = FakeClock()
    answers = itertools.chain(verdicts, itertools.repeat(RETRY))

    def observe() -> Verdict:
        clock.advance(cost_s)
        seen.append(next(answers))
        return seen[-1]

    outcome = poll(observe, judge, clock=clock, interval_s=interval_s, timeout_s=timeout_s, confirm=confirm)

    # It never outlasts the deadline by more than the observation that was under way.
    assert outcome.elapsed_s <= timeout_s + cost_s + 1e-6
    assert outcome.elapsed_s == pytest.approx(clock.elapsed)
    assert outcome.observations == len(seen)
    assert outcome.last is seen[-1]
    # Success is exactly `confirm` successes at the end, doom exactly one doomed observation, there and nowhere before.
    assert (outcome.verdict is SUCCESS) == (seen[-confirm:] == [SUCCESS] * confirm)
    assert (outcome.verdict is DOOMED) == (DOOMED in seen)
    assert DOOMED not in seen[:-1]
    if outcome.timed_out:
        assert outcome.elapsed_s >= timeout_s - 1e-6


@given(verdicts=st.lists(st.sampled_from([SUCCESS, RETRY]), min_size=1, max_size=20), confirm=st.integers(1, 4))
def test_it_stops_at_the_first_run_of_successes(verdicts: list[Verdict], confirm: int) -> None:
    ends = [n for n in range(confirm, len(verdicts) + 1) if verdicts[n - confirm : n] == [SUCCESS] * confirm]
    assume(ends)

    outcome, _clock = run(verdicts, timeout_s=1000, confirm=confirm)

    assert outcome.observations == ends[0]


def test_the_system_clock_moves_forward() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0)

    assert clock.monotonic() >= before
    assert clock.utcnow().tzinfo is timezone.utc

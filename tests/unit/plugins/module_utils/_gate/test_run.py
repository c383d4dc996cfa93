# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of samples over time, with a clock that nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import timedelta

from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check
from ansible_collections.slipway.django.plugins.module_utils._gate._model import (
    GateVerdict,
    Moment,
    Rule,
    Sample,
    State,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate, read_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._run import GateResult, run_gate
from ansible_collections.slipway.django.tests.unit.fakes import START, FakeClock
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_decision import samples
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import CHECK, GATE, WORLD
from hypothesis import given
from hypothesis import strategies as st


def gate(*names: str, rule: Rule | None = None, **changes: object) -> Gate:
    rules = {} if rule is None else dict(zip(("successes", "failures_allowed", "wrong_release_limit"), astuple(rule)))
    checks = [{**CHECK, "name": name} for name in names or ("app1",)]
    return replace(read_gate({**GATE, **rules, "checks": checks}, WORLD), **changes)  # type: ignore[arg-type]


class Servers:
    """Answers rounds of samples: a row of letters for each check, the last one for ever."""

    def __init__(self, clock: FakeClock, *rows: str, takes_s: float = 0.0) -> None:
        self.clock, self.rows, self.takes_s = clock, rows, takes_s
        self.asked_at: list[float] = []
        self.left_s: list[float] = []
        self.moments: list[Moment] = []

    def __call__(self, checks: Sequence[Check], moments: Sequence[Moment], left_s: float) -> list[Sample]:
        turn = len(self.asked_at)
        self.asked_at.append(self.clock.elapsed)
        self.left_s.append(left_s)
        self.moments.append(moments[0])
        self.clock.advance(min(self.takes_s, left_s))
        assert len(checks) == len(self.rows)
        return samples("".join(row[min(turn, len(row) - 1)] for row in self.rows))


def run(wanted: Gate, *rows: str, takes_s: float = 0.0) -> tuple[GateResult, Servers, FakeClock]:
    clock = FakeClock()
    servers = Servers(clock, *rows, takes_s=takes_s)
    return run_gate(wanted, servers, clock), servers, clock


def test_the_first_sample_is_taken_at_once_and_a_healthy_site_needs_no_longer_than_its_samples() -> None:
    result, servers, _clock = run(gate(), "g")
    assert servers.asked_at == [0.0, 1.0, 2.0]
    assert result.decision.verdict is GateVerdict.PASS
    assert result.stopped_early
    assert (result.started_at, result.finished_at) == ("2026-11-21T16:05:28Z", "2026-11-21T16:05:30Z")


def test_the_initial_delay_comes_first_and_is_part_of_the_deadline() -> None:
    result, servers, clock = run(gate(initial_delay_s=30.0), "b")
    assert servers.asked_at[0] == 30.0
    assert clock.elapsed == 60.0
    assert result.elapsed_s == 60.0


def test_a_starting_site_may_be_bad_for_a_while() -> None:
    result, _servers, clock = run(gate(), "bbbbbggg")
    assert result.decision.verdict is GateVerdict.PASS
    assert clock.elapsed == 7.0


def test_a_sick_site_ends_at_the_deadline_with_rollback() -> None:
    result, _servers, clock = run(gate(), "b")
    assert (result.decision.verdict, result.decision.code) == (GateVerdict.ROLLBACK, "not_healthy_in_time")
    assert clock.elapsed == 60.0
    assert not result.stopped_early


def test_too_many_failures_end_at_once() -> None:
    result, servers, _clock = run(gate(rule=Rule(3, 1, 0)), "gbgbg")
    assert result.decision.code == "too_many_failures"
    assert len(servers.asked_at) == 4


def test_another_release_ends_at_its_limit() -> None:
    result, servers, _clock = run(gate(), "w")
    assert result.decision.code == "wrong_release"
    assert len(servers.asked_at) == 3
    assert result.stopped_early


def test_a_broken_probe_holds() -> None:
    result, _servers, clock = run(gate(), "e")
    assert (result.decision.verdict, result.decision.code) == (GateVerdict.HOLD, "probe_error")
    assert clock.elapsed == 60.0


def test_all_checks_must_be_good_at_the_same_moment() -> None:
    result, servers, _clock = run(gate("a", "b"), "gggbggg", "bbbbggg")
    assert result.decision.verdict is GateVerdict.PASS
    assert len(servers.asked_at) == 7


def test_one_lost_check_ends_the_gate_and_the_others_keep_their_own_word() -> None:
    result, _servers, _clock = run(gate("a", "b"), "g", "w")
    assert [row.decision.verdict for row in result.checks] == [GateVerdict.PASS, GateVerdict.ROLLBACK]
    assert result.decision.verdict is GateVerdict.ROLLBACK


def test_a_gate_that_ended_early_does_not_judge_the_others_as_if_their_time_were_over() -> None:
    result, _servers, _clock = run(gate("a", "b"), "b", "w")
    assert [row.decision.code for row in result.checks] == ["waiting", "wrong_release"]
    assert result.decision.code == "wrong_release"


def test_slow_answers_do_not_lengthen_the_gate() -> None:
    _result, servers, clock = run(gate(), "b", takes_s=5.0)
    assert clock.elapsed == 60.0
    assert servers.asked_at == [5.0 * turn for turn in range(12)]


def test_no_sample_is_taken_when_no_time_is_left() -> None:
    _result, servers, _clock = run(gate(), "b")
    assert all(left > 0 for left in servers.left_s)
    assert servers.asked_at[-1] == 59.0


@given(
    row=st.text(alphabet="gbnew", min_size=1, max_size=20),
    takes_s=st.floats(0, 8),
    interval_s=st.floats(0.05, 10),
    rule=st.builds(Rule, st.integers(1, 4), st.none() | st.integers(0, 3), st.integers(0, 3)),
)
def test_it_always_ends_in_time_with_a_verdict_of_its_samples(
    row: str, takes_s: float, interval_s: float, rule: Rule
) -> None:
    wanted = gate(interval_s=interval_s, rule=rule)
    result, servers, clock = run(wanted, row, takes_s=takes_s)
    assert clock.elapsed <= wanted.deadline_s + 1e-6
    assert len(result.checks[0].samples) == len(servers.asked_at)
    assert result.decision.settled
    if result.decision.verdict is GateVerdict.PASS:
        newest = result.checks[0].samples[-rule.successes :]
        assert [sample.state for sample in newest] == [State.GOOD] * rule.successes


def test_a_probe_is_given_the_time_that_is_left() -> None:
    seen: list[float] = []

    def probe(_checks: Sequence[Check], _moments: Sequence[Moment], left_s: float) -> list[Sample]:
        seen.append(left_s)
        return samples("b")

    run_gate(gate(deadline_s=5.0), probe, FakeClock())
    assert seen == [5.0, 4.0, 3.0, 2.0, 1.0]


def test_it_does_not_pass_before_its_duration() -> None:
    result, servers, clock = run(gate(duration_s=30.0), "g")
    assert result.decision.verdict is GateVerdict.PASS
    assert clock.elapsed == 30.0
    assert len(servers.asked_at) == 31


def test_errors_that_come_after_some_minutes_are_seen_within_the_duration() -> None:
    result, _servers, clock = run(gate(rule=Rule(3, 1, 0), duration_s=50.0), "g" * 20 + "b")
    assert result.decision.verdict is GateVerdict.ROLLBACK
    assert clock.elapsed == 21.0


def test_checks_are_told_the_age_of_the_release() -> None:
    result, servers, _clock = run(gate(since=START - timedelta(minutes=5)), "g")
    assert [moment.age_s for moment in servers.moments] == [300.0, 301.0, 302.0]
    assert result.age_s == 302.0
    _result, servers, _clock = run(gate(since=START + timedelta(minutes=5)), "g")
    assert servers.moments[0].age_s == 0.0, "a clock that runs behind"
    _result, servers, _clock = run(gate(), "g")
    assert servers.moments[0].age_s is None

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a gate: rounds of samples until its verdict is settled or its deadline is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._gate._decision import decide_check, decide_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import judge
from ansible_collections.slipway.django.plugins.module_utils._gate._http import ask_all
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Decision, GateVerdict, Sample
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate, HttpCheck
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

# Looks once at each check, at all of them at the same time, for no longer than the given seconds.
Probe = Callable[[Sequence[HttpCheck], float], Sequence[Sample]]


@dataclass(frozen=True)
class CheckResult:
    """One check at the end of its gate."""

    check: HttpCheck
    samples: tuple[Sample, ...]
    decision: Decision


@dataclass(frozen=True)
class GateResult:
    """A gate at its end."""

    decision: Decision
    checks: tuple[CheckResult, ...]
    started_at: str
    finished_at: str
    elapsed_s: float
    stopped_early: bool


def http_probe(clock: Clock) -> Probe:
    """The probe that asks the servers."""

    def probe(checks: Sequence[HttpCheck], left_s: float) -> list[Sample]:
        limits = [min(check.timeout_s, left_s) for check in checks]
        outcomes = ask_all([check.request for check in checks], limits, clock)
        return [
            judge(outcome, check.expectation, cut=limit < check.timeout_s)
            for check, outcome, limit in zip(checks, outcomes, limits)
        ]

    return probe


def run_gate(gate: Gate, probe: Probe, clock: Clock) -> GateResult:
    """Sample all checks, the first time at once, until every one passes at the same moment,
    one is lost for good, or the deadline is there.
    """
    started_at, start = _timestamp(clock), clock.monotonic()
    samples: list[list[Sample]] = [[] for _check in gate.checks]
    if gate.initial_delay_s:
        clock.sleep(gate.initial_delay_s)

    def observe() -> Decision:
        left_s = start + gate.deadline_s - clock.monotonic()
        if left_s > 0:
            for known, sample in zip(samples, probe(gate.checks, left_s)):
                known.append(sample)
        return decide_gate([decide_check(known, gate.rule, over=False) for known in samples])

    outcome = poll(
        observe,
        _judge,
        clock=clock,
        interval_s=gate.interval_s,
        timeout_s=gate.deadline_s - gate.initial_delay_s,
    )
    decisions = [decide_check(known, gate.rule, over=outcome.timed_out) for known in samples]
    return GateResult(
        decide_gate(decisions),
        tuple(CheckResult(*row) for row in zip(gate.checks, map(tuple, samples), decisions)),
        started_at,
        _timestamp(clock),
        clock.monotonic() - start,
        not outcome.timed_out,
    )


def _judge(decision: Decision) -> Judgement:
    if not decision.settled:
        return Judgement(Verdict.RETRY, decision.reason)
    passed = decision.verdict is GateVerdict.PASS
    return Judgement(Verdict.SUCCESS if passed else Verdict.DOOMED, decision.reason)


def _timestamp(clock: Clock) -> str:
    return clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")

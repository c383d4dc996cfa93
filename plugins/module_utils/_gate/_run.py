# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a gate: rounds of samples until its verdict is settled or its deadline is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check
from ansible_collections.slipway.django.plugins.module_utils._gate._decision import decide_check, decide_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._model import (
    Decision,
    GateVerdict,
    Moment,
    Sample,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate
from ansible_collections.slipway.django.plugins.module_utils._gate._round import Round
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

# Looks once at each check, at all of them at the same time, for no longer than the given seconds.
Probe = Callable[[Sequence[Check], Sequence[Moment], float], Sequence[Sample]]


@dataclass(frozen=True)
class CheckResult:
    """One check at the end of its gate."""

    check: Check
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
    age_s: float | None = None


def system_probe(clock: Clock) -> Probe:
    """The probe that asks the servers."""

    def probe(checks: Sequence[Check], moments: Sequence[Moment], left_s: float) -> list[Sample]:
        return Round(checks, moments, left_s, clock).take()

    return probe


class _Run:
    """One gate while it runs."""

    def __init__(self, gate: Gate, probe: Probe, clock: Clock) -> None:
        self.gate = gate
        self.probe = probe
        self.clock = clock
        self.start = clock.monotonic()
        self.started_at = _timestamp(clock)
        self.samples: list[list[Sample]] = [[] for _check in gate.checks]

    def elapsed_s(self) -> float:
        return self.clock.monotonic() - self.start

    def age_s(self) -> float | None:
        """Seconds since the release went live. A clock that runs behind makes it no younger than new."""
        since = self.gate.since
        return None if since is None else max(0.0, (self.clock.utcnow() - since).total_seconds())

    def observe(self) -> Decision:
        left_s = self.gate.deadline_s - self.elapsed_s()
        if left_s > 0:
            age_s = self.age_s()
            moments = [Moment(age_s, first_value=_first_value(known)) for known in self.samples]
            for known, sample in zip(self.samples, self.probe(self.gate.checks, moments, left_s)):
                known.append(sample)
        return self._not_before_its_time(decide_gate(self.decisions(over=False)))

    def _not_before_its_time(self, decision: Decision) -> Decision:
        if decision.verdict is GateVerdict.PASS and self.elapsed_s() < self.gate.duration_s:
            return replace(decision, settled=False)
        return decision

    def decisions(self, *, over: bool) -> list[Decision]:
        return [
            decide_check(known, check.common.rule, over=over) for known, check in zip(self.samples, self.gate.checks)
        ]


def run_gate(gate: Gate, probe: Probe, clock: Clock) -> GateResult:
    """Sample all checks, the first time at once, until every one passes at the same moment,
    one is lost for good, or the deadline is there.
    """
    run = _Run(gate, probe, clock)
    if gate.initial_delay_s:
        clock.sleep(gate.initial_delay_s)
    outcome = poll(
        run.observe,
        _judge,
        clock=clock,
        interval_s=gate.interval_s,
        timeout_s=gate.deadline_s - gate.initial_delay_s,
    )
    decisions = run.decisions(over=outcome.timed_out)
    return GateResult(
        decide_gate(decisions),
        tuple(CheckResult(*row) for row in zip(gate.checks, map(tuple, run.samples), decisions)),
        run.started_at,
        _timestamp(clock),
        run.elapsed_s(),
        not outcome.timed_out,
        run.age_s(),
    )


def _first_value(samples: Sequence[Sample]) -> float | None:
    return next((sample.value for sample in samples if sample.value is not None), None)


def _judge(decision: Decision) -> Judgement:
    if not decision.settled:
        return Judgement(Verdict.RETRY, decision.reason)
    passed = decision.verdict is GateVerdict.PASS
    return Judgement(Verdict.SUCCESS if passed else Verdict.DOOMED, decision.reason)


def _timestamp(clock: Clock) -> str:
    return clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")

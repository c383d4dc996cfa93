# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From samples to verdicts. Pure: values in, a decision out."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.slipway.django.plugins.module_utils._gate._model import (
    Action,
    Decision,
    GateVerdict,
    Rule,
    Sample,
    State,
)


def count(samples: Sequence[Sample], state: State) -> int:
    """How many samples are in this state."""
    return sum(sample.state is state for sample in samples)


def good_in_a_row(samples: Sequence[Sample]) -> int:
    """Length of the unbroken run at the end of samples that let pass. Everything else breaks it, an error too."""
    run = 0
    for sample in reversed(samples):
        if not sample.lets_pass:
            break
        run += 1
    return run


def against(samples: Sequence[Sample]) -> list[Sample]:
    """The bad samples that ask for a rollback."""
    return [sample for sample in samples if sample.state is State.BAD and sample.action is Action.ROLLBACK]


def decide_check(samples: Sequence[Sample], rule: Rule, *, over: bool) -> Decision:
    """Judge one check by all its samples so far.

    :param over: there will be no further sample.
    """
    wrong = sum(sample.release_is_wrong for sample in samples)
    rejecting = against(samples)
    bad = len(rejecting)
    doomed = next((sample for sample in rejecting if sample.doomed), None)
    if doomed is not None:
        return Decision(GateVerdict.ROLLBACK, True, doomed.code, f"{doomed.text}: waiting can't change it")
    if rule.wrong_release_limit and wrong >= rule.wrong_release_limit:
        return Decision(GateVerdict.ROLLBACK, True, "wrong_release", f"another release answered {_times(wrong)}")
    if rule.failures_allowed is not None and bad > rule.failures_allowed:
        reason = f"{bad} bad, allowed {rule.failures_allowed}"
        return Decision(GateVerdict.ROLLBACK, True, "too_many_failures", reason)
    run = good_in_a_row(samples)
    if run >= rule.successes:
        return Decision(GateVerdict.PASS, over, "passed", f"{run} good in a row")
    if over:
        return _decide_at_the_end(samples, rule)
    return Decision(GateVerdict.HOLD, False, "waiting", f"{run} of {rule.successes} good in a row so far")


def _decide_at_the_end(samples: Sequence[Sample], rule: Rule) -> Decision:
    wanted = f"wanted {rule.successes} good in a row"
    bad = len(against(samples))
    if bad:
        reason = f"{bad} bad, {wanted} before the deadline"
        return Decision(GateVerdict.ROLLBACK, True, "not_healthy_in_time", reason)
    to_look_at = [sample for sample in samples if sample.state is State.BAD and not sample.notice]
    if to_look_at:
        reason = f"{len(to_look_at)} to be looked at, the last: {to_look_at[-1].text}; {wanted} before the deadline"
        return Decision(GateVerdict.HOLD, True, "to_be_looked_at", reason)
    if not any(sample.evaluated for sample in samples):
        broken = count(samples, State.ERROR)
        code = "probe_error" if broken else "no_data"
        return Decision(GateVerdict.HOLD, True, code, f"no sample says anything about the application, {wanted}")
    reason = f"{good_in_a_row(samples)} good in a row at the deadline, {wanted}"
    return Decision(GateVerdict.HOLD, True, "too_few_samples", reason)


def decide_gate(decisions: Sequence[Decision]) -> Decision:
    """The worst of the checks. Without any check there is nothing to pass."""
    if not decisions:
        return Decision(GateVerdict.HOLD, True, "no_checks", "there is no check")
    worst = max(decisions, key=lambda decision: decision.verdict.severity)
    if worst.verdict is GateVerdict.PASS:
        return Decision(GateVerdict.PASS, True, "passed", _all_passed(len(decisions)))
    return worst


def _all_passed(checks: int) -> str:
    return "the check passed" if checks == 1 else f"all {checks} checks passed"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"

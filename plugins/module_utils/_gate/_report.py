# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate tells: evidence for machines, one sentence for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._decision import count
from ansible_collections.slipway.django.plugins.module_utils._gate._model import GateVerdict, Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate
from ansible_collections.slipway.django.plugins.module_utils._gate._run import CheckResult, GateResult

# The newest samples are shown one by one, the rest only counted: a gate may run for an hour.
_RECENT = 10
# What of a check the deployment log keeps.
_LOGGED = (
    "name",
    "kind",
    "where",
    "verdict",
    "code",
    "reason",
    "samples",
    "last_status",
    "last_fault",
    "value",
    "numbers",
    "notices",
    "releases",
    "latency_ms",
)
# From so many answers on the named percentile is more than the largest of them (exact, 95 %).
_SAMPLES_FOR_P99 = 299

_REMEDIES = {
    "wrong_release": "Look at which release runs behind this address: waiting can't change it",
    "too_many_failures": "Look at the application's log on that host",
    "service_failed": "Look at the unit's journal on that host",
    "service_restarted": "Look at the unit's journal on that host",
    "to_be_looked_at": "Look at what was seen, then let it be or go back by hand",
    "not_healthy_in_time": "Look at the application's log on that host; raise deadline only if it was still starting",
    "probe_error": "Mend what keeps the probe from asking (names, network, open files), then run again",
    "no_data": "Give the gate a longer deadline",
    "too_few_samples": "Give the gate a longer deadline, or a shorter interval",
}


class GateFailed(SlipwayError):
    """The verdict is one of those that fail. The facts are the gate's whole result."""


def conclude(gate: Gate, result: GateResult, vantage: str) -> dict[str, object]:
    """Return the facts of a gate that may go on.

    :param vantage: the host that asked.
    :raises GateFailed: its verdict is in ``fail_on``.
    """
    facts = evidence(gate, result, vantage)
    # In check mode nothing may be left to ask: that is no verdict on the site.
    if result.decision.verdict not in gate.fail_on or (gate.left_out and not gate.checks):
        return facts
    failed = [row for row in result.checks if row.decision.verdict is not GateVerdict.PASS]
    worst = max(failed, key=lambda row: row.decision.verdict.severity)
    raise GateFailed(
        f"The gate's verdict is {result.decision.verdict.value}, seen from {vantage}. "
        + "; ".join(describe(row, gate) for row in failed),
        untouched="A gate only looks, nothing was changed",
        remedy=_REMEDIES.get(worst.decision.code, ""),
        facts=facts,
    )


def describe(row: CheckResult, gate: Gate) -> str:
    """One check in words: where, what was seen, what was expected."""
    check = row.check
    last = f"last: {_telling(row.samples).text}" if row.samples else "never asked"
    wanted = check.common.rule.successes
    return (
        f"Check {check.common.name} ({check.where()}): {row.decision.verdict.value}, {row.decision.reason}; {last}; "
        f"{_counts_in_words(row.samples)}; "
        f"expected {wanted} in a row with {check.expected()} within {gate.deadline_s:g} s"
    )


def _telling(samples: Sequence[Sample]) -> Sample:
    """The newest sample that says something: one that the gate's own deadline has cut off hides what was wrong."""
    return next((sample for sample in reversed(samples) if sample.code != "cut_by_deadline"), samples[-1])


def _counts_in_words(samples: Sequence[Sample]) -> str:
    counts = ", ".join(f"{number} {word.replace('_', ' ')}" for word, number in tally(samples).items())
    return f"{len(samples)} samples: {counts}"


def evidence(gate: Gate, result: GateResult, vantage: str) -> dict[str, object]:
    """Return all that a gate saw, JSON types only."""
    decision = result.decision
    checks = [_check_evidence(row) for row in result.checks]
    log = {
        "event": "gate.verdict",
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "vantage": vantage,
        "age_s": result.age_s,
        "checks": [{key: check[key] for key in _LOGGED} for check in checks],
    }
    return {
        "verdict": decision.verdict.value,
        "code": decision.code,
        "reason": decision.reason,
        "vantage": vantage,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "elapsed_s": round(result.elapsed_s, 3),
        "age_s": None if result.age_s is None else round(result.age_s, 1),
        "stopped_early": result.stopped_early,
        "notices": [f"{check['name']}: {notice}" for check in checks for notice in check["notices"]],
        "left_out": list(gate.left_out),
        "expected": {
            "successes": gate.rule.successes,
            "failures_allowed": gate.rule.failures_allowed,
            "deadline_s": gate.deadline_s,
        },
        "checks": checks,
        "deployment_log": log,
    }


def _check_evidence(row: CheckResult) -> dict[str, Any]:
    check, samples = row.check, row.samples
    statuses = [sample.status for sample in samples if sample.status is not None]
    faults = [sample for sample in samples if sample.state is not State.GOOD]
    return {
        "name": check.common.name,
        "kind": check.common.kind,
        "where": check.where(),
        **check.facts(),
        "verdict": row.decision.verdict.value,
        "code": row.decision.code,
        "reason": row.decision.reason,
        "expected": check.expected(),
        "samples": tally(samples),
        "last_status": statuses[-1] if statuses else None,
        "last_fault": {"code": _telling(faults).code, "text": _telling(faults).text} if faults else None,
        "faults": _faults(faults),
        "value": samples[-1].value if samples else None,
        "numbers": dict(samples[-1].numbers) if samples else {},
        "figures": dict(samples[-1].figures) if samples else {},
        "notices": [samples[-1].text] if samples and samples[-1].notice else [],
        "releases": sorted({sample.release for sample in samples if sample.release is not None}),
        "latency_ms": latency([sample.elapsed_s for sample in samples if sample.status is not None]),
        "recent": [_sample_evidence(sample) for sample in samples[-_RECENT:]],
    }


def _sample_evidence(sample: Sample) -> dict[str, object]:
    return {
        "state": sample.state.value,
        "code": sample.code,
        "status": sample.status,
        "release": sample.release,
        "elapsed_ms": _milliseconds(sample.elapsed_s),
    }


def tally(samples: Sequence[Sample]) -> dict[str, int]:
    """How many samples are in each state."""
    return {state.value: count(samples, state) for state in State}


def _faults(faults: Sequence[Sample]) -> dict[str, int]:
    codes = [sample.code for sample in faults]
    return {code: codes.count(code) for code in sorted(set(codes))}


def latency(elapsed_s: Sequence[float]) -> dict[str, float | int | None]:
    """Percentiles of answered samples by the nearest rank, in milliseconds; None without any."""
    if not elapsed_s:
        return {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}
    ordered = sorted(elapsed_s)
    return {
        "n": len(ordered),
        "p50": _milliseconds(_nearest_rank(ordered, 0.50)),
        "p95": _milliseconds(_nearest_rank(ordered, 0.95)),
        "p99": _milliseconds(_nearest_rank(ordered, 0.99)) if len(ordered) >= _SAMPLES_FOR_P99 else None,
        "max": _milliseconds(ordered[-1]),
    }


def _nearest_rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)

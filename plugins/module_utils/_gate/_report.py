# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate tells: evidence for machines, one sentence for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._decision import count
from ansible_collections.slipway.django.plugins.module_utils._gate._model import GateVerdict, Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate
from ansible_collections.slipway.django.plugins.module_utils._gate._run import CheckResult, GateResult

# The newest samples are shown one by one, the rest only counted: a gate may run for an hour.
_RECENT = 10
# What of a check the deployment log keeps.
_LOGGED = ("name", "url", "verdict", "code", "reason", "samples", "last_status", "last_fault", "releases", "latency_ms")

_REMEDIES = {
    "wrong_release": "Look at which release runs behind this address: waiting can't change it",
    "too_many_failures": "Look at the application's log on that host",
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
    if result.decision.verdict not in gate.fail_on:
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
    where = check.url if check.host in check.url else f"{check.url} with Host {check.host}"
    last = f"last: {_telling(row.samples).text}" if row.samples else "never asked"
    return (
        f"Check {check.name} ({where}): {row.decision.verdict.value}, {row.decision.reason}; {last}; "
        f"{_counts_in_words(row.samples)}; "
        f"expected {gate.rule.successes} in a row with {check.expectation.describe()} within {gate.deadline_s:g} s"
    )


def _telling(samples: Sequence[Sample]) -> Sample:
    """The newest sample that says something: one that the gate's own deadline has cut off hides what was wrong."""
    return next((sample for sample in reversed(samples) if sample.state is not State.NO_DATA), samples[-1])


def _counts_in_words(samples: Sequence[Sample]) -> str:
    counts = ", ".join(f"{number} {word.replace('_', ' ')}" for word, number in tally(samples).items())
    return f"{len(samples)} samples: {counts}"


def evidence(gate: Gate, result: GateResult, vantage: str) -> dict[str, object]:
    """Return all that a gate saw, JSON types only."""
    decision = result.decision
    checks = [_check_evidence(row) for row in result.checks]
    return {
        "verdict": decision.verdict.value,
        "code": decision.code,
        "reason": decision.reason,
        "vantage": vantage,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "elapsed_s": round(result.elapsed_s, 3),
        "stopped_early": result.stopped_early,
        "expected": {
            "successes": gate.rule.successes,
            "failures_allowed": gate.rule.failures_allowed,
            "deadline_s": gate.deadline_s,
        },
        "checks": checks,
        "deployment_log": {
            "event": "gate.verdict",
            "verdict": decision.verdict.value,
            "reason": decision.reason,
            "vantage": vantage,
            "checks": [{key: check[key] for key in _LOGGED} for check in checks],
        },
    }


def _check_evidence(row: CheckResult) -> dict[str, object]:
    check, samples = row.check, row.samples
    statuses = [sample.status for sample in samples if sample.status is not None]
    faults = [sample for sample in samples if sample.state is not State.GOOD]
    return {
        "name": check.name,
        "kind": check.kind,
        "url": check.url,
        "host": check.host,
        "tls_verified": check.tls_verified,
        "verdict": row.decision.verdict.value,
        "code": row.decision.code,
        "reason": row.decision.reason,
        "expected": check.expectation.describe(),
        "samples": tally(samples),
        "last_status": statuses[-1] if statuses else None,
        "last_fault": {"code": _telling(faults).code, "text": _telling(faults).text} if faults else None,
        "faults": _faults(faults),
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
        return {"n": 0, "p50": None, "p95": None, "max": None}
    ordered = sorted(elapsed_s)
    return {
        "n": len(ordered),
        "p50": _milliseconds(_nearest_rank(ordered, 0.50)),
        "p95": _milliseconds(_nearest_rank(ordered, 0.95)),
        "max": _milliseconds(ordered[-1]),
    }


def _nearest_rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)

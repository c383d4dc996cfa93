# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and machines are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Decision, GateVerdict, Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate
from ansible_collections.slipway.django.plugins.module_utils._gate._report import GateFailed, conclude, latency
from ansible_collections.slipway.django.plugins.module_utils._gate._run import CheckResult, GateResult
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import read
from hypothesis import given
from hypothesis import strategies as st

GOOD = Sample(State.GOOD, "ok", "status 200", 0.004, 200, "r2")
RED = Sample(State.BAD, "status", "status 503 (expected 200)", 0.012, 503, "r2")
REFUSED = Sample(State.BAD, "refused", "the connection was refused", 0.001)


def a_gate(*fail_on: str) -> Gate:
    check = {"host": "shop.example.com", "release": "r2", "secret_headers": {"Authorization": "SECRET"}}
    return read(check, fail_on=list(fail_on))


def ended(gate: Gate, decision: Decision, *samples: Sample) -> GateResult:
    row = CheckResult(gate.checks[0], samples, decision)
    return GateResult(decision, (row,), "2026-11-21T16:05:28Z", "2026-11-21T16:06:28Z", 60.0042, False)


ROLLBACK = Decision(
    GateVerdict.ROLLBACK, True, "not_healthy_in_time", "3 bad, wanted 3 good in a row before the deadline"
)


def test_a_failure_tells_check_url_what_was_seen_and_expected_and_what_to_do() -> None:
    gate = a_gate("rollback", "hold")
    with pytest.raises(GateFailed) as failure:
        conclude(gate, ended(gate, ROLLBACK, GOOD, REFUSED, RED, RED), "lb1")
    assert failure.value.message == (
        "The gate's verdict is rollback, seen from lb1. "
        "Check app1 (http://app1:8002/health/ready with Host shop.example.com): rollback, "
        "3 bad, wanted 3 good in a row before the deadline; last: status 503 (expected 200); "
        "4 samples: 1 good, 3 bad, 0 no data, 0 error; "
        "expected 3 in a row with status 200, release r2 in X-Release within 60 s. "
        "A gate only looks, nothing was changed. "
        "Look at the application's log on that host; raise deadline only if it was still starting."
    )
    assert "SECRET" not in json.dumps(failure.value.facts)


def test_the_sample_that_the_deadline_cut_off_does_not_hide_what_was_wrong() -> None:
    gate = a_gate("rollback")
    bad = Sample(State.BAD, "status", "status 503 (expected 200)", 0.01, 503, "r1", False)
    cut = Sample(State.NO_DATA, "cut_by_deadline", "no whole answer within 0.0004 s", 0.0004)
    decision = Decision(GateVerdict.ROLLBACK, True, "not_healthy_in_time", "1 bad")
    with pytest.raises(GateFailed, match=r"last: status 503 \(expected 200\);") as caught:
        conclude(gate, ended(gate, decision, bad, cut), "lb1")
    checks: Any = caught.value.facts["checks"]
    assert checks[0]["last_fault"] == {"code": "status", "text": "status 503 (expected 200)"}


def test_the_evidence() -> None:
    gate = a_gate()
    facts = conclude(gate, ended(gate, ROLLBACK, GOOD, REFUSED, RED, RED), "lb1")
    checks, log = facts.pop("checks"), facts.pop("deployment_log")
    assert facts == {
        "verdict": "rollback",
        "code": "not_healthy_in_time",
        "reason": "3 bad, wanted 3 good in a row before the deadline",
        "vantage": "lb1",
        "started_at": "2026-11-21T16:05:28Z",
        "finished_at": "2026-11-21T16:06:28Z",
        "elapsed_s": 60.004,
        "age_s": None,
        "notices": [],
        "left_out": [],
        "stopped_early": False,
        "expected": {"successes": 3, "failures_allowed": None, "deadline_s": 60.0},
    }
    assert isinstance(checks, list)
    (check,) = checks
    assert isinstance(log, dict)
    assert (log["event"], log["verdict"], log["vantage"]) == ("gate.verdict", "rollback", "lb1")
    assert log["checks"][0].items() <= check.items()
    recent = check.pop("recent")
    assert check == {
        "name": "app1",
        "kind": "http",
        "where": "http://app1:8002/health/ready with Host shop.example.com",
        "url": "http://app1:8002/health/ready",
        "host": "shop.example.com",
        "tls_verified": None,
        "verdict": "rollback",
        "code": "not_healthy_in_time",
        "reason": "3 bad, wanted 3 good in a row before the deadline",
        "expected": "status 200, release r2 in X-Release",
        "samples": {"good": 1, "bad": 3, "no_data": 0, "error": 0},
        "last_status": 503,
        "last_fault": {"code": "status", "text": "status 503 (expected 200)"},
        "faults": {"refused": 1, "status": 2},
        "releases": ["r2"],
        "value": None,
        "numbers": {},
        "figures": {},
        "notices": [],
        "latency_ms": {"n": 3, "p50": 12.0, "p95": 12.0, "p99": None, "max": 12.0},
    }
    assert recent[1] == {"state": "bad", "code": "refused", "status": None, "release": None, "elapsed_ms": 1.0}


def test_only_the_newest_samples_are_shown_one_by_one() -> None:
    gate = a_gate()
    facts = conclude(gate, ended(gate, ROLLBACK, *[RED] * 500, GOOD), "lb1")
    checks = facts["checks"]
    assert isinstance(checks, list)
    assert len(checks[0]["recent"]) == 10
    assert checks[0]["recent"][-1]["state"] == "good"
    assert checks[0]["samples"]["bad"] == 500


@pytest.mark.parametrize("fail_on", [(), ("hold",)])
def test_a_verdict_that_does_not_fail_is_returned(fail_on: tuple[str, ...]) -> None:
    gate = a_gate(*fail_on)
    assert conclude(gate, ended(gate, ROLLBACK, RED), "lb1")["verdict"] == "rollback"


def test_a_pass_never_fails() -> None:
    gate = a_gate("rollback", "hold")
    passed = Decision(GateVerdict.PASS, True, "passed", "the check passed")
    assert conclude(gate, ended(gate, passed, GOOD), "lb1")["verdict"] == "pass"


def test_a_check_that_was_never_asked_says_so() -> None:
    gate = a_gate("hold")
    with pytest.raises(GateFailed, match="never asked; 0 samples"):
        conclude(gate, ended(gate, Decision(GateVerdict.HOLD, True, "no_data", "nothing")), "lb1")


def test_no_answer_has_no_latency() -> None:
    assert latency([]) == {"n": 0, "p50": None, "p95": None, "p99": None, "max": None}


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_percentiles_are_among_the_seen_and_in_order(elapsed_s: list[float]) -> None:
    seen = latency(elapsed_s)
    p50, p95, largest = seen["p50"], seen["p95"], seen["max"]
    assert p50 is not None
    assert p95 is not None
    assert largest is not None
    assert p50 <= p95 <= largest
    assert {p50, p95, largest} <= {round(value * 1000, 1) for value in elapsed_s}

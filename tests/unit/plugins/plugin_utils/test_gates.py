# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates of the role verify: where they are asked, what the table makes of measures, what they say together."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.django.plugins.filter.gate_measures import gate_measures
from ansible_collections.slipway.django.plugins.plugin_utils._gates import place_gates, sum_up
from ansible_collections.slipway.django.tests.unit.house import ROOT, load

GROUPS = {"worker": ["app1", "app2"], "database": ["db1"], "all": ["lb1"]}


def test_checks_are_asked_in_one_go_for_each_host_and_user() -> None:
    gates: list[dict[str, Any]] = [
        {"checks": [{"name": "page"}, {"name": "static", "when": False}, {"name": "login", "text": "", "when": True}]},
        {"checks": [{"name": "headers"}]},
        {"group": "worker", "user": "shop", "checks": [{"name": "workers"}]},
        {"group": "worker", "every": True, "checks": [{"name": "unit"}]},
        {"group": "beat", "checks": [{"name": "one scheduler"}]},
        {"group": "database", "checks": [{"name": "sql", "when": False}]},
    ]
    assert place_gates(gates, GROUPS, "lb1") == [
        {"host": "lb1", "user": "", "checks": [{"name": "page"}, {"name": "login"}, {"name": "headers"}]},
        {"host": "app1", "user": "shop", "checks": [{"name": "workers"}]},
        {"host": "app1", "user": "", "checks": [{"name": "unit of app1"}]},
        {"host": "app2", "user": "", "checks": [{"name": "unit of app2"}]},
    ]


MEASURES = {"rate": {"bad": "b", "total": "t"}, "alerts": {"query": "q"}}


def test_the_table_makes_a_check_of_each_measure_and_window() -> None:
    table = [
        {"measure": "rate", "window": "5m", "above": 0.05},
        {"measure": "rate", "window": "1h", "from": "1h", "times_baseline": 1.2},
        {"measure": "rate", "window": "5m", "from": "5m", "above": 0.02, "action": "hold"},
        {"measure": "alerts", "above": 0},
    ]
    checks = gate_measures(MEASURES, table, {"url": "u"}, {"rate over 1h": {"bad": 1, "total": 100}})
    common = {"kind": "prometheus", "url": "u"}
    assert checks == [
        {
            **common,
            "name": "rate over 5m",
            **MEASURES["rate"],
            "window": "5m",
            "thresholds": [{"above": 0.05}, {"from": "5m", "above": 0.02, "action": "hold"}],
        },
        {
            **common,
            "name": "rate over 1h",
            **MEASURES["rate"],
            "window": "1h",
            "thresholds": [{"from": "1h", "times_baseline": 1.2}],
            "baseline": {"bad": 1, "total": 100},
        },
        {**common, "name": "alerts", **MEASURES["alerts"], "thresholds": [{"above": 0}]},
    ]


def test_a_threshold_of_nothing_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="names the measure 'p95', verify_measures has alerts, rate"):
        gate_measures(MEASURES, [{"measure": "p95", "above": 2}], {})


def test_the_table_as_shipped_names_measures_that_there_are() -> None:
    defaults = load(ROOT / "roles" / "verify" / "defaults" / "main.yml")
    checks = gate_measures(defaults["verify_measures"], defaults["verify_thresholds"], {"url": "u"})
    named = {row["measure"] for row in defaults["verify_thresholds"]}
    assert {check["name"].partition(" over ")[0] for check in checks} == named


def check(name: str, verdict: str, **more: Any) -> dict[str, Any]:
    fault = None if verdict == "pass" else {"code": "x", "text": "what was seen"}
    return {"name": name, "kind": "http", "verdict": verdict, "reason": "why", "last_fault": fault, **more}


def gate(verdict: str, *checks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"verdict": verdict, "reason": "gate's", "checks": list(checks), "notices": [], **more}


@pytest.mark.parametrize(
    ("results", "verdict", "reason"),
    [
        ([], "hold", "there is no check"),
        ([gate("pass", check("a", "pass")), gate("pass", check("b", "pass"))], "pass", "2 checks passed"),
        (
            [gate("hold", check("a", "hold")), gate("rollback", check("b", "rollback"), check("c", "pass"))],
            "rollback",
            "b: why, last: what was seen",
        ),
        ([gate("pass", check("a", "pass")), {"unreachable": True, "msg": "gone"}], "hold", "no verdict: gone"),
        (
            [gate("pass", check("a", "pass")), {"msg": "a module that failed"}],
            "hold",
            "no verdict: a module that failed",
        ),
    ],
)
def test_the_worst_verdict_counts(results: list[dict[str, Any]], verdict: str, reason: str) -> None:
    summary = sum_up(results)
    assert (summary["verdict"], summary["reason"]) == (verdict, reason)


def test_figures_are_kept_for_a_later_gate() -> None:
    measured = [
        check("rate", "hold", kind="prometheus", numbers={"bad": 2, "total": 900, "rate": 0.002}, value=0.002),
        check("alerts", "pass", kind="prometheus", numbers={}, value=3.0),
        check("silent", "hold", kind="prometheus", numbers={"total": 3}, value=None, last_fault={"text": "too few"}),
        check("queries", "pass", kind="statements", numbers={}, value=None, figures={"reset": "", "queries": {}}),
        check(
            "no queries", "hold", kind="statements", numbers={}, value=None, figures={}, last_fault={"text": "no role"}
        ),
        check("page", "pass", value=1.0, numbers={}),
    ]
    summary = sum_up([gate("hold", *measured, notices=["rate: told"])])
    assert summary["baseline"] == {
        "rate": {"bad": 2, "total": 900},
        "alerts": {"value": 3.0},
        "queries": {"reset": "", "queries": {}},
    }
    assert summary["missing"] == {"silent": "too few", "no queries": "no role"}
    assert sum_up([{"unreachable": True, "msg": "gone"}])["missing"] == {"all that was asked there": "gone"}
    assert summary["notices"] == ["rate: told"]

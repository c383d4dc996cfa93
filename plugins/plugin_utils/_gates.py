# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates of the role verify: which checks are asked where, and what their results say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Checks = list[dict[str, Any]]

# As a gate has them: the worst of several gates is the last of these.
_ORDER = ("pass", "hold", "rollback")


class GateError(ValueError):
    """The options of the role can't be used."""


def place_gates(
    gates: Iterable[Mapping[str, Any]], groups: Mapping[str, Sequence[str]], vantage: str
) -> list[dict[str, Any]]:
    """Return, for each host and user, the checks that are asked there in one go.

    A gate has C(group), whose first host asks, or with C(every) each of them; without it the vantage point asks.
    C(user) is whom the checks run as. A check whose C(when) is false is left out; so is a gate of a group that the
    inventory does not have.
    """
    placed: dict[tuple[str, str], Checks] = {}
    for gate in gates:
        checks = [_without_condition(check) for check in gate["checks"] if check.get("when", True)]
        for host in _hosts(gate, groups, vantage) if checks else []:
            known = placed.setdefault((host, str(gate.get("user", ""))), [])
            known.extend({**check, "name": _name(check, host, gate)} for check in checks)
    return [{"host": host, "user": user, "checks": checks} for (host, user), checks in placed.items()]


def _hosts(gate: Mapping[str, Any], groups: Mapping[str, Sequence[str]], vantage: str) -> list[str]:
    if "group" not in gate:
        return [vantage]
    hosts = list(groups.get(gate["group"], []))
    return hosts if gate.get("every") else hosts[:1]


def _name(check: Mapping[str, Any], host: str, gate: Mapping[str, Any]) -> str:
    return f"{check['name']} of {host}" if gate.get("every") else str(check["name"])


def _without_condition(check: Mapping[str, Any]) -> dict[str, Any]:
    # An empty option is one that the team has not set.
    return {option: value for option, value in check.items() if option != "when" and value not in ("", None)}


def measure_checks(
    measures: Mapping[str, Mapping[str, Any]],
    thresholds: Iterable[Mapping[str, Any]],
    common: Mapping[str, Any],
    baseline: Mapping[str, Any],
) -> Checks:
    """Return a check of kind C(prometheus) for each measure and window that the table of thresholds names.

    :raises GateError: the table names a measure that nobody has defined.
    """
    rows: dict[tuple[str, str], Checks] = {}
    for row in thresholds:
        name = str(row.get("measure", ""))
        if name not in measures:
            known = ", ".join(sorted(measures)) or "none"
            raise GateError(f"verify_thresholds names the measure {name!r}, verify_measures has {known}")
        rung = {key: value for key, value in row.items() if key not in ("measure", "window")}
        rows.setdefault((name, str(row.get("window", ""))), []).append(rung)
    checks: Checks = []
    for (measure, window), rungs in rows.items():
        name = f"{measure} over {window}" if window else measure
        check = {**common, "kind": "prometheus", "name": name, **measures[measure], "thresholds": rungs}
        if window:
            check["window"] = window
        if baseline.get(name):
            check["baseline"] = baseline[name]
        checks.append(check)
    return checks


def sum_up(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the worst verdict, why, what people are told, and the figures that a later gate is compared with.

    A host that did not answer has given no verdict: hold.
    """
    verdicts = [_verdict(result) for result in results]
    worst = max((verdict for verdict, _reason in verdicts), key=_ORDER.index, default="hold")
    reasons = [reason for verdict, reason in verdicts if verdict == worst]
    if worst == "pass":
        reasons = [f"{sum(len(result['checks']) for result in results)} checks passed"]
    return {
        "verdict": worst,
        "reason": "; ".join(reasons) or "there is no check",
        "notices": [notice for result in results for notice in result.get("notices", [])],
        "baseline": {
            name: figures for result in results for name, figures in _figures(result.get("checks", [])) if figures
        },
        "missing": {name: why for result in results for name, why in _missing(result)},
    }


def _verdict(result: Mapping[str, Any]) -> tuple[str, str]:
    if result.get("unreachable") or result.get("verdict") not in _ORDER:
        return "hold", f"no verdict: {result.get('msg', 'no answer')}"
    failed = [check for check in result["checks"] if check["verdict"] == result["verdict"] != "pass"]
    told = "; ".join(f"{check['name']}: {_fault(check)}" for check in failed)
    return result["verdict"], told or result["reason"]


def _fault(check: Mapping[str, Any]) -> str:
    last = check.get("last_fault") or {}
    return f"{check['reason']}, last: {last['text']}" if last else str(check["reason"])


def _missing(result: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Why what is measured has no figures: all of a host that did not answer, or one of its checks."""
    if "checks" not in result:
        yield "all that was asked there", str(result.get("msg", "no answer"))
        return
    found = {name for name, _figures_of_it in _figures(result["checks"])}
    for check in result["checks"]:
        if check["kind"] in ("prometheus", "statements") and check["name"] not in found:
            yield check["name"], str((check.get("last_fault") or {}).get("text", "no figures"))


def _figures(checks: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for check in checks:
        if check.get("figures"):
            yield check["name"], check["figures"]
        if check["kind"] != "prometheus":
            continue
        numbers = check.get("numbers") or {}
        if "bad" in numbers:
            yield check["name"], {"bad": numbers["bad"], "total": numbers["total"]}
        elif check.get("value") is not None and "total" not in numbers:
            yield check["name"], {"value": check["value"]}

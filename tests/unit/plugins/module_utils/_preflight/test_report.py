# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._preflight._report import (
    STEPS,
    message,
    report_json,
    report_lines,
    report_of,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark


def row(step: str, check: str, mark: str = "passed", seen: str = "x", expected: str = "y") -> dict[str, Any]:
    return {"step": step, "check": check, "mark": mark, "seen": seen, "expected": expected}


HOSTS = {
    "app1": {"rows": [row("A4", "disk"), row("A2", "variables", "failed", "not set or empty: KEY", "KEY")]},
    "app2": {"rows": [row("A4", "disk", "failed", "3 MiB free", "1024 MiB free"), row("A2", "variables")]},
}


def test_a_step_has_the_worst_mark_of_its_rows_over_all_hosts() -> None:
    report = report_of({"host": HOSTS}, later=["A3"])
    marks = {each["step"]: each["mark"] for each in report_json(report)["checklist"]}

    assert not report.passed
    assert list(marks) == list(STEPS)
    assert (marks["A2"], marks["A4"], marks["A3"], marks["A10"]) == ("failed", "failed", "not yet", "not asked")


def test_all_that_refuses_stands_in_one_message() -> None:
    assert message(report_of({"host": HOSTS})) == (
        "preflight: 2 of 4 rows refuse. app1: A2 variables failed: expected KEY, seen: not set or empty: KEY."
        " app2: A4 disk failed: expected 1024 MiB free, seen: 3 MiB free"
    )


def test_the_table_says_once_what_several_hosts_have_in_common_and_what_refuses_first() -> None:
    good = {name: {"rows": [row("A4", "disk"), row("A4", "user")]} for name in ("app1", "app2")}
    lines = report_lines(report_of({"host": {**good, "app3": HOSTS["app2"]}}))
    start = next(index for index, line in enumerate(lines) if line.startswith("A4"))

    assert lines[start : start + 4] == [
        f"A4   failed               {STEPS['A4']}",
        "     failed: disk: 3 MiB free; expected 1024 MiB free (app3)",
        "     passed: disk (app1, app2)",
        "     passed: user (app1, app2)",
    ]


@pytest.mark.parametrize(
    ("look", "answer", "mark", "seen"),
    [
        ("host", {"unreachable": True, "msg": "ssh"}, Mark.UNKNOWN, "it can't be reached"),
        ("host", {}, Mark.UNKNOWN, "nobody has looked"),
        ("host", {"skipped": True}, Mark.UNKNOWN, "nobody has looked"),
        ("host", {"failed": True, "msg": "no Python"}, Mark.UNKNOWN, "no Python"),
        ("host", {"changed": False}, Mark.UNKNOWN, "it ended without an answer"),
        ("balancer", {"failed": True, "msg": "no server app9-blue"}, Mark.FAILED, "no server app9-blue"),
        ("balancer", {"changed": False, "msg": "ready"}, Mark.PASSED, "ready"),
        ("release", {}, Mark.UNKNOWN, "nobody has looked"),
    ],
)
def test_a_look_without_an_answer_is_no_pass(look: str, answer: dict[str, Any], mark: Mark, seen: str) -> None:
    (line,) = report_of({look: {"app1": answer}}).lines
    assert (line.host, line.mark, line.seen) == ("app1", mark, seen)


def test_a_report_of_nothing_passes_nothing() -> None:
    report = report_of({"host": {}})
    assert not report.passed
    assert message(report) == "preflight: nothing was looked at"


def test_a_report_without_a_refusal_passes() -> None:
    report = report_of({"host": {"app1": {"rows": [row("A4", "disk"), row("A10", "freeze", "not asked")]}}})
    assert report.passed
    assert message(report) == "preflight: all 2 rows pass or were not asked"
    assert report_json(report)["refusing"] == []


def test_a_row_of_a_mark_that_is_not_known_is_no_pass() -> None:
    with pytest.raises(KeyError):
        report_of({"host": {"app1": {"rows": [row("A4", "disk", "fine")]}}})

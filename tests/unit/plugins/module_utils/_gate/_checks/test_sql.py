# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries, and what psql is run with."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._psql import Psql
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._sql import read_plan
from ansible_collections.slipway.django.plugins.module_utils._gate._model import State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner, completed
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import params, read

SQL: dict[str, Any] = {"kind": "sql", "url": None, "database": "shop", "query": "SELECT 1", "equals": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"query": " \\! touch /tmp/never"},
            "checks[0].query: ' \\\\! touch /tmp/never' is not accepted, expected SQL, no",
        ),
        ({"query": None}, "checks[0].query: None is not accepted, expected a value: a check of kind sql needs it"),
        ({"equals": None}, "checks[0].equals: None is not accepted, expected equals, min, max, thresholds"),
        ({"uses_index": " "}, "checks[0].uses_index: ' ' is not accepted, expected a value that is not empty"),
        ({"uses_index": "by_day"}, "checks[0].uses_index: 'by_day' is not accepted, expected no equals, min, max or"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read({**SQL, **changes})
    assert message in refusal.value.message


def row(runner: FakeRunner) -> list[str]:
    return Psql("psql", Connection("shop", passfile="/p"), runner).row("SELECT 1", Watch(5.0, FakeClock()))


def test_a_query_only_reads_ends_in_time_and_finds_its_password_by_itself() -> None:
    runner = FakeRunner(["1\x1f2\n"])
    assert row(runner) == ["1", "2"]
    (call,) = runner.calls
    assert call.argv[-1] == "--command=SELECT 1"
    assert "--no-password" in call.argv
    assert call.env["PGOPTIONS"] == "-c statement_timeout=4900 -c default_transaction_read_only=on"
    assert (call.env["PGDATABASE"], call.env["PGPASSFILE"]) == ("shop", "/p")
    assert call.timeout_s == pytest.approx(4.9)


@pytest.mark.parametrize(
    ("returncode", "stderr", "code", "local"),
    [
        (2, "SECRET", "no_connection", False),
        (1, "ERROR: permission denied for table SECRET", "not_allowed", True),
        (1, "ERROR: canceling statement due to statement timeout", "timeout", False),
        (1, "ERROR: division by zero SECRET", "query", True),
    ],
)
def test_what_the_server_says_is_not_repeated(returncode: int, stderr: str, code: str, local: bool) -> None:
    with pytest.raises(NotUnderstood) as caught:
        row(FakeRunner([completed(returncode=returncode, stderr=stderr)]))
    assert (caught.value.code, caught.value.local) == (code, local)
    assert "SECRET" not in caught.value.text


PLAN = """[{"Plan": {"Node Type": "Nested Loop", "Plans": [
  {"Node Type": "Seq Scan", "Relation Name": "orders"},
  {"Node Type": "Bitmap Heap Scan", "Relation Name": "lines", "Plans": [
    {"Node Type": "Bitmap Index Scan", "Index Name": "lines_by_order"}]}]}}]
"""


@pytest.mark.parametrize(
    ("index", "state", "text"),
    [
        ("lines_by_order", State.GOOD, "the plan uses lines_by_order"),
        ("by_day", State.BAD, "the plan uses lines_by_order (expected by_day) and reads all of orders"),
    ],
)
def test_a_plan_is_asked_for_and_not_the_rows(index: str, state: State, text: str) -> None:
    runner = FakeRunner([PLAN])
    options = {**SQL, "equals": None, "uses_index": index}
    sample = read_gate(params(options), World(FakeClock(), runner)).checks[0].look(Watch(5.0, FakeClock()))
    assert (sample.state, sample.text) == (state, text)
    assert runner.calls[0].argv[-1] == "--command=EXPLAIN (FORMAT JSON) SELECT 1"


@pytest.mark.parametrize("said", ["", "Seq Scan on orders", "[]", '[{"Plan": 1}]', '[{"Plan": {"Plans": [1]}}]', "{}"])
def test_what_is_no_plan_is_no_verdict(said: str) -> None:
    with pytest.raises(NotUnderstood) as error:
        read_plan(said)
    assert (error.value.code, error.value.text, error.value.local) == ("plan", "EXPLAIN gave no plan", True)

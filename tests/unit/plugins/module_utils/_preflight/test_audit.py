# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._preflight._audit import (
    Auditing,
    audit_row,
    audit_rows,
    read_audit,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

# Of a real run against an index without data on vulnerabilities: it ended with status 0.
NO_DATA = (Path(__file__).parent / "recorded" / "pip-audit-2.10.1-no-data.json").read_text(encoding="utf-8")
VULN = {"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1111", "GHSA-aaaa"], "fix_versions": ["5.2.20"]}


def report(*packages: dict[str, Any]) -> str:
    """As pip-audit's own documentation shows it."""
    return json.dumps({"dependencies": list(packages), "fixes": []})


def package(name: str, *vulns: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulns)}


def judge(text: str, *allowed: str, no_data: str = "fail") -> Row:
    return audit_row(read_audit(text), allowed, no_data)


def test_packages_without_vulnerabilities_pass() -> None:
    row = judge(report(package("django"), package("celery")))
    assert (row.mark, row.seen) == (Mark.PASSED, "none in 2 packages")


def test_a_vulnerability_fails_unless_its_id_or_alias_is_borne() -> None:
    text = report(package("django", VULN), package("celery"))

    assert (judge(text).mark, judge(text).seen) == (Mark.FAILED, "django 1.0: PYSEC-2026-1")
    assert judge(text, "CVE-2026-1111").seen == "none in 2 packages but 1 that are borne"
    assert judge(text, "CVE-2026-2222").mark is Mark.FAILED


def test_packages_that_were_skipped_were_not_audited() -> None:
    row = judge(NO_DATA)

    assert row.mark is Mark.UNKNOWN
    assert row.seen.startswith("no data on 4 packages: bc-detect-secrets, boolean-py")
    accepted = judge(NO_DATA, no_data="accept")
    assert accepted.mark is Mark.NOT_ASKED
    assert accepted.seen.endswith("; accepted by preflight_audit_no_data")


def test_a_vulnerability_counts_also_where_other_packages_were_skipped() -> None:
    text = report(package("django", VULN), {"name": "shop", "skip_reason": "not on the index"})
    assert judge(text, no_data="accept").mark is Mark.FAILED


def test_no_package_at_all_is_no_data() -> None:
    assert judge(report()).mark is Mark.UNKNOWN


@pytest.mark.parametrize("text", ["", "ERROR: no network", "[]", '{"dependencies": [{"name": "x"}]}'])
def test_what_is_no_report_is_no_data(text: str) -> None:
    with pytest.raises(SlipwayError, match="no data"):
        read_audit(text)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (completed("", returncode=1, stderr="ConnectionError"), "no data: pip-audit gave no report"),
        (TimedOut("…"), "no data: no answer within 5 s"),
    ],
)
def test_data_that_can_not_be_reached_is_what_was_chosen(answer: Any, seen: str) -> None:
    for no_data, mark in (("fail", Mark.UNKNOWN), ("accept", Mark.NOT_ASKED)):
        auditing = Auditing(["sh"], "always", [], no_data, 5)
        (row,) = audit_rows("/venv", auditing, FakeRunner([answer]))
        assert row.mark is mark
        assert row.seen.startswith(seen)


def test_a_program_that_is_not_there_fails_only_when_it_was_asked_for() -> None:
    for when, mark in (("always", Mark.FAILED), ("when_installed", Mark.NOT_ASKED), ("never", Mark.NOT_ASKED)):
        (row,) = audit_rows("/venv", Auditing(["no-such-audit"], when, [], "fail", 5), FakeRunner())
        assert row.mark is mark

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, guarded
from ansible_collections.slipway.django.plugins.module_utils._preflight._scanner import (
    Finding,
    read_findings,
    secrets_row,
    secrets_rows,
    unknown_findings,
)
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

RECORDED = (Path(__file__).parent / "recorded" / "detect-secrets-1.5.52.json").read_text(encoding="utf-8")
# A stand-in that answers as the real one: what it finds in a file is each line with the word SECRET or the canary's.
SCANNER = f"""#!{sys.executable}
import json, os, sys
assert sys.argv[1:4] == ["scan", "--all-files", "--no-verify"], sys.argv
results = {{}}
for top in sys.argv[4:]:
    files = [os.path.join(at, name) for at, _, names in os.walk(top) for name in names] or [top]
    for path in files:
        for number, line in enumerate(open(path), 1):
            if "SECRET" in line or ("AKIA" in line and not os.environ.get("BLIND")):
                found = dict(type="Secret Keyword", hashed_secret=line.strip(), line_number=number, filename=path)
                results.setdefault(os.path.relpath(path), []).append(found)
print(json.dumps(dict(results=results)))
sys.exit(int(os.environ.get("STATUS", "0")))
"""


@pytest.fixture
def scanner(tmp_path: Path) -> list[str]:
    program = tmp_path / "detect-secrets"
    program.write_text(SCANNER, encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return [str(program)]


@pytest.fixture
def src(tmp_path: Path) -> Path:
    place = tmp_path / "src"
    place.mkdir()
    (place / "settings.py").write_text("DEBUG = False\n", encoding="utf-8")
    return place


def scan(src: Path, command: list[str], when: str = "always") -> Row:
    (row,) = guarded("A3", "secrets", "a scan", lambda: secrets_rows(str(src), command, when, SystemRunner(), 60))
    return row


def test_the_recorded_report_is_understood() -> None:
    found = read_findings(RECORDED)

    assert [(each.path, each.line, each.kind) for each in found] == [
        ("config/environment.py", 38, "Basic Auth Credentials"),
        ("config/leak.py", 1, "AWS Access Key"),
        ("config/leak.py", 2, "Secret Keyword"),
    ]


@pytest.mark.parametrize("text", ["", "[]", '{"results": {"a": [{}]}}', '{"results": []}', "Traceback"])
def test_what_is_no_report_is_no_pass(text: str) -> None:
    with pytest.raises(SlipwayError, match="report is not understood"):
        read_findings(text)


def test_a_finding_is_told_by_its_place_and_never_by_its_content() -> None:
    found = read_findings(RECORDED)
    row = secrets_row(found, [])

    assert row.mark is Mark.FAILED
    assert "config/leak.py:1 AWS Access Key" in row.seen
    assert not any(each.digest in row.seen for each in found)


def test_what_was_audited_is_borne_wherever_its_line_moved_to() -> None:
    audited = [Finding("a.py", 1, "Secret Keyword", "x")]

    assert unknown_findings([Finding("a.py", 9, "Secret Keyword", "x")], audited) == []
    assert len(unknown_findings([Finding("b.py", 1, "Secret Keyword", "x")], audited)) == 1
    assert len(unknown_findings([Finding("a.py", 1, "Secret Keyword", "y")], audited)) == 1


def test_a_clean_source_passes_and_nothing_is_written_there(src: Path, scanner: list[str]) -> None:
    row = scan(src, scanner)

    assert (row.mark, row.seen) == (Mark.PASSED, "none")
    assert os.listdir(src) == ["settings.py"]


def test_a_secret_fails_until_it_is_audited(src: Path, scanner: list[str]) -> None:
    (src / "settings.py").write_text("DEBUG = False\nKEY = 'SECRET'\n", encoding="utf-8")
    row = scan(src, scanner)
    assert (row.mark, row.seen) == (Mark.FAILED, "settings.py:2 Secret Keyword")

    audited: dict[str, Any] = {"type": "Secret Keyword", "hashed_secret": "KEY = 'SECRET'"}
    (src / ".secrets.baseline").write_text(json.dumps({"results": {"settings.py": [audited]}}), encoding="utf-8")
    row = scan(src, scanner)
    assert (row.mark, row.seen) == (Mark.PASSED, "none but 1 that were audited")


def test_a_scanner_that_sees_nothing_passes_nothing(
    src: Path, scanner: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLIND", "1")
    row = scan(src, scanner)
    assert (row.mark, row.seen) == (Mark.UNKNOWN, "the scanner did not find the secret that it was given to find")


def test_a_scanner_that_fails_passes_nothing(src: Path, scanner: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATUS", "3")
    assert scan(src, scanner).mark is Mark.UNKNOWN


@pytest.mark.parametrize(
    ("when", "mark", "seen"),
    [
        ("when_installed", Mark.NOT_ASKED, "no-such-scanner is not installed on this host"),
        ("always", Mark.FAILED, "no-such-scanner is not installed on this host"),
        ("never", Mark.NOT_ASKED, "switched off"),
    ],
)
def test_a_scanner_that_is_not_there_fails_only_when_it_was_asked_for(
    src: Path, when: str, mark: Mark, seen: str
) -> None:
    row = scan(src, ["no-such-scanner"], when)
    assert (row.mark, row.seen) == (mark, seen)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/django-versions.md, which it writes: the tests of migrations with each Django."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ansible_collections.slipway.django.tests.integration.django_versions import VERSIONS, Version, environment
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.timeout(3600)
PAGE = CHECKOUT / "docs" / "proof" / "django-versions.md"
FILES = (
    "test_django_migrate_safe",
    "test_django_run_once",
    "test_migration_rules",
    "test_migrations_by_hand",
    "test_migrations_graph",
    "test_migrations_offline",
    "test_migrations_phases",
    "test_migrations_rehearsal",
    "test_migrations_safety",
)
TEMPLATE = """# Each Django

Written by `make proof` (`tests/proof/test_django_versions.py`).

**{verdict}.**

The integration tests of migrations, {files} files, with each Django in turn in the release's virtual environment: each
operation and rule against a real PostgreSQL, routers and several databases, squashed migrations, `run_before`, user
models of a site's own, kills, rehearsals, the linter. Where a Django or a PostgreSQL lacks what a test is about, it is
skipped.

| Django | Python | psycopg | passed | skipped | failed |
| --- | --- | --- | ---: | ---: | ---: |
{rows}

{circumstances}
"""


@dataclass
class Row:
    """What became of the tests."""

    versions: str
    passed: int
    skipped: int
    failed: list[str]


def page(kept: proof.Kept) -> str:
    found = {version.name: kept.get(version.name) for version in VERSIONS}
    rows = [Row(**values) for values in found.values() if values]
    wrong = [f"{name}: not run" for name, values in found.items() if not values]
    wrong += [f"{row.versions.replace(' | ', '/')}: {', '.join(row.failed)}" for row in rows if row.failed]
    return TEMPLATE.format(
        verdict=f"All passed with all {len(rows)}" if not wrong else f"NOT: {'; '.join(wrong)}",
        files=len(FILES),
        rows="\n".join(f"| {r.versions} | {r.passed} | {r.skipped} | {len(r.failed)} |" for r in rows),
        circumstances=proof.machine_in_words(),
    )


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_with(version: Version, tmp_path: Path) -> None:
    kept = proof.Kept(CHECKOUT, "django-versions")
    venv = environment(version, CHECKOUT / ".cache" / "versions")
    report = tmp_path / "report.xml"
    here = CHECKOUT / "tests" / "integration"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile"]
    command += ["--timeout", "300", f"--junitxml={report}", *(str(here / f"{name}.py") for name in FILES)]
    done = subprocess.run(
        command, env={**os.environ, "SLIPWAY_TEST_VENV": str(venv)}, capture_output=True, text=True, check=False
    )
    kept.put(version.name, vars(read(report, versions(venv))))
    PAGE.write_text(page(kept), encoding="utf-8")
    assert done.returncode == 0, done.stdout[-5000:]


def versions(venv: Path) -> str:
    program = (
        "import importlib.metadata as m, platform;"
        "print(m.version('Django'), platform.python_version(), m.version('psycopg'), sep=' | ')"
    )
    return subprocess.check_output([str(venv / "bin" / "python"), "-c", program], text=True).strip()


def read(report: Path, seen: str) -> Row:
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Row(seen, len(cases) - skipped - len(failed), skipped, failed)

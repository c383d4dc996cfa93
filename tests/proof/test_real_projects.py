# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/real-projects.md, which it writes: long histories of others, planned and applied.

Each project is installed from PyPI. Its whole history is judged, each migration as a deployment of its own; then it is
applied to an empty database by the module and, beside it, by ``manage.py migrate``, and the two schemas are compared.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import PLANNED, Request, read_answer
from ansible_collections.slipway.django.tests.integration.django_site import (
    PASSWORD,
    Cluster,
    running_cluster,
    server_programs,
)
from ansible_collections.slipway.django.tests.integration.migrations_world import migrate
from ansible_collections.slipway.django.tests.integration.real_project import PROJECTS, Project, RealSite, environment
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.timeout(3600)
PAGE = CHECKOUT / "docs" / "proof" / "real-projects.md"
TEMPLATE = """# Real projects

Written by `make proof` (`tests/proof/test_real_projects.py`).

**{verdict}.**

Projects with long histories, installed from PyPI. Applied from zero by `django_migrate_safe` to an empty database,
their schema is compared with that of `manage.py migrate`: `pg_dump --schema-only` of both, byte for byte but for the
module's own journal. Where a migration's SQL is not known beforehand, its default asks the database for what the
migrations ahead of it make; it counts as unknown.

| project | versions | migrations | operations | SQL not known beforehand | applied in s | schema |
| --- | --- | ---: | ---: | --- | ---: | --- |
{rows}

## Verdicts

Each migration judged as a deployment of its own, on tables that are there and of unknown size, so that all work on them
counts as long. A migration counts under each rule that objects to it.

{verdicts}

{circumstances}
"""


@dataclass
class Seen:
    """What was seen of one project."""

    project: str
    versions: str
    plan: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    same: bool = False
    # Until its end is seen.
    wrong: list[str] = field(default_factory=lambda: ["it was not done to its end"])

    @property
    def operations(self) -> int:
        return sum(len(entry["operations"]) for entry in self.plan)

    @property
    def unknown_sql(self) -> list[str]:
        """Migrations with an operation whose statements could not be known."""
        return [
            f"{entry['app']}.{entry['name']}"
            for entry in self.plan
            if any(operation["rule"] == "sql-not-known" for operation in entry["operations"])
        ]

    def row(self) -> str:
        judged = ", ".join(f"`{key}`" for key in self.unknown_sql) or "none"
        cells = [self.project, self.versions, len(self.plan), self.operations, judged, f"{self.seconds:.0f}"]
        return f"| {' | '.join(map(str, cells))} | {'the same' if self.same else 'NOT the same'} |"

    def verdicts(self) -> str:
        phases = Counter(entry["phase"] for entry in self.plan)
        rules = Counter(rule for entry in self.plan for rule in objecting(entry))
        said = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
        lines = [
            f"### {self.project}",
            "",
            f"{said}.",
            "",
            "| rule | migrations | for example |",
            "| --- | ---: | --- |",
        ]
        for rule, count in rules.most_common():
            example = next(f"{e['app']}.{e['name']}" for e in self.plan if rule in objecting(e))
            lines.append(f"| [{rule}](../migrations.md#{rule}) | {count} | `{example}` |")
        return "\n".join(lines)


def objecting(entry: dict[str, Any]) -> set[str]:
    return {
        finding["rule"]
        for operation in entry["operations"]
        for finding in operation["findings"]
        if finding["phase"] != "expand" or finding["lock"] in {"downtime", "fails"}
    }


@dataclass
class Campaign:
    """All of it."""

    kept: proof.Kept
    seen: list[Seen] = field(default_factory=list)

    def page(self) -> str:
        for seen in self.seen:
            self.kept.put(seen.project, vars(seen))
        found = {project.name: self.kept.get(project.name) for project in PROJECTS}
        self.seen = [Seen(**values) if values else Seen(name, "") for name, values in found.items()]
        wrong = [f"{seen.project}: {what}" for seen in self.seen for what in seen.wrong]
        total = sum(len(seen.plan) for seen in self.seen)
        return TEMPLATE.format(
            verdict=f"All {total} migrations judged and applied, and each schema is the same"
            if not wrong
            else f"NOT as promised: {'; '.join(wrong)}",
            rows="\n".join(seen.row() for seen in self.seen),
            verdicts="\n\n".join(seen.verdicts() for seen in self.seen),
            circumstances=proof.machine_in_words(),
        )


@pytest.fixture(scope="module", name="campaign")
def _campaign() -> Iterator[Campaign]:
    campaign = Campaign(proof.Kept(CHECKOUT, "real-projects"))
    yield campaign
    if campaign.seen:
        PAGE.write_text(campaign.page(), encoding="utf-8")


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_long_history_is_judged_applied_and_leads_to_the_same_schema(
    project: Project, campaign: Campaign, server: Cluster, tmp_path: Path
) -> None:
    venv = environment(project, CHECKOUT / ".cache" / "proof")
    by_module = RealSite.make(tmp_path, project, venv, server)
    by_django = RealSite.make(tmp_path, project, venv, server)
    seen = Seen(project.name, f"{version_of(venv, project)}, {by_module.versions()}")
    campaign.seen.append(seen)

    seen.plan = judged_without_database(by_module)
    planned = migrate(by_module, "planned", timeout=1800)  # type: ignore[arg-type]
    began = time.monotonic()
    applied = migrate(by_module, "applied", timeout=1800, statement_timeout_ms=0)  # type: ignore[arg-type]
    seen.seconds = time.monotonic() - began
    by_django.manage("migrate", "--no-input")

    one, other = schema(server, by_module.database), schema(server, by_django.database)
    seen.same = one == other
    seen.wrong = [
        *(["not all was applied"] if len(applied["applied"]) != planned["pending"] else []),
        *(["the schemas differ"] if not seen.same else []),
    ]
    assert seen.wrong == []
    assert by_module.manage("migrate", "--check", check=False).returncode == 0
    assert not migrate(by_module, "applied", timeout=600)["changed"]  # type: ignore[arg-type]


def version_of(venv: Path, project: Project) -> str:
    program = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    python = str(venv / "bin" / "python")
    return subprocess.check_output([python, "-c", program, project.requirements[0]], text=True).strip()


def judged_without_database(site: RealSite) -> list[dict[str, Any]]:
    """The plan of all migrations, those of packages included, each as a deployment of its own."""
    request = Request(
        state=PLANNED, check_mode=True, project=str(site.release / "src"), settings="site_settings",
        database="default", run_id="proof", release="", lock_timeout_ms=0, lock_budget_s=0, statement_timeout_ms=0,
        concurrent_timeout_s=0, on_busy="fail", busy_timeout_s=0, connect=False, installed=True, server=15,
    )  # fmt: skip
    archive = site.release / "runner.zip"
    archive.write_bytes(bundle())
    done = subprocess.run(
        [str(site.venv / "bin" / "python"), str(archive)],
        input=request.to_json(),
        env={**os.environ, **site.variables, "DATABASE_HOST": "nowhere.invalid"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan: list[dict[str, Any]] = read_answer(done.stdout)["plan"]
    return plan


def schema(server: Cluster, database: str) -> str:
    command = [str(server_programs() / "pg_dump"), "--schema-only", "--no-owner", "--no-privileges"]
    command += ["--exclude-table=django_migrate_safe_journal*", "-h", str(server.directory), "-U", "postgres", database]
    text = subprocess.check_output(command, env={**os.environ, "PGPASSWORD": PASSWORD}, text=True)
    # Newer programs guard a dump by a word of their own for each.
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))

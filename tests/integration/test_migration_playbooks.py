# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What roles and playbooks make of migrations. The hosts of the inventory are this machine under three names, the
database is a real PostgreSQL, and the release is a small Django site.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.django_site import Cluster, DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import NOTE, RELEASE, migrate

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the site's files belong to the user root here"),
    pytest.mark.timeout(600),
]
TOP = Path(__file__).resolve().parents[2]
NEWER = "abcdefabcdef-01234567"
COMMIT = "3f2a9c1d2e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b"
NO_STATE = 'migrations.RemoveField("order", "amount"),'


class Project:
    """A user's project: an inventory, and the collection's playbooks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable,
                    # All is root's.
                    "ansible_become": False,
                    "slipway_site": "shop",
                    "slipway_domain": "shop.example.com",
                    "slipway_repository": "/nowhere.git",
                    "slipway_version": "v1",
                    "slipway_user": "root",
                    "slipway_root": str(path / "srv"),
                },
                "children": {
                    "app": {"hosts": {"app1": {}}},
                    "balancer": {"hosts": {"lb1": {}}},
                    "database": {"hosts": {"db1": {}}},
                },
            }
        }
        (path / "hosts.json").write_text(json.dumps(inventory))
        (path / "srv" / "control").mkdir(parents=True)

    def deployed(self, version: str, release: str, planned: list[dict[str, str]]) -> None:
        """A deployment has brought a release, with these migrations in its plan."""
        values: dict[str, Any] = {"root": str(self.path / "srv"), "site": "shop", "scope": "control"}
        opened = run_module(
            "deployment",
            {**values, "state": "opened", "version": version, "commit": COMMIT, "release": release, "hosts": ["app1"]},
        ).succeeded()["deployment"]
        known = {**values, "id": opened["id"], "token": opened["token"]}
        facts = {"planned_migrations": planned}
        run_module(
            "deployment", {**known, "state": "checkpoint", "step": "expand", "limit": 60, "facts": facts}
        ).succeeded()
        run_module("deployment", {**known, "state": "closed", "verdict": "whole"}).succeeded()

    def records(self) -> list[dict[str, Any]]:
        found = (self.path / "srv" / "control" / "deployments").glob("*/record.json")
        return sorted((json.loads(path.read_text()) for path in found), key=lambda record: int(record["token"]))

    def play(self, role: str, entry: str, **options: Any) -> tuple[int, str]:
        """Run an entry point of a role on the first app host, as the playbooks do."""
        include = {"name": f"slipway.django.{role}", "tasks_from": entry}
        tasks = [{"ansible.builtin.include_role": include, "vars": options}]
        site = str(TOP / "playbooks" / "vars" / "site.yml")
        play = {"hosts": "app1", "gather_facts": False, "vars_files": [site], "tasks": tasks}
        (self.path / "play.json").write_text(json.dumps([play]))
        return self.run(self.path / "play.json")

    def run(self, playbook: Path, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), playbook, "-i", self.path / "hosts.json", *arguments],
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
            cwd=self.path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def live(project: Project, cluster: Cluster, base: str) -> DjangoSite:
    """The release that serves, in the place where the playbooks look for it."""
    return DjangoSite(project.path / "srv" / "releases" / RELEASE, cluster, cluster.create(template=base))


def may_create(cluster: Cluster, word: str) -> None:
    with cluster.connect() as connection:
        connection.execute(f"ALTER ROLE shop {word}".encode())


def test_a_rehearsal_in_a_deployment(project: Project, live: DjangoSite, cluster: Cluster) -> None:
    live.migration("0002_note", NOTE)
    live.migration("0003_index", 'migrations.RunSQL("ALTER TABLE orders_order ADD COLUMN n int NOT NULL DEFAULT 1"),')
    live.migration("0004_drop", 'migrations.RunSQL("ALTER TABLE orders_order ALTER COLUMN n DROP DEFAULT"),')
    options = {"migrate_release": RELEASE, "migrate_run_id": "r1"}

    may_create(cluster, "NOCREATEDB")
    code, text = project.play("migrate", "rehearse", **options)
    assert code == 0, text
    assert "not rehearsed: a rehearsal needs a database of its own, and the role shop may not create one" in text
    code, text = project.play("migrate", "rehearse", **options, migrate_rehearsal="required")
    assert code != 0
    assert 'ALTER ROLE \\"shop\\" CREATEDB' in text

    may_create(cluster, "CREATEDB")
    code, text = project.play("migrate", "rehearse", **options)
    assert code != 0, text
    assert "orders.0004_drop: not known to leave the old code working, the rehearsal says why" in text
    assert "old code: orders_order.n is required and has lost its default" in text


def test_a_rollback_asks_the_live_schema(project: Project, live: DjangoSite) -> None:
    """What the records allow is refused where the release can't run, and the reverse."""
    (live.release / "src" / "orders" / "models.py").write_text(
        "from django.db import models\n\nclass Order(models.Model):\n"
        "    number = models.CharField(max_length=20)\n    state = models.CharField(max_length=10)\n"
        "    amount = models.IntegerField(null=True)\n"
    )
    project.deployed("v1", RELEASE, [])
    planned = {"app": "orders", "name": "0002_other", "phase": "contract"}
    project.deployed("v2", NEWER, [planned])

    code, text = project.play("rollback", "decide")
    assert code == 0, text

    live.execute("ALTER TABLE orders_order DROP COLUMN amount")
    code, text = project.play("rollback", "decide")
    assert code != 0
    assert "does not fit the schema" in text
    assert "The live schema was asked: the release can't run on this schema: orders_order has no column amount" in text
    assert "rollback_accept_schema=orders.0002_other" in text

    # Of a host without the release there is no answer: the records decide.
    (live.release / "env").unlink()
    code, text = project.play("rollback", "decide")
    assert code != 0
    assert "may not fit the schema" in text


@contextmanager
def process_of(release: Path) -> Iterator[None]:
    release.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(["sleep", "300"], cwd=release)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_the_schema_is_contracted_when_no_old_process_is_left(project: Project, live: DjangoSite) -> None:
    live.migration("0002_note", NOTE)
    live.migration("0003_amount", NO_STATE)
    migrate(live, "applied", phase="expand")
    assert live.recorded() == ["0001_initial", "0002_note"]
    project.deployed("v1", RELEASE, [])
    playbook = TOP / "playbooks" / "contract.yml"

    with process_of(project.path / "srv" / "releases" / "999999999999-01234567"):
        code, text = project.run(playbook)
    assert code != 0
    assert "app1: a process runs from 999999999999-01234567. The schema was not contracted" in text
    assert live.recorded() == ["0001_initial", "0002_note"]

    code, text = project.run(playbook)

    assert code == 0, text
    assert live.recorded() == ["0001_initial", "0002_note", "0003_amount"]
    assert "amount" not in live.columns()
    record = project.records()[-1]
    assert (record["kind"], record["verdict"], record["release"]) == ("contract", "whole", RELEASE)
    found = [(each["name"], each["phase"]) for each in record["facts"]["planned_migrations"]]
    assert found == [("0003_amount", "contract")]
    code, text = project.run(playbook)
    assert code == 0, text
    assert "Nothing was left to contract" in text


def test_what_a_deployment_has_applied_is_taken_back(project: Project, live: DjangoSite) -> None:
    live.migration("0002_note", NOTE)
    migrate(live, "applied", run_id="r1")
    live.execute("UPDATE orders_order SET note = 'x'")
    values = {"root": str(project.path / "srv"), "site": "shop", "scope": "control"}
    opened = run_module(
        "deployment",
        {**values, "state": "opened", "version": "v1", "commit": COMMIT, "release": RELEASE, "hosts": ["app1"]},
    ).succeeded()["deployment"]
    options = {
        "migrate_release": RELEASE,
        "migrate_run_id": "r1",
        "deployment_id": opened["id"],
        "deployment_token": opened["token"],
    }

    code, text = project.play("migrate", "reverse", **{**options, "deployment_token": 0})
    assert code != 0
    code, text = project.play("migrate", "reverse", **options)
    assert code != 0
    assert "going back would take away data" in text
    assert "note" in live.columns()
    code, text = project.play("migrate", "reverse", **options, migrate_accept_data_loss=True)

    assert code == 0, text
    assert "note" not in live.columns()


@pytest.mark.long
def test_what_was_done_by_hand_and_what_runs_once(project: Project, live: DjangoSite, cluster: Cluster) -> None:
    may_create(cluster, "CREATEDB")
    live.migration("0002_note", NOTE)
    values = {"root": str(project.path / "srv"), "site": "shop", "scope": "control"}
    opened = run_module(
        "deployment",
        {**values, "state": "opened", "version": "v1", "commit": COMMIT, "release": RELEASE, "hosts": ["app1"]},
    ).succeeded()["deployment"]
    options = {
        "migrate_release": RELEASE,
        "migrate_run_id": "r1",
        "deployment_id": opened["id"],
        "deployment_token": opened["token"],
        "migrate_by_hand": {"orders.0002_note": "Anna"},
        "migrate_once": [{"name": "first superuser", "command": ["createsuperuser", "--no-input"]}],
        "migrate_once_environment": {
            "first superuser": {
                "DJANGO_SUPERUSER_USERNAME": "admin",
                "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
                "DJANGO_SUPERUSER_PASSWORD": "mark-11de superuser",
            }
        },
    }

    for entry in ("record", "once"):
        code, _text = project.play("migrate", entry, **{**options, "deployment_token": 0})
        assert code != 0
    code, text = project.play("migrate", "record", **options)
    assert code != 0
    assert "missing: column orders_order.note text" in text
    live.execute("ALTER TABLE orders_order ADD COLUMN note text")
    code, text = project.play("migrate", "record", **options)
    assert code == 0, text
    assert live.recorded() == ["0001_initial", "0002_note"]

    for word in ("changed", "ok"):
        code, text = project.play("migrate", "once", **options)
        assert code == 0, text
        assert f"{word}: [app1] => (item=first superuser)" in text
        assert "mark-11de" not in text
    assert live.query("SELECT username FROM auth_user") == [("admin",)]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks backup and restore as a user runs them. The hosts of the inventory are this machine under three names,
the database is a real PostgreSQL, and the site is a program that says which database it reads.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the site's files belong to the user root here"),
    pytest.mark.timeout(600),
]
TOP = Path(__file__).resolve().parents[2]
RELEASE = "3f2a9c1d2e4f-01020304"
COMMIT = "3f2a9c1d2e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b"


class Site:
    """The site behind its balancer: one address, which answers with the release, or is ill."""

    def __init__(self) -> None:
        site = self
        self.well = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if site.well else 503)
                self.send_header("X-Release", RELEASE)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/health/ready"


class Project:
    """A user's project: an inventory, and the collection's playbooks."""

    def __init__(self, path: Path, cluster: Cluster, site: Site) -> None:
        self.path, self.cluster, self.site = path, cluster, site
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable,
                    # All is root's, and the environment says where the server is.
                    "ansible_become": False,
                    "slipway_site": "shop",
                    "slipway_domain": "shop.example.com",
                    "slipway_repository": "/nowhere.git",
                    "slipway_version": "v1",
                    "slipway_user": "root",
                    "slipway_root": str(path / "srv"),
                    "slipway_site_url": site.url,
                    "backup_directory": str(path / "backups"),
                    "backup_fingerprint": "content",
                    "backup_restore_verify": "content",
                    "verify_deadline": 5,
                    "verify_site_successes": 2,
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

    def live_release(self) -> None:
        """A deployment has brought the release that serves."""
        values: dict[str, Any] = {"root": str(self.path / "srv"), "site": "shop", "scope": "control"}
        opened = run_module(
            "deployment",
            {**values, "state": "opened", "version": "v1", "commit": COMMIT, "release": RELEASE, "hosts": ["app1"]},
        ).succeeded()["deployment"]
        run_module(
            "deployment",
            {**values, "state": "closed", "id": opened["id"], "token": opened["token"], "verdict": "whole"},
        ).succeeded()

    def run(self, playbook: str, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"), TOP / "playbooks" / playbook,
                "-i", self.path / "hosts.json", *arguments,
            ],
            env={
                **self.cluster.environment,
                "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
                "ANSIBLE_HOME": str(self.path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
            },
            cwd=self.path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        # One line, whatever the callback has folded.
        return done.returncode, " ".join((done.stdout + done.stderr).split()).replace('\\"', '"')

    @property
    def record(self) -> dict[str, Any]:
        """What the newest run has left in its record."""
        newest = sorted((self.path / "srv" / "control" / "deployments").iterdir())[-1]
        found: dict[str, Any] = json.loads((newest / "record.json").read_text())
        return found


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Iterator[Project]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        with running() as cluster:
            cluster.fresh()
            yield Project(tmp_path, cluster, site)
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join(10)


def test_backed_up_restored_and_reverted(project: Project) -> None:
    cluster = project.cluster
    # A site can be backed up before its first deployment, and there is nothing yet that a restore could be gated by.
    status, output = project.run("backup.yml", "-e", "label=before-the-sale")
    assert status == 0, output
    assert (project.record["kind"], project.record["verdict"]) == ("backup", "whole")
    status, output = project.run("restore.yml", "-e", "backup=before-the-sale")
    assert status != 0
    assert "No deployment of this site has ended whole, so nothing could be gated after the restore." in output
    project.live_release()
    good = cluster.fingerprint()
    cluster.sql("DELETE FROM orders WHERE id > 100; INSERT INTO orders (note) VALUES ('after')")
    spoilt = cluster.fingerprint()

    # Without the confirmation it is refused, with the plan and what to type.
    runs = len(list((project.path / "srv" / "control" / "deployments").iterdir()))
    status, output = project.run("restore.yml", "-e", "backup=before-the-sale", "-e", "confirm=yes")
    assert status != 0
    assert "rows: public.orders 101 now, 20000 in what comes (+19899)" in output
    typed = re.search(r"""-e 'confirm="(restore shop from \S+)"'""", output)
    assert typed is not None, output
    assert len(list((project.path / "srv" / "control" / "deployments").iterdir())) == runs
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}

    # Check mode says all of it and changes nothing.
    status, output = project.run("restore.yml", "-e", "backup=before-the-sale", "--check")
    assert status == 0, output
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}
    assert cluster.fingerprint() == spoilt

    status, output = project.run("restore.yml", "-e", "backup=before-the-sale", "-e", f'confirm="{typed[1]}"')
    assert status == 0, output
    assert cluster.fingerprint() == good
    record = project.record
    assert (record["kind"], record["verdict"], record["release"]) == ("restore", "whole", RELEASE)
    kept = record["facts"]["database"]["kept"]
    assert kept in cluster.databases()
    assert f"""With -e revert=true -e 'confirm="revert shop"' {kept} is shop again.""" in output

    # Once more changes nothing: what was written since must not be taken back by a repeated command.
    cluster.sql("INSERT INTO orders (note) VALUES ('since the restore')")
    status, output = project.run("restore.yml", "-e", "backup=before-the-sale", "-e", f'confirm="{typed[1]}"')
    assert status == 0, output
    assert cluster.databases() == {"postgres", "template0", "template1", "shop", kept}
    assert cluster.sql("SELECT count(*) FROM orders WHERE note = 'since the restore'") == "1"

    status, output = project.run("restore.yml", "-e", "revert=true", "-e", 'confirm="revert shop"')
    assert status == 0, output
    assert cluster.fingerprint() == spoilt

    # A site that is ill afterwards: the run fails, and says which database is live and how it goes back.
    project.site.well = False
    again = ["-e", "backup=before-the-sale", "-e", f'confirm="{typed[1]}"']
    status, output = project.run("restore.yml", *again)
    assert status != 0
    assert cluster.fingerprint() == good
    assert """-e 'confirm="revert shop"' shop__old_""" in output
    assert "Nothing live was changed" not in output
    assert project.record["verdict"] == "failed"


def test_what_fails_before_the_swap_leaves_the_live_one(project: Project) -> None:
    cluster = project.cluster
    project.live_release()
    assert project.run("backup.yml", "-e", "label=a")[0] == 0
    before = cluster.fingerprint()
    status, output = project.run("restore.yml", "-e", "backup=a")
    typed = re.search(r"""-e 'confirm="(restore shop from \S+)"'""", output)
    assert typed is not None, output
    check = [{"sql": "SELECT count(*) FROM orders", "expected": "1"}]
    values = json.dumps({"backup": "a", "confirm": typed[1], "backup_restore_checks": check})
    status, output = project.run("restore.yml", "-e", values)
    assert status != 0
    assert "gave '20000' and not '1'" in output
    assert "Nothing live was changed: the old release serves as before." in output
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}
    assert cluster.fingerprint() == before
    assert project.record["verdict"] == "failed"
    # It is no attempt at a deployment: the next one starts from the release that serves.
    assert project.record["attempt"] == 1


def test_a_drill_leaves_nothing_behind(project: Project) -> None:
    assert project.run("backup.yml", "-e", "label=a")[0] == 0
    play = project.path / "drill.yml"
    play.write_text(
        """
- hosts: db1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: slipway.django.backup, tasks_from: drill, public: true}
      vars: {backup_site: shop, backup_database: shop}
    - ansible.builtin.debug: {msg: "{{ backup_drilled.compared }}"}
"""
    )
    status, output = project.run(str(play))
    assert status == 0, output
    assert "rows and their contents of 1 tables are those that were backed up" in output
    assert project.cluster.databases() == {"postgres", "template0", "template1", "shop"}

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration as a deployment keeps it, and as playbooks/configuration_restore.yml brings it back. The hosts of
the inventory are this machine under several names, each with files of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the backups are the user root's"),
    pytest.mark.timeout(600),
]
TOP = Path(__file__).resolve().parents[2]
HOSTS = ("app1", "app2", "lb1", "db1")
LABEL = "20261121T160528Z-3f2a9c1"
SECRET = "mark-of-a-secret-77"


class Project:
    """A user's project, and the hosts' files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for host in HOSTS:
            self.file(host).parent.mkdir(parents=True)
            self.file(host).write_text(f"PASSWORD={SECRET} of {host}\n")
        own = str(path / "{{ inventory_hostname }}")
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_python_interpreter": sys.executable,
                    "ansible_become": False,
                    "slipway_site": "shop",
                    "slipway_domain": "shop.example.com",
                    "slipway_repository": "/nowhere.git",
                    "slipway_version": "v1",
                    "slipway_user": "root",
                    "slipway_root": str(path / "srv"),
                    "backup_configuration_directory": f"{own}/backups",
                    "backup_configuration_groups": {
                        name: [{"path": f"{own}/etc"}] for name in ("app", "balancer", "database")
                    },
                    "backup_configuration_paths": [{"path": f"{own}/more", "optional": True}],
                },
                "children": {
                    "app": {"hosts": {"app1": {}, "app2": {}}},
                    "balancer": {"hosts": {"lb1": {}}},
                    "database": {"hosts": {"db1": {}}},
                },
            }
        }
        (path / "hosts.json").write_text(json.dumps(inventory))
        (path / "srv" / "control").mkdir(parents=True)

    def file(self, host: str) -> Path:
        return self.path / host / "etc" / "shop.env"

    def backups(self, host: str) -> list[str]:
        return sorted(os.listdir(self.path / host / "backups"))

    def run(self, playbook: Path, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), playbook, "-i", self.path / "hosts.json", *arguments],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
                "ANSIBLE_HOME": str(self.path / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_INVENTORY_UNPARSED_FAILED": "1",
            },
            cwd=self.path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        # One line, whatever the callback has folded.
        return done.returncode, " ".join((done.stdout + done.stderr).split()).replace('\\"', '"')

    def deploy_as_far_as_the_record(self, *arguments: str) -> tuple[int, str]:
        """The plays of the deployment that keep the configuration, and what the next one would write down."""
        plays = {play["name"]: play for play in yaml.safe_load((TOP / "playbooks" / "deploy.yml").read_text())}
        expand = plays["Expand the schema"]
        facts = expand["tasks"][0]["block"][0]["vars"]["deployment_facts"]
        tell: dict[str, Any] = {
            "name": "Tell",
            "hosts": "app[0]",
            "gather_facts": False,
            "vars": expand["vars"],
            "vars_files": expand["vars_files"],
            "tasks": [
                {
                    "name": "Write it down",
                    "ansible.builtin.copy": {"dest": str(self.path / "told"), "content": "{{ told | to_json }}"},
                    "vars": {"told": facts["restore_point"]},
                }
            ],
        }
        opened = {"id": LABEL, "token": 1, "backup_label": LABEL}
        begin = {
            "name": "Begin",
            "hosts": "localhost:database",
            "gather_facts": False,
            "tasks": [
                {"name": "Open", "ansible.builtin.set_fact": {"deployment_current": opened}},
                {
                    "name": "The other backup",
                    "ansible.builtin.set_fact": {"backup_taken": {"backup": {"id": "of the database"}}},
                },
            ],
        }
        # What they name by a relative path stands beside them.
        shutil.copytree(TOP / "playbooks", self.path / "playbooks", dirs_exist_ok=True)
        playbook = self.path / "playbooks" / "test.yml"
        playbook.write_text(yaml.safe_dump([begin, plays["Back up the configuration"], tell]))
        return self.run(playbook, *arguments)


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.long
def test_the_configuration_is_kept_on_all_hosts_and_comes_back_where_it_is_wanted(project: Project) -> None:
    status, output = project.deploy_as_far_as_the_record()
    assert status == 0, output
    assert SECRET not in output
    ids = {host: project.backups(host) for host in HOSTS}
    assert {len(names) for names in ids.values()} == {1}
    assert json.loads((project.path / "told").read_text()) == {
        "label": LABEL,
        "database": "of the database",
        "taken_by": "pg_backup",
        "configuration": {host: names[0] for host, names in ids.items()},
    }

    for host in HOSTS:
        project.file(host).write_text("broken")
    # A second attempt keeps what the first one has.
    status, output = project.deploy_as_far_as_the_record()
    assert status == 0, output
    assert {host: project.backups(host) for host in HOSTS} == ids

    restore = TOP / "playbooks" / "configuration_restore.yml"
    status, output = project.run(restore, "-e", f"backup={LABEL}", "-e", "host=app")
    assert status == 2, output
    said = f"restore configuration of shop from {LABEL} on app"
    assert f"app1: backup {ids['app1'][0]} ({LABEL}): 1 of 2 paths differ from the backup" in output
    assert f"{project.file('app1')}: content" in output
    assert f"Nothing was changed. To go on, run the same command with -e 'confirm=\"{said}\"'" in output
    assert project.file("app1").read_text() == "broken"

    status, output = project.run(restore, "-e", f"backup={LABEL}", "-e", "host=app", "-e", f'confirm="{said}"')
    assert status == 0, output
    assert SECRET not in output
    assert {host: project.file(host).read_text() for host in HOSTS} == {
        "app1": f"PASSWORD={SECRET} of app1\n",
        "app2": f"PASSWORD={SECRET} of app2\n",
        "lb1": "broken",
        "db1": "broken",
    }
    saved = project.backups("app1")[1]
    assert (
        f"app1: 1 paths are as in backup {ids['app1'][0]} ({LABEL}) again; what was there before is backup {saved}"
        in (output)
    )
    assert "No server was reloaded." in output
    assert "configuration 2" in output  # The verdict names what it was.


def test_what_is_not_there_stops_everybody(project: Project) -> None:
    restore = TOP / "playbooks" / "configuration_restore.yml"

    status, output = project.run(restore)
    assert status == 2, output
    assert "Which backup, and where? -e backup=<label, id or latest>" in output

    status, output = project.run(restore, "-e", "backup=latest", "-e", "host=nobody")
    assert status == 2, output
    assert "('nobody' has 0). Nothing was changed." in output

    (project.path / "lb1" / "etc" / "shop.env").unlink()
    (project.path / "lb1" / "etc").rmdir()
    status, output = project.deploy_as_far_as_the_record()
    assert f"{project.path}/lb1/etc is declared and not there" in output
    assert not (project.path / "lb1" / "backups").exists()

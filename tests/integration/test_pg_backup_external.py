# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another program's backup stands in, or does not: as a task, and in the playbooks. The program is one of ours that
prints what pgBackRest prints.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.test_configuration_playbook import TOP, Project

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the site's files belong to the user root here"),
    pytest.mark.timeout(600),
]
STATUS = {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"}


class Program:
    """Prints what it is told to, and counts how often it was asked."""

    def __init__(self, path: Path) -> None:
        self.answer, self.asked = path / "answer", path / "asked"
        self.script = path / "pgbackrest.py"
        self.script.write_text(
            "import sys\n"
            f"open({str(self.asked)!r}, 'a').write('x')\n"
            f"sys.stdout.write(open({str(self.answer)!r}).read())\n"
        )
        self.backups(1.0)

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(self.script)]

    def backups(self, *hours_ago: float) -> None:
        rows = [
            {
                "label": f"F{hours:g}",
                "error": False,
                "info": {"size": 386},
                "timestamp": {"start": 0, "stop": int(time.time() - hours * 3600)},
            }
            for hours in hours_ago
        ]
        self.answer.write_text(json.dumps([{"name": "shop", "backup": rows, "status": STATUS}]))

    def run(self, *, check: bool = False) -> ModuleRun:
        return run_module(
            "pg_backup_external", {"kind": "pgbackrest", "name": "shop", "command": self.command}, check=check
        )


@pytest.fixture(name="program")
def _program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_a_young_whole_backup_stands_in_and_an_old_one_does_not(program: Program) -> None:
    predicted = program.run(check=True).succeeded()
    found = program.run().succeeded()

    assert not found["changed"]
    assert predicted.keys() == found.keys()
    assert (found["backup"]["id"], found["backup"]["by"]) == ("F1", "pgbackrest")
    assert found["backup"]["way_back"] == "pgbackrest --stanza=shop --set=F1 restore"
    assert found["msg"] == "pgbackrest backup F1 stands in: ok, it ended 1.0 h before now"
    assert len(program.asked.read_text()) == 2

    program.backups(25)
    refused = program.run()
    assert refused.failed
    assert refused.msg.startswith("The external backup does not stand in: the newest whole one, F25, ended 25.0 h")

    program.answer.write_text("ERROR: [055]: unable to open missing file")
    silent = program.run()
    assert silent.failed
    assert "printed what is no JSON" in silent.msg


def test_the_playbooks_go_on_with_it_and_can_not_restore_it(program: Program, tmp_path: Path) -> None:
    project = Project(tmp_path)
    external = {
        "backup_external_kind": "pgbackrest",
        "backup_external_name": "shop",
        "backup_external_command": program.command,
    }
    options = ("-e", json.dumps(external))

    status, output = project.run(TOP / "playbooks" / "backup.yml", *options)
    assert status == 0, output
    assert "pgbackrest backup F1 stands in: ok, it ended 1.0 h before now." in output

    program.backups(25)
    status, output = project.run(TOP / "playbooks" / "backup.yml", *options)
    assert status == 2, output
    assert "the newest whole one, F25, ended 25.0 h before now, and 24.0 h are allowed (max_age). Nothing was" in output

    play = tmp_path / "plan.yml"
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "db1",
                    "gather_facts": False,
                    "tasks": [
                        {
                            "ansible.builtin.include_role": {
                                "name": "slipway.django.backup",
                                "tasks_from": "restore_plan",
                            },
                            "vars": {"backup_site": "shop", "backup_database": "shop", **external},
                        }
                    ],
                }
            ]
        )
    )
    status, output = project.run(play)
    assert status == 2, output
    assert (
        "shop is backed up by pgbackrest (backup_external_kind), which this collection can't restore from. "
        "Nothing was changed. On db1: stop the site and the server, pgbackrest --stanza=shop --set=<backup> --delta"
    ) in output

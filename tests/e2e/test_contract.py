# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A column comes with a deployment and another one goes afterwards, once nothing runs the old code any more."""

from __future__ import annotations

import re

import pytest
from slipway_lab.fleet import ROOT
from slipway_lab.world import World

pytestmark = pytest.mark.long

COMES, GOES = "shop.0004_order_source", "shop.0005_drop_order_channel"
# A process of the old release that no unit knows.
_OLD = ("systemd-run", "--quiet", "--unit=old-code", "--uid=shop", "--gid=shop")


def columns(world: World) -> set[str]:
    return set(world.fleet.psql("SELECT attname FROM pg_attribute WHERE attrelid = 'shop_order'::regclass"))


def test_expand_with_the_deployment_and_contract_when_the_old_code_is_gone(world: World) -> None:
    old = world.at_v1()
    fleet, project = world.fleet, world.project
    before = (fleet.schema(), fleet.migrations())

    tried = project.run("migration_dry_run.yml", extra={"slipway_version": "v3"})
    assert tried.rc == 0, tried.text[-3000:]
    # Migration, time, rows, status: a line for each that would run, and what would be left.
    row = r"shop\.{} +\d+ ms .*\b(ready|acknowledged)\b"
    for name in ("0002_order_channel", "0003_order_channel_index", "0004_order_source"):
        assert re.search(row.format(name), tried.text), tried.text[-3000:]
    assert f"{GOES}: later" in tried.text
    assert (fleet.schema(), fleet.migrations()) == before
    assert fleet.script("app1", "ls -d /var/tmp/slipway* 2>/dev/null; true") == ""

    deployed = project.run(extra={"slipway_version": "v3"})
    assert deployed.rc == 0, deployed.text[-3000:]
    assert "rehearsed on a copy of the schema" in deployed.text
    assert columns(world) >= {"source", "channel"}
    assert fleet.migrations()[-1] == COMES

    # Its working directory is what tells of it, as with a shell that somebody has left open.
    release = f"{ROOT}/releases/{old}"
    here = f"--working-directory={release}/src"
    fleet.run("app2", *_OLD, here, f"{release}/venv/bin/python", "-c", "import time; time.sleep(600)")
    refused = project.run("contract.yml")
    assert refused.rc == 2
    assert (
        f"app2: a process runs from {old}. The schema was not contracted: old code must be gone first." in refused.text
    )
    assert f"{fleet.release_of('v3')} serves, and the schema was not contracted further." in refused.text
    assert "channel" in columns(world)

    fleet.run("app2", "systemctl", "stop", "old-code")
    done = project.run("contract.yml")
    assert done.rc == 0, done.text[-3000:]
    assert fleet.migrations()[-1] == GOES
    assert "channel" not in columns(world)
    assert all(found == [fleet.release_of("v3")] for found in fleet.releases().values())
    again = project.run("contract.yml")
    assert again.rc == 0
    assert "Nothing was left to contract" in again.text

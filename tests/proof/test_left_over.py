# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment died with its release in traffic on one host, and the next one is to bring another version."""

from __future__ import annotations

import pytest
from slipway_lab.fleet import PORTS, ROOT
from slipway_lab.world import World


@pytest.mark.parametrize(("version", "status"), [("v1", 0), ("broken-health", 2)])
def test_the_fleet_goes_back_to_where_that_one_began_before_it_goes_on(world: World, version: str, status: int) -> None:
    old = world.at_v1()
    with world.project.start(extra={"slipway_version": "v2"}) as first:
        first.wait_for_task("Remember that this host was touched", "app2")
        first.kill()
    mixed = world.fleet.releases()
    lease = world.fleet.lease()
    assert lease is not None
    assert mixed["app1"] == [world.fleet.release_of("v2")]
    assert mixed["app3"] == [old]

    run = world.project.run(extra={"slipway_version": version, "takeover": str(lease["id"])})

    assert run.rc == status, run.text[-3000:]
    assert world.fleet.releases() == {host: [old] for host in world.fleet.apps}
    records = world.fleet.records()
    assert [record["verdict"] for record in records[-2:]] == ["interrupted", "whole" if status == 0 else "rolled_back"]
    assert records[-1]["origin"]["release"] == old
    if status:
        assert "gate before traffic of app1" in run.text


def test_workers_that_a_failed_way_back_has_left_go_back_first(world: World) -> None:
    """On app2 the old release is not whole when its worker is to come back: it goes on with the refused release."""
    old = world.at_v1()
    manifest = f"{ROOT}/releases/{old}/release.json"
    with world.project.start(extra={"slipway_version": "broken-health"}) as first:
        first.wait_for_task("Remember that this host was touched", "app1")
        world.fleet.run("app2", "mv", manifest, f"{manifest}.aside")
        ended = first.wait()
    world.fleet.run("app2", "mv", f"{manifest}.aside", manifest)
    left = running_workers(world, "app2")

    run = world.project.run(extra={"slipway_version": "v2"})

    assert ended.rc == 2
    assert f"Release {old} is not whole on this host" in ended.text
    assert left == [world.fleet.release_of("broken-health")]
    assert run.rc == 0, run.text[-3000:]
    new = world.fleet.release_of("v2")
    assert world.fleet.releases() == {host: [new] for host in world.fleet.apps}
    assert {host: running_workers(world, host) for host in world.fleet.apps} == {
        host: [new] for host in world.fleet.apps
    }


def running_workers(world: World, host: str) -> list[str]:
    slots = world.fleet.slots(host)
    units = world.fleet.units(host)
    return sorted(slots[slot] for slot in PORTS if units[f"worker@{slot}"].active == "active")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategy maintenance (runbook S0): closed, migrated, replaced all at once, gated, opened; and its ways back."""

from __future__ import annotations

from slipway_lab.project import Run
from slipway_lab.world import World

BY_MAINTENANCE = {"deploy_strategy": "maintenance"}


def deploy(world: World, version: str, **extra: str) -> Run:
    return world.project.run(extra={"slipway_version": version, **BY_MAINTENANCE, **extra})


def test_it_closes_replaces_all_at_once_and_opens(world: World) -> None:
    world.at_v1()
    with world.project.start(extra={"slipway_version": "v2", **BY_MAINTENANCE}, echo=True) as running:
        running.wait_for_output(r"PLAY \[Stop what runs the old release\]")
        assert world.fleet.visit() == 503
        running.wait_for_output(r"PLAY \[Expand the schema\]")
        assert world.fleet.releases() == {host: [] for host in world.fleet.apps}
        # Nothing runs, and whoever watches the balancer is told that this is meant.
        answer = world.fleet.site_answer()
        assert answer is not None
        assert (answer.status, answer.release) == (200, "")
        run = running.wait()
    run.check()
    assert world.fleet.visit() == 200
    assert set(map(tuple, world.fleet.releases().values())) == {(world.fleet.release_of("v2"),)}
    facts = world.fleet.records()[-1]["facts"]
    assert facts["maintenance_on"]["lb1"] < facts["maintenance_off"]["lb1"]


def test_a_release_that_fails_goes_back_and_the_site_is_opened(world: World) -> None:
    old = world.at_v1()
    run = deploy(world, "broken-health")
    assert run.rc == 2
    assert "rolled_back" in run.text
    assert world.fleet.visit() == 200
    assert world.fleet.releases() == {host: [old] for host in world.fleet.apps}


def test_what_does_not_fit_the_schema_any_more_is_not_brought_back(world: World) -> None:
    world.at_v1()
    world.deploy("v2")
    old = world.fleet.release_of("v2")
    wrong = {"slipway_site_url": "http://127.0.0.1/static/no-health"}
    run = deploy(world, "v3", **wrong)
    assert run.rc == 2
    assert "The site stays closed to visitors, and" in run.text
    assert f"{old} was not brought back, because of the schema as it is now:" in run.text
    assert world.fleet.visit() == 503
    # With the other strategy the record still knows what was contracted.
    again = world.project.run(extra={"slipway_version": "v3", **wrong})
    assert again.rc == 2
    assert f"{old} was not brought back, because of the schema as it is now:" in again.text
    assert world.fleet.visit() == 503
    deploy(world, "v3").check()
    assert world.fleet.visit() == 200
    assert set(map(tuple, world.fleet.releases().values())) == {(world.fleet.release_of("v3"),)}


def test_a_dead_controller_leaves_it_closed_and_the_next_run_opens_it(world: World) -> None:
    world.at_v1()
    with world.project.start(extra={"slipway_version": "v2", **BY_MAINTENANCE}, echo=True) as running:
        running.wait_for_output(r"PLAY \[Roll out\]")
        running.kill()
    assert world.fleet.visit() == 503
    dead = world.fleet.records()[-1]["id"]
    again = world.project.run(extra={"slipway_version": "v2", "takeover": dead, **BY_MAINTENANCE}).check()
    assert "The site is closed to visitors since an earlier attempt" in again.text
    assert world.fleet.visit() == 200
    assert set(map(tuple, world.fleet.releases().values())) == {(world.fleet.release_of("v2"),)}


def test_what_a_person_has_closed_stays_closed(world: World) -> None:
    world.at_v1()
    world.project.run("maintenance.yml", extra={"maintenance": "on", "reason": "by hand"}).check()
    done = deploy(world, "v2").check()
    assert world.fleet.visit() == 503
    assert "The site is closed to visitors (by hand); maintenance.yml with -e maintenance=off opens it" in done.text
    world.project.run("maintenance.yml", extra={"maintenance": "off"}).check()
    assert world.fleet.visit() == 200

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""--check --diff shows what will happen and changes nothing; what Ansible passes over in silence is refused."""

from __future__ import annotations

import shutil

import pytest
from slipway_lab.world import World


def test_check_mode_shows_the_plan_and_changes_nothing(world: World) -> None:
    world.ready(keep_releases=False)
    world.deploy("v1")
    fleet = world.fleet
    before = (fleet.trees(), fleet.schema(), fleet.stable_balancer_state())
    run = world.project.run(extra={"slipway_version": "v2"}, check=True)
    after = (fleet.trees(), fleet.schema(), fleet.stable_balancer_state())
    assert run.rc == 0
    assert after == before
    for shown in (
        "commits    ",
        "shop.0002_order_channel: expand",
        'ALTER TABLE \\"shop_order\\" ADD COLUMN',
        "CREATE INDEX CONCURRENTLY",
        "batches    app1 | app2 | app3",
        "way back   to ",
        "Check mode: nothing was changed",
    ):
        assert shown in run.text, shown
    commits = [line for line in run.text.splitlines() if line.strip().startswith('"commits    ')]
    assert commits
    assert "unknown" not in commits[0]


def test_an_inventory_that_is_not_there_is_refused(world: World) -> None:
    world.prepare()
    # The project's own ansible.cfg refuses it; without it the playbook does.
    strict = world.project.run(arguments=("-i", "nosuch"))
    assert strict.rc != 0
    config = world.project.path / "ansible.cfg"
    kept = config.read_text(encoding="utf-8")
    hosts = world.project.path / "prod"
    hidden = world.project.path / "hidden"
    try:
        config.write_text("[defaults]\nlocalhost_warning = False\n", encoding="utf-8")
        shutil.move(hosts, hidden)
        bare = world.project.run()
    finally:
        shutil.move(hidden, hosts)
        config.write_text(kept, encoding="utf-8")
    assert bare.rc == 2
    assert "group app does not exist" in bare.text
    assert "(was it found at all?)" in bare.text
    assert "No host was connected to and nothing was changed" in bare.text


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"slipway_usr": "shop"}, "variable slipway_usr is not known: did you mean slipway_user?"),
        (
            {"balancer_drain_timeot": "5"},
            "variable balancer_drain_timeot is not known: did you mean balancer_drain_timeout?",
        ),
        ({"slipway_site": "My-Shop"}, "slipway_site: 'My-Shop' is not accepted"),
        ({"slipway_control_host": "app1"}, "the lease must lie outside of the rollout"),
    ],
)
def test_a_slip_is_refused_before_anything_is_touched(world: World, extra: dict[str, str], words: str) -> None:
    world.prepare()
    count = len(world.fleet.records())
    run = world.project.run(extra={"slipway_version": "v2", **extra} if "slipway_version" not in extra else extra)
    assert run.rc == 2
    assert words in run.text, run.text[-2000:]
    # Not one play after the refusal, and not one connection.
    assert "UNREACHABLE" not in run.text
    assert not [line for line in run.text.splitlines() if line.startswith("app1 ") and "ok=0" not in line]
    assert len(world.fleet.records()) == count


def test_a_version_that_is_not_there_ends_the_run_at_once(world: World) -> None:
    world.prepare()
    count = len(world.fleet.records())
    run = world.project.run(extra={"slipway_version": "nosuch"})
    assert run.rc == 2
    assert "nosuch" in run.text
    assert "PLAY [Preflight]" not in run.text
    assert len(world.fleet.records()) == count

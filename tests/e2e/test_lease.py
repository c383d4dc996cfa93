# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One deployment at a time, also against death, --limit, --tags and --start-at-task."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from slipway_lab.world import World

V2 = {"slipway_version": "v2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--limit", "app1"), "--limit app1: a deployment replaces the whole fleet or nothing"),
        (("--tags", "web"), "--tags web: a deployment has no part that is safe alone"),
        (("--skip-tags", "backup"), "--skip-tags backup: a deployment has no part that can be left out"),
        # The play that refuses is stepped over: the lease is asked for by what changes something.
        (("--start-at-task", "Remember that this host was touched"), "holds no lease"),
        (("--start-at-task", "Keep the configuration"), "has opened no deployment and holds no lease"),
        pytest.param(
            ("--limit", "app1", "--start-at-task", "Remember that this host was touched"),
            "holds no lease",
            marks=pytest.mark.long,
        ),
    ],
)
def test_nothing_steps_round_the_lease(world: World, arguments: tuple[str, ...], words: str) -> None:
    world.at_v1()
    before = (world.fleet.releases(), world.fleet.stable_balancer_state(), len(world.fleet.records()))
    run = world.project.run(extra=V2, arguments=arguments)
    assert run.rc != 0
    assert words in run.text, run.text[-2000:]
    assert (world.fleet.releases(), world.fleet.stable_balancer_state(), len(world.fleet.records())) == before


def test_a_second_deployment_is_refused_and_a_killed_one_is_gone_on_with(world: World) -> None:
    old = world.at_v1()
    with world.project.start(extra=V2) as first:
        first.wait_for_output(r"PLAY \[Roll out\]")
        second = world.project.run(extra=V2)
        lease = held(world)
        assert second.rc == 2
        assert f"Another deployment is under way: {lease['id']} (deploy of v2)" in second.text
        assert re.search(r"begun .* UTC by .* from ", second.text)
        assert "its lease runs until" in second.text
        assert f"-e takeover={lease['id']}" in second.text
        first.kill()
    answer = world.fleet.site_answer()
    assert answer is not None
    assert answer.status == 200

    # Its controller is dead, its lease is not: nobody guesses which of the two.
    refused = world.project.run(extra=V2)
    assert refused.rc == 2
    assert f"-e takeover={lease['id']}" in refused.text

    # Nobody came for a while: a lease that ran out is taken without a word. The one that takes it is killed as well.
    expire(world)
    with world.project.start(extra=V2) as heir:
        heir.wait_for_output(r"PLAY \[Roll out\]")
        heir.kill()
    inherited = held(world)
    assert inherited["id"] != lease["id"]
    wrong = world.project.run(extra={**V2, "takeover": str(lease["id"])})
    assert wrong.rc == 2
    assert inherited["id"] in wrong.text

    taken = world.project.run(extra={**V2, "takeover": str(inherited["id"])})
    assert taken.rc == 0
    records = world.fleet.records()[-3:]
    assert [record["verdict"] for record in records] == ["interrupted", "interrupted", "whole"]
    assert [record["attempt"] - records[0]["attempt"] for record in records] == [0, 1, 2]
    assert [record["origin"]["release"] for record in records] == [old] * 3
    assert [record["interrupted"]["id"] for record in records[1:]] == [lease["id"], inherited["id"]]
    assert [record["interrupted"]["how"] for record in records[1:]] == ["expired", "taken_over"]
    new = world.fleet.release_of("v2")
    assert world.fleet.releases() == {host: [new] for host in world.fleet.apps}


def held(world: World) -> dict[str, Any]:
    lease = world.fleet.lease()
    assert lease is not None
    return lease


def expire(world: World) -> None:
    """Move the end of the lease into the past. Time is what the lease says it is: nobody has to wait for it."""
    expired = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - 5))
    world.fleet.script(
        "db1", f'sed -i \'s/"expires_at": "[^"]*"/"expires_at": "{expired}"/\' /srv/shop/control/lease.json'
    )

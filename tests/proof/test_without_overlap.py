# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts too small for two releases at once: each is emptied, stopped, started with the new one and readmitted."""

from __future__ import annotations

import time

from slipway_lab import rounds
from slipway_lab.world import World


def test_one_slot_after_the_other_loses_nothing(world: World) -> None:
    old = world.at_v1()
    with world.traffic.start(rate=rounds.RATE) as load:
        load.wait_sending()
        run = world.project.start(extra={"slipway_version": "v2", "service_overlap": "false"})
        with run:
            rollout = run.wait_for_output(r"PLAY \[Roll out\]").at
            for host in world.fleet.apps:
                run.wait_for_task("Start the release in its slot, beside what runs", host, since=rollout)
                assert old not in world.fleet.releases()[host]
            ended = run.wait()
        time.sleep(2)
        figures = load.stop()
    new = world.fleet.release_of("v2")
    assert ended.rc == 0, ended.text[-3000:]
    assert rounds.losses(figures) == []
    assert world.fleet.releases() == {host: [new] for host in world.fleet.apps}
    assert set(figures.document["answers"]) == {old, new}

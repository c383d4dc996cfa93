# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release that is broken: the old version serves all the time, and the message names host, gate and evidence."""

from __future__ import annotations

import time

import pytest
from slipway_lab import rounds
from slipway_lab.world import World

# That the old version serves is seen by few requests as well: many would only make the machine slow.
RATE = 30


@pytest.mark.parametrize(
    ("version", "evidence"),
    [
        # It ends at its boot: systemd knows before any gate is asked.
        pytest.param("broken-start", ["app1, rollout", "shop-web@", "journalctl -u shop-web@"], marks=pytest.mark.long),
        ("broken-health", ["app1, rollout", "gate before traffic of app1", "status 503 (expected 200)"]),
    ],
)
def test_the_old_version_serves_on(world: World, version: str, evidence: list[str]) -> None:
    old = world.at_v1()
    with world.traffic.start(rate=RATE) as load:
        load.wait_sending()
        run = world.project.run(extra={"slipway_version": version})
        time.sleep(2)
        figures = load.stop()
    assert run.rc == 2
    assert all(words in run.text for words in evidence), run.text[-3000:]
    assert "rolled_back" in run.text
    assert f"The site is back on {old}" in run.text
    assert rounds.losses(figures) == []
    assert set(figures.document["answers"]) == {old}
    assert world.fleet.releases() == {host: [old] for host in world.fleet.apps}
    record = world.fleet.records()[-1]
    assert (record["verdict"], record["version"]) == ("rolled_back", version)
    assert record["facts"]["failure"]["host"] == "app1"
    assert run.log is not None
    events = (run.log / "events.jsonl").read_text(encoding="utf-8")
    assert all(words in events for words in ("app1", "rollout", "rolled_back"))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host killed in the middle of a deployment, and what must hold then: one case of the tests and of the proof."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .fleet import Server
from .project import Run
from .world import World

LIMIT_S = 240.0
"""A deployment that loses a host ends within this time, also on a busy machine."""


@dataclass(frozen=True)
class Moment:
    """A task whose start on the host, or for it, is the moment to strike."""

    name: str
    task: str


AT_ACTIVATION = Moment("activation", "Start the release in its slot, beside what runs")
AT_GATE = Moment("gate", "Gate the release on this host")
AT_DRAIN = Moment("drain", "Take the server out when its last request has ended")
MOMENTS = (AT_ACTIVATION, AT_GATE, AT_DRAIN)


@dataclass(frozen=True)
class Lost:
    """What was seen of one deployment that lost a host, and of the next one."""

    host: str
    moment: Moment
    old: str
    new: str
    run: Run
    served: int
    """Status of the site right after the end."""
    others: dict[str, list[str]]
    """Releases that the other hosts answer with after the end."""
    aside: dict[str, Server]
    """The host's servers in the balancer after the end."""
    aside_restarted: dict[str, Server]
    """The same after a restart of the balancer and a boot of the host."""
    record: dict[str, object]
    again: Run
    after: dict[str, list[str]]
    """Releases that all hosts answer with after the same command once more."""


def lose(world: World, host: str, moment: Moment) -> Lost:
    """Deploy v2 over v1, kill the host at the moment, look, boot it, restart the balancer, deploy once more."""
    fleet = world.fleet
    old = world.at_v1()
    extra = {"slipway_version": "v2"}
    with world.project.start(extra=extra, echo=True) as running:
        # The workers are replaced before: only the rollout's own tasks count.
        rollout = running.wait_for_output(r"PLAY \[Roll out\]")
        running.wait_for_task(moment.task, host, since=rollout.at)
        fleet.kill(host)
        run = running.wait(LIMIT_S * 2)
    answer = fleet.site_answer()
    others = {name: found for name, found in fleet.releases().items() if name != host}
    aside = _servers_of(world, host)
    record = fleet.records()[-1]
    fleet.start(host)
    fleet.run("lb1", "systemctl", "restart", "haproxy")
    fleet.wait_served()
    aside_restarted = _servers_of(world, host)
    again = world.project.run(extra=extra)
    new = fleet.release_of("v2")
    return Lost(
        host=host,
        moment=moment,
        old=old,
        new=new,
        run=run,
        served=answer.status if answer is not None else 0,
        others=others,
        aside=aside,
        aside_restarted=aside_restarted,
        record=record,
        again=again,
        after=fleet.releases(),
    )


def _servers_of(world: World, host: str) -> dict[str, Server]:
    return {name: server for name, server in world.fleet.servers().items() if name.startswith(f"{host}-")}


def shortfalls(lost: Lost) -> list[str]:
    """What is not as promised, in words. Pure."""
    found: list[str] = []
    if lost.run.rc != 2:
        found.append(f"the deployment that lost {lost.host} ended with status {lost.run.rc}, expected 2")
    if lost.run.seconds > LIMIT_S:
        found.append(f"it took {lost.run.seconds:.0f} s, more than {LIMIT_S:.0f} s")
    if lost.served != 200:
        found.append(f"the site answered {lost.served} afterwards")
    found += [f"{host} answers with {seen}" for host, seen in lost.others.items() if seen != [lost.old]]
    for when, servers in (("at the end", lost.aside), ("after restarts", lost.aside_restarted)):
        found += [
            f"{name} is not in maintenance {when}" for name, server in servers.items() if not server.in_maintenance
        ]
    if not re.search(rf"Set aside, without traffic of another release: {lost.host}\b", lost.run.text):
        found.append(f"the last message does not name {lost.host} as set aside")
    facts = lost.record["facts"]
    marked = facts.get("lost", {}) if isinstance(facts, dict) else {}
    if lost.record["verdict"] != "rolled_back" or lost.host not in marked:
        found.append(f"the record says {lost.record['verdict']} and marks {sorted(marked)}")
    if lost.again.rc != 0:
        found.append(f"the same command once more ended with status {lost.again.rc}")
    found += [f"{host} answers with {seen} at last" for host, seen in lost.after.items() if seen != [lost.new]]
    return found

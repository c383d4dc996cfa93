# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round of the proof that nothing is lost: v1 to v2 and back under load; and the control that does lose."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from .project import Run
from .traffic import Figures, Load
from .world import World

RATE = 120.0
LIGHT_RATE = 60.0
"""Where another lab works beside: half of it leaves both of them the processor that they need."""
SOCKETS = 12
"""WebSockets that are open all the time."""
MIN_RATE = 100.0
"""What the load must have reached for its zeros to count."""
_CALM_S = 5.0
"""Load before the first step and after the last one."""
_DRAINED_DIES = {"service_stop_signal": "SIGKILL"}
"""A graceful stop would hide a drain that said "empty" too early: it answers what is still under way."""


@dataclass(frozen=True)
class Round:
    """One deployment and its way back, under one run of the load."""

    old: str
    new: str
    forward: Run
    back: Run
    applied: tuple[str, ...]
    """The migrations that the deployment has recorded with Django."""
    between: dict[str, list[str]]
    """The releases that each host's ports answered with after the deployment."""
    after: dict[str, list[str]]
    """The same after the way back."""
    figures: Figures
    confirmed: int
    """Orders that a worker has confirmed afterwards."""

    @property
    def conclusive(self) -> bool:
        """Whether the load was as strong as meant. A loss counts in any case."""
        return self.figures.kept_up or bool(shortfalls(self))


def shortfalls(one: Round) -> list[str]:
    """What is not as promised, in words; whether the load was strong enough is asked elsewhere. Pure."""
    figures, hosts = one.figures, list(one.after)
    found = [f"{run.argv[1]} ended with status {run.rc}" for run in (one.forward, one.back) if run.rc != 0]
    found += losses(figures)
    found += socket_shortfalls(figures, one.old, one.new, one.old)
    if one.confirmed < figures.orders.accepted:
        found.append(f"{figures.orders.accepted - one.confirmed} orders were confirmed by no worker")
    if not one.applied:
        found.append("the deployment has applied no migration")
    found += _strays("after the deployment", one.between, one.new)
    found += _strays("after the way back", one.after, one.old)
    for release in (one.old, one.new):
        silent = sorted(set(hosts) - set(figures.servers(release)))
        if silent:
            found.append(f"{', '.join(silent)} never answered with {release} under load")
    return found


def socket_shortfalls(figures: Figures, *served: str) -> list[str]:
    """What is not as promised with the WebSockets, in words. Pure.

    Each of them is closed once, with 1012, each time that another release follows, and comes back at once to that one.

    :param served: the releases, one after the other.
    """
    seen = figures.sockets
    wanted = {
        "closed": {"1012": (len(served) - 1) * SOCKETS},
        "opened": {release: served.count(release) * SOCKETS for release in served},
        "open": {served[-1]: SOCKETS},
        "refused": {},
        "mute": 0,
    }
    return [
        f"WebSockets {name}: {seen[name]}, expected {value}" for name, value in wanted.items() if seen[name] != value
    ]


def losses(figures: Figures) -> list[str]:
    """What was lost on the way, in words. Pure."""
    counts = {
        "requests failed": figures.failed,
        "answers were cut": figures.cut,
        "accepted orders are lost": len(figures.orders.lost),
        "orders are doubled": len(figures.orders.duplicated),
    }
    found = [f"{count} {what}" for what, count in counts.items() if count]
    if figures.failed:
        found.append(f"by kind: {figures.failed_by_kind}")
    if not figures.orders.accepted:
        found.append("no order was accepted")
    return found


def _strays(when: str, releases: dict[str, list[str]], wanted: str) -> Iterable[str]:
    return [f"{when} {host} answers with {found}" for host, found in releases.items() if found != [wanted]]


def run_round(world: World, rate: float = RATE) -> Round:
    """Deploy v2 over v1 and go back, under load; the site is at v1 with v1's schema before and after."""
    fleet = world.fleet
    old = world.at_v1()
    known = fleet.migrations()
    with world.traffic.start(rate=rate, sockets=SOCKETS) as load:
        time.sleep(_CALM_S)
        forward = world.project.run("deploy.yml", extra={"slipway_version": "v2", **_DRAINED_DIES})
        between, applied = fleet.releases(), [name for name in fleet.migrations() if name not in known]
        new = fleet.release_of("v2")
        back = world.project.run("rollback.yml", extra=_DRAINED_DIES)
        time.sleep(_CALM_S)
        after, figures, confirmed = fleet.releases(), *_end(load)
    return Round(old, new, forward, back, tuple(applied), between, after, figures, confirmed)


def run_conclusive(world: World, rate: float = RATE, tries: int = 3) -> Round:
    """Run a round; once more when the load was too weak because this machine was busy with other things."""
    for attempt in range(1, tries + 1):
        one = run_round(world, rate)
        world.talk.say(one.figures.headline())
        if one.conclusive or attempt == tries:
            break
        world.talk.say(f"the load was too weak ({one.figures.why_not}): once more")
    return one


def restart_without_drain(world: World, rate: float = RATE) -> Figures:
    """The control: the live web service restarted host by host, as without this collection. The load must notice."""
    return host_by_host(world, "restart", rate=rate)


def host_by_host(world: World, *systemctl: str, pause_s: float = _CALM_S, rate: float = RATE) -> Figures:
    """Do something to the live web service of one host after another, without a drain, under load."""
    world.at_v1()
    fleet = world.fleet
    with world.traffic.start(rate=rate) as load:
        time.sleep(_CALM_S)
        for host in fleet.apps:
            slot = next(iter(fleet.live(host)))
            fleet.run(host, "systemctl", *systemctl, f"shop-web@{slot}.service", timeout_s=120)
            time.sleep(pause_s)
        return _end(load)[0]


def deploy_only(world: World) -> Figures:
    """v2 over v1 by the playbook, under the same load; a drained service is stopped with SIGKILL.

    :raises LabError: it did not end whole.
    """
    world.at_v1()
    with world.traffic.start(rate=RATE) as load:
        time.sleep(_CALM_S)
        world.project.run("deploy.yml", extra={"slipway_version": "v2", **_DRAINED_DIES}).check()
        time.sleep(_CALM_S)
        return _end(load)[0]


def _end(load: Load) -> tuple[Figures, int]:
    figures = load.stop()
    return figures, load.confirmed(figures.orders.accepted)

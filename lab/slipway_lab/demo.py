# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: everything from nothing to a deployment under load, and what became of each request."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from .errors import LabError
from .project import Run
from .rounds import MIN_RATE, RATE, SOCKETS, losses, socket_shortfalls
from .talk import Talk
from .traffic import Figures, Load
from .world import World, open_world

MIN_ORDERS = 300
_CALM_S = 10.0
_STATUS_S = 10.0


@dataclass
class Story:
    """What the demo has seen so far."""

    steps: dict[str, float] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    wanted: str = ""
    applied: tuple[str, ...] = ()
    deployment: Run | None = None
    figures: Figures | None = None
    confirmed: int = 0


def broken_promises(story: Story) -> list[str]:
    """What README.md promises and this run has not shown, in words. Pure."""
    figures = story.figures
    if figures is None:
        return ["there was no load"]
    old, new = (text.rpartition(" ")[2] for text in (*list(story.before.values())[:1], story.wanted))
    found = losses(figures) + socket_shortfalls(figures, old, new)
    if not figures.kept_up or figures.rate < MIN_RATE:
        why = figures.why_not or f"{MIN_RATE:g} a second were promised"
        found.append(f"the load was too weak for its zeros to count: {figures.rate:.0f} requests a second; {why}")
    if figures.orders.accepted < MIN_ORDERS:
        found.append(f"{figures.orders.accepted} orders were accepted, {MIN_ORDERS} were promised")
    if story.confirmed < figures.orders.accepted:
        found.append(f"{figures.orders.accepted - story.confirmed} orders were confirmed by no worker")
    if not story.applied:
        found.append("v2 has applied no migration")
    found += [f"{host} answers with {seen}" for host, seen in story.after.items() if seen != story.wanted]
    return found


def render(story: Story) -> str:
    """The figures at the end, for a terminal. Pure."""
    lines = ["", "HOST    BEFORE                       AFTER"]
    lines += [f"{host:<6}  {seen:<27}  {story.after.get(host, '')}" for host, seen in story.before.items()]
    lines += ["", *_figures(story), "", "STEP                                     SECONDS"]
    lines += [f"{name:<40} {seconds:7.1f}" for name, seconds in story.steps.items()]
    if story.deployment is not None:
        lines += [f"  {name:<38} {seconds:7.1f}" for name, seconds in story.deployment.plays.items() if seconds >= 0.5]
        lines += ["", f"deployment log     {story.deployment.log or 'none was written'}"]
    broken = broken_promises(story)
    lines += ["", *(f"NOT AS PROMISED: {one}" for one in broken)] if broken else ["", "All as promised."]
    return "\n".join(lines)


def _figures(story: Story) -> list[str]:
    figures = story.figures
    if figures is None:
        return []
    orders = figures.orders
    p50, p95, p99 = (f"{figures.latency_ms(quantile):g} ms" for quantile in ("p50", "p95", "p99"))
    accepted = f"{orders.accepted}; found {orders.found}, lost {len(orders.lost)}, doubled {len(orders.duplicated)}"
    rows = {
        "requests sent": f"{figures.sent} in {figures.seconds:.0f} s, {figures.rate:.0f} a second",
        "requests failed": figures.failed,
        "answers cut": figures.cut,
        "latency": f"p50 {p50}, p95 {p95}, p99 {p99}",
        "orders accepted": accepted,
        "orders confirmed": f"{story.confirmed}, by the workers",
        "WebSockets": _sockets(figures),
        "migrations": ", ".join(story.applied) or "none",
    }
    return [f"{name:<17}  {value}" for name, value in rows.items()]


def _sockets(figures: Figures) -> str:
    seen = figures.sockets
    closed = ", ".join(f"{count} closed with {code}" for code, count in seen["closed"].items()) or "none closed"
    return f"{seen['wanted']} open, {closed}, back after {seen['longest_gap_ms']:g} ms at most"


class Demo:
    """The steps, each announced, timed and shown while it goes on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._talk = world.talk
        self.story = Story()

    def run(self) -> Story:
        """Do it all.

        :raises LabError: a step failed, so that the rest makes no sense.
        """
        world = self._world
        with self._step("six servers"):
            world.lab.up([])
            world.project.make()
        if world.fleet.is_provisioned():
            with self._step("what an earlier demo has deployed is removed"):
                world.fleet.reset_site()
        with self._step("provision.yml"):
            world.project.run("provision.yml").check()
        with self._step("deploy.yml, v1"):
            world.deploy("v1")
        with self._step("1,000 customers and 20,000 orders"):
            world.fleet.fill(world.fleet.release_of("v1"))
        with self._step("deploy.yml, v2 over v1 under load"):
            self._deploy_under_load()
        return self.story

    def _deploy_under_load(self) -> None:
        world, story = self._world, self.story
        story.before = self._releases()
        known = world.fleet.migrations()
        with world.traffic.start(rate=RATE, sockets=SOCKETS) as load:
            with self._shown(load):
                time.sleep(_CALM_S)
                story.deployment = world.project.run(extra={"slipway_version": "v2"})
                time.sleep(_CALM_S)
            story.figures = load.stop()
            story.confirmed = load.confirmed(story.figures.orders.accepted)
        story.applied = tuple(name for name in world.fleet.migrations() if name not in known)
        story.after = self._releases()
        story.deployment.check()
        story.wanted = f"v2 {world.fleet.release_of('v2')}"

    def _releases(self) -> dict[str, str]:
        """What each host's ports answer with, the version before the release's name."""
        fleet = self._world.fleet
        versions = {str(one["name"]): str(one["version"]) for one in fleet.staged(fleet.apps[0])}
        return {
            host: ", ".join(f"{versions.get(name, '?')} {name}" for name in names) or "nothing"
            for host, names in fleet.releases().items()
        }

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        print(f"\n=== {name}", flush=True)
        begun = time.monotonic()
        with self._talk.step(name):
            yield
        self.story.steps[name] = time.monotonic() - begun

    @contextmanager
    def _shown(self, load: Load) -> Iterator[None]:
        """Print the load's latest line every few seconds, between the lines of Ansible."""
        over = threading.Event()

        def show() -> None:
            while not over.wait(_STATUS_S):
                with contextlib.suppress(LabError):
                    self._talk.say(f"load: {load.status()}")

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=_STATUS_S)


def _ended(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """``demo`` or ``demo down``; status 1 when something promised was not seen."""
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, _ended)
    talk = Talk()
    actions: dict[tuple[str, ...], Callable[[World], int]] = {(): _demo, ("down",): _down}
    action = actions.get(tuple(arguments))
    if action is None:
        print("usage: demo [down]", file=sys.stderr)
        return 2
    try:
        return action(open_world(os.environ if environ is None else environ, talk))
    except LabError as error:
        talk.say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        talk.say("interrupted; `make demo` begins anew, `make demo-down` takes all away")
        return 130


def _demo(world: World) -> int:
    demo = Demo(world)
    try:
        demo.run()
    finally:
        if demo.story.figures is not None:
            print(render(demo.story), flush=True)
    world.talk.say("the servers stay up: `lab/bin/lab status` shows them, `make demo-down` takes all away")
    return 1 if broken_promises(demo.story) else 0


def _down(world: World) -> int:
    world.lab.down(everything=True)
    return 0

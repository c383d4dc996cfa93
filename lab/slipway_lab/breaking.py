# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all hosts need is broken in the middle of a deployment, and what must hold then: one case of the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .fleet import ROOT, SITE
from .losing import AT_GATE, Moment
from .project import Run
from .world import World

BACKUPS = f"/var/backups/{SITE}"
RELEASES = f"{ROOT}/releases"
CONTROL = f"{ROOT}/control"
# A file system of a few pages more than what lies there: the disk is full as soon as somebody writes.
_SHRINK = """
set -e
used=$(du -s --block-size=1K {path} | cut -f 1)
mkdir -p /mnt/slipway-full
mount -t tmpfs -o size=$((used + used / 10 + {room_kib}))k,mode=0755 tmpfs /mnt/slipway-full
cp -a {path}/. /mnt/slipway-full/
chown --reference={path} /mnt/slipway-full
chmod --reference={path} /mnt/slipway-full
mount --move /mnt/slipway-full {path}
"""
_GROW = """
while mountpoint -q {path}; do umount --lazy {path}; done
"""


@dataclass(frozen=True)
class Fault:
    """Something that breaks. ``moment``: None before the start, else the task on ``host`` at which it breaks.

    :param says: what the last message of the run must hold, so that a person knows what to do.
    """

    name: str
    moment: Moment | None
    host: str
    strike: Callable[[World], None]
    mend: Callable[[World], None]
    says: str


def _stop_database(world: World) -> None:
    world.fleet.script("db1", "systemctl kill --signal=SIGKILL 'postgresql@*'; systemctl stop 'postgresql@*'")


def _start_database(world: World) -> None:
    world.fleet.run("db1", "systemctl", "start", "postgresql")


def _shrink(host: str, path: str, room_kib: int) -> Callable[[World], None]:
    def strike(world: World) -> None:
        world.fleet.script(host, _SHRINK.format(path=path, room_kib=room_kib), timeout_s=180)

    return strike


def _grow(host: str, path: str) -> Callable[[World], None]:
    def mend(world: World) -> None:
        world.fleet.script(host, _GROW.format(path=path))

    return mend


def _kill(host: str) -> Callable[[World], None]:
    return lambda world: world.fleet.kill(host)


def _start(host: str) -> Callable[[World], None]:
    return lambda world: world.fleet.start(host)


FAULTS = (
    Fault("the database dies", AT_GATE, "app2", _stop_database, _start_database, "gate before traffic of app2"),
    Fault("the balancer dies", AT_GATE, "app2", _kill("lb1"), _start("lb1"), "lb1"),
    Fault(
        "the database and control host dies", AT_GATE, "app2", _kill("db1"), _start("db1"), "the lease not given back"
    ),
    # Nothing is written to a disk that would not have room for it.
    Fault(
        "the disk of the backups is full",
        None,
        "db1",
        _shrink("db1", BACKUPS, 64),
        _grow("db1", BACKUPS),
        f"bytes are free in {BACKUPS}",
    ),
    Fault(
        "the disk of the releases is full",
        None,
        "app2",
        _shrink("app2", RELEASES, 512),
        _grow("app2", RELEASES),
        "No space",
    ),
)


@dataclass(frozen=True)
class Broken:
    """What was seen of one deployment in which something broke, and of the next ones."""

    fault: Fault
    old: str
    new: str
    run: Run
    served: int
    """Status of the site when what was broken was mended, before anything else was done."""
    between: dict[str, list[str]]
    """Releases that the hosts answer with then."""
    again: tuple[Run, ...]
    """The same command once more; a second one names the deployment to take over, when the first asked for it."""
    after: dict[str, list[str]]


def break_it(world: World, fault: Fault) -> Broken:
    """Deploy v2 over v1, break something, look at how it ends, mend it, look again, deploy once more."""
    fleet = world.fleet
    old = world.at_v1()
    if fault.moment is None:
        # What has to be written must be new: without v2's release and without a backup of this origin.
        fleet.reset_site()
        world.deploy("v1")
        old = fleet.release_of("v1")
        fleet.fill(old)
    try:
        run = _deploy(world, fault)
    finally:
        fault.mend(world)
    fleet.wait_served(in_a_row=20)
    answer = fleet.site_answer()
    between = fleet.releases()
    again = _once_more(world)
    return Broken(
        fault=fault,
        old=old,
        new=fleet.release_of("v2"),
        run=run,
        served=answer.status if answer is not None else 0,
        between=between,
        again=again,
        after=fleet.releases(),
    )


def _deploy(world: World, fault: Fault) -> Run:
    if fault.moment is None:
        fault.strike(world)
    with world.project.start(extra={"slipway_version": "v2"}, echo=True) as running:
        if fault.moment is not None:
            rollout = running.wait_for_output(r"PLAY \[Roll out\]")
            running.wait_for_task(fault.moment.task, fault.host, since=rollout.at)
            fault.strike(world)
        return running.wait(900)


def _once_more(world: World) -> tuple[Run, ...]:
    extra = {"slipway_version": "v2"}
    first = world.project.run(extra=extra)
    lease = world.fleet.lease()
    if first.rc == 0 or lease is None or f"takeover={lease['id']}" not in first.text:
        return (first,)
    return (first, world.project.run(extra={**extra, "takeover": str(lease["id"])}))


def last_message(run: Run) -> str:
    """What the run said last of how it ended: the last failure's message, else its last line. Pure."""
    told = [line.text for line in run.lines if '"msg":' in line.text or "failed: true" in line.text]
    return (told or [run.lines[-1].text if run.lines else ""])[-1]


def shortfalls(broken: Broken) -> list[str]:
    """What is not as promised, in words. Pure."""
    fault, found = broken.fault, list[str]()
    if broken.run.rc in (0, None):
        found.append(f"the deployment ended with status {broken.run.rc}")
    if fault.says not in broken.run.text:
        found.append(f"nothing that it said holds {fault.says!r}")
    if broken.served != 200:
        found.append(f"the site answered {broken.served} when it was mended")
    found += [
        f"{host} answered with {seen} when it was mended"
        for host, seen in broken.between.items()
        if not seen or not set(seen) <= {broken.old, broken.new}
    ]
    if broken.again[-1].rc != 0:
        found.append(f"the same command once more ended with status {broken.again[-1].rc}")
    found += [f"{host} answers with {seen} at last" for host, seen in broken.after.items() if seen != [broken.new]]
    return found

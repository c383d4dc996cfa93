# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the balancers' drivers on HAProxy and nginx of three Debian releases: docs/proof/balancers.md."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from ansible_collections.slipway.django.tests.integration import balancer_modules
from ansible_collections.slipway.django.tests.integration.balancer_worlds import Background, Held, World, world_of
from ansible_collections.slipway.django.tests.integration.lab_haproxy import wait_until
from slipway_lab import process, proof
from slipway_lab.engine import Engine
from slipway_lab.image import ensure_image
from slipway_lab.settings import from_environment
from slipway_lab.talk import Talk
from slipway_lab.world import CHECKOUT

PAGE = CHECKOUT / "docs" / "proof" / "balancers.md"
RELEASES = ("bullseye", "bookworm", "trixie")
TESTS = ("test_balancer_drivers.py", "test_lb_drain.py", "test_lb_pool.py")
ROUNDS = 20
LIMIT_S = 0.5
TEMPLATE = """# The balancers' drivers on each HAProxy and nginx

Written by `make proof` (`tests/proof/test_balancers.py`).

The same contract for every driver (`tests/integration/test_balancer_drivers.py`), and the tests of `lb_drain` and
`lb_pool`, on the programs of three Debian releases; ELB is moto's. A test that can't be asked of a driver is skipped
and says why.

| Debian | HAProxy | nginx | passed | failed | skipped | s |
| --- | --- | --- | ---: | ---: | ---: | ---: |
{releases}

{failures}
## From the end of the last request to `drained`

{rounds} times each, with the three looks at intervals of 0.1 s that are the default; the programs of this machine. The
limit is {limit:g} s for the median, on a machine that has nothing else to do.

| driver | median s | longest s |
| --- | ---: | ---: |
{times}

{circumstances}
"""


@dataclass(frozen=True)
class Release:
    """What the tests have said of one release."""

    debian: str
    haproxy: str
    nginx: str
    counts: Counter[str]
    failed: tuple[str, ...]
    seconds: float


@contextmanager
def programs_of(debian: str, folder: Path) -> Iterator[dict[str, str]]:
    """HAProxy and nginx of a release, as programs of this machine: only their files are the image's."""
    settings = from_environment({**os.environ, "LAB_DEBIAN": debian}, CHECKOUT)
    engine = Engine(settings)
    image = ensure_image(settings, engine, Talk(), os.environ)
    root = process.run(engine.argv("image", "mount", image)).check().stdout.strip()
    try:
        yield {name.upper(): str(_wrapped(root, name, folder)) for name in ("haproxy", "nginx")}
    finally:
        process.run(engine.argv("image", "unmount", image))


def _wrapped(root: str, name: str, folder: Path) -> Path:
    # One process from first to last, so that its id is the one that the tests have started.
    place = shlex.quote(root)
    mounts = " && ".join(f"mount --bind /{top} {place}/{top}" for top in ("tmp", "dev", "proc"))
    path = folder / name
    inner = f'{mounts} && exec chroot {place} /usr/sbin/{name} "$@"'
    path.write_text(f'#!/bin/sh\nexec unshare --mount sh -c {shlex.quote(inner)} sh "$@"\n')
    path.chmod(0o755)
    return path


def ask(debian: str, folder: Path) -> Release:
    """Run the tests with the programs of a release."""
    with programs_of(debian, folder) as programs:
        report = folder / "report.xml"
        begun = time.monotonic()
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-n", "2", "--timeout", "600", f"--junit-xml={report}"),
                *(str(CHECKOUT / "tests" / "integration" / name) for name in TESTS),
            ],
            env={**os.environ, **programs, "BALANCERS_EVERYTHING": "1"},
            cwd=CHECKOUT,
            check=False,
            timeout=3600,
        )
        counts, failed = _read(report)
        haproxy, nginx = (_version(path) for path in programs.values())
        return Release(debian, haproxy, nginx, counts, failed, time.monotonic() - begun)


def _read(report: Path) -> tuple[Counter[str], tuple[str, ...]]:
    counts: Counter[str] = Counter()
    failed = []
    for case in ET.parse(report).getroot().iter("testcase"):
        kind = next((child.tag for child in case if child.tag in {"failure", "error", "skipped"}), "passed")
        counts["failed" if kind in {"failure", "error"} else kind] += 1
        if kind in {"failure", "error"}:
            failed.append(str(case.get("name")))
    return counts, tuple(failed)


def _version(path: str) -> str:
    done = subprocess.run([path, "-v"], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).replace("nginx/", " ").replace("version:", "version").split()[2].split("-")[0]


def time_to_drained(driver: str, folder: Path) -> list[float]:
    """Seconds from the end of the last request on a server to the end of the drain that waited for it."""
    with world_of(driver, folder) as world:
        options = {**world.options(), "pool": "shop", "server": ["a"]}
        return [_one_drain(world, options) for _number in range(ROUNDS)]


def _one_drain(world: World, options: dict[str, object]) -> float:
    world.applications["a"].let_go.clear()
    held = Held(world, "a")
    ended: list[float] = []

    def drain() -> dict[str, object]:
        result = balancer_modules.drain({**options, "state": "maintenance", "timeout": 60})
        ended.append(time.monotonic())
        return result

    run = Background(drain)
    wait_until("a is told", lambda: world.told()["a"] != "ready")
    time.sleep(0.5)
    held.let_go()
    run.succeeded()
    balancer_modules.drain({**options, "state": "ready"})
    return ended[0] - world.applications["a"].last_end


def render(releases: list[Release], times: dict[str, list[float]]) -> str:
    """The page. Pure but for the date and the machine."""
    return TEMPLATE.format(
        releases="\n".join(
            f"| {one.debian} | {one.haproxy} | {one.nginx} | {one.counts['passed']} | {one.counts['failed']} "
            f"| {one.counts['skipped']} | {one.seconds:.0f} |"
            for one in releases
        ),
        failures="".join(f"Failed on {one.debian}: {', '.join(one.failed)}\n\n" for one in releases if one.failed),
        rounds=ROUNDS,
        limit=LIMIT_S,
        times="\n".join(f"| {name} | {median(found):.2f} | {max(found):.2f} |" for name, found in times.items()),
        circumstances=proof.machine_in_words(),
    )


@pytest.mark.timeout(7200)
def test_each_release(tmp_path: Path) -> None:
    releases = []
    for debian in RELEASES:
        folder = tmp_path / debian
        folder.mkdir()
        releases.append(ask(debian, folder))
    times = {}
    for driver in ("haproxy", "nginx_flag", "nginx_include"):
        folder = tmp_path / driver
        folder.mkdir(mode=0o755)
        times[driver] = time_to_drained(driver, folder)
    PAGE.write_text(render(releases, times), encoding="utf-8")
    assert not [name for one in releases for name in one.failed]
    assert max(median(found) for found in times.values()) < LIMIT_S

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret is in an output, a log, a list of processes or a file that others read; also with -vvv, after a failure."""

from __future__ import annotations

import threading

import pytest
from slipway_lab.fleet import pattern_of_marks
from slipway_lab.world import World

# What the marks stand for is in files that only their owners read; everything else is searched.
_READABLE = "find / -xdev -type f -perm /o=r -not -path '/proc/*' -not -path '/sys/*' -newermt '-2 hours' -print0"
_SEARCH = f"{_READABLE} 2>/dev/null | xargs -0 -r grep -lE 'lab-mark-(secret|api|database|redis)' 2>/dev/null; true"
# Looks by itself, several times a second: to be asked from outside each time would slow the deployment down. The
# pattern is written so that it does not find itself.
_LOOK = """
touch /run/slipway-look
while [ -e /run/slipway-look ]; do
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -oE 'lab-mar[k]-[[:alnum:]_-]+'
  echo looked
  sleep 0.2
done
"""


class _Watch:
    """Looks at the arguments of all processes on some hosts until it is told to stop."""

    def __init__(self, world: World, hosts: list[str]) -> None:
        self._world = world
        self._hosts = hosts
        self.found: set[str] = set()
        self.samples = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._world.fleet.each(self._hosts, lambda host: self._world.fleet.script(host, "rm /run/slipway-look"))
        self._thread.join()

    def _run(self) -> None:
        said = self._world.fleet.each(self._hosts, lambda host: self._world.fleet.script(host, _LOOK, timeout_s=1200))
        looks = [lines.split() for lines in said.values()]
        self.samples = min(lines.count("looked") for lines in looks)
        self.found = {line for lines in looks for line in lines} - {"looked"}


@pytest.mark.parametrize(("version", "status"), [("broken-start", 2), pytest.param("v2", 0, marks=pytest.mark.long)])
def test_no_mark_is_anywhere(world: World, version: str, status: int) -> None:
    world.at_v1()
    with _Watch(world, ["app1", "db1", "lb1"]) as watch:
        run = world.project.run(extra={"slipway_version": version}, verbosity=3)
    assert run.rc == status
    assert watch.samples > 20
    # The load's own password is no secret of the site's.
    assert {mark for mark in watch.found if "load" not in mark} == set()
    assert pattern_of_marks().findall(run.text) == []
    assert run.log is not None
    for file in run.log.rglob("*"):
        if file.is_file():
            assert pattern_of_marks().findall(file.read_text(encoding="utf-8")) == [], file
    found = {host: world.fleet.script(host, _SEARCH, timeout_s=180).split() for host in ("app1", "db1", "lb1")}
    assert found == {"app1": [], "db1": [], "lb1": []}


def test_the_watch_finds_a_mark_in_a_command(world: World) -> None:
    """The control of the other: an argument that is there for half a second."""
    world.prepare()
    with _Watch(world, ["lb1"]) as watch:
        world.fleet.script("lb1", "sleep 0.5; sh -c 'sleep 0.5; true' lab-mark-api-token-x; sleep 0.5")
    assert watch.found == {"lab-mark-api-token-x"}


def test_the_search_finds_a_mark_where_it_is(world: World) -> None:
    """The control: a search that can't find anything says nothing."""
    world.prepare()
    world.fleet.script("lb1", "echo lab-mark-secret-key-x > /etc/shop-leak && chmod 0644 /etc/shop-leak")
    try:
        assert "/etc/shop-leak" in world.fleet.script("lb1", _SEARCH, timeout_s=180).split()
    finally:
        world.fleet.run("lb1", "rm", "/etc/shop-leak")

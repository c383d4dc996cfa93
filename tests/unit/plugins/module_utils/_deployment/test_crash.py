# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module is killed, or the disk is full, before each of its file operations: what then holds is the truth."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import parse_journal
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.tests.unit.deployment_world import (
    Killed,
    Site,
    counting,
    failing,
    killed_before,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


@pytest.fixture(autouse=True)
def quick_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing that it wrote, so waiting for the disk shows nothing here."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Thousands of small files: in memory, when this machine has such a place."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="slipway-", dir=place) as name:
        yield Path(name)


Scene = Callable[[Site, FakeClock], Callable[[], dict[str, Any]]]


def first_of_all(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    return lambda: site.run("opened")


def after_a_whole_one(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    site.close(site.open())
    return lambda: site.run("opened", version="v2")


def after_an_expired_one(site: Site, clock: FakeClock) -> Callable[[], dict[str, Any]]:
    site.close(site.open())
    site.step(site.open(version="v2"), "migrations", facts={"migrations": ["shop.0002"]})
    clock.advance(500)
    return lambda: site.run("opened", version="v3")


def taking_over(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    site.close(site.open())
    second = site.open(version="v2")
    return lambda: site.run("opened", version="v3", takeover=second["id"])


def a_checkpoint(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    site.close(site.open())
    second = site.open(version="v2")
    return lambda: site.step(second, "backup", limit=300, facts={"backup": "b1"})


def closing(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    site.close(site.open())
    second = site.open(version="v2")
    site.step(second, "watch")
    return lambda: site.close(second)


def on_a_host(site: Site, _clock: FakeClock) -> Callable[[], dict[str, Any]]:
    return lambda: site.step({"id": "20261121T160528Z-3f2a9c1", "token": 7}, "drain", scope="host")


OPENINGS = [first_of_all, after_a_whole_one, after_an_expired_one, taking_over]
SCENES = [*OPENINGS, a_checkpoint, closing, on_a_host]


def operations(scene: Scene, folder: Path) -> int:
    """How many file operations the scene's act makes."""
    folder.mkdir()
    clock = FakeClock()
    act = scene(Site(folder, clock), clock)
    with counting() as made:
        act()
    return len(made)


def each_point(scene: Scene, folder: Path) -> list[tuple[int, Site, FakeClock, Callable[[], dict[str, Any]]]]:
    points = []
    for number in range(operations(scene, folder / "counted")):
        root = folder / str(number)
        root.mkdir()
        clock = FakeClock()
        site = Site(root, clock)
        points.append((number, site, clock, scene(site, clock)))
    assert len(points) > 3
    return points


def lies(site: Site) -> list[str]:
    """What can't be true together."""
    known = site.info()
    open_ids = [entry["id"] for entry in known["history"] if entry["status"] == "open"]
    found = []
    if open_ids != ([known["lease"]["id"]] if known["lease"] else []):
        found.append(f"open: {open_ids}, lease: {known['lease']}")
    tokens = [entry["token"] for entry in known["history"]]
    if sorted(set(tokens), reverse=True) != tokens:
        found.append(f"tokens {tokens}")
    if known["lease"] and known["lease"]["token"] < max(
        (entry["token"] for entry in known["history"] if entry["status"] != "never_opened"), default=0
    ):
        found.append("an older deployment holds the lease")
    return found


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_killed_at_any_point_the_files_tell_no_lies(scene: Scene, folder: Path) -> None:
    for number, site, _clock, act in each_point(scene, folder):
        before = site.info()
        with pytest.raises(Killed), killed_before(number):
            act()
        assert lies(site) == [], f"killed before operation {number}"
        after = site.info()
        if scene is not closing:
            assert after["current"] == before["current"]


@pytest.mark.parametrize("scene", OPENINGS, ids=lambda scene: scene.__name__)
def test_killed_while_opening_there_is_one_owner_and_no_token_twice(scene: Scene, folder: Path) -> None:
    for number, site, clock, act in each_point(scene, folder):
        before = site.info()["lease"]
        earlier = {entry["id"] for entry in site.info()["history"]}
        handed_out = max((entry["token"] for entry in site.info()["history"]), default=0)
        with pytest.raises(Killed), killed_before(number):
            act()
        lease = site.info()["lease"]
        if lease is not None and lease["id"] not in earlier:
            # It had begun: nobody else gets in before it has run out.
            with pytest.raises(Refused, match=str(lease["id"])):
                site.open()
            assert lease["token"] > handed_out
            handed_out = lease["token"]
        else:
            # It had not begun: the lease is what it was.
            assert (lease and lease["id"]) == (before and before["id"])
        clock.advance(1000)
        result = site.run("opened", version="v9")
        assert "warnings" not in result
        deployment = result["deployment"]
        assert deployment["token"] > handed_out
        assert deployment["id"] not in earlier
        assert lies(site) == []
        states = {entry["id"]: entry["verdict"] for entry in site.info()["history"]}
        assert [name for name, verdict in states.items() if verdict is None] == [deployment["id"]]
        assert list(site.root.rglob(".*json.*")) == []  # the debris of the dead is swept


@pytest.mark.parametrize("scene", [after_an_expired_one, taking_over], ids=lambda scene: scene.__name__)
def test_killed_while_opening_the_chain_of_attempts_and_the_origin_stay(scene: Scene, folder: Path) -> None:
    for number, site, clock, act in each_point(scene, folder):
        whole, second = (entry["id"] for entry in reversed(site.info()["history"]))
        with pytest.raises(Killed), killed_before(number):
            act()
        begun = site.info()["lease"]["id"] != second
        clock.advance(1000)
        last = site.open(version="v9")
        assert last["origin"]["deployment"] == whole
        assert last["first_attempt"] == second
        assert last["attempt"] == (3 if begun else 2)
        history = {entry["id"]: entry for entry in site.info()["history"]}
        assert history[second]["verdict"] == "interrupted"
        assert last["interrupted"]["id"] == (second if not begun else last["interrupted"]["id"])
        never = [entry for entry in history.values() if entry["verdict"] == "never_opened"]
        assert len(never) <= 1
        assert not (begun and never)


def test_killed_while_closing_the_verdict_is_whole_or_not_there(folder: Path) -> None:
    for number, site, clock, act in each_point(closing, folder):
        second = site.info()["lease"]["id"]
        with pytest.raises(Killed), killed_before(number):
            act()
        known = site.info()
        written = known["current"]["id"] == second
        assert (known["lease"] is None) == written
        if written:
            # Nobody is kept out by a lease that its deployment has outlived.
            third = site.open(version="v3")
            assert (third["origin"]["deployment"], third["attempt"], third["interrupted"]) == (second, 1, None)
        else:
            with pytest.raises(Refused):
                site.open(version="v3")
            clock.advance(1000)
            assert site.open(version="v3")["interrupted"]["id"] == second


@pytest.mark.parametrize("scene", [a_checkpoint, closing, on_a_host], ids=lambda scene: scene.__name__)
def test_killed_and_called_again_it_comes_to_the_same_end(scene: Scene, folder: Path) -> None:
    for number, site, _clock, act in each_point(scene, folder):
        with pytest.raises(Killed), killed_before(number):
            act()
        act()
        assert act()["changed"] is False
        assert lies(site) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_failing_file_system_is_reported_and_says_what_holds(scene: Scene, code: int, folder: Path) -> None:
    for number, site, _clock, act in each_point(scene, folder):
        before = site.info()
        result: dict[str, Any] = {}
        error: SlipwayError | None = None
        with failing(number, code):
            try:
                result = act()
            except SlipwayError as caught:
                error = caught
        assert lies(site) == [], f"operation {number}"
        after = site.info()
        if error is None:
            # It was only bookkeeping after the deployment had begun, and the result says so.
            assert result["changed"] is True
            assert scene in OPENINGS
            assert "holds the lease" in str(result["warnings"]) or "is held by" in str(result["warnings"])
            assert after["lease"]["id"] == result["deployment"]["id"]
            continue
        assert error.untouched, error.message
        assert error.remedy, error.message
        assert json.loads(json.dumps(error.facts))["errno"] == errno.errorcode[code]
        if "was not taken" in error.message or "Nothing was changed" in error.message:
            assert after["lease"] == before["lease"], f"operation {number}: {error.message}"
        elif scene in OPENINGS:
            assert f"takeover={after['lease']['id']}" in error.message
        if "was not begun" in error.message and "was extended" not in error.message:
            assert after["lease"] == before["lease"]
        if "was not written" in error.message:
            assert after["current"] == before["current"]


@pytest.mark.parametrize("scene", [a_checkpoint, closing, on_a_host], ids=lambda scene: scene.__name__)
def test_when_there_is_room_again_the_same_call_succeeds(scene: Scene, folder: Path) -> None:
    for number, site, _clock, act in each_point(scene, folder):
        with failing(number), contextlib.suppress(SlipwayError):
            act()
        act()
        assert act()["changed"] is False
        assert lies(site) == []


def test_a_torn_line_in_a_journal_costs_only_itself(folder: Path) -> None:
    site = Site(folder, FakeClock())
    first = site.open()
    site.step(first, "backup")
    whole = site.journal(first).read_bytes()
    for length in range(len(whole) + 1):
        site.journal(first).write_bytes(whole[:length])
        kept = parse_journal(whole[:length]).lines
        site.step(first, f"step {length}")
        content = parse_journal(site.journal(first).read_bytes())
        assert content.lines[: len(kept)] == kept
        assert content.lines[-1]["step"] == f"step {length}"
        assert content.torn <= 1


def test_a_write_that_takes_only_a_part_is_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(folder, FakeClock())
    first = site.open()
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    with pytest.raises(SlipwayError, match=r"No space is left for .*journal.jsonl"):
        site.step(first, "backup")
    monkeypatch.setattr(os, "write", real)
    site.step(first, "migrations")
    content = parse_journal(site.journal(first).read_bytes())
    assert (content.lines[-1]["step"], content.torn) == ("migrations", 1)

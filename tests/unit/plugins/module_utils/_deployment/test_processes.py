# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: they race for the lease, and they are killed with SIGKILL."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import locked
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.tests.unit.deployment_world import Site

FORK = multiprocessing.get_context("fork")
RACERS = 8


def race(root: Path, barrier: Barrier, results: Connection, takeover: str) -> None:
    site = Site(root, SystemClock())
    barrier.wait()
    try:
        results.send(site.open(takeover=takeover)["token"])
    except Refused:
        results.send(0)


def received(receiver: Connection) -> Any:
    """What a process sends; one that died without a word must not keep the test waiting."""
    assert receiver.poll(40), "a process sent nothing"
    return receiver.recv()


def tokens_of_a_race(root: Path, takeover: str = "") -> list[int]:
    """Let all racers open a deployment at once; 0 stands for a refusal."""
    barrier = FORK.Barrier(RACERS)
    pipes = [FORK.Pipe(duplex=False) for _racer in range(RACERS)]
    racers = [
        FORK.Process(target=race, args=(root, barrier, sender, takeover), daemon=True) for _receiver, sender in pipes
    ]
    for racer in racers:
        racer.start()
    tokens = [received(receiver) for receiver, _sender in pipes]
    for racer in racers:
        racer.join()
    return sorted(tokens)


def test_of_many_that_open_at_once_exactly_one_wins(tmp_path: Path) -> None:
    site = Site(tmp_path, SystemClock())
    for round_number in range(1, 6):
        assert tokens_of_a_race(tmp_path) == [0] * (RACERS - 1) + [round_number]
        known = site.info()
        assert [entry["token"] for entry in known["history"]] == list(range(round_number, 0, -1))
        site.close(known["history"][0])


def test_the_directory_that_another_one_makes_in_this_moment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdir = os.mkdir

    def second(path: str, mode: int) -> None:
        mkdir(path, mode)
        mkdir(path, mode)

    monkeypatch.setattr(os, "mkdir", second)
    assert Site(tmp_path, SystemClock()).open()["token"] == 1


def test_of_many_that_take_the_same_lease_over_exactly_one_wins(tmp_path: Path) -> None:
    first = Site(tmp_path, SystemClock()).open()
    assert tokens_of_a_race(tmp_path, takeover=first["id"]) == [0] * (RACERS - 1) + [2]


def deploy_for_ever(root: Path) -> None:
    site = Site(root, SystemClock())
    while True:
        lease = site.info()["lease"]
        deployment = site.open(takeover=lease["id"] if lease else "")
        for number in range(3):
            site.step(deployment, f"step {number}", facts={str(number): number})
        site.close(deployment)


def test_killed_by_sigkill_at_any_moment_the_next_one_goes_on(tmp_path: Path) -> None:
    site = Site(tmp_path, SystemClock())
    chance = random.Random(1)
    last = 0
    for _round in range(12):
        process = FORK.Process(target=deploy_for_ever, args=(tmp_path,), daemon=True)
        process.start()
        # Not a wait for a state: the moment of death is what is random.
        process.join(0.02 + chance.random() * 0.1)
        assert process.exitcode is None, "it died by itself"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        known = site.info()
        deployment = site.open(takeover=known["lease"]["id"] if known["lease"] else "")
        assert deployment["token"] > max(last, *(entry["token"] for entry in known["history"]), 0)
        last = deployment["token"]
        site.close(deployment)
        assert {entry["status"] for entry in site.info()["history"]} <= {"whole", "interrupted", "never_opened"}


def hold(lock: str, ready: Connection) -> None:
    with locked(lock):
        ready.send("locked")
        signal.pause()


def test_a_process_that_hangs_with_the_lock_is_named_and_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, SystemClock())
    site.close(site.open())
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=hold, args=(str(site.control / ".lock"), sender), daemon=True)
    process.start()
    received(receiver)
    waited = []

    class Quick(SystemClock):
        def sleep(self, seconds: float) -> None:
            waited.append(seconds)
            monkeypatch.setattr(self, "monotonic", lambda: 1e9)

    site.clock = Quick()
    with pytest.raises(SlipwayError, match=r"has held the lock .*\.lock for more than 30 s\. Nothing was changed\."):
        site.open()
    assert waited
    process.kill()
    process.join()
    site.clock = SystemClock()
    assert site.open()["token"] == 2


def open_as_nobody(root: Path, results: Connection) -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        Site(root, SystemClock()).open()
        results.send("opened")
    except SlipwayError as error:
        results.send(error.message)


def test_without_the_rights_it_says_whose_directory_it_is(tmp_path: Path) -> None:
    # pytest's own directories are closed to others, so the way to this one is opened first.
    root = tmp_path / "site"
    root.mkdir(mode=0o555)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.owner() == root.owner() and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o001)
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=open_as_nobody, args=(root, sender), daemon=True)
    process.start()
    message = received(receiver)
    process.join()
    assert f"may not read or write {root}/control: {root} belongs to {root.owner()}, mode 0555." in message
    assert message.endswith(
        "Nothing was changed. Run the task as the site's user (become_user), and let provision set the owners right."
    )
    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write into another user's tree")
def test_root_in_the_tree_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Refused, match=r"runs as root, but .* belongs to nobody.*become_user: nobody"):
        Site(tmp_path, SystemClock()).open()
    assert list(tmp_path.iterdir()) == []

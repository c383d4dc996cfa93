# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of logs, and the runs that died before."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._events import (
    Interrupted,
    Outcome,
    PlayStarted,
    RunFinished,
    RunStarted,
    Status,
    TaskStarted,
)
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._log import (
    RunLog,
    directory_mode,
    file_mode,
)
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._writer import NAME, read

FORK = multiprocessing.get_context("fork")
DEPLOYMENT = "20261121T160528Z-3f2a9c1"


def new(top: Path, warned: list[str] | None = None, playbook: str = "deploy.yml") -> RunLog:
    warnings = [] if warned is None else warned
    return RunLog(
        str(top / "log"),
        SystemClock(),
        playbook=playbook,
        detail="changed",
        durability="boundary",
        mode=0o640,
        warn=warnings.append,
    )


def begin(log: RunLog) -> None:
    for event in (
        RunStarted("deploy.yml", "anna", "ci-7", "2.19"),
        PlayStarted("play-1", "Roll", "rollout"),
        TaskStarted("task-1", "Restart", "x"),
        Outcome(
            "app1",
            "task-1",
            Status.CHANGED,
            facts=({"event": "deployment.opened", "deployment_id": DEPLOYMENT, "version": "v2"},),
        ),
    ):
        log.handle(event)


def summary(log: RunLog) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(log.directory) / "summary.json").read_text())
    return document


def test_a_run_has_a_folder_a_way_to_it_and_a_summary_with_its_head(tmp_path: Path) -> None:
    log = new(tmp_path)
    begin(log)
    during = summary(log)
    assert (during["status"], during["deployment"]["id"]) == ("running", DEPLOYMENT)
    log.handle(RunFinished({"app1": {"failures": 0}}))
    text = log.close()
    assert text.endswith(f"  log       {log.events_path}")
    content = read(Path(log.events_path).read_bytes())
    assert content.trouble is None
    after = summary(log)
    assert after["head"] == {"seq": len(content.records), "hash": content.head}
    assert after["status"] == "unclosed"
    assert (tmp_path / "log" / "latest" / NAME).samefile(log.events_path)
    assert (tmp_path / "log" / "by-deployment" / DEPLOYMENT / log.run_id / NAME).samefile(log.events_path)
    assert log.run_id.split("-")[1] == "deploy"


@pytest.mark.parametrize("playbook", ["/srv/a b/../déploy!.yml", "", "..", "-.yml", "x" * 300])
def test_any_name_of_a_playbook_makes_a_folder_below_the_path(tmp_path: Path, playbook: str) -> None:
    log = new(tmp_path, playbook=playbook)
    assert Path(log.directory).parent == tmp_path / "log"
    log.close()


def test_a_deployment_id_that_is_no_name_makes_no_link(tmp_path: Path) -> None:
    log = new(tmp_path)
    log.handle(TaskStarted("task-1", "x", "x"))
    log.handle(
        Outcome("app1", "task-1", Status.OK, facts=({"event": "deployment.opened", "deployment_id": "../../../tmp/x"},))
    )
    log.close()
    assert not (tmp_path / "log" / "by-deployment").exists()


def test_after_the_end_nothing_is_recorded(tmp_path: Path) -> None:
    log = new(tmp_path)
    begin(log)
    log.handle(Interrupted("SIGTERM"))
    size = os.path.getsize(log.events_path)
    begin(log)
    assert os.path.getsize(log.events_path) == size
    assert summary(log)["status"] == "interrupted"
    log.close()


def die(top: Path, ready: Connection) -> None:
    log = new(top)
    begin(log)
    ready.send((log.run_id, log.directory))
    signal.pause()


def dead_run(top: Path) -> tuple[str, Path]:
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=die, args=(top, sender), daemon=True)
    process.start()
    assert receiver.poll(20)
    run_id, directory = receiver.recv()
    process.kill()
    process.join()
    return run_id, Path(directory)


@pytest.mark.parametrize("torn", [b"", b'{"event":"task.res'])
def test_a_run_that_was_killed_is_closed_by_the_next_one_which_says_so(tmp_path: Path, torn: bytes) -> None:
    run_id, directory = dead_run(tmp_path)
    with (directory / NAME).open("ab") as stream:
        stream.write(torn)
    log = new(tmp_path)
    begin(log)
    log.handle(RunFinished({}))
    text = log.close()
    assert (
        f"  note      run {run_id} of deployment {DEPLOYMENT} died without a word in phase rollout, last seen" in text
    )
    content = read((directory / NAME).read_bytes())
    assert content.trouble is None
    expected = ["log.recovered", "run.abandoned"] if torn else ["deployment.opened", "run.abandoned"]
    assert [record["event"] for record in content.records[-2:]] == expected
    told = json.loads((directory / "summary.json").read_text())
    assert (told["status"], told["verdict"]) == ("abandoned", "abandoned")
    assert told["head"] == {"seq": len(content.records), "hash": content.head}
    assert told["deployment"]["id"] == DEPLOYMENT
    # Once is enough.
    third = new(tmp_path)
    third.handle(RunFinished({}))
    assert "died without a word" not in third.close()


def test_a_run_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=die, args=(tmp_path, sender), daemon=True)
    process.start()
    assert receiver.poll(20)
    _run_id, directory = receiver.recv()
    log = new(tmp_path)
    log.handle(RunFinished({}))
    assert "died without a word" not in log.close()
    assert json.loads((Path(directory) / "summary.json").read_text())["status"] == "running"
    process.kill()
    process.join()


def test_a_log_that_was_changed_is_named_and_not_written_to(tmp_path: Path) -> None:
    _run_id, directory = dead_run(tmp_path)
    changed = (directory / NAME).read_bytes().replace(b"anna", b"bert")
    (directory / NAME).write_bytes(changed)
    new(tmp_path).close()
    assert (directory / NAME).read_bytes() == changed
    told = json.loads((directory / "summary.json").read_text())
    assert told["notes"] == ["the log is not as it was written: line 1 was changed"]
    assert told["status"] == "abandoned"


@pytest.mark.parametrize("spoiled", ["summary.json", NAME])
def test_what_can_not_be_read_of_an_earlier_run_is_a_warning(tmp_path: Path, spoiled: str) -> None:
    _run_id, directory = dead_run(tmp_path)
    (directory / spoiled).unlink()
    (directory / spoiled).mkdir()
    warned: list[str] = []
    new(tmp_path, warned).close()
    assert len(warned) == 1
    assert str(directory) in warned[0]


@pytest.mark.parametrize(
    ("text", "mode", "directory"), [("0640", 0o640, 0o750), ("600", 0o600, 0o700), ("0644", 0o644, 0o755)]
)
def test_modes(text: str, mode: int, directory: int) -> None:
    assert (file_mode(text), directory_mode(mode)) == (mode, directory)


@pytest.mark.parametrize("text", ["0666", "rw", "99", "-1", "10000"])
def test_modes_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"file_mode|invalid literal"):
        file_mode(text)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's project: its command, its environment, and what is read from its output."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from slipway_lab.errors import LabError
from slipway_lab.project import (
    Line,
    Running,
    controller_environment,
    newest_log,
    play_seconds,
    runs,
    task_start_pattern,
)
from slipway_lab.settings import from_environment

SETTINGS = from_environment({"LAB_NAME": "some"}, Path("/checkout"))


def start(tmp_path: Path, script: str) -> Running:
    return Running(("sh", "-c", script), tmp_path, os.environ, echo=False)


def test_seconds_are_counted_from_heading_to_heading_and_batches_added() -> None:
    lines = [
        Line(1.0, "PLAY [Open] ******"),
        Line(1.5, "ok: [localhost]"),
        Line(3.0, "PLAY [Roll out] ***"),
        Line(5.0, "PLAY [Roll out] ***"),
        Line(9.0, "PLAY RECAP *****"),
        Line(9.5, "app1 : ok=1"),
    ]
    assert play_seconds(lines, 10.0) == {"Open": 2.0, "Roll out": 6.0}


def test_a_run_that_was_killed_has_its_last_play_until_the_end() -> None:
    assert play_seconds([Line(1.0, "PLAY [Open] ***")], 7.0) == {"Open": 6.0}


def test_nobody_elses_ansible_leaks_into_a_run() -> None:
    environment = controller_environment(SETTINGS, {"ANSIBLE_CONFIG": "/home/x", "HOME": "/home/x", "PATH": "/bin"})
    assert "ANSIBLE_CONFIG" not in environment
    assert environment["HOME"] == "/home/x"
    assert environment["PATH"] == "/checkout/.venv/bin:/bin"
    assert environment["ANSIBLE_COLLECTIONS_PATH"] == "/checkout/.cache/collections"
    assert "ANSIBLE_SHOW_PER_HOST_START" not in environment


@pytest.mark.parametrize("before", ["", "slipway.django.balancer : ", "balancer : "])
def test_the_start_of_a_task_is_found_with_and_without_its_role(before: str) -> None:
    line = f" [started TASK: {before}Drain (the server) on app2]"
    assert re.search(task_start_pattern("Drain (the server)", "app2"), line)
    assert not re.search(task_start_pattern("Drain (the server)", "app1"), line)
    assert not re.search(task_start_pattern("(the server)", "app2"), line)


def test_output_status_and_time_of_a_run(tmp_path: Path) -> None:
    done = start(tmp_path, "echo one; echo two >&2; exit 3").wait(20)
    assert (done.rc, done.text, done.log) == (3, "one\ntwo", None)
    assert 0 <= done.lines[0].at <= done.lines[1].at <= done.seconds
    with pytest.raises(LabError, match=r"ended with status 3:\none\ntwo"):
        done.check()


def test_a_line_is_waited_for_and_the_whole_run_killed(tmp_path: Path) -> None:
    # Ansible's workers put themselves into sessions of their own.
    with start(tmp_path, "echo begun; setsid sh -c 'echo worker $$; exec sleep 600' & wait") as running:
        worker = running.wait_for_output(r"^worker \d+$", 20).text.split()[1]
        done = running.kill()
    assert done.rc == -9
    assert not runs(int(worker))
    assert runs(os.getpid())


def test_a_line_that_does_not_come_is_an_error_that_shows_what_came(tmp_path: Path) -> None:
    running = start(tmp_path, "echo something else")
    with pytest.raises(LabError, match=r"the run ended without a line that matches 'this'.*\nsomething else"):
        running.wait_for_output("this", 20)
    running.wait(20)


def test_a_run_without_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"did not end within 0\.2 s"):
        start(tmp_path, "exec sleep 600").wait(0.2)


def test_a_block_that_is_left_leaves_no_controller(tmp_path: Path) -> None:
    with start(tmp_path, "exec sleep 600") as running:
        pass
    assert running.poll() == -9


def test_the_newest_log_of_this_run_is_found(tmp_path: Path) -> None:
    for name, at in (("old", 100), ("new", 200)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").touch()
        os.utime(tmp_path / name / "events.jsonl", (at, at))
    assert newest_log(tmp_path, 150) == tmp_path / "new"
    assert newest_log(tmp_path, 300) is None
    assert newest_log(tmp_path / "absent", 0) is None

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/with-lab, beside a lab that only writes down what it is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LAB = """#!/bin/sh
echo "$1" >> calls
case "$1" in
  status)
    echo "HOST  ADDRESS     CONTAINER  SYSTEMD"
    if test -e is-up; then echo "lb1   10.89.77.10  running    running"; else echo "lb1   10.89.77.10  absent     -"; fi
    if test -e is-partly-up; then echo "app1  10.89.77.21  running    running"; fi
    ;;
  up) test ! -e is-broken && touch is-up ;;
  down) rm -f is-up is-partly-up ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    (tmp_path / "lab" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "with-lab", tmp_path / "tools")
    lab = tmp_path / "lab" / "bin" / "lab"
    lab.write_text(LAB)
    lab.chmod(0o755)
    return tmp_path


def with_lab(checkout: Path, script: str) -> int:
    return subprocess.run(["tools/with-lab", "sh", "-c", script], cwd=checkout, check=False, timeout=30).returncode


def calls(checkout: Path) -> list[str]:
    return (checkout / "calls").read_text().split()


def test_it_takes_down_the_lab_that_it_started(checkout: Path) -> None:
    assert with_lab(checkout, "test -e is-up && echo command >> calls") == 0
    assert calls(checkout) == ["status", "up", "command", "down"]


def test_it_takes_it_down_after_a_failure_and_keeps_the_status(checkout: Path) -> None:
    assert with_lab(checkout, "exit 7") == 7
    assert calls(checkout) == ["status", "up", "down"]


def test_it_keeps_a_lab_that_was_up(checkout: Path) -> None:
    (checkout / "is-up").touch()

    assert with_lab(checkout, "exit 7") == 7
    assert calls(checkout) == ["status"]


def test_it_repairs_a_lab_that_was_partly_up_and_keeps_it(checkout: Path) -> None:
    (checkout / "is-partly-up").touch()

    assert with_lab(checkout, "true") == 0
    assert calls(checkout) == ["status", "up"]


def test_a_lab_that_does_not_come_up_is_cleared_away_and_nothing_runs(checkout: Path) -> None:
    (checkout / "is-broken").touch()

    assert with_lab(checkout, "echo command >> calls") != 0
    assert calls(checkout) == ["status", "up", "down"]


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGTERM"])
def test_a_signal_takes_it_down_too(checkout: Path, name: str) -> None:
    process = subprocess.Popen(
        ["tools/with-lab", "sh", "-c", "echo ready; exec sleep 30"],
        cwd=checkout,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    # As a terminal does it: to the whole group.
    os.killpg(process.pid, getattr(signal, name))
    process.wait(timeout=20)
    process.stdout.close()

    assert process.returncode == 128 + getattr(signal, name)
    assert calls(checkout) == ["status", "up", "down"]


def test_without_a_command_it_says_how_it_is_used(checkout: Path) -> None:
    done = subprocess.run(["tools/with-lab"], cwd=checkout, check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith("tools/with-lab COMMAND")
    assert not (checkout / "calls").exists()

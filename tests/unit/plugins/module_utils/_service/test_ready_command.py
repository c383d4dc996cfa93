# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that tells whether a worker is ready."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Verdict
from ansible_collections.slipway.django.plugins.module_utils._release._environment import write_environment
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._service._ready_command import (
    Account,
    ReadyCommand,
    find_account,
    ready_argv,
    ready_environment,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_plan import wanted
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_slots import NEW

SHOP = Account("shop", 997, 996, "/srv/shop")
PATHS = ReleasePaths(f"/srv/shop/releases/{NEW}")
WORDS = ["venv/bin/celery", "-A", "config", "inspect", "ping", "-d", "worker-%i@app1"]
SECRET = "s3cr3t-broker"


def test_root_becomes_the_user_and_the_path_lies_in_the_release() -> None:
    assert ready_argv(WORDS, PATHS, "green", SHOP, euid=0) == [
        "setpriv",
        "--reuid=997",
        "--regid=996",
        "--init-groups",
        "--",
        f"/srv/shop/releases/{NEW}/venv/bin/celery",
        "-A",
        "config",
        "inspect",
        "ping",
        "-d",
        "worker-green@app1",
    ]


@pytest.mark.parametrize(
    ("word", "program"),
    [("/bin/true", "/bin/true"), ("celery", "celery"), ("src/ready", f"/srv/shop/releases/{NEW}/src/ready")],
)
def test_the_first_word(word: str, program: str) -> None:
    assert ready_argv([word], PATHS, "green", SHOP, euid=997) == [program]


def test_the_environment_is_the_units() -> None:
    environment = ready_environment({"DEBUG": "0", "SLIPWAY_SLOT": "wrong"}, PATHS, "green", 8002, SHOP)
    assert environment["PATH"].startswith(f"/srv/shop/releases/{NEW}/venv/bin:")
    assert {key: environment[key] for key in ("DEBUG", "HOME", "USER", "SLIPWAY_SLOT", "SLIPWAY_PORT")} == {
        "DEBUG": "0",
        "HOME": "/srv/shop",
        "USER": "shop",
        "SLIPWAY_SLOT": "green",
        "SLIPWAY_PORT": "8002",
    }
    assert "SLIPWAY_PORT" not in ready_environment({}, PATHS, "green", None, SHOP)


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(InvalidOption, match="user: 'no-such-user' is not accepted, expected a user of this host"):
        find_account("no-such-user")


@pytest.fixture
def command(tmp_path: Path) -> tuple[ReadyCommand, FakeRunner]:
    release = tmp_path / "releases" / NEW
    release.mkdir(parents=True)
    write_environment(str(release / "env"), {"BROKER_URL": f"redis://:{SECRET}@db1/0"})
    runner = FakeRunner()
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert user == getpass.getuser()
    call = wanted(kind="worker", root=str(tmp_path), user=user, ready_command=WORDS)
    return ReadyCommand(call, "green", runner), runner


def test_status_0_is_ready(command: tuple[ReadyCommand, FakeRunner]) -> None:
    ready, runner = command
    runner.on(answer=completed("pong"))
    assert ready.judge(10.0).verdict is Verdict.SUCCESS
    (call,) = runner.calls
    assert call.env["BROKER_URL"] == f"redis://:{SECRET}@db1/0"
    assert call.cwd is not None
    assert call.cwd.endswith(f"/releases/{NEW}/src")
    assert call.timeout_s == 10.0
    assert SECRET not in " ".join(call.argv)


def test_another_status_is_not_yet_and_says_no_secret(command: tuple[ReadyCommand, FakeRunner]) -> None:
    ready, runner = command
    runner.on(answer=completed(returncode=69, stderr=f"Traceback\nError: redis://:{SECRET}@db1/0 is down\n"))
    judgement = ready.judge(10.0)
    assert judgement.verdict is Verdict.RETRY
    assert judgement.reason == "the ready command ended with status 69 and said: Error: <BROKER_URL> is down"


def test_a_command_that_says_nothing_or_much(command: tuple[ReadyCommand, FakeRunner]) -> None:
    ready, runner = command
    runner.on(answer=completed(returncode=1))
    assert ready.judge(10.0).reason == "the ready command ended with status 1 and said: nothing"
    runner.on(answer=completed("x" * 5000, returncode=1))
    assert len(ready.judge(10.0).reason) < 400


def test_no_answer_in_time_is_not_yet(command: tuple[ReadyCommand, FakeRunner]) -> None:
    ready, runner = command
    runner.on(answer=TimedOut("celery did not end within 1 s and was killed"))
    assert ready.judge(-3.0).reason == "celery did not end within 1 s and was killed"
    assert runner.calls[0].timeout_s == 1.0


def test_a_command_that_is_not_there_is_an_error(command: tuple[ReadyCommand, FakeRunner]) -> None:
    ready, runner = command
    runner.on(answer=CommandFailed(["celery"], None, "No such file or directory"))
    with pytest.raises(CommandFailed, match="could not be started"):
        ready.judge(10.0)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from slipway_lab import process, site
from slipway_lab.cli import parser, table
from slipway_lab.engine import Container
from slipway_lab.errors import LabError
from slipway_lab.keys import Keys, archive
from slipway_lab.lab import HostStatus
from slipway_lab.locking import alone
from slipway_lab.settings import from_environment
from slipway_lab.talk import Talk


class Ticks:
    """A clock that goes one second further at each look."""

    def __init__(self) -> None:
        self.now = -1.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_step_is_told_with_its_time() -> None:
    stream = io.StringIO()
    talk = Talk(stream, Ticks())

    with talk.step("building"):
        talk.say("half")

    assert stream.getvalue().splitlines() == [
        "[   1.0 s] building",
        "[   3.0 s] half",
        "[   5.0 s] building: done in 2.0 s",
    ]


def test_a_failed_step_is_told_as_failed() -> None:
    stream = io.StringIO()

    with pytest.raises(LabError), Talk(stream, Ticks()).step("building"):
        raise LabError("no")

    assert stream.getvalue().splitlines()[-1] == "[   4.0 s] building: failed after 1.0 s"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo\n\n", "two"),
        ("", "nothing said yet"),
        (" \n", "nothing said yet"),
        ("x" * 300, "x" * 100),
        ("10 %\r20 %\r", "20 %"),
    ],
)
def test_the_last_line_that_says_something(text: str, line: str) -> None:
    assert process.last_line(text) == line


def test_a_failed_program_says_what_it_said() -> None:
    done = process.Completed(("podman", "network", "rm", "slipway"), 2, "", "Error: network is being used\n")

    with pytest.raises(
        LabError, match=r"podman network rm slipway … ended with status 2: Error: network is being used"
    ):
        done.check()


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(LabError, match="no-such-program is not installed"):
        process.run(["no-such-program"])


def test_what_is_laid_into_a_host_is_roots_and_the_key_is_secret(tmp_path: Path) -> None:
    keys = Keys(user=tmp_path / "deploy", host=tmp_path / "host")
    for path, text in {
        "deploy.pub": "ssh-ed25519 USER\n",
        "host": "PRIVATE\n",
        "host.pub": "ssh-ed25519 HOST\n",
    }.items():
        (tmp_path / path).write_text(text, encoding="utf-8")

    with tarfile.open(fileobj=io.BytesIO(archive(keys))) as tar:
        entries = {entry.name: (entry.mode, entry.uid) for entry in tar}
        user_key = tar.extractfile("authorized_keys/deploy")
        assert user_key is not None
        assert user_key.read() == b"ssh-ed25519 USER\n"

    assert entries == {
        "authorized_keys": (0o755, 0),
        "authorized_keys/deploy": (0o644, 0),
        "ssh_host_ed25519_key": (0o600, 0),
        "ssh_host_ed25519_key.pub": (0o644, 0),
    }


def test_a_packed_repository_belongs_to_nobody_here(tmp_path: Path) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")

    with tarfile.open(fileobj=io.BytesIO(site.pack(tmp_path))) as tar:
        assert sorted(entry.name for entry in tar) == [".", "./HEAD", "./refs"]
        assert {(entry.uid, entry.gid, entry.uname) for entry in tar} == {(0, 0, "root")}


def test_the_lock_is_gone_afterwards_and_can_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "slipway.lock"
    talk = Talk(io.StringIO())

    with alone(path, talk):
        assert path.exists()
    assert not path.exists()
    with alone(path, talk):
        pass


def test_a_lock_whose_file_was_removed_meanwhile_does_not_fail(tmp_path: Path) -> None:
    path = tmp_path / "slipway.lock"

    with alone(path, Talk(io.StringIO())):
        path.unlink()


def test_the_status_is_a_table() -> None:
    settings = from_environment({}, Path("/home/dev/slipway"))
    runs = Container("slipway-app1", "slipway", True, "running", "", "10.89.77.21", "2026-11-21T17:55:46.533968231Z")
    killed = Container("slipway-app2", "slipway", False, "exited", "", "", "2026-11-21T17:55:46.5Z")

    text = table(
        [
            HostStatus(settings.host("lb1"), None, ""),
            HostStatus(settings.host("app1"), runs, "degraded: shop-web@blue.service"),
            HostStatus(settings.host("app2"), killed, ""),
        ]
    )

    assert [re.split(r" {2,}", line) for line in text.splitlines()] == [
        ["HOST", "ADDRESS", "CONTAINER", "SYSTEMD", "SINCE", "GROUPS"],
        ["lb1", "10.89.77.10", "absent", "-", "-", "balancer"],
        [
            "app1",
            "10.89.77.21",
            "running",
            "degraded: shop-web@blue.service",
            "2026-11-21T17:55:46",
            "app,asgi,worker,beat",
        ],
        ["app2", "10.89.77.22", "exited", "-", "-", "app,asgi,worker"],
    ]


def test_a_command_with_options_of_its_own_is_passed_on() -> None:
    options = parser().parse_args(["exec", "app1", "--", "systemctl", "status", "--no-pager", "nginx"])

    assert (options.host, options.argv) == ("app1", ["systemctl", "status", "--no-pager", "nginx"])


@pytest.mark.parametrize("line", ["", "fly", "kill", "start", "exec app1", "site"])
def test_an_incomplete_command_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(line.split())

    assert ended.value.code == 2
    assert "usage: lab" in capsys.readouterr().err

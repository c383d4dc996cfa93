# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._release._processes import (
    Running,
    end_builders,
    running_releases,
)

RELEASE = "0123456789ab-01234567"
OTHER = "ba9876543210-76543210"
OWNER = 1001


class FakeProc:
    """A directory in the form of /proc."""

    def __init__(self, base: Path) -> None:
        self.path = base / "proc"
        self.releases = base / "srv/releases"
        self.releases.mkdir(parents=True)
        self.path.mkdir()
        (self.path / "uptime").write_text("1")

    def add(
        self,
        pid: int,
        *,
        name: str = "python3",
        uid: int = OWNER,
        readable: bool = True,
        cwd: str = "/",
        environ: str = "",
    ) -> None:
        directory = self.path / str(pid)
        directory.mkdir()
        (directory / "comm").write_text(f"{name}\n")
        (directory / "status").write_text(
            f"Name:\t{name}\nState:\tS (sleeping)\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmSize:\t 100 kB\n"
        )
        if readable:
            (directory / "cwd").symlink_to(cwd)
            (directory / "exe").symlink_to("/usr/bin/python3.11")
            (directory / "environ").write_text(environ)

    def running(self) -> Running:
        return running_releases(str(self.releases), proc=str(self.path), uid=OWNER)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_found_by_its_directory(proc: FakeProc) -> None:
    proc.add(10, name="gunicorn", cwd=f"{proc.releases}/{RELEASE}/src")
    proc.add(11, cwd=f"{proc.releases}/{RELEASE} (deleted)")
    assert proc.running() == Running({RELEASE: "process 10 (gunicorn)"})
    assert proc.running().reason(RELEASE) == "process 10 (gunicorn) runs from it"
    assert proc.running().reason(OTHER) is None


def test_found_by_its_environment(proc: FakeProc) -> None:
    proc.add(10, name="celery", environ=f"A=b\0SLIPWAY_STATIC_ROOT={proc.releases}/{RELEASE}/static\0C=d\0")
    proc.add(11, environ=f"NOT_SLIPWAY_STATIC_ROOT={proc.releases}/{OTHER}/static\0")
    proc.add(12, environ=f"SLIPWAY_STATIC_ROOT=/srv/elsewhere/releases/{OTHER}/static\0")
    assert proc.running().releases == {RELEASE: "process 10 (celery)"}


def test_a_process_that_can_not_be_looked_at_may_run_from_any_release(proc: FakeProc) -> None:
    proc.add(10, name="worker", readable=False)
    assert proc.running().reason(OTHER) == "process 10 (worker) can't be looked at and may run from it"


def test_the_first_process_is_no_part_of_a_release(proc: FakeProc) -> None:
    proc.add(1, name="init", readable=False)
    assert proc.running() == Running({})


def test_a_process_of_a_build_does_not_count(proc: FakeProc) -> None:
    environ = f"SLIPWAY_BUILD={proc.releases}/{RELEASE}\0SLIPWAY_STATIC_ROOT={proc.releases}/{RELEASE}/static\0"
    proc.add(10, cwd=f"{proc.releases}/{RELEASE}", environ=environ)
    assert proc.running() == Running({})


def test_only_what_builds_this_release_is_ended(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, _: killed.append(pid))
    proc.add(10, environ=f"A=b\0SLIPWAY_BUILD={proc.releases}/{RELEASE}\0")
    proc.add(11, environ=f"SLIPWAY_BUILD=/scratch/{RELEASE}\0")
    proc.add(12, cwd=f"{proc.releases}/{RELEASE}", environ=f"SLIPWAY_RELEASE={RELEASE}\0")
    proc.add(13, readable=False)
    assert end_builders(f"{proc.releases}/{RELEASE}", proc=str(proc.path)) == ["process 10 (python3)"]
    assert killed == [10]


@pytest.mark.parametrize(("name", "uid"), [("sshd", OWNER), ("(sd-pam)", OWNER), ("postgres", 7)])
def test_logins_and_other_users_do_not_count(proc: FakeProc, name: str, uid: int) -> None:
    proc.add(10, name=name, uid=uid, readable=False)
    assert proc.running() == Running({})


def test_a_process_that_has_ended_does_not_count(proc: FakeProc) -> None:
    (proc.path / "10").mkdir()
    assert proc.running() == Running({})


def test_a_zombie_does_not_count(proc: FakeProc) -> None:
    proc.add(10, readable=False)
    status = proc.path / "10/status"
    status.write_text(status.read_text().replace("VmSize:\t 100 kB\n", ""))
    assert proc.running() == Running({})


def test_a_real_process(tmp_path: Path) -> None:
    source = tmp_path / f"releases/{RELEASE}/src"
    source.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "releases")
    program = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=source, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = running_releases(str(tmp_path / "link"), uid=os.geteuid())
        process.communicate()
    assert str(process.pid) in found.releases[RELEASE]

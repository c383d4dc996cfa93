# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of long modules in real runs of Ansible, with a backup that takes some seconds."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import TOP, run_task
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(300),
]
TASK = "Take the backup"


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


@pytest.fixture(name="cluster")
def _cluster(server: Cluster) -> Cluster:
    server.fresh()
    return server


@pytest.fixture(name="jobs")
def _jobs(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def options(cluster: Cluster, tmp_path: Path, **values: Any) -> dict[str, Any]:
    return {
        "site": "shop",
        "database": "shop",
        "host": str(cluster.socket),
        "port": cluster.port,
        "user": "postgres",
        "directory": str(tmp_path / "backups"),
        "label": "first",
        **values,
    }


@contextlib.contextmanager
def locked(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """Lock the table, so that a dump waits until this is left or killed."""
    holder = subprocess.Popen(
        [cluster.bin / "psql", "-X", "-q", "-A", "-t", "-d", "shop"],
        env=cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write("BEGIN; LOCK TABLE orders; SELECT 'locked';\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "locked\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


@dataclass
class Play:
    """A running playbook, and its lines with the times at which they came."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip()))

    @property
    def text(self) -> str:
        return "\n".join(line for _at, line in self.lines)

    def await_line(self, pattern: str, seconds: float = 60) -> float:
        """Return when a line came that the pattern is found in."""
        deadline = time.monotonic() + seconds
        while True:
            for at, line in list(self.lines):
                if re.search(pattern, line):
                    return at
            assert time.monotonic() < deadline, f"no line {pattern} in:\n{self.text}"
            time.sleep(0.02)

    def end(self) -> str:
        self.process.wait(timeout=120)
        self._reader.join(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.text


@contextlib.contextmanager
def play(
    tmp_path: Path, jobs: Path, arguments: dict[str, Any], *, python: str = sys.executable, **task: Any
) -> Iterator[Play]:
    """Run one task on this machine."""
    book = tmp_path / "play.yml"
    step = {"name": TASK, "slipway.django.pg_backup": arguments, "register": "taken", **task}
    write = {
        "name": "Write the result",
        "ansible.builtin.copy": {"content": "{{ taken | to_json }}", "dest": str(tmp_path / "result"), "mode": "0600"},
    }
    book.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [step, write]}]))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
        "ANSIBLE_ASYNC_DIR": str(jobs),
        "ANSIBLE_NOCOLOR": "1",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("ansible-playbook"), "-i", "db1,", "-c", "local", book,
            "-e", f"ansible_python_interpreter={python}", "-e", f"ansible_async_dir={jobs}",
        ],
        env=environment, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    playing = Play(process)
    try:
        yield playing
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        playing.end()


def test_lines_while_it_runs(cluster: Cluster, tmp_path: Path, jobs: Path) -> None:
    with play(tmp_path, jobs, options(cluster, tmp_path)) as playing:
        with locked(cluster):
            playing.await_line(rf"TASK \[{TASK}\]")
            seen = playing.await_line(r"^db1: pg_backup: ")
            time.sleep(3)
        output = playing.end()
    ended = next(at for at, line in playing.lines if line.startswith("changed: [db1]"))
    assert ended - seen > 2, output
    result = json.loads((tmp_path / "result").read_text())
    assert result["changed"]
    assert result["backup"]["levels"][-1] == "schema"
    assert list(jobs.iterdir()) == []


def test_lines_arrive_as_events(cluster: Cluster, tmp_path: Path) -> None:
    # AWX runs playbooks by ansible-runner and shows what its events have as stdout.
    arguments = options(cluster, tmp_path)
    book = {"hosts": "all", "gather_facts": False, "tasks": [{"name": TASK, "slipway.django.pg_backup": arguments}]}
    for name, file, text in [("project", "backup.yml", json.dumps([book])), ("inventory", "hosts", "db1\n")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ansible-runner"), "run", tmp_path, "-p", "backup.yml", "--json",
         "--cmdline", f"-c local -e ansible_python_interpreter={sys.executable}"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    playing = Play(process)
    try:
        with locked(cluster):
            playing.await_line(r'"stdout": "db1: pg_backup: ')
            time.sleep(2)
        playing.end()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    events = [json.loads(line) for _at, line in playing.lines if line.startswith("{")]
    kinds = [one["event"] for one in events]
    shown = next(place for place, one in enumerate(events) if one["stdout"].startswith("db1: pg_backup: "))
    assert kinds.index("playbook_on_task_start") < shown < kinds.index("runner_on_ok"), playing.text
    assert [one["counter"] for one in events] == sorted(one["counter"] for one in events)
    assert (tmp_path / "artifacts").is_dir()


def test_the_result_is_the_modules_own(cluster: Cluster, tmp_path: Path) -> None:
    # A null is an option that was given: the plugin leaves such a task alone.
    arguments = options(cluster, tmp_path)
    assert run_task("pg_backup", arguments).succeeded()["changed"]
    as_job = run_task("pg_backup", arguments)
    alone = run_task("pg_backup", {**arguments, "progress_file": None})
    assert as_job.result == alone.result
    assert as_job.result["invocation"]["module_args"]["progress_file"] is None
    as_job = run_task("pg_backup", {**arguments, "database": "nonsense"})
    alone = run_task("pg_backup", {**arguments, "database": "nonsense", "progress_file": None})
    assert as_job.failed
    assert as_job.result == alone.result
    assert run_task("pg_backup", {**arguments, "no_such_option": 1}).msg.startswith("Unsupported parameters")


def test_the_job_is_killed(cluster: Cluster, tmp_path: Path, jobs: Path) -> None:
    with play(tmp_path, jobs, options(cluster, tmp_path), ignore_errors=True) as playing, locked(cluster):
        playing.await_line(r"^db1: pg_backup: ")
        (progress,) = jobs.glob("*.progress")
        os.kill(json.loads(progress.read_text())["pid"], signal.SIGKILL)
        playing.end()
    result = json.loads((tmp_path / "result").read_text())
    assert result["failed"]
    assert result["msg"].startswith("slipway.django.pg_backup ended without a result: it was killed or died. ")
    assert result["job"]["ansible_job_id"].startswith("j")
    assert list(jobs.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ansible_is_interrupted(cluster: Cluster, tmp_path: Path, jobs: Path, number: signal.Signals) -> None:
    with play(tmp_path, jobs, options(cluster, tmp_path)) as playing, locked(cluster):
        playing.await_line(r"^db1: pg_backup: ")
        (progress,) = jobs.glob("*.progress")
        pid = json.loads(progress.read_text())["pid"]
        playing.process.send_signal(number)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            assert time.monotonic() < deadline, f"the job goes on\n{playing.text}"
            time.sleep(0.05)
        playing.end()
    deadline = time.monotonic() + 20
    while cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway%'") != "0":
        assert time.monotonic() < deadline, "the dump goes on"
        time.sleep(0.05)
    backups = tmp_path / "backups"
    assert [path.name for path in backups.iterdir() if not path.name.endswith(".partial")] == []


def test_with_no_log_nothing_is_shown(cluster: Cluster, tmp_path: Path, jobs: Path) -> None:
    with play(tmp_path, jobs, options(cluster, tmp_path), no_log=True) as playing:
        with locked(cluster):
            playing.await_line(rf"TASK \[{TASK}\]")
            time.sleep(5)
        output = playing.end()
    assert "pg_backup:" not in output
    assert not jobs.exists()


def test_a_task_that_is_asynchronous_itself(cluster: Cluster, tmp_path: Path, jobs: Path) -> None:
    task: dict[str, Any] = {"async": 60, "poll": 1}
    with play(tmp_path, jobs, options(cluster, tmp_path), **task) as playing:
        output = playing.end()
    assert json.loads((tmp_path / "result").read_text())["backup"]["label"] == "first", output


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/usr/bin/python3").exists(), reason="becomes another user")
def test_as_another_user(cluster: Cluster, tmp_path: Path) -> None:
    directory = cluster.socket / "backups"
    arguments = {**options(cluster, tmp_path, directory=str(directory)), "user": None}
    become = {"become": True, "become_user": "postgres", "become_method": "ansible.builtin.su"}
    # In the home of that user, where Ansible itself puts jobs.
    jobs = Path("~/.ansible_async")
    with play(tmp_path, jobs, arguments, python="/usr/bin/python3", **become) as playing:
        with locked(cluster):
            playing.await_line(r"^db1: pg_backup: |^fatal")
        output = playing.end()
    assert "db1: pg_backup: " in output
    result = json.loads((tmp_path / "result").read_text())
    assert result["changed"], output
    assert Path(result["backup"]["path"]).owner() == "postgres"

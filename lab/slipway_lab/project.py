# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's project in the lab, and the literal ``ansible-playbook deploy.yml -i prod`` in it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import LabError
from .fleet import DOMAIN, FLAGS, HEALTH, UPSTREAMS
from .lab import Lab
from .settings import Settings

_PLAY = re.compile(r"^PLAY \[(?P<name>.*?)\] \*+$")
_BY_NGINX = f"""---
balancer_driver: nginx_flag
balancer_nginx_flag:
  file: {UPSTREAMS}
  directory: {FLAGS}
  health: {{path: {HEALTH}, host: {DOMAIN}}}
maintenance_driver: nginx_flag
"""
_RECAP = re.compile(r"^PLAY RECAP \*+$")
LIMIT_S = 1800.0
"""No run of a playbook in the lab takes longer; one that does is killed and is a failure."""


@dataclass(frozen=True)
class Line:
    """One line of a run's output, and when it came: seconds after the start."""

    at: float
    text: str


@dataclass(frozen=True)
class Run:
    """A run of a playbook that has ended, whatever its status."""

    argv: tuple[str, ...]
    rc: int
    """Its exit status; negative: the signal that ended it."""
    lines: tuple[Line, ...]
    seconds: float
    log: Path | None
    """The newest deployment log that this run has written, a folder."""

    @property
    def text(self) -> str:
        """All that it printed."""
        return "\n".join(line.text for line in self.lines)

    @property
    def plays(self) -> dict[str, float]:
        """Seconds of each play, in order; the batches of a play with ``serial`` are added up."""
        return play_seconds(self.lines, self.seconds)

    def check(self) -> Run:
        """Return self after status 0.

        :raises LabError: after any other status, with the end of the output.
        """
        if self.rc != 0:
            tail = "\n".join(line.text for line in self.lines[-30:])
            raise LabError(f"{' '.join(self.argv)} ended with status {self.rc}:\n{tail}")
        return self


def play_seconds(lines: Sequence[Line], whole: float) -> dict[str, float]:
    """Add up the time of each play by its headings in the output. Pure."""
    marks = [(line.at, found) for line in lines if (found := _heading(line.text)) is not None]
    seconds: dict[str, float] = {}
    for (begun, name), (ended, _) in zip(marks, [*marks[1:], (whole, "")], strict=True):
        if name:
            seconds[name] = round(seconds.get(name, 0.0) + ended - begun, 1)
    return seconds


def _heading(text: str) -> str | None:
    """The name of the play that begins with this line; empty where the plays end; None in between."""
    if _RECAP.match(text):
        return ""
    found = _PLAY.match(text)
    return found["name"] if found else None


def controller_environment(
    settings: Settings, environ: Mapping[str, str], *, host_starts: bool = False
) -> dict[str, str]:
    """What ansible-playbook finds in its environment: the checkout's tools and collection, nobody else's Ansible."""
    kept = {name: value for name, value in environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "PATH": f"{settings.checkout / '.venv' / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "ANSIBLE_COLLECTIONS_PATH": str(settings.checkout / ".cache" / "collections"),
        "ANSIBLE_HOME": str(settings.state / "ansible"),
        **({"ANSIBLE_SHOW_PER_HOST_START": "1"} if host_starts else {}),
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


class Running:
    """A playbook under way: its output is read as it comes, and it can be killed at an exact moment."""

    def __init__(self, argv: Sequence[str], folder: Path, env: Mapping[str, str], *, echo: bool) -> None:
        self._argv = tuple(argv)
        self._folder = folder
        self._echo = echo
        self._lines: list[Line] = []
        self._more = threading.Condition()
        self._ended = False
        self._begun = time.monotonic()
        self._begun_at = time.time()
        # A session of its own: Ctrl-C reaches us first, and the whole controller can be killed at once.
        self._process = subprocess.Popen(
            self._argv,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave no controller behind: one that still runs is killed."""
        if self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        """The controller's process id, which is its process group's too."""
        return self._process.pid

    def _read(self, source: IO[bytes]) -> None:
        with source:
            for raw in source:
                text = raw.decode("utf-8", errors="replace").rstrip("\n")
                if self._echo:
                    print(text, flush=True)
                with self._more:
                    self._lines.append(Line(time.monotonic() - self._begun, text))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def wait_for_output(self, pattern: str, timeout_s: float = 600, *, since: float = 0.0) -> Line:
        """Wait until a line matches, of those that came ``since`` so many seconds after the start.

        :raises LabError: the run ended, or the time was over, without such a line.
        """
        wanted, seen, deadline = re.compile(pattern), 0, time.monotonic() + timeout_s
        with self._more:
            while True:
                for line in self._lines[seen:]:
                    if line.at >= since and wanted.search(line.text):
                        return line
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "ended" if self._ended else f"printed for {timeout_s:g} s"
                    tail = "\n".join(line.text for line in self._lines[-20:])
                    raise LabError(f"the run {why} without a line that matches {pattern!r}; its last lines:\n{tail}")
                self._more.wait(timeout=left)

    def wait_for_task(self, task: str, host: str, timeout_s: float = 600, *, since: float = 0.0) -> Line:
        """Wait until a task starts on a host; its role's name may stand before it. Needs ``host_starts``."""
        return self.wait_for_output(task_start_pattern(task, host), timeout_s, since=since)

    def kill(self) -> Run:
        """End the controller at once, as a power cut would: with SIGKILL, its forked workers too."""
        # Ansible's workers put themselves into sessions of their own, so that the group alone would leave them.
        killed = (self._process.pid, *descendants(self._process.pid))
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run = self._finish(10)
        # The signal is taken when the kernel next lets the process run: on a loaded machine that is a moment later.
        patience = time.monotonic() + 10
        while any(runs(pid) for pid in killed):
            if time.monotonic() > patience:
                raise LabError(f"of the processes {', '.join(map(str, killed))} some outlived SIGKILL by 10 s")
            time.sleep(0.01)  # Of processes that are no children of ours nothing else tells their end.
        return run

    def kill_main(self) -> Run:
        """End only the main process with SIGKILL; the workers under way end their task."""
        self._process.kill()
        return self._finish(60)

    def interrupt(self) -> None:
        """Send the controller's group what Ctrl-C sends."""
        os.killpg(self._process.pid, signal.SIGINT)

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float = LIMIT_S) -> Run:
        """Wait for the end.

        :raises LabError: it did not end within its time; it was killed.
        """
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            tail = "\n".join(line.text for line in self.kill().lines[-20:])
            raise LabError(
                f"{' '.join(self._argv)} did not end within {timeout_s:g} s; its last lines:\n{tail}"
            ) from None
        return self._finish(10)

    def _finish(self, patience_s: float) -> Run:
        rc = self._process.wait(timeout=patience_s)
        # A process that outlives the controller may hold the pipe: what it says then is nobody's output.
        self._reader.join(timeout=patience_s)
        seconds = time.monotonic() - self._begun
        with self._more:
            lines = tuple(self._lines)
        return Run(self._argv, rc, lines, seconds, newest_log(self._folder / "log", self._begun_at))


def task_start_pattern(task: str, host: str) -> str:
    """What the default callback prints when a task starts on a host."""
    return rf"\[started TASK: (?:[\w. ]+ : )?{re.escape(task)} on {re.escape(host)}\]"


def runs(pid: int) -> bool:
    """Whether this process has not ended; one that only waits to be reaped has."""
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return False
    return fields.split()[0] not in "ZX"


def descendants(pid: int) -> tuple[int, ...]:
    """The processes below one, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The command's name stands in brackets and may hold anything.
                fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return tuple(found)


def newest_log(folder: Path, since: float) -> Path | None:
    """The folder of the deployment log that was written last, if that was after the given time."""
    written = [(path.stat().st_mtime, path.parent) for path in folder.rglob("events.jsonl")]
    recent = [entry for entry in written if entry[0] >= since - 1]
    return max(recent)[1] if recent else None


class Project:
    """What a user of the collection has: a copy of ``examples/site`` with an inventory of the lab's hosts."""

    def __init__(self, lab: Lab, settings: Settings, path: Path | None = None) -> None:
        self._lab = lab
        self._settings = settings
        self.path = path or settings.state / "project"

    def make(self) -> Project:
        """Make the project anew; the logs of earlier runs stay."""
        checkout, prod = self._settings.checkout, self.path / "prod"
        shutil.rmtree(prod, ignore_errors=True)
        shutil.copytree(checkout / "examples" / "site", self.path, dirs_exist_ok=True)
        shutil.rmtree(prod)
        prod.mkdir()
        shutil.copy2(self._lab.inventory(), prod / "hosts")
        shutil.copytree(checkout / "inventories" / "lab" / "group_vars", prod / "group_vars")
        if self._settings.balancer == "nginx_flag":
            (prod / "group_vars" / "all" / "balancer.yml").write_text(_BY_NGINX, encoding="utf-8")
        return self

    def argv(
        self,
        playbook: str = "deploy.yml",
        *,
        extra: Mapping[str, str] | None = None,
        check: bool = False,
        verbosity: int = 0,
        arguments: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """The command that a person would type in the project's folder."""
        values = [part for name, value in (extra or {}).items() for part in ("-e", f"{name}={value}")]
        checking = ["--check", "--diff"] if check else []
        loud = [f"-{'v' * verbosity}"] if verbosity else []
        return ("ansible-playbook", playbook, "-i", "prod", *values, *checking, *loud, *arguments)

    def start(
        self,
        playbook: str = "deploy.yml",
        *,
        extra: Mapping[str, str] | None = None,
        check: bool = False,
        verbosity: int = 0,
        arguments: Sequence[str] = (),
        echo: bool = False,
        host_starts: bool = True,
    ) -> Running:
        """Run a playbook in the background.

        :param host_starts: have Ansible print when a task starts on each host, for ``wait_for_task``.
        """
        argv = self.argv(playbook, extra=extra, check=check, verbosity=verbosity, arguments=arguments)
        env = controller_environment(self._settings, os.environ, host_starts=host_starts)
        if shutil.which(argv[0], path=env["PATH"]) is None:
            raise LabError("there is no ansible-playbook in .venv; `make venv` makes it")
        return Running(argv, self.path, env, echo=echo)

    def run(
        self,
        playbook: str = "deploy.yml",
        *,
        extra: Mapping[str, str] | None = None,
        check: bool = False,
        verbosity: int = 0,
        arguments: Sequence[str] = (),
        timeout_s: float = LIMIT_S,
    ) -> Run:
        """Run a playbook in the foreground, its output streamed to standard output, whatever its status."""
        with self.start(
            playbook, extra=extra, check=check, verbosity=verbosity, arguments=arguments, echo=True, host_starts=False
        ) as running:
            return running.wait(timeout_s)

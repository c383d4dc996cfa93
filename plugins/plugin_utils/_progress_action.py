# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a long module as an asynchronous job and shows how far it is; what the task returns is the module's own result.

The module is run as without this plugin in check mode, under C(async), under C(no_log), when a secret is among the
options (a job's options lie in a file on the host while it runs, those of a pipelined module don't), and where the host
can't run jobs.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from types import FrameType
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Step, in_words, parse, pid_of

# A job ends by its own deadline; this one is for a job that does not.
_GRACE_S = 60
_LOST_S = 60.0
# A short run is not made longer by the wait for its end; a long one is not disturbed.
_FIRST_S = 0.3
_LONGEST_S = 3.0
# The first look at the file of the progress: a short run has none.
_LOOK_AFTER_S = 1.5


def waits() -> Iterator[float]:
    """Seconds between two looks: short at first."""
    wait = _FIRST_S
    while True:
        yield wait
        wait = min(_LONGEST_S, wait * 1.5)


@dataclass
class Lines:
    """Which lines are worth showing: each new phase, else ever fewer of them."""

    gap_s: float = 2.0
    _phase: str | None = None
    _begun_s: float = 0.0
    _begun_at: int = 0
    _shown: str = ""
    _next_s: float = 0.0

    def line(self, step: Step, now: float) -> str | None:
        """Return what is to be shown now, or None."""
        new = step.phase != self._phase
        if new:
            self._phase, self._begun_s, self._begun_at = step.phase, now, step.done
            self.gap_s = 2.0
        text = in_words(step, now - self._begun_s, self._begun_at)
        if text == self._shown or not (new or now >= self._next_s):
            return None
        self._shown, self._next_s = text, now + self.gap_s
        self.gap_s = min(60.0, self.gap_s * 1.3)
        return text


LEAVES = (
    "What it leaves looks like no backup and like no restored database. Run it again: it removes what is left of this "
    "one."
)


def own_result(data: Mapping[str, Any], name: str, leaves: str = LEAVES) -> dict[str, Any]:
    """Return the module's result as it would be without a job, or a failure when the job ended without one."""
    result = dict(data)
    about_job = {
        key: result.pop(key) for key in ("finished", "started", "ansible_job_id", "results_file") if key in data
    }
    arguments = result.get("invocation", {}).get("module_args")
    # Up to ansible-core 2.18 a result without options of its own comes with those of the question for it.
    if arguments is not None and "_async_dir" not in arguments:
        result["invocation"] = {**result["invocation"], "module_args": {**arguments, "progress_file": None}}
        return result
    if result.get("failed") and "exception" in result and "data" not in result:
        return result
    return {
        "failed": True,
        "changed": False,
        "msg": f"{name} ended without a result: {_why(result)}. {leaves}",
        "job": about_job,
        "job_output": str(result.get("data") or result.get("outdata") or "")[-2000:],
        "job_stderr": str(result.get("stderr") or "")[-2000:],
    }


def _why(result: Mapping[str, Any]) -> str:
    said = str(result.get("msg") or "")
    if said == "Timeout exceeded":
        return "it did not end by its own deadline and was killed"
    if said == "could not find job":
        return "the host does not know of it any more, it may have been restarted"
    return "it was killed or died"


class Interrupted(BaseException):
    """Ansible was told to end."""


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Within, a signal to end is an exception; behind, what Ansible itself does about it happens.

    Yields a list that holds the signal.
    """
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if not seen:
            seen.append(number)
            raise Interrupted

    before: dict[int, Any] = {}
    # Not in the main thread: nothing can be done, and Ansible does it as it always did.
    with suppress(ValueError):
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, note)
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in seen:
            os.kill(os.getpid(), number)


@dataclass(frozen=True)
class Job:
    """A job on a host."""

    id: str
    directory: str
    progress_file: str


class ProgressAction(ActionBase):
    """The base of the action plugins of long modules."""

    # The module's name, and the limit that it has when the task gives none.
    MODULE = ""
    TIMEOUT_S = 3600.0
    # What is there after a job that was killed, and what to do.
    LEAVES = LEAVES
    # Options that must not lie in a file.
    SECRETS: tuple[str, ...] = ()

    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        limit = self._limit()
        job = None if limit is None else self._start(limit, task_vars)
        own = self._plainly(task_vars) if job is None else self._follow(job, int(limit or 0), task_vars)
        return {**result, **own}

    def _limit(self) -> int | None:
        """Seconds after which the job is killed; None when the module is to be run without one."""
        task = self._task
        arguments = task.args
        if task.check_mode or task.async_val or task.no_log or self._connection.has_native_async:
            return None
        if self._connection.always_pipeline_modules or getattr(self._connection, "_remote_is_local", False):
            return None
        if "progress_file" in arguments or any(arguments.get(name) for name in self.SECRETS):
            return None
        try:
            return int(float(arguments.get("timeout") or self.TIMEOUT_S)) + _GRACE_S
        except (TypeError, ValueError, OverflowError):
            # The module says better than we could what it accepts.
            return None

    def _plainly(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        asynchronous = self._task.async_val and not self._connection.has_native_async
        result: dict[str, Any] = self._execute_module(
            module_name=self.MODULE, task_vars=task_vars, wrap_async=asynchronous
        )
        if not asynchronous:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _start(self, limit: int, task_vars: dict[str, Any] | None) -> Job | None:
        """Begin the job; None when this user of this host can't have one, and nothing was begun."""
        directory = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        progress_file = self._connection._shell.join_path(directory, f"{secrets.token_hex(8)}.progress")
        # Ansible takes the limit of a job from the task. Seeing it afterwards, it would wait for the job itself.
        self._task.async_val = limit
        try:
            started = self._execute_module(
                module_name=self.MODULE,
                module_args={**self._task.args, "progress_file": progress_file},
                task_vars=task_vars,
                wrap_async=True,
            )
        except AnsibleConnectionFailure:
            raise
        except AnsibleError as error:
            # An unprivileged user that becomes another one needs pipelining, which a job can't have, or access lists.
            if "temporary files" not in str(error):
                raise
            self._display.vvv(f"{self.MODULE}: no job and no progress, {error}")
            return None
        finally:
            self._task.async_val = 0
        if "ansible_job_id" not in started or "results_file" not in started:
            raise AnsibleError(f"{self.MODULE} could not be started as a job: {started.get('msg', started)}")
        return Job(started["ansible_job_id"], os.path.dirname(started["results_file"]), progress_file)

    def _follow(self, job: Job, limit: int, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        watch = _Watch(self, job, task_vars)
        with _interruptible() as signals:
            try:
                data = watch.until_finished(limit)
            except BaseException as error:
                # A lost connection is no reason to end what runs well; a signal, a dead Ansible, a task's limit are.
                if signals or not isinstance(error, AnsibleError):
                    watch.stop()
                if isinstance(error, Interrupted):
                    return {"failed": True, "msg": f"{self.MODULE} was interrupted"}
                raise
        watch.tidy()
        return own_result(data, self.MODULE, self.LEAVES)

    def on_host(self, module: str, arguments: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run one of Ansible's own modules."""
        result: dict[str, Any] = self._execute_module(
            module_name=f"ansible.legacy.{module}", module_args=dict(arguments), task_vars=task_vars
        )
        return result

    def forget(self, *paths: str) -> None:
        """Remove files on the host."""
        shell = self._connection._shell
        self._low_level_execute_command(reduce(shell.append_command, [shell.remove(path) for path in paths]))

    def show(self, text: str, task_vars: Mapping[str, Any] | None) -> None:
        """Print a line now, while the task runs."""
        host = (task_vars or {}).get("inventory_hostname", "")
        self._display.display(f"{host}: {self.MODULE.rpartition('.')[2]}: {text}")

    def reconnect(self) -> None:
        """Have the next command make a new connection."""
        with suppress(AnsibleError, AttributeError):
            self._connection.reset()


class _Watch:
    """One job, as it is seen from the controller."""

    def __init__(
        self,
        action: ProgressAction,
        job: Job,
        task_vars: dict[str, Any] | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        parent: Callable[[], int] = os.getppid,
    ) -> None:
        self._action = action
        self._job = job
        self._task_vars = task_vars
        self._monotonic = monotonic
        self._sleep = sleep
        self._parent = parent
        self._lines = Lines()
        self._pid: int | None = None

    def until_finished(self, limit: int) -> dict[str, Any]:
        """Show the progress until the job has ended, and return what it left.

        :raises Interrupted: Ansible is not there any more.
        :raises AnsibleError: it could not be asked for longer than a minute, or is there still long after its limit.
        """
        begun = answered = self._monotonic()
        ansible = self._parent()
        for wait in waits():
            self._sleep(wait)
            if self._parent() != ansible:
                # Killed in a way that it could not pass on: nobody waits for the result.
                raise Interrupted
            now = self._monotonic()
            try:
                status = self._action.on_host(
                    "async_status", {"jid": self._job.id, "_async_dir": self._job.directory}, self._task_vars
                )
                if status.get("finished") or status.get("ansible_job_id") is None:
                    return status
                answered = now
                if now - begun >= _LOOK_AFTER_S:
                    self._look(now)
            except AnsibleConnectionFailure:
                if now - answered > _LOST_S:
                    raise
                self._action.reconnect()
            if now - begun > limit + _GRACE_S:
                break
        raise AnsibleError(f"The job {self._job.id} is there still, {limit + _GRACE_S} s after it was started")

    def _look(self, now: float) -> None:
        text = self._read(self._job.progress_file)
        step = None if text is None else parse(text)
        if text is None or step is None:
            return
        self._pid = pid_of(text) or self._pid
        line = self._lines.line(step, now)
        if line is not None:
            self._action.show(line, self._task_vars)

    def _read(self, path: str) -> str | None:
        found = self._action.on_host("slurp", {"src": path}, self._task_vars)
        if found.get("failed") or "content" not in found:
            return None
        return base64.b64decode(found["content"]).decode("utf-8", "replace")

    def stop(self) -> None:
        """End the job: as Ctrl-C would, so that it tidies up. Trouble with it hides no other."""
        with suppress(Exception):
            if self._pid is None:
                self._pid = pid_of(self._read(self._job.progress_file) or "")
            name = self._action.MODULE.rpartition(".")[2]
            # A process of the same number could be another one by now.
            if self._pid is None or name not in (self._read(f"/proc/{self._pid}/cmdline") or ""):
                self._action.show("interrupted; the job could not be found and may still run", self._task_vars)
                return
            done = self._action.on_host("command", {"argv": ["kill", "-s", "INT", str(self._pid)]}, self._task_vars)
            ended = "ended" if done.get("rc") == 0 else f"not ended: {done.get('msg') or done.get('stderr')}"
            self._action.show(f"interrupted; the job on the host was {ended}", self._task_vars)
            self._action.forget(self._job.progress_file)

    def tidy(self) -> None:
        """Remove what the job left on the host."""
        for path in (
            self._job.progress_file,
            self._action._connection._shell.join_path(self._job.directory, self._job.id),
        ):
            self._action.forget(path)

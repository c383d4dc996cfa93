# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: a list of arguments, never a shell; a deadline, always."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, TimedOut

# prctl(2): the signal that the kernel sends to this process when its parent dies.
_PR_SET_PDEATHSIG = 1
# Looked up here and not between fork and exec: a thread of the gate might hold the loader's lock at that moment.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


@dataclass(frozen=True)
class Completed:
    """A program that has ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self, *, remedy: str = "", untouched: str = "") -> Completed:
        """Return self after status 0.

        :raises CommandFailed: after any other status.
        """
        if self.returncode != 0:
            raise CommandFailed(self.argv, self.returncode, self.stderr, remedy=remedy, untouched=untouched)
        return self


class Runner(Protocol):
    """Runs programs. Tests give their own."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run to the end and return its status and output, whatever the status is.

        :param env: added to the environment of this process. Secrets go here or to ``stdin``.
        :raises CommandFailed: it can't be started.
        :raises TimedOut: the deadline passed; the whole process group was killed.
        """


def _die_with_parent() -> None:
    # A killed module must leave no work behind (a dump without its parent ran on for minutes).
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class SystemRunner:
    """Runs programs on this machine, in a process group of their own that dies with us."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                cwd=cwd,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise CommandFailed(argv, None, str(error)) from error
        try:
            stdout, stderr = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            raise TimedOut(
                f"{' '.join(list(argv)[:6])} did not end within {timeout_s:g} s and was killed",
                facts={"command": list(argv), "timeout_s": timeout_s, "stderr": stderr.strip()[-2000:]},
            ) from error
        return Completed(tuple(argv), process.returncode, stdout, stderr)


@contextmanager
def writing(
    argv: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes], env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program whose output is too large to be held: it writes into a file.

    It runs in a process group that dies with us, and is killed when the block is left before it has ended.

    :param stderr: a file for its messages: a pipe that nobody reads would stop it.
    :raises CommandFailed: it can't be started.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise CommandFailed(argv, None, str(error)) from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def conversing(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program that is spoken to over its standard input and answers while it runs: all three are pipes.

    It runs in a process group that dies with us, and is killed when the block is left before it has ended.

    :raises CommandFailed: it can't be started.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise CommandFailed(argv, None, str(error)) from error
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            # What could not be written any more to one that has ended is of no interest.
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # all three are pipes

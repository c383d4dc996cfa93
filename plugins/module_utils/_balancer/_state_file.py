# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancer is to remember over its restart, and the lock between two who change it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

_LOCK_LIMIT_S = 15.0


class StateFile:
    """The file that a fresh balancer process reads. Without a path nothing is kept."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def require_writable(self) -> None:
        """Return when the file could be replaced.

        :raises Refused: it could not.
        """
        if self._path is None:
            return
        directory = os.path.dirname(self._path)
        if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
            raise Refused(
                f"The state file {self._path} can't be written: this user may not make files in {directory}",
                untouched="Nothing was changed",
                remedy="Make the directory and give it to the user that runs this task, or name another state_file",
                facts={"state_file": self._path},
            )

    def write(self, data: bytes) -> None:
        """Replace the content in one step.

        :raises SlipwayError: it could not be written.
        """
        if self._path is None:
            return
        try:
            # HAProxy reads it as root, before it gives up its rights.
            write_atomic(self._path, data, mode=0o640)
        except OSError as error:
            raise SlipwayError(
                f"The state file {self._path} could not be written: {error}",
                untouched="It holds what it held before",
                remedy="See the disk space and the rights of its directory",
                facts={"state_file": self._path},
            ) from error


@contextmanager
def directory_lock(path: str | None, clock: Clock) -> Iterator[None]:
    """Hold a lock on a directory: it leaves no file behind, and ends with the process.

    :param path: None locks nothing.
    :raises SlipwayError: the directory can't be read, or somebody held the lock all the time.
    """
    if path is None:
        yield
        return
    descriptor = _open(path)
    try:
        outcome = poll(
            lambda: _try_lock(descriptor), _judge_lock, clock=clock, interval_s=0.05, timeout_s=_LOCK_LIMIT_S
        )
        if outcome.timed_out:
            raise TimedOut(
                f"Another task has held the lock on {path} for {_LOCK_LIMIT_S:g} s",
                untouched="Nothing was changed",
                remedy=f"See who changes this balancer now (fuser -v {path})",
                facts={"directory": path},
            )
        yield
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(
            f"The directory {path} can't be opened to lock it against a second drain: {error.strerror}",
            untouched="Nothing was changed",
            remedy="See the socket's path, and let the user that runs this task read its directory",
            facts={"directory": path},
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _judge_lock(held: bool) -> Judgement:
    return Judgement(Verdict.SUCCESS if held else Verdict.RETRY, "")

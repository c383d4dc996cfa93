# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that needs no file of its own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll


@contextmanager
def directory_lock(path: str | None, clock: Clock, *, timeout_s: float) -> Iterator[None]:
    """Hold a lock on a directory: it leaves nothing behind and ends with this process, however that ends.

    :param path: None locks nothing.
    :param timeout_s: how long to wait for another one who holds it.
    :raises SlipwayError: the directory can't be read, or somebody held the lock all the time.
    """
    if path is None:
        yield
        return
    descriptor = _open(path)
    try:
        outcome = poll(lambda: _try(descriptor), _judge, clock=clock, interval_s=0.05, timeout_s=timeout_s)
        if outcome.timed_out:
            raise TimedOut(
                f"Another task has held the lock on {path} for {timeout_s:g} s",
                untouched="Nothing was changed",
                remedy=f"See who works there (fuser -v {path}) and let it end",
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
            f"The directory {path} can't be opened to keep a second task out: {error.strerror}",
            untouched="Nothing was changed",
            remedy="See its name, and let the user that runs this task read it",
            facts={"directory": path},
        ) from error


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _judge(held: bool) -> Judgement:
    return Judgement(Verdict.SUCCESS if held else Verdict.RETRY, "")

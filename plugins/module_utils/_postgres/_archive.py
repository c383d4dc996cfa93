# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive file: written and digested as it comes, then read back and verified."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Protocol, cast

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._files import sha256_file
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import streaming

_BLOCK = 1 << 20
_LOOK_AT_SPACE_EVERY = 64 << 20


class NoSpace(SlipwayError):
    """The volume of the backups is full, or would be."""


@dataclass(frozen=True)
class Written:
    """An archive that was written whole."""

    bytes: int
    sha256: str
    messages: str


class Dumper(Protocol):
    """Runs a program and keeps its output."""

    def dump(self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float) -> Written:
        """Write the program's output to a new file, durably.

        :raises CommandFailed: it ended with another status than 0.
        :raises NoSpace: the volume is full, or nearly.
        :raises TimedOut: the deadline passed; the program was killed.
        """


def reserve(path: str) -> int:
    """Return how many bytes a backup leaves free: a full volume may be the database's own."""
    volume = os.statvfs(path)
    return min(1 << 30, volume.f_blocks * volume.f_frsize // 50)


def free(path: str) -> int:
    """Return how many bytes this user may still write."""
    volume = os.statvfs(path)
    return volume.f_bavail * volume.f_frsize


class SystemDumper:
    """Runs the program on this machine."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def dump(self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float) -> Written:
        deadline = self._clock.monotonic() + timeout_s
        digest = hashlib.sha256()
        # O_EXCL by mode x: an archive is never written over another one. Without a buffer nothing is left to be written
        # when it is closed, which on a full disk would fail once more and hide the first error.
        with tempfile.TemporaryFile() as messages, open(path, "xb", buffering=0) as target:
            os.fchmod(target.fileno(), 0o600)
            with streaming(argv, stderr=messages, env=env) as process:
                output = cast("IO[bytes]", process.stdout)  # a pipe, as streaming() says
                size = self._copy(output, target, digest, argv, deadline)
                returncode = self._wait(process, argv, deadline)
            text = _text(messages)
            if returncode != 0:
                raise CommandFailed(argv, returncode, text)
            _flush(target)
        return Written(size, digest.hexdigest(), text)

    def _wait(self, process: subprocess.Popen[bytes], argv: Sequence[str], deadline: float) -> int:
        try:
            return process.wait(timeout=max(1.0, deadline - self._clock.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{argv[0]} closed its output and did not end before its deadline") from error

    def _copy(
        self, source: IO[bytes], target: IO[bytes], digest: hashlib._Hash, argv: Sequence[str], deadline: float
    ) -> int:
        size = 0
        looked_at = 0
        least = reserve(os.path.dirname(target.name))
        while True:
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0 or not select.select([source], [], [], remaining)[0]:
                raise TimedOut(f"{argv[0]} had not ended at its deadline and was killed", facts={"bytes": size})
            block = os.read(source.fileno(), _BLOCK)
            if not block:
                return size
            digest.update(block)
            _write(target, block)
            size += len(block)
            if size - looked_at >= _LOOK_AT_SPACE_EVERY:
                looked_at = size
                if free(os.path.dirname(target.name)) < least:
                    raise NoSpace(
                        f"After {size} bytes fewer than {least} bytes are free in {os.path.dirname(target.name)}"
                    )


def _write(target: IO[bytes], block: bytes) -> None:
    rest = memoryview(block)
    try:
        while rest:
            rest = rest[target.write(rest) :]
    except OSError as error:
        raise NoSpace(f"The archive {target.name} can't be written: {error.strerror}") from error


def _flush(target: IO[bytes]) -> None:
    """Make it durable, and forget it, so that reading it back asks the disk."""
    try:
        os.fsync(target.fileno())
    except OSError as error:
        raise NoSpace(f"The archive {target.name} can't be written: {error.strerror}") from error
    os.posix_fadvise(target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _text(messages: IO[bytes]) -> str:
    messages.seek(0)
    return messages.read().decode("utf-8", "replace").strip()


class Damaged(SlipwayError):
    """An archive is not what was written."""


def require_digest(path: str, size: int, sha256: str, *, untouched: str, remedy: str) -> None:
    """Read the archive and return when it is the one that was written.

    No program of PostgreSQL does this: `pg_restore` read 56 of 60 flipped zstd archives without a word.

    :raises Damaged: it is not.
    """
    try:
        seen_size = os.stat(path).st_size
        seen = sha256_file(path) if seen_size == size else ""
    except OSError as error:
        raise Damaged(
            f"The archive {path} can't be read: {error.strerror}", untouched=untouched, remedy=remedy
        ) from error
    if seen != sha256:
        raise Damaged(
            f"The archive {path} is damaged: expected {size} bytes with SHA-256 {sha256}, found {seen_size} bytes"
            + (f" with {seen}" if seen else ""),
            untouched=untouched,
            remedy=remedy,
            facts={"path": path, "expected_sha256": sha256, "seen_sha256": seen, "seen_bytes": seen_size},
        )

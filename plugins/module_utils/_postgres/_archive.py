# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what writes an archive: through us and digested as it comes, or, with several jobs, into a directory."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import digested, file_row
from ansible_collections.slipway.django.plugins.module_utils._process import streaming

_BLOCK = 1 << 20
_LOOK_AT_SPACE_EVERY = 64 << 20
_LOOK_AT_DIRECTORY_EVERY_S = 0.5
# pg_dump writes 4 KiB at a time, and who waits for each of them costs both sides a wake-up. The pipe holds what comes
# meanwhile.
_LET_IT_GATHER_S = 0.01
Tell = Callable[[int], None]


def _nobody(_bytes: int) -> None:
    """Told when nobody wants to know."""


class NoSpace(SlipwayError):
    """The volume of the backups is full, or would be."""


@dataclass(frozen=True)
class Written:
    """An archive that was written whole. ``files`` are as the manifest has them."""

    files: list[dict[str, Any]]
    messages: str

    @property
    def bytes(self) -> int:
        return sum(int(row["bytes"]) for row in self.files)

    @property
    def sha256(self) -> str:
        """The digest of what is one file."""
        (row,) = self.files
        return str(row["sha256"])


class Dumper(Protocol):
    """Runs a program and keeps what it writes."""

    def dump(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = _nobody,
        settling: Tell = _nobody,
    ) -> Written:
        """Write the program's output to a new file, durably.

        :param tell: is told how many bytes are written.
        :param settling: is told when all is written and is to be made durable.
        :raises CommandFailed: it ended with another status than 0.
        :raises NoSpace: the volume is full, or nearly.
        :raises TimedOut: the deadline passed; the program was killed.
        """

    def dump_directory(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = _nobody,
        settling: Tell = _nobody,
    ) -> Written:
        """Run a program that makes the directory ``path`` itself, and make all its files durable; else as ``dump``."""


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

    def dump(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = _nobody,
        settling: Tell = _nobody,
    ) -> Written:
        deadline = self._clock.monotonic() + timeout_s
        digest = hashlib.sha256()
        # O_EXCL by mode x: an archive is never written over another one. Without a buffer nothing is left to be written
        # when it is closed, which on a full disk would fail once more and hide the first error.
        with tempfile.TemporaryFile() as messages, open(path, "xb", buffering=0) as target:
            os.fchmod(target.fileno(), 0o600)
            with streaming(argv, stderr=messages, env=env) as process:
                output = cast("IO[bytes]", process.stdout)  # a pipe, as streaming() says
                size = self._copy(output, target, digest, argv=argv, deadline=deadline, tell=tell)
                returncode = self._wait(process, argv, deadline)
            text = _text(messages)
            if returncode != 0:
                raise CommandFailed(argv, returncode, text)
            settling(size)
            _flush(target)
        return Written([file_row(os.path.basename(path), size, digest.hexdigest())], text)

    def dump_directory(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = _nobody,
        settling: Tell = _nobody,
    ) -> Written:
        deadline = self._clock.monotonic() + timeout_s
        with tempfile.TemporaryFile() as messages:
            with streaming(argv, stderr=messages, env=env) as process:
                self._watch(process, path, argv, deadline, tell)
                returncode = self._wait(process, argv, deadline)
            text = _text(messages)
        if returncode != 0:
            raise _no_space(path, text) if _FULL in text else CommandFailed(argv, returncode, text)
        parent, name = os.path.split(path)
        settling(0)
        return Written(digested(parent, name, settling), text)

    def _watch(
        self, process: subprocess.Popen[bytes], path: str, argv: Sequence[str], deadline: float, tell: Tell
    ) -> None:
        """Until the program has closed its output, see how much it has written and how much room is left."""
        output = cast("IO[bytes]", process.stdout)
        parent = os.path.dirname(path)
        least = reserve(parent)
        while True:
            remaining = deadline - self._clock.monotonic()
            size = _size_of(path)
            if remaining <= 0:
                raise _too_late(argv, size)
            # Nothing is written there: it is ready to be read when it is closed.
            ready = select.select([output], [], [], min(remaining, _LOOK_AT_DIRECTORY_EVERY_S))[0]
            if ready and not os.read(output.fileno(), _BLOCK):
                return
            tell(size)
            # A volume that is full already is the program's to tell about.
            if least > free(parent) > 0:
                raise _too_little(parent, size, least)

    def _wait(self, process: subprocess.Popen[bytes], argv: Sequence[str], deadline: float) -> int:
        try:
            return process.wait(timeout=max(1.0, deadline - self._clock.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{argv[0]} closed its output and did not end before its deadline") from error

    def _copy(
        self,
        source: IO[bytes],
        target: IO[bytes],
        digest: hashlib._Hash,
        *,
        argv: Sequence[str],
        deadline: float,
        tell: Tell,
    ) -> int:
        size = 0
        looked_at = 0
        directory = os.path.dirname(target.name)
        least = reserve(directory)
        while True:
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0 or not select.select([source], [], [], remaining)[0]:
                raise _too_late(argv, size)
            block = os.read(source.fileno(), _BLOCK)
            if not block:
                return size
            digest.update(block)
            _write(target, block)
            size += len(block)
            tell(size)
            if size - looked_at >= _LOOK_AT_SPACE_EVERY:
                looked_at = size
                if free(directory) < least:
                    raise _too_little(directory, size, least)
            if len(block) < _BLOCK // 2:
                self._clock.sleep(_LET_IT_GATHER_S)


_FULL = "No space left on device"


def _too_late(argv: Sequence[str], size: int) -> TimedOut:
    return TimedOut(f"{argv[0]} had not ended at its deadline and was killed", facts={"bytes": size})


def _too_little(directory: str, size: int, least: int) -> NoSpace:
    return NoSpace(f"After {size} bytes fewer than {least} bytes are free in {directory}")


def _no_space(path: str, text: str) -> NoSpace:
    return NoSpace(f"The archive {path} can't be written: {_FULL}", facts={"stderr": text[-2000:]})


def _size_of(path: str) -> int:
    try:
        return sum(entry.stat().st_size for entry in os.scandir(path))
    except FileNotFoundError:
        # It is not made yet, or a file was renamed.
        return 0


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

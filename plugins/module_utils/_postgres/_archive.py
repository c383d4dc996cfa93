# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what writes an archive, a file or with several jobs a directory; sees how it grows, and makes it durable."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import digested
from ansible_collections.slipway.django.plugins.module_utils._process import writing

_LOOK_EVERY_S = 0.5
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
        # Mode x: an archive is never written over another one. The program writes into the file itself: a pipe through
        # us costs a fifth of the dump's own CPU time, and pg_dump notes where each table begins only in what it can
        # seek in (--format in the manual's page of pg_dump).
        with open(path, "xb") as target:
            os.fchmod(target.fileno(), 0o600)
            return self._run(argv, env, path, target, timeout_s=timeout_s, tell=tell, settling=settling)

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
        with open(os.devnull, "wb") as nothing:
            return self._run(argv, env, path, nothing, timeout_s=timeout_s, tell=tell, settling=settling)

    def _run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        output: IO[bytes],
        *,
        timeout_s: float,
        tell: Tell,
        settling: Tell,
    ) -> Written:
        deadline = self._clock.monotonic() + timeout_s
        with tempfile.TemporaryFile() as messages:
            with writing(argv, stdout=output, stderr=messages, env=env) as process:
                returncode = self._watch(process, path, argv, deadline, tell)
            text = _text(messages)
        if returncode != 0:
            raise _no_space(path, text) if _FULL in text else CommandFailed(argv, returncode, text)
        parent, name = os.path.split(path)
        settling(0)
        return Written(_digested(parent, name, settling), text)

    def _watch(
        self, process: subprocess.Popen[bytes], path: str, argv: Sequence[str], deadline: float, tell: Tell
    ) -> int:
        """Until the program has ended, see how much it has written and how much room is left. Return its status."""
        parent = os.path.dirname(path)
        least = reserve(parent)
        while True:
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                raise _too_late(argv, _size_of(path))
            with suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=min(remaining, _LOOK_EVERY_S))
            size = _size_of(path)
            tell(size)
            # A volume that is full already is the program's to tell about.
            if least > free(parent) > 0:
                raise _too_little(parent, size, least)


_FULL = "No space left on device"


def _too_late(argv: Sequence[str], size: int) -> TimedOut:
    return TimedOut(f"{argv[0]} had not ended at its deadline and was killed", facts={"bytes": size})


def _too_little(directory: str, size: int, least: int) -> NoSpace:
    return NoSpace(f"After {size} bytes fewer than {least} bytes are free in {directory}")


def _no_space(path: str, text: str) -> NoSpace:
    return NoSpace(f"The archive {path} can't be written: {_FULL}", facts={"stderr": text[-2000:]})


def _size_of(path: str) -> int:
    try:
        if os.path.isdir(path):
            return sum(entry.stat().st_size for entry in os.scandir(path))
        return os.stat(path).st_size
    except FileNotFoundError:
        # It is not made yet, or a file was renamed.
        return 0


def _digested(directory: str, name: str, tell: Tell) -> list[dict[str, Any]]:
    try:
        return digested(directory, name, tell)
    except OSError as error:
        # A file system may notice only when it is asked to keep it.
        path = os.path.join(directory, name)
        raise NoSpace(f"The archive {path} can't be made durable: {error.strerror}") from error


def _text(messages: IO[bytes]) -> str:
    messages.seek(0)
    return messages.read().decode("utf-8", "replace").strip()

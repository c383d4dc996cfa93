# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One file of events: a JSON object a line, each chained to the one before by its digest.

A line is one ``os.write``. The chain shows edits, deletions and reordering inside; it does not show
that the end was cut off or that all was written anew: for that the head is kept elsewhere too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory

FIRST = "0" * 64
NAME = "events.jsonl"


def _canonical(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(record: Mapping[str, Any]) -> str:
    """The digest of a record without its own C(hash); the digest of the one before is part of it (C(prev))."""
    return hashlib.sha256(_canonical({key: value for key, value in record.items() if key != "hash"})).hexdigest()


@dataclass(frozen=True)
class Content:
    """What a file of events holds.

    :param records: up to the first line that is not as it was written.
    :param whole: bytes of those lines.
    :param trouble: why the rest was not taken; None when there is no rest.
    """

    records: tuple[dict[str, Any], ...]
    whole: int
    trouble: str | None = None

    @property
    def head(self) -> str:
        return str(self.records[-1]["hash"]) if self.records else FIRST


def read(data: bytes) -> Content:
    """Read events and verify their chain."""
    records: list[dict[str, Any]] = []
    whole = 0
    head = FIRST
    while whole < len(data):
        end = data.find(b"\n", whole)
        number = len(records) + 1
        if end < 0:
            return Content(tuple(records), whole, f"line {number} is torn")
        try:
            record = json.loads(data[whole:end])
        except ValueError:
            return Content(tuple(records), whole, f"line {number} is not JSON")
        if not isinstance(record, dict) or record.get("prev") != head or record.get("seq") != number:
            return Content(tuple(records), whole, f"line {number} does not follow the line before")
        if record.get("hash") != digest(record):
            return Content(tuple(records), whole, f"line {number} was changed")
        records.append(record)
        head = record["hash"]
        whole = end + 1
    return Content(tuple(records), whole)


class EventFile:
    """Appends records. Trouble with the disk costs records, never a deployment.

    :param durability: C(none), C(boundary) or C(event): after what a line is made durable.
    :param warn: told once, with the first trouble.
    """

    def __init__(
        self, directory: str, *, mode: int, durability: str, warn: Callable[[str], None], resume: Content | None = None
    ) -> None:
        self.path = os.path.join(directory, NAME)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
        # Held as long as the run lives, and by nobody that it forked: a free lock means that it is dead.
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._durability = durability
        self._warn = warn
        self._size = 0 if resume is None else resume.whole
        self.seq = 0 if resume is None else len(resume.records)
        self.head = FIRST if resume is None else resume.head
        self.lost = 0
        self._warned = False
        fsync_directory(directory)

    def append(self, record: Mapping[str, Any], *, boundary: bool = False) -> None:
        """Write a record; after a gap, a record of the gap first."""
        if self.lost:
            gap = {**{key: record[key] for key in ("v", "ts", "run_id") if key in record}, "event": "log.gap"}
            if not self._write({**gap, "lost": self.lost}, durable=False):
                self.lost += 1
                return
            self.lost = 0
        durable = self._durability == "event" or (boundary and self._durability == "boundary")
        if not self._write(record, durable=durable):
            self.lost += 1

    def _write(self, record: Mapping[str, Any], *, durable: bool) -> bool:
        chained = {**record, "seq": self.seq + 1, "prev": self.head}
        chained["hash"] = digest(chained)
        line = _canonical(chained) + b"\n"
        try:
            if os.write(self._descriptor, line) != len(line):
                raise OSError("only a part of the line was taken, the disk is full")
        except OSError as error:
            self._cut_back()
            self._trouble(error)
            return False
        self.seq, self.head, self._size = self.seq + 1, chained["hash"], self._size + len(line)
        if durable:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                self._trouble(error)
        return True

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._trouble(error)

    def _trouble(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"{self.path} can't be written, the log will have a gap: {error.strerror or error}")

    def close(self) -> None:
        """Let the file go. Without this the lock ends with the process."""
        os.close(self._descriptor)


@dataclass(frozen=True)
class Recovered:
    """What stands of a dead run, and what was cut off.

    :param usable: further records may follow; not after a line in the middle that was changed.
    """

    content: Content
    torn: int
    usable: bool


def recover(directory: str) -> Recovered | None:
    """Cut off the line that a dead run left torn. It is kept beside the file.

    None when the run is alive, or there is no file. A line in the middle that is not as it was
    written is evidence: it stays.
    """
    path = os.path.join(directory, NAME)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        # By this descriptor alone: closing a second one would give the lock away.
        status = os.fstat(descriptor)
        data = os.pread(descriptor, status.st_size, 0)
        content = read(data)
        rest = data[content.whole :]
        if b"\n" in rest[:-1]:
            return Recovered(content, 0, usable=False)
        if rest:
            _keep(f"{path}.torn", rest, status.st_mode & 0o777)
            os.ftruncate(descriptor, content.whole)
            os.fsync(descriptor)
        return Recovered(content, len(rest), usable=True)
    finally:
        os.close(descriptor)


def _keep(path: str, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    with os.fdopen(descriptor, "ab") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())

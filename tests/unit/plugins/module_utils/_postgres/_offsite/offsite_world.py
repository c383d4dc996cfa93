# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory with backups, a storage that can fail at any step, and an age that needs no program."""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._age import Age
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Written
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite import _fetch, _prune, _send
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import MARK, decode
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import (
    Head,
    NotThere,
    Told,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock

ANNA = "age1" + "a" * 58
BERT = "age1" + "b" * 58


class Killed(BaseException):
    """The process ends here: nothing that tidies up after an error may see it."""


@dataclass
class Object:
    data: bytes
    words: dict[str, str] = field(default_factory=dict)


class FakeStore:
    """Objects in memory.

    :param fuse: how many changes are made before the process is killed; None for no end.
    """

    def __init__(self, *, checksums: bool = True) -> None:
        self.objects: dict[str, Object] = {}
        self.fuse: int | None = None
        self.changes = 0
        self.reads = 0
        self.checksums = checksums
        self.spoil: str | None = None

    def _change(self) -> None:
        if self.fuse is not None and self.changes >= self.fuse:
            raise Killed
        self.changes += 1

    def in_words(self, name: str = "") -> str:
        return f"s3://bucket/{name}".rstrip("/")

    def part_size(self, size: int) -> int:
        return 8

    def names(self, below: str = "") -> list[str]:
        # Nobody may rely on an order.
        return [name for name in sorted(self.objects, reverse=True) if name.startswith(below)]

    def head(self, name: str) -> Head | None:
        found = self.objects.get(name)
        if found is None:
            return None
        data = found.data
        parts = [hashlib.sha256(data[at : at + 8]).digest() for at in range(0, len(data), 8)]
        digest = hashlib.sha256(b"".join(parts) if len(parts) > 1 else data).digest()
        return Head(len(data), base64.b64encode(digest).decode() if self.checksums else None, found.words)

    def send(self, name: str, path: str, words: Mapping[str, str], told: Told) -> None:
        self._change()
        data = Path(path).read_bytes()
        told(len(data))
        if name == self.spoil:
            data = flipped(data)
        self.objects[name] = Object(data, dict(words))

    def fetch(self, name: str, path: str, told: Told) -> None:
        data = self.read(name)
        self._change()
        Path(path).write_bytes(data)
        told(len(data))

    def write(self, name: str, data: bytes) -> None:
        self._change()
        self.objects[name] = Object(flipped(data) if name == self.spoil else data)

    def read(self, name: str) -> bytes:
        if name not in self.objects:
            raise NotThere(f"no {name}")
        return self.objects[name].data

    def digest(self, name: str) -> str:
        self.reads += 1
        return hashlib.sha256(self.read(name)).hexdigest()

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._change()
            self.objects.pop(name, None)

    def end_interrupted(self, below: str) -> list[str]:
        return []


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@dataclass
class FakeDumper:
    """age, as far as it matters: never the same ciphertext twice, and an identity that has to fit."""

    count: Iterator[int] = field(default_factory=itertools.count)

    def dump(
        self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float, **_tells: Any
    ) -> Written:
        data = Path(argv[-1]).read_bytes()
        if "--encrypt" in argv:
            whom = ",".join(argv[place + 1] for place, word in enumerate(argv) if word == "--recipient")
            data = f"{next(self.count)} {whom}\n".encode() + bytes(255 - byte for byte in data)
        else:
            head, _newline, body = data.partition(b"\n")
            identity = Path(argv[argv.index("--identity") + 1]).read_text()
            if identity not in head.decode():
                raise CommandFailed(argv, 1, "age: error: no identity matched any of the recipients")
            data = bytes(255 - byte for byte in body)
        with open(path, "xb") as stream:
            stream.write(data)
        return Written([{"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}], "")

    def dump_directory(
        self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float, **_tells: Any
    ) -> Written:
        raise NotImplementedError


class World:
    """One host's directory of backups and one storage."""

    def __init__(self, directory: Path, store: FakeStore | None = None) -> None:
        self.directory = directory
        self.store = store or FakeStore()
        self.clock = FakeClock()
        self.free = 1 << 40
        self.locks: list[str] = []
        self.identity = directory.parent / "identity"
        self.identity.write_text(ANNA)
        self.identity.chmod(0o600)

    @contextmanager
    def _lock(self, path: str) -> Iterator[None]:
        self.locks.append(path)
        yield

    @property
    def tools(self) -> Tools:
        return Tools(
            store=self.store,
            clock=self.clock,
            progress=Progress(str(self.directory.parent / "progress"), self.clock),
            age=lambda: Age("age", FakeDumper()),
            lock=self._lock,
            free=lambda _path: self.free,
        )

    def backup(self, number: int = 0, **values: Any) -> str:
        """Make a backup and return its id."""
        backup_id = f"20261121T16000{number}.000Z"
        path = self.directory / backup_id
        (path / "database").mkdir(parents=True)
        files = {"database/toc.dat": b"contents of %d" % number, "database/1.dat": b"rows" * 9, "globals.sql": b"roles"}
        rows = []
        for name, data in files.items():
            (path / name).write_bytes(data)
            rows.append({"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        wanted = {
            "id": backup_id, "label": f"label-{number}", "site": "shop", "database": "shop",
            "started_at": f"2026-11-21T16:00:0{number}Z", "taken_at": f"2026-11-21T16:00:0{number}Z",
            "system_identifier": "7", "server_version": "15.1", "client_version": "15.1", "format": "directory",
            "compression": "gzip:1", "jobs": 2, "files": rows, "levels": ["list", "read"],
            "snapshot": {"lsn": "0/1", "at": "2026-11-21T16:00:00Z"}, "tables": [], "sequences": [],
            "large_objects": 0, "fingerprint": "none", "properties": {}, "django_migrations": [], "seconds": {},
        }  # fmt: skip
        manifests.write(Manifest(**{**wanted, **values}), str(path))
        return backup_id

    def send(self, check: bool = False, **values: Any) -> Result:
        return _send.run(self._request("sent", values), self.tools, check_mode=check)

    def fetch(self, directory: Path, check: bool = False, **values: Any) -> Result:
        return _fetch.run(
            self._request("fetched", {"directory": str(directory), **values}), self.tools, check_mode=check
        )

    def prune(self, check: bool = False, **values: Any) -> Result:
        return _prune.run(self._request("pruned", values), self.tools, check_mode=check)

    def _request(self, state: str, values: Mapping[str, Any]) -> Request:
        wanted = {"site": "shop", "database": "shop", "directory": str(self.directory), **values}
        request = Request(state=state, **wanted)
        request.validate()
        return request

    def require_sound(self) -> None:
        """Whatever happened: where a mark is, every object is as it was sent."""
        for name in self.store.names():
            backup, _slash, rest = name.partition("/")
            if rest != MARK:
                continue
            copy = decode(self.store.read(name), backup)
            for file in copy.files:
                data = self.store.objects[f"{copy.id}/{file.name}"].data
                assert hashlib.sha256(data).hexdigest() == file.stored_sha256


def tree(directory: Path) -> dict[str, bytes]:
    """All files below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}

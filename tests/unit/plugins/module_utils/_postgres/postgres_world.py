# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server, its programs and a disk, as far as the logic can see them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Written
from ansible_collections.slipway.django.plugins.module_utils._postgres._backup import Request, Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Source
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeClock, FakeRunner, completed

DATA = b"PGDMP an archive"
SOURCE: dict[str, Any] = {
    "version_num": 150018,
    "version": "15.18 (Debian 15.18-0+deb12u1)",
    "standby": False,
    "user": "postgres",
    "createdb": True,
    "size": 1000,
    "database": {
        "datname": "shop",
        "encoding_name": "UTF8",
        "datcollate": "C.UTF-8",
        "datctype": "C.UTF-8",
        "datlocprovider": "c",
        "daticulocale": None,
        "owner": "shop",
        "comment": None,
    },
    "settings": [],
    "extensions": [{"name": "plpgsql", "version": "1.0"}],
    "schemas": [],
    "tables": [],
    "sequences": [],
    "row_security": [],
    "large_objects": 0,
}


def source(**changes: Any) -> Source:
    return Source(**{**SOURCE, **changes})


@dataclass
class FakeDumper:
    """Writes an archive, or fails in the middle of it."""

    error: Exception | None = None
    once: bool = False
    calls: list[tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=list)
    messages: str = ""
    # What the program said, when the disk does not keep it.
    digested: bytes = DATA

    def dump(self, argv: Sequence[str], env: Mapping[str, str], path: str, *, timeout_s: float) -> Written:
        assert timeout_s > 0
        self.calls.append((tuple(argv), dict(env)))
        with open(path, "xb") as target:
            target.write(DATA)
        if self.error is not None:
            error, self.error = self.error, None if self.once else self.error
            raise error
        return Written(len(self.digested), sha256(self.digested).hexdigest(), self.messages)


class World:
    """One host with client programs of some versions, and one server."""

    def __init__(self, directory: Path, *, versions: Sequence[str] = ("15.18",), **changes: Any) -> None:
        self.backups = directory / "backups"
        self.clock = FakeClock()
        self.dumper = FakeDumper()
        self.runner = FakeRunner()
        self.changes = changes
        self.marks: list[dict[str, str]] = []
        self.statements: list[str] = []
        self.directories = []
        for version in versions:
            where = directory / "bin" / version
            where.mkdir(parents=True, exist_ok=True)
            for name in ("psql", "pg_dump", "pg_restore"):
                (where / name).touch()
            self.directories.append(str(where))
            self.runner.on(str(where / "pg_dump"), "--version", answer=f"pg_dump (PostgreSQL) {version} (Debian)\n")
            self.runner.on(str(where / "pg_restore"), answer="")
            self.runner.on(str(where / "psql"), answer=self._psql)

    def _psql(self, call: Call) -> Any:
        assert call.stdin is not None
        # After the two settings that go before each statement.
        statement = call.stdin.split(";\n", 2)[2].strip()
        self.statements.append(statement.split("\n")[0])
        if "server_version_num" in statement:
            return json.dumps({**SOURCE, **self.changes})
        if "starts_with(datname" in statement:
            return json.dumps(self.marks)
        if "pg_locks" in statement:
            return json.dumps([{"pid": 7, "application": "app", "state": "active", "since": "now", "table": "t"}])
        return completed()

    def request(self, **options: Any) -> Request:
        values: dict[str, Any] = {
            "connection": Connection("shop"),
            "directory": str(self.backups),
            "label": "one",
            "site": "shop",
        }
        return Request(**{**values, **options})

    def run(self, *, check_mode: bool = False, **options: Any) -> Result:
        tools = Tools(self.runner, self.clock, self.dumper, nullcontext, lambda: self.directories)
        return run(self.request(**options), tools, check_mode=check_mode)

    def restores(self) -> list[tuple[str, ...]]:
        """The arguments of every pg_restore, without the archive."""
        return [call.argv[1:-2] for call in self.runner.calls if call.argv[0].endswith("pg_restore")]

    def entries(self) -> list[str]:
        return sorted(path.name for path in self.backups.iterdir()) if self.backups.exists() else []

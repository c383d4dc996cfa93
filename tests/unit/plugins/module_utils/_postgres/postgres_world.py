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

from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Tell, Written
from ansible_collections.slipway.django.plugins.module_utils._postgres._backup import run
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import file_row
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import Volume
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
    "data_directory": "/data",
    "relations": 2,
    "elsewhere": [],
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
    "roles": ["postgres", "shop"],
    "prepared": [],
    "locks": [],
    "unlogged": [],
    "schemas": [],
    "tables": [],
    "sequences": [],
    "row_security": [],
    "large_objects": 0,
}


def source(**changes: Any) -> Source:
    return Source(**{**SOURCE, **changes})


TABLES: list[dict[str, Any]] = [
    {"oid": 1, "schema": "public", "name": "orders", "hashable": True, "migrations": False},
    {"oid": 2, "schema": "public", "name": "django_migrations", "hashable": True, "migrations": True},
]
SEQUENCES: list[dict[str, Any]] = [
    {"oid": 3, "schema": "public", "name": "orders_id_seq", "increment": 1, "cycle": False}
]


@dataclass
class FakeDumper:
    """Writes an archive, or fails in the middle of it."""

    error: Exception | None = None
    once: bool = False
    calls: list[tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=list)
    messages: str = ""
    data: bytes = DATA
    # What the program said, when the disk does not keep it.
    digested: bytes | None = None
    # What pg_dumpall says; an error when it may not.
    globals: bytes | Exception = b"CREATE ROLE shop;\n-- PostgreSQL database cluster dump complete\n"

    def dump(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = lambda _done: None,
        settling: Tell = lambda _done: None,
    ) -> Written:
        assert timeout_s > 0
        if argv[0].endswith("pg_dumpall"):
            return self._globals(path)
        self.calls.append((tuple(argv), dict(env)))
        with open(path, "xb") as target:
            target.write(self.data)
        self._fail()
        tell(len(self.data))
        settling(len(self.data))
        said = self.data if self.digested is None else self.digested
        return Written([file_row("database.dump", len(said), sha256(said).hexdigest())], self.messages)

    def dump_directory(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        path: str,
        *,
        timeout_s: float,
        tell: Tell = lambda _done: None,
        settling: Tell = lambda _done: None,
    ) -> Written:
        assert timeout_s > 0
        self.calls.append((tuple(argv), dict(env)))
        directory = Path(path)
        directory.mkdir()
        for name in ("1.dat.gz", "toc.dat"):
            (directory / name).write_bytes(self.data)
        self._fail()
        rows = [
            file_row(f"database/{name}", len(self.data), sha256(self.data).hexdigest())
            for name in ("1.dat.gz", "toc.dat")
        ]
        return Written(rows, self.messages)

    def _fail(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None if self.once else self.error
            raise error

    def _globals(self, path: str) -> Written:
        with open(path, "xb") as target:
            if isinstance(self.globals, Exception):
                raise self.globals
            target.write(self.globals)
        return Written([file_row("globals.sql", len(self.globals), sha256(self.globals).hexdigest())], "")


class FakeSession:
    """A connection to a database whose content is that of the world."""

    def __init__(self, world: World, database: str) -> None:
        self._world = world
        self._database = database

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_error: object) -> None:
        self._world.asked.append((self._database, "closed"))

    def order(self, sql: str, timeout_s: float) -> None:
        assert timeout_s > 0
        self._world.asked.append((self._database, sql.strip()))
        self._world.events.append(sql.strip())
        for mark, error in self._world.refusals.items():
            if mark in sql:
                raise error

    def ask(self, sql: str, timeout_s: float) -> Any:
        self.order(sql, timeout_s)
        world = self._world
        if "pg_export_snapshot" in sql:
            return {"id": "00000003-1B-1", "at": "2026-11-21T16:05:29.123Z", "lsn": "0/1A2B3C4"}
        if "pg_control_system" in sql:
            return "7500000000000000001"
        if "WITH ours AS" in sql:
            return world.listed.pop(0) if len(world.listed) > 1 else world.listed[0]
        if "last_value" in sql:
            return {"last_value": 3, "is_called": True}
        if "json_build_array(app, name)" in sql:
            return [["shop", "0001_initial"]]
        rows = world.rows if self._database == "shop" else world.restored_rows
        return {"rows": rows, "fingerprint": "record:7" if "hash_record_extended" in sql else None}


class World:
    """One host with client programs of some versions, and one server."""

    def __init__(self, directory: Path, *, versions: Sequence[str] = ("15.18",), **changes: Any) -> None:
        self.backups = directory / "backups"
        self.clock = FakeClock()
        self.dumper = FakeDumper()
        self.runner = FakeRunner()
        self.changes = changes
        self.marks: list[dict[str, str | None]] = []
        # What the long-lived connections were told, by database; and what they refuse.
        self.asked: list[tuple[str, str]] = []
        self.refusals: dict[str, Exception] = {}
        self.listed = [{"version_num": 150018, "large_objects": 1, "tables": TABLES, "sequences": SEQUENCES}]
        self.rows = 3
        self.restored_rows = 3
        self.phases: list[str] = []
        # What is free on the one volume that there is.
        self.free = 1 << 40
        # Both, in their order.
        self.events: list[str] = []
        self.statements: list[str] = []
        self.directories = []
        for version in versions:
            where = directory / "bin" / version
            where.mkdir(parents=True, exist_ok=True)
            for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
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

    def session(self, _psql: str, connection: Connection, _clock: Clock) -> FakeSession:
        return FakeSession(self, connection.database)

    def look(self, path: str) -> Volume:
        return Volume(1, self.free)

    def tell(self, phase: str, done: int = 0, total: int | None = None, text: str = "", *, unit: str = "bytes") -> None:
        if phase not in self.phases[-1:]:
            self.phases.append(phase)
            self.events.append(f"phase {phase}")

    def run(self, *, check_mode: bool = False, state: str = "present", **options: Any) -> Result:
        tools = Tools(
            self.runner, self.clock, self.dumper, nullcontext, self, self.session, lambda: self.directories, self.look
        )
        return run(self.request(**options), tools, check_mode=check_mode, state=state)

    def restores(self) -> list[tuple[str, ...]]:
        """The arguments of every pg_restore that verifies, without the archive."""
        calls = [call.argv[1:-2] for call in self.runner.calls if call.argv[0].endswith("pg_restore")]
        return [arguments for arguments in calls if arguments != ("--schema-only", "--file=-")]

    def entries(self) -> list[str]:
        return sorted(path.name for path in self.backups.iterdir()) if self.backups.exists() else []

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program with a Django of its own: for each case it asks what is claimed, runs the migration, and measures.

Reads {"host": …, "cases": [{"database": …, …}]} and writes a line of JSON for each case. Nothing that it measures
comes from the code under test: locks from pg_locks, rewrites from the files' numbers, scans from the server's own
notices and row counters.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import django
import psycopg
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import judge_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _facts
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._facts import collect
from django.conf import settings
from django.contrib.postgres import operations as postgres
from django.db import connection as django_connection
from django.db import migrations, models
from django.db.migrations.state import ProjectState
from django.db.models.functions import Now, Random
from psycopg.conninfo import make_conninfo

MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
ROWS = 1000  # fewer than the tables of the cases have, more than the tables of the catalog are read for
OLD = (
    "INSERT INTO orders_order (number, state, amount) VALUES ('old', 'new', 7)",
    "UPDATE orders_order SET amount = 8 WHERE id = 1",
    "SELECT id, number, state, amount FROM orders_order",
    "INSERT INTO orders_line (order_id) VALUES (1)",
    "SELECT id, order_id FROM orders_line",
)
RELATIONS = """
SELECT oid::bigint, relname, relfilenode::bigint, relkind FROM pg_class
WHERE relkind IN ('r', 'p', 'v', 'm') AND oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
"""
LOCKS = """
SELECT relation::bigint, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
FILES = """
SELECT oid::bigint, relname, relfilenode::bigint, pg_relation_size(oid) FROM pg_class WHERE relkind IN ('r', 'm')
"""
READ = "SELECT relid::bigint, seq_tup_read FROM pg_stat_xact_all_tables WHERE relid >= 16384"


class Measured:
    """What the server did so far to the relations of before."""

    def __init__(self, connection: Any) -> None:
        self.raw = connection.connection
        found = self.raw.execute(RELATIONS).fetchall()
        self.before = {oid: (name, node) for oid, name, node, _ in found}
        self.tables = [name for _, name, _, kind in found if kind in {"r", "p"}]
        self.mode = 0
        self.scanned = False
        self.rewritten = False
        self.noted: set[str] = set()
        self.constraints: set[str] = set()
        self.raw.add_notice_handler(self._notice)

    def _notice(self, diagnostic: Any) -> None:
        text = diagnostic.message_primary
        table = re.search(r'(?:verifying table|rewriting table|on table) "(.+?)"', text)
        if table:
            self.noted.add(table[1])
        constraint = re.match(r'validating foreign key constraint "(.+)"', text)
        if constraint:
            self.constraints.add(constraint[1])

    def look(self) -> None:
        """After a statement, in its transaction."""
        for oid, mode in self.raw.execute(LOCKS, (self.raw.info.backend_pid,)).fetchall():
            self.note_lock(oid, mode)
        for oid, count in self.raw.execute(READ).fetchall():
            self.scanned = self.scanned or (oid in self.before and count >= ROWS)
        self.look_at_files()

    def look_at_files(self) -> None:
        for oid, name, node, size in self.raw.execute(FILES).fetchall():
            # An index over no rows is no work: TRUNCATE makes one.
            self.scanned = self.scanned or (oid in self.before and name in self.noted and size > 0)
            # A table that is empty afterwards was not written anew: TRUNCATE.
            if oid in self.before and self.before[oid][1] != node and size > 0:
                self.rewritten = True
        for name in self.constraints:
            query = "SELECT conrelid::bigint FROM pg_constraint WHERE conname = %s"
            owners = {oid for (oid,) in self.raw.execute(query, (name,)).fetchall()}
            self.scanned = self.scanned or bool(owners & set(self.before))

    def note_lock(self, oid: int, mode: str) -> None:
        if oid in self.before and mode in MODES:
            self.mode = max(self.mode, MODES.index(mode) + 1)


def _connect(dsn: dict[str, str]) -> psycopg.Connection[Any]:
    return psycopg.connect(make_conninfo(**dsn))


@contextmanager
def watched_from_beside(measured: Measured, dsn: dict[str, str]) -> Iterator[None]:
    """For statements that bear no transaction: they are made to wait for a lock, so that it can be seen."""
    pid, done, started = measured.raw.info.backend_pid, threading.Event(), threading.Event()

    def watch() -> None:
        with _connect(dsn) as holder, _connect(dsn) as reader:
            for name in measured.tables:
                if name.startswith("orders_"):
                    holder.execute(f'LOCK TABLE "{name}" IN SHARE UPDATE EXCLUSIVE MODE')
            reader.autocommit = True
            started.set()
            waited = False
            while not done.is_set():
                seen = reader.execute(LOCKS + " AND NOT granted", (pid,)).fetchall()
                for oid, mode in seen:
                    measured.note_lock(oid, mode)
                if seen and not waited:
                    waited = True
                    holder.rollback()
                for oid, mode in reader.execute(LOCKS, (pid,)).fetchall():
                    measured.note_lock(oid, mode)

    thread = threading.Thread(target=watch)
    thread.start()
    started.wait(20)
    try:
        yield
    finally:
        done.set()
        thread.join()


class Own(migrations.AddField):  # type: ignore[misc]
    """An operation of the site's own."""

    def __init__(self) -> None:
        super().__init__("order", "own", models.IntegerField(null=True))


class Broken(migrations.AlterUniqueTogether):  # type: ignore[misc]
    """An operation of Django whose SQL depends on what is in the database."""

    def __init__(self) -> None:
        super().__init__("line", set())

    def database_forwards(self, *_args: Any) -> None:
        raise ValueError("Found wrong number (0) of constraints")


Broken.__module__ = "django.db.migrations.operations.models"


def nothing(_apps: Any, _editor: Any) -> None:
    """The code of a RunPython."""


NAMES = {
    "migrations": migrations,
    "models": models,
    "postgres": postgres,
    "Now": Now,
    "Random": Random,
    "Own": Own,
    "Broken": Broken,
    "nothing": nothing,
}


def migration_of(name: str, text: str, *, atomic: bool) -> Any:
    keyword = "condition=" if django.VERSION >= (5, 1) else "check="
    operations = eval(f"[{text.replace('{}=', keyword)}]", dict(NAMES))
    body = {"operations": operations, "atomic": atomic}
    return type("Migration", (migrations.Migration,), body)(name, "orders")


def claim(connection: Any, migration: Any, state: Any) -> dict[str, Any]:
    with mock.patch.object(_facts, "_narrowed", lambda _views, _app, step: step):
        (whole,) = collect(connection, [migration], state.clone())
    facts = collect(connection, [migration], state)
    (judged,) = judge_all(facts, first=False, acknowledged={}, server=connection.pg_version // 10000)
    modes = [verdict.mode for verdict in judged.verdicts]
    return {
        "rule": judged.verdicts[-1].rule,
        "rules": sorted({finding.rule for verdict in judged.verdicts for finding in verdict.findings}),
        "phase": judged.phase,
        "lock": judged.lock,
        "modes": modes,
        # The statements must be those that Django writes when it knows all models.
        "narrowed": [each.sql for each in facts[0].operations] != [each.sql for each in whole.operations],
        "rewrite": any(verdict.rewrite for verdict in judged.verdicts),
        "scan": any(verdict.scan or verdict.rewrite for verdict in judged.verdicts),
    }


def run(connection: Any, migration: Any, state: Any, dsn: dict[str, str]) -> dict[str, Any]:
    measured = Measured(connection)

    def wrapper(execute: Any, statement: Any, params: Any, many: Any, context: Any) -> Any:
        result = execute(statement, params, many, context)
        measured.look()
        return result

    error = ""
    try:
        if migration.atomic:
            with connection.execute_wrapper(wrapper), connection.schema_editor(atomic=True) as editor:
                migration.apply(state, editor)
        else:
            with watched_from_beside(measured, dsn), connection.schema_editor(atomic=False) as editor:
                migration.apply(state, editor)
            measured.look_at_files()
    except Exception as caught:
        error = getattr(caught.__cause__, "sqlstate", None) or type(caught).__name__
    return {
        "mode": measured.mode,
        "rewrite": measured.rewritten,
        "scan": measured.scanned or measured.rewritten,
        "error": error,
    }


def old_code(dsn: dict[str, str], statements: list[str]) -> list[str]:
    """The statements that fail, with the reason; nothing of them stays."""
    failed = []
    with _connect({**dsn, "user": "shop"}) as connection:
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                failed.append(f"{statement}: {error.sqlstate}")
            connection.rollback()
    return failed


def one(case: dict[str, Any], host: str, password: str) -> dict[str, Any]:
    connection = django_connection
    dsn = {"host": host, "dbname": case["database"], "user": "postgres", "password": password}
    connection.close()
    connection.settings_dict.update({"HOST": host, "NAME": case["database"], "PASSWORD": password})
    connection.ensure_connection()
    with connection.cursor() as cursor:
        for name, value in {"max_parallel_workers_per_gather": 0, "max_parallel_maintenance_workers": 0}.items():
            cursor.execute(f"SET {name} = {value}")
        cursor.execute("SET client_min_messages = debug1")
    state = ProjectState()
    migration_of("0001", case["initial"], atomic=True).mutate_state(state, preserve=False)
    migration = migration_of("0002", case["operations"], atomic=case["atomic"])
    statements = [*OLD, *([case["old"]] if case["old"] else [])]
    result: dict[str, Any] = {"old_before": old_code(dsn, statements)}
    result["claim"] = claim(connection, migration, state.clone())
    result["measured"] = run(connection, migration, state, dsn)
    result["old_after"] = old_code(dsn, statements)
    return result


class Elsewhere:
    """A router that keeps off this database what says so."""

    def allow_migrate(self, _database: str, _app: str, elsewhere: bool = False, **_hints: Any) -> bool | None:
        return False if elsewhere else None


def main() -> None:
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "shop"}
    apps = ["django.contrib.contenttypes", "django.contrib.postgres"]
    settings.configure(
        DATABASES={"default": database},
        DATABASE_ROUTERS=[Elsewhere()],
        INSTALLED_APPS=apps,
        USE_TZ=True,
        SECRET_KEY="test",
    )
    django.setup()
    asked = json.load(sys.stdin)
    for case in asked["cases"]:
        try:
            answer = one(case, asked["host"], asked["password"])
        except Exception as error:
            answer = {"problem": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

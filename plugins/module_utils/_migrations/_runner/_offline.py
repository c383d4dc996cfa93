# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging migrations without any database: for a repository's own checks.

Django's backend for PostgreSQL writes the SQL, and what it would ask the server is answered here: names of
constraints as Django makes them, nothing else. Sizes of tables are not known, so each long work counts as downtime.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import refuse_idle
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Table, split_key
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request
from ansible_collections.slipway.django.plugins.module_utils._migrations._report import lines, plan_as_list
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import error_text
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._facts import (
    Source,
    Tables,
    collect_one,
)

_NOTHING = "Nothing was changed"


def judge_offline(request: Request) -> dict[str, Any]:
    """Return the plan of the migrations that are asked for, or of all of the project's own, and where they stand.

    :raises Refused: the migrations can't be loaded, or one that is asked for is not there.
    """
    loader = _load()
    wanted = _wanted(loader, request)
    judged = _judge(loader, wanted, request)
    refuse_idle(judged, request.acknowledged)
    plan = plan_as_list(judged)
    for entry, each in zip(plan, judged):
        migration = loader.graph.nodes[(each.migration.app, each.migration.name)]
        entry["file"], numbers = _place(migration, request.project)
        for operation, number in zip(entry["operations"], numbers):
            operation["line"] = number
    refused = [each.migration.key for each in judged if each.refused]
    return {
        "changed": False,
        "reason": f"{len(judged)} judged without a database, {len(refused)} refused",
        "pending": len(judged),
        "plan": plan,
        "lines": lines(judged),
        "refused": refused,
    }


def _load() -> Any:
    try:
        loader = dj.MigrationLoader(None)
    except Exception as error:
        # A migration's file may fail in any way when it is imported.
        raise Refused(
            f"the migrations can't be loaded: {error_text(error)}", untouched=_NOTHING, remedy="Repair the migrations"
        ) from error
    conflicts = loader.detect_conflicts()
    if conflicts:
        named = "; ".join(f"{app}: {', '.join(sorted(names))}" for app, names in sorted(conflicts.items()))
        raise Refused(
            f"more than one last migration in an app ({named})",
            untouched=_NOTHING,
            remedy="Run `manage.py makemigrations --merge`",
        )
    return loader


def _wanted(loader: Any, request: Request) -> frozenset[tuple[str, str]] | None:
    """The migrations that are asked for, as one deployment; None: all, each for itself."""
    if request.only is None:
        return None
    keys = {split_key(key) for key in request.only}
    unknown = sorted(key for key in request.only if split_key(key) not in loader.disk_migrations)
    if unknown:
        raise Refused(
            f"there is no migration {', '.join(unknown)}",
            untouched=_NOTHING,
            remedy="Write app.name, such as shop.0002_a",
        )
    return frozenset(key for key in keys if key is not None and key in loader.graph.nodes)


def _judge(loader: Any, wanted: frozenset[tuple[str, str]] | None, request: Request) -> list[Judged]:
    connection = offline_connection(request.database, request.server)
    state = dj.ProjectState(real_apps=loader.unmigrated_apps)
    tables = KnownTables()
    source = Source(connection, tables)
    found: list[Judged] = []
    facts: list[Any] = []
    for migration in _in_order(loader):
        key = (migration.app_label, migration.name)
        own = request.installed or _is_own(migration, request.project)
        if not (own if wanted is None else key in wanted):
            # What it makes is there: known from the states, which need no SQL.
            before = table_names(state)
            state = migration.mutate_state(state, preserve=False)
            tables.learn(before, table_names(state))
            continue
        if wanted is None:
            tables.learn(tables.names, table_names(state))
        each = collect_one(source, migration, state)
        facts.append(each)
        if wanted is None:
            found.extend(_judged([each], request))
    return found if wanted is None else _judged(facts, request)


def _is_own(migration: Any, project: str) -> bool:
    """Whether its file is the project's, not one of a package that it has installed."""
    path = os.path.relpath(inspect.getfile(type(migration)), project)
    return not path.startswith("..") and "site-packages" not in path.split(os.sep)


def _judged(facts: Sequence[Any], request: Request) -> list[Judged]:
    return judge_all(facts, first=False, acknowledged=request.acknowledged, server=request.server)


def _in_order(loader: Any) -> list[Any]:
    """All migrations in the order of an empty database; of a squashed one and its parts the squashed one."""
    found: dict[Any, None] = {}
    for leaf in loader.graph.leaf_nodes():
        found.update(dict.fromkeys(loader.graph.forwards_plan(leaf)))
    return [loader.graph.nodes[key] for key in found]


class KnownTables(Tables):
    """The tables that the state of before has; nobody knows how large they are."""

    def __init__(self) -> None:
        super().__init__(None)
        self.names: frozenset[str] = frozenset()

    def learn(self, before: frozenset[str], after: frozenset[str]) -> None:
        """Note what comes and goes without being judged."""
        self.names = (self.names - (before - after)) | (after - before)
        self._known.clear()

    def _look_up(self, name: str) -> Table | None:
        plain = name.rpartition(".")[2]
        return Table(name, None, None) if {name, plain} & self.names else None

    def _checks_of(self, _table: Table) -> tuple[tuple[str, str, bool], ...]:
        return ()

    def required(self, _table: str, _column: str) -> bool:
        return False


def table_names(state: Any) -> frozenset[str]:
    """The tables that a state of the project has."""
    found: set[str] = set()
    for (app, name), model in state.models.items():
        options = model.options
        if not options.get("proxy") and options.get("managed") is not False:
            table = options.get("db_table") or f"{app}_{name}"
            found.update((table, *_many_to_many(model, table)))
    return frozenset(found)


def _many_to_many(model: Any, table: str) -> Iterator[str]:
    for name, field in model.fields.items():
        if field.many_to_many and not getattr(field.remote_field, "through", None):
            yield field.db_table or f"{table}_{name}"


def offline_connection(alias: str, server: int) -> Any:
    """Return Django's connection object for PostgreSQL, which never connects.

    Whatever engine the settings name: the SQL to be judged is PostgreSQL's.
    """
    if alias not in dj.connections:
        raise Refused(
            f"the settings have no database {alias!r}, only {', '.join(sorted(dj.connections))}", untouched=_NOTHING
        )
    connection = dj.connections[alias]
    if connection.vendor != "postgresql":
        backend = dj.load_backend("django.db.backends.postgresql")
        connection = backend.DatabaseWrapper({**connection.settings_dict, "OPTIONS": {}}, alias)
        # Operations of PostgreSQL's own ask for the connection by its alias.
        dj.connections[alias] = connection
    connection.__dict__["pg_version"] = server * 10000
    connection.connect = connection.ensure_connection = _nothing
    connection.cursor = lambda *_args, **_more: contextlib.nullcontext(_Nobody())
    connection.ops.compose_sql = lambda statement, params: _composed(connection, statement, params)
    connection.SchemaEditorClass = _editor_class(connection.SchemaEditorClass)
    return connection


def _nothing(*_args: Any, **_more: Any) -> None:
    return None


def _composed(connection: Any, statement: str, params: Any) -> str:
    if not params:
        return statement
    editor = connection.SchemaEditorClass(connection, collect_sql=True, atomic=False)
    return str(statement) % tuple(map(editor.quote_value, params))


class _Nobody:
    """A cursor on a database that holds nothing."""

    description: Sequence[Any] = ()
    rowcount = 0

    def execute(self, *_args: Any, **_more: Any) -> None:
        return None

    executemany = execute

    def fetchone(self) -> None:
        return None

    def fetchall(self) -> list[Any]:
        return []

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _editor_class(base: Any) -> Any:
    """The backend's editor, with the names of constraints that Django gave when it made them."""

    class Editor(base):  # type: ignore[misc]
        def _constraint_names(
            self, model: Any, column_names: Any = None, exclude: Collection[str] | None = None, **what: Any
        ) -> list[str]:
            columns = list(column_names or ())
            if not columns:
                return []
            suffix = next((text for kind, text in _SUFFIXES if what.get(kind)), "")
            if what.get("primary_key"):
                name = f"{model._meta.db_table}_pkey"
            else:
                name = self._create_index_name(model._meta.db_table, columns, suffix=suffix)
            return [] if name in (exclude or ()) else [name]

    return Editor


_SUFFIXES = (("unique", "_uniq"), ("foreign_key", "_fk"), ("check", "_check"), ("index", ""))


def _place(migration: Any, project: str) -> tuple[str, list[int]]:
    """The file of a migration, seen from the project, and the lines of its operations."""
    path = inspect.getfile(type(migration))
    try:
        with open(path, encoding="utf-8") as stream:
            tree = ast.parse(stream.read())
    except (OSError, SyntaxError, ValueError):
        return os.path.relpath(path, project), []
    return os.path.relpath(path, project), list(_lines(tree))


def _lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or node.name != "Migration":
            continue
        for each in node.body:
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.List):
                names = {target.id for target in each.targets if isinstance(target, ast.Name)}
                if "operations" in names:
                    yield from (element.lineno for element in each.value.elts)

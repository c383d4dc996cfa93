# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the models of the release expect of the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._fits import Expected, Model
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import execute_raw, rows

_TYPES = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'pg_temp.slipway_types'::regclass AND attnum > 0 ORDER BY attnum
"""


def expected_models(connection: Any) -> list[Model]:
    """Return all models whose tables belong to this database.

    :param connection: one that may make a temporary table, which nobody else sees and which is rolled back.
    """
    models = [
        model
        for model in dj.apps.get_models(include_auto_created=True)
        if model._meta.managed
        and not model._meta.proxy
        and not model._meta.swapped
        and dj.router.allow_migrate_model(connection.alias, model)
    ]
    written = {kind for model in models for _name, kind in _columns(connection, model)}
    names = _as_the_server_writes(connection, written)
    return [_model(connection, model, names) for model in models]


def _columns(connection: Any, model: Any) -> Iterator[tuple[Any, str]]:
    for field in model._meta.local_concrete_fields:
        kind = field.db_parameters(connection=connection)["type"]
        if kind is not None:
            yield field, str(kind)


def _as_the_server_writes(connection: Any, kinds: Iterable[str]) -> dict[str, str]:
    """Return each type as ``format_type`` has it; one that the server does not know stays as it is."""
    known = sorted(set(kinds))
    try:
        return dict(zip(known, _ask(connection, known)))
    except connection.Database.Error:
        found = {}
        for kind in known:
            try:
                found[kind] = _ask(connection, [kind])[0]
            except connection.Database.Error:
                found[kind] = kind
        return found


def _ask(connection: Any, kinds: list[str]) -> list[str]:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    execute_raw(connection, "BEGIN")
    try:
        execute_raw(connection, f"CREATE TEMPORARY TABLE slipway_types ({columns})")
        return [text for (text,) in rows(connection, _TYPES)]
    finally:
        execute_raw(connection, "ROLLBACK")


def _model(connection: Any, model: Any, names: dict[str, str]) -> Model:
    meta = model._meta
    fields = [(field, names[kind]) for field, kind in _columns(connection, model)]
    columns = {field.column: Expected(field.column, kind, bool(field.null)) for field, kind in fields}
    unique = {frozenset([field.column]) for field, _column in fields if field.unique or field.primary_key}
    together = [tuple(each) for each in meta.unique_together]
    constraints = list(meta.constraints)
    together += [tuple(getattr(each, "fields", ())) for each in constraints if type(each).__name__ != "CheckConstraint"]
    for group in together:
        unique.add(frozenset(meta.get_field(name).column for name in group))
    key = getattr(meta, "pk_fields", None)
    if key:
        unique.add(frozenset(field.column for field in key))
    checks = sum(bool(field.db_parameters(connection=connection)["check"]) for field, _column in fields)
    checks += sum(type(each).__name__ == "CheckConstraint" for each in constraints)
    foreign = frozenset(field.column for field, _column in fields if field.remote_field is not None)
    return Model(meta.db_table, columns, frozenset(unique), foreign, checks)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code to write instead of an operation: that of the rule, with the names and definitions of the operation."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action

_PLACE = re.compile(r"<(\w+)>")
# What stands in the documentation, and where an operation does not tell.
STAND_INS: Mapping[str, str] = {
    "app": "APP",
    "migration": "MIGRATION",
    "model": "MODEL",
    "field": "FIELD",
    "table": "TABLE",
    "column": "COLUMN",
    "columns": '"COLUMN"',
    "name": "NAME",
    "definition": "models.…(…)",
    "nullable": "models.…(null=True)",
    "constraint": 'models.CheckConstraint(condition=…, name="NAME")',
    "concurrently": 'AddIndexConcurrently("MODEL", models.Index(fields=["FIELD"], name="NAME"))',
    "unique_concurrently": 'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "NAME" ON "TABLE" ("COLUMN")\')',
    "not_valid": (
        'migrations.RunSQL(\'ALTER TABLE "TABLE" ADD CONSTRAINT "NAME" FOREIGN KEY ("COLUMN") REFERENCES … NOT VALID\')'
    ),
}
# Django refuses longer names of an index (models.E034).
_LONGEST_INDEX_NAME = 30
_CREATE_INDEX = re.compile(
    r"^(CREATE\s+(?:UNIQUE\s+)?INDEX)\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?", re.IGNORECASE
)
_INDEXES = frozenset({"drop index", "drop index concurrently", "reindex", "reindex concurrently"})
_COLUMNS = re.compile(r"\b(?:column|not null|default|type|identity|expression)\b")


def filled(code: str, known: Mapping[str, str]) -> str:
    """Return the code with what is known in its places ``<model>``, ``<table>`` …, and stand-ins in the others.

    >>> filled('migrations.RunSQL(\\'DROP TABLE "<table>"\\')', {"table": "shop_order"})
    'migrations.RunSQL(\\'DROP TABLE "shop_order"\\')'
    """
    return _PLACE.sub(lambda place: known.get(place[1]) or STAND_INS[place[1]], code)


def names_of(operation: Operation, action: Action | None, migration: str = "") -> dict[str, str]:
    """Return what an operation and one of its actions tell; what they don't is empty.

    :param migration: ``app.name`` of the migration that the operation is in.
    """
    app, _dot, name = migration.partition(".")
    known = {"app": app, "migration": name, "model": operation.model, "constraint": operation.definition}
    field = operation.field or operation.old_field
    if field is not None:
        known |= {"field": field.name, "column": field.column}
        known |= {"definition": field.definition, "nullable": field.nullable}
    if operation.required_left_behind:
        known["table"], _dot, known["column"] = operation.required_left_behind.rpartition(".")
    if action is not None:
        known |= {each: found for each, found in _named_by(action).items() if found}
        known["concurrently"] = known["unique_concurrently"] = _concurrently(operation, action)
        known["not_valid"] = f"migrations.RunSQL({f'{action.text} NOT VALID'!r})" if action.text else ""
    return known


def _named_by(action: Action) -> dict[str, str]:
    if action.kind in _INDEXES:
        return {"name": action.relation.rpartition(".")[2]}
    # The place stands between quotes, and the name may begin with that of a schema.
    table = action.relation.replace(".", '"."')
    known = {"table": table, "columns": ", ".join(f'"{each}"' for each in action.columns)}
    if len(action.columns) == 1:
        known["column"] = action.columns[0]
    known["column" if _COLUMNS.search(action.kind) else "name"] = action.target
    return known


def _concurrently(operation: Operation, action: Action) -> str:
    """The operation that builds the index of an action while all go on."""
    if operation.kind in {"AddIndex", "AddIndexConcurrently"} and operation.definition:
        return f"AddIndexConcurrently({operation.model!r}, {operation.definition})"
    statement = _CREATE_INDEX.sub(r"\1 CONCURRENTLY ", action.text)
    if operation.field is None or "UNIQUE" in action.words:
        return f"migrations.RunSQL({statement!r})" if action.text else ""
    name = action.target if len(action.target) <= _LONGEST_INDEX_NAME else STAND_INS["name"]
    classes = re.search(r"\b(?:VARCHAR|TEXT)_PATTERN_OPS\b", action.words)
    more = f", opclasses=[{classes[0].lower()!r}]" if classes else ""
    index = f"models.Index(fields=[{operation.field.name!r}], name={name!r}{more})"
    return f"AddIndexConcurrently({operation.model!r}, {index})"

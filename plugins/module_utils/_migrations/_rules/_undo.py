# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about undoing an operation. The first that applies decides."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    UNDO,
    Context,
    Rule,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN, is_concurrent
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import kinds


def _concurrently(operation: Operation, context: Context) -> bool:
    return context.atomic and any(map(is_concurrent, operation.sql))


def _has_sql(operation: Operation, _context: Context) -> bool:
    return bool(operation.sql)


def _adds_required_back(operation: Operation, _context: Context) -> bool:
    field, does = operation.field, {kind for statement in operation.sql for kind in kinds(statement)}
    empty = operation.table is not None and operation.table.rows == 0
    if field is None or "add column" not in does or "drop default" in does or empty:
        return False
    return not (field.null or field.db_default != "none" or field.many_to_many or field.generated)


UNDO_RULES: tuple[Rule, ...] = (
    Rule(
        name="irreversible",
        when=lambda operation, _context: not operation.reversible,
        phase=UNDO,
        lock="",
        fails=True,
        why="it can't be undone: the migration gives no way back",
        instead="Go forward with a repaired release, or restore the backup of before",
    ),
    Rule(
        name="undo-concurrently-in-transaction",
        when=_concurrently,
        phase=UNDO,
        lock="",
        fails=True,
        why="CONCURRENTLY can't run inside a transaction, and this migration is atomic",
        instead="Go forward with a repaired release",
    ),
    Rule(
        name="undo-remove-required-field",
        on=("RemoveField",),
        when=_adds_required_back,
        phase=UNDO,
        lock=ACCESS,
        fails=True,
        why="a NOT NULL column without a default can't be added back to a table with rows",
        instead="Go forward with a repaired release, or restore the backup of before",
    ),
    Rule(
        name="undo-create-model",
        on=("CreateModel",),
        when=_has_sql,
        phase=UNDO,
        lock=ACCESS,
        why="drops the table with the rows that were written since",
    ),
    Rule(
        name="undo-add-field",
        on=("AddField",),
        when=_has_sql,
        phase=UNDO,
        lock=ACCESS,
        why="drops the column with the values that were written since",
    ),
    Rule(
        name="undo-python",
        on=("RunPython",),
        phase=UNDO,
        lock=UNKNOWN,
        why="runs the Python code of the way back",
    ),
    Rule(name="undo", phase=UNDO, lock=ACCESS, why="is undone"),
)

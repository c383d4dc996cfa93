# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that need what Django knows, before any statement is looked at. The first that applies decides."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    EXPAND,
    NONE,
    SHARE_ROW,
    Context,
    Rule,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN

_WITHOUT_MODEL = frozenset({"CreateModel", "RunPython", "RunSQL", "SeparateDatabaseAndState"})


def _exists(operation: Operation, context: Context) -> bool:
    return operation.table is not None and operation.table.name not in context.made


def _of_new_table(operation: Operation, _context: Context) -> bool:
    return operation.builtin and operation.new_table and operation.kind not in _WITHOUT_MODEL


def _of_new_table_refers(operation: Operation, context: Context) -> bool:
    return _of_new_table(operation, context) and any("REFERENCES" in statement for statement in operation.sql)


def _no_sql(operation: Operation, _context: Context) -> bool:
    elsewhere = operation.problem or operation.opaque or operation.inner
    return operation.builtin and not operation.sql and not elsewhere


def _same_value_in_unique(operation: Operation, _context: Context) -> bool:
    field = operation.field
    return field is not None and (field.primary_key or (field.unique and field.db_default == "constant"))


OPERATION_RULES: tuple[Rule, ...] = (
    Rule(
        name="table-exists",
        on=("CreateModel",),
        when=_exists,
        phase=UNKNOWN,
        lock="",
        fails=True,
        why="the table that it creates is in the database already",
        instead="Find out who made it; when it was done by hand, have the migration recorded: the schema is compared",
        code='by_hand: {"<app>.<migration>": "who did what"}  # with state: recorded',
        manual="sql-createtable",
    ),
    Rule(
        name="not-this-database",
        when=lambda operation, _context: operation.elsewhere,
        phase=EXPAND,
        lock="",
        why="the site's routers keep it off this database",
        work=NONE,
    ),
    Rule(
        name="run-python-noop",
        on=("RunPython",),
        when=lambda operation, _context: operation.noop,
        phase=EXPAND,
        lock="",
        why="written to do nothing",
    ),
    Rule(
        name="new-table-refers",
        when=_of_new_table_refers,
        phase=EXPAND,
        lock=SHARE_ROW,
        why="its table is made by this run; the table that it refers to is locked against writes for a moment",
        manual="sql-altertable",
    ),
    Rule(
        name="new-table",
        when=_of_new_table,
        phase=EXPAND,
        lock="",
        why="its table is made by this run: nobody uses it yet",
        manual="sql-createtable",
    ),
    Rule(
        name="not-djangos-own",
        when=lambda operation, _context: not operation.builtin,
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="not one of Django's own operations: what it does is not known",
        instead="Look at its SQL, then acknowledge the rule for this migration with the reason why it is safe",
        code='slipway_acknowledged = {"not-djangos-own": "why it is safe"}  # in class Migration',
        manual="explicit-locking",
    ),
    Rule(
        name="run-python-under-lock",
        on=("RunPython",),
        when=lambda _operation, context: context.atomic and context.held,
        phase=UNKNOWN,
        lock=UNKNOWN,
        why=(
            "Python code in the transaction in which a table was locked before: nobody can read that table until the "
            "code is done"
        ),
        instead="Put it into a migration of its own, after this one",
        code=(
            "class Migration(migrations.Migration):\n"
            "    atomic = False\n"
            "    operations = [migrations.RunPython(fill_in_batches, migrations.RunPython.noop)]"
        ),
        manual="explicit-locking",
    ),
    Rule(
        name="run-python",
        on=("RunPython",),
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="Python code: what it changes, and for how long it locks it, can't be known beforehand",
        instead=(
            "Fill data in batches from a task outside of the deployment, or acknowledge the rule for this migration "
            "with the reason why old code can live with it"
        ),
        code=(
            "def fill_in_batches(apps, editor):\n"
            '    rows = apps.get_model("<app>", "<model>").objects.using(editor.connection.alias)\n'
            "    while keys := list(rows.filter(<field>=None).values_list('pk', flat=True)[:1000]):\n"
            "        rows.filter(pk__in=keys).update(<field>=…)  # with atomic = False each is a transaction"
        ),
        manual="explicit-locking",
    ),
    Rule(
        name="sql-not-known",
        when=lambda operation, _context: bool(operation.problem),
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="its statements can't be known before the migrations ahead of it have run",
        instead="Deploy the migrations ahead of it first, or acknowledge it with the reason why it is safe",
        code='slipway_acknowledged = {"sql-not-known": "why it is safe"}  # in class Migration',
        manual="explicit-locking",
    ),
    Rule(
        name="add-column-same-value",
        on=("AddField",),
        when=_same_value_in_unique,
        phase=UNKNOWN,
        lock="",
        fails=True,
        why="each row would get the same value in a unique column",
        instead="Add it with null=True, fill it, then make it unique",
        code='migrations.AddField("<model>", "<field>", <nullable>)',
        manual="ddl-constraints",
    ),
    Rule(
        name="no-statement",
        when=_no_sql,
        phase=EXPAND,
        lock="",
        why="changes nothing in the database",
        work=NONE,
    ),
)

# Beside the verdict on its operations, the wrapper itself is looked at.
STATE_RULES: tuple[Rule, ...] = (
    Rule(
        name="required-left-behind",
        on=("SeparateDatabaseAndState",),
        when=lambda operation, _context: bool(operation.required_left_behind),
        phase=UNKNOWN,
        lock="",
        why=(
            "the new code no longer knows <table>.<column>, which stays, NOT NULL and without a default: "
            "its INSERTs fail"
        ),
        instead="Give the column a default or drop its NOT NULL in an earlier migration",
        code='migrations.RunSQL(\'ALTER TABLE "<table>" ALTER COLUMN "<column>" DROP NOT NULL\')',
        manual="ddl-alter",
    ),
)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about columns: added, changed, dropped."""

from __future__ import annotations

import re

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    CONTRACT,
    EXPAND,
    LATER,
    UPDATE,
    ActionCondition,
    ActionRule,
    Context,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._types import (
    COLLATION,
    FREE,
    INTEGER,
    change_of,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import (
    Action,
    default_of,
    outside_parentheses,
    parse,
)

_SERIAL = re.compile(r"^ADD (?:COLUMN )?(?:IF NOT EXISTS )?\S+ (?:SMALL|BIG)?SERIAL\d?\b")
# Types of PostgreSQL itself and of its usual extensions; a domain may bring checks and a default of its own.
_KNOWN_TYPE = re.compile(
    r"^ADD (?:COLUMN )?(?:IF NOT EXISTS )?\S+ (?:BIGINT|INT\d?|INTEGER|SMALLINT|NUMERIC|DECIMAL|REAL|FLOAT\d?"
    r"|DOUBLE PRECISION|BOOLEAN|BOOL|TEXT|VARCHAR|CHARACTER|CHAR|BPCHAR|CITEXT|UUID|DATE|TIME|TIMESTAMP|TIMESTAMPTZ"
    r"|TIMETZ|INTERVAL|BYTEA|JSONB?|INET|CIDR|MACADDR8?|HSTORE|XML|MONEY|BIT|TSVECTOR|TSQUERY|INT4RANGE|INT8RANGE"
    r"|NUMRANGE|TSRANGE|TSTZRANGE|DATERANGE|POINT|GEOMETRY|GEOGRAPHY|OID|NAME|(?:SMALL|BIG)?SERIAL\d?)\b"
)
_NULLABLE_INSTEAD = (
    "Add it with null=True or, from Django 5.0 on, with db_default=…; "
    "make it NOT NULL in a later deployment, when no old code writes rows"
)
_NULLABLE = 'migrations.AddField("<model>", "<field>", <nullable>)  # or, from Django 5.0 on, db_default=…'


def _required(action: Action) -> bool:
    words = outside_parentheses(action.words)
    return " NOT NULL" in words and not re.search(r" GENERATED |PRIMARY KEY", words) and not _is_serial(action)


def _is_serial(action: Action) -> bool:
    return _SERIAL.match(action.words) is not None


def _drops_default(action: Action, operation: Operation) -> bool:
    """Whether the same operation takes the default away again, as Django does when it comes from Python."""
    return any(
        each.kind == "drop default" and each.target == action.target
        for statement in operation.sql
        for each in parse(statement)
    )


def _without_default(action: Action, _operation: Operation, _context: Context) -> bool:
    return _required(action) and default_of(action) == "none"


def _without_default_with_rows(action: Action, operation: Operation, context: Context) -> bool:
    empty = any(table.name == action.relation and table.rows == 0 for table in operation.tables)
    return _without_default(action, operation, context) and not empty


def _default_dropped(action: Action, operation: Operation, _context: Context) -> bool:
    return _required(action) and _drops_default(action, operation)


def _of_this_operation(action: Action, operation: Operation, _context: Context) -> bool:
    return any(
        each.kind in {"add column", "set default"} and each.target == action.target
        for statement in operation.sql
        for each in parse(statement)
    )


def _volatile(action: Action, _operation: Operation, _context: Context) -> bool:
    return default_of(action) == "volatile" or _KNOWN_TYPE.match(action.words) is None


def _outside(pattern: str) -> ActionCondition:
    """The words outside of parentheses hold the pattern."""
    compiled = re.compile(pattern)
    return lambda action, _operation, _context: compiled.search(outside_parentheses(action.words)) is not None


def _refers(action: Action, _operation: Operation, _context: Context) -> bool:
    return bool(action.refers) and default_of(action) == "none"


def _refers_with_default(action: Action, _operation: Operation, _context: Context) -> bool:
    return bool(action.refers) and default_of(action) != "none"


def _serial(action: Action, _operation: Operation, _context: Context) -> bool:
    return _is_serial(action)


def _proven(action: Action, _operation: Operation, context: Context) -> bool:
    return (action.relation, action.target) in context.proven


def _type(wanted: str) -> ActionCondition:
    return lambda action, operation, _context: change_of(action, operation) == wanted


# Of these all that apply count, beside the first of the rules below that applies.
COLUMN_ASPECTS: tuple[ActionRule, ...] = (
    ActionRule(
        name="add-column-serial",
        on=("add column",),
        when=_serial,
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="each row gets a number: the table is written anew while readers and writers wait",
        instead="Add a plain nullable column, give it a sequence as its default, fill it in batches",
        code='migrations.AddField("<model>", "<field>", models.BigIntegerField(null=True))',
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-identity",
        on=("add column",),
        when=_outside(r" GENERATED (?:ALWAYS|BY DEFAULT) AS IDENTITY"),
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="each row gets a number: the table is written anew while readers and writers wait",
        instead="Add a plain nullable column, fill it in batches, make it an identity once it is NOT NULL",
        code='migrations.AddField("<model>", "<field>", models.BigIntegerField(null=True))',
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-generated-stored",
        on=("add column",),
        when=_outside(r" GENERATED ALWAYS AS \(\) STORED"),
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="the value is computed for each row: the table is written anew while readers and writers wait",
        instead="Add a plain nullable column, let a trigger fill it for new rows, fill the old ones in batches",
        code='migrations.AddField("<model>", "<field>", <nullable>)',
        manual="ddl-generated-columns",
    ),
    ActionRule(
        name="add-column-volatile-default",
        on=("add column",),
        when=_volatile,
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why=(
            "its default may differ from row to row, or its type is one that may have checks and a default of its "
            "own: the table is written anew while readers and writers wait"
        ),
        instead="Add it with null=True and without the default, then set the default, then fill the rows in batches",
        code=(
            'migrations.AddField("<model>", "<field>", <nullable>)\n'
            "# in a later migration, for new rows only:\n"
            'migrations.AlterField("<model>", "<field>", models.…(null=True, db_default=…))'
        ),
        manual="ddl-alter",
    ),
    ActionRule(
        name="add-column-check",
        on=("add column",),
        when=_outside(r" CHECK \("),
        phase=EXPAND,
        lock=ACCESS,
        scan=True,
        why="the check in the column's own line is tried on all rows while readers and writers wait",
        instead="Add the plain column; add the check as NOT VALID and validate it in a migration of its own",
        code=(
            'migrations.AddField("<model>", "<field>", models.IntegerField(null=True))\n'
            'AddConstraintNotValid("<model>", <constraint>)\n'
            "# in a later migration:\n"
            'ValidateConstraint("<model>", "<name>")'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-unique",
        on=("add column",),
        when=_outside(r" (?:UNIQUE|PRIMARY KEY)\b"),
        phase=EXPAND,
        lock=ACCESS,
        scan=True,
        why="a unique index is built over all rows while readers and writers wait",
        instead="Add the plain column; make the unique index concurrently, then the constraint from it",
        code=(
            'migrations.AddField("<model>", "<field>", <nullable>)\n'
            "# in later migrations, the first with atomic = False:\n"
            'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "<name>" ON "<table>" (<columns>)\')\n'
            'migrations.RunSQL(\'ALTER TABLE "<table>" ADD CONSTRAINT "<name>" UNIQUE USING INDEX "<name>"\')'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-refers-with-default",
        on=("add column",),
        when=_refers_with_default,
        phase=EXPAND,
        lock=ACCESS,
        scan=True,
        why="the reference is looked up for all rows while readers and writers wait",
        instead="Add it with null=True and without a default, fill it in batches",
        code='migrations.AddField("<model>", "<field>", models.ForeignKey(…, null=True, db_index=False))',
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-refers",
        on=("add column",),
        when=_refers,
        phase=EXPAND,
        lock=ACCESS,
        why=(
            "old code can leave the column out; its table is locked for a moment, and the table that it refers to "
            "against writes"
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-json",
        on=("add column",),
        when=_outside(r"^ADD (?:COLUMN )?(?:IF NOT EXISTS )?\S+ JSON\b"),
        phase=UNKNOWN,
        lock=ACCESS,
        why="json has no equality: SELECT DISTINCT over the table fails, in old code too",
        instead="Use jsonb",
        code='migrations.AddField("<model>", "<field>", models.JSONField(null=True))',
        manual="datatype-json",
    ),
)
COLUMN_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="add-column-without-default",
        on=("add column",),
        when=_without_default_with_rows,
        phase=UNKNOWN,
        lock=ACCESS,
        fails=True,
        why="a NOT NULL column without a default can't be added to a table with rows",
        instead=_NULLABLE_INSTEAD,
        code=_NULLABLE,
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-required",
        on=("add column",),
        when=lambda action, operation, context: (
            _without_default(action, operation, context) or _default_dropped(action, operation, context)
        ),
        phase=CONTRACT,
        lock=ACCESS,
        why="the column is NOT NULL, and Django drops its default once it is added: the old code's INSERTs fail",
        instead=_NULLABLE_INSTEAD,
        code=_NULLABLE,
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-column-virtual",
        on=("add column",),
        when=_outside(r" GENERATED ALWAYS AS \(\)(?! STORED)"),
        phase=EXPAND,
        lock=ACCESS,
        since=18,
        why="computed when it is read; the table is locked for a moment",
        manual="ddl-generated-columns",
    ),
    ActionRule(
        name="add-column",
        on=("add column",),
        phase=EXPAND,
        lock=ACCESS,
        why="old code can leave the column out; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-column",
        on=("drop column",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code still reads and writes the column",
        instead=LATER,
        code=(
            "# in this deployment, so that the new code forgets it while it can still be left out:\n"
            "migrations.SeparateDatabaseAndState(\n"
            '    state_operations=[migrations.RemoveField("<model>", "<field>")],\n'
            '    database_operations=[migrations.AlterField("<model>", "<field>", <nullable>)],\n'
            ")\n"
            "# in a later one:\n"
            'migrations.RunSQL(\'ALTER TABLE "<table>" DROP COLUMN "<column>"\')'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="rename-column",
        on=("rename column",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code still uses the old name of the column",
        instead="Keep the name with db_column, or add a new column and copy",
        code='<field> = models.…(db_column="<column>")',
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-default",
        on=("set default",),
        phase=EXPAND,
        lock=ACCESS,
        why="a default in the database: old code does not notice; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-default-again",
        on=("drop default",),
        when=_of_this_operation,
        phase=EXPAND,
        lock=ACCESS,
        why="a default that this operation itself has set; what that means is said of the column",
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-default",
        on=("drop default",),
        phase=CONTRACT,
        lock=ACCESS,
        why="INSERTs of old code may leave the column out and rely on the default",
        instead=LATER,
        code='migrations.AlterField("<model>", "<field>", models.…(db_default=…))  # keeps it',
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-not-null-proven",
        on=("set not null",),
        when=_proven,
        phase=EXPAND,
        lock=ACCESS,
        why="a valid check forbids NULL already, so no row is read; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-not-null",
        on=("set not null",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="old code may still write NULL; all rows are checked while readers and writers wait",
        instead=(
            "Deploy code that writes no NULL, add CHECK (… IS NOT NULL) with AddConstraintNotValid, then "
            "ValidateConstraint, then this"
        ),
        code=(
            'AddConstraintNotValid("<model>", models.CheckConstraint(\n'
            '    condition=models.Q(<field>__isnull=False), name="<field>_not_null"))  # before Django 5.1: check=\n'
            "# in migrations after it:\n"
            'ValidateConstraint("<model>", "<field>_not_null")\n'
            'migrations.AlterField("<model>", "<field>", <definition>)\n'
            'migrations.RemoveConstraint("<model>", "<field>_not_null")'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-not-null-not-valid",
        on=("add not null not valid",),
        phase=CONTRACT,
        lock=ACCESS,
        since=18,
        why="old code may still write NULL; no row is read",
        instead="Run it when no old code is left that writes NULL",
        code='migrations.RunSQL(\'ALTER TABLE "<table>" VALIDATE CONSTRAINT "<name>"\')  # after it',
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-not-null",
        on=("drop not null",),
        phase=UNKNOWN,
        lock=ACCESS,
        why="new code may write NULL, which old code does not expect to read",
        instead="Acknowledge it when old code can read NULL here, or when new code writes none yet",
        code='slipway_acknowledged = {"drop-not-null": "why old code can read NULL"}  # in class Migration',
        manual="sql-altertable",
    ),
    ActionRule(
        name="change-type-free",
        on=("change type",),
        when=_type(FREE),
        phase=EXPAND,
        lock=ACCESS,
        why="a wider type that the old rows are valid for: no row is written anew; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="change-type-larger-integer",
        on=("change type",),
        when=_type(INTEGER),
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="old code can go on, but the table and its indexes are written anew while readers and writers wait",
        instead="Add a new column, write both, copy in batches, read the new one, remove the old one later",
        code='migrations.AddField("<model>", "<field>_new", models.BigIntegerField(null=True))',
        manual="sql-altertable",
    ),
    ActionRule(
        name="change-collation",
        on=("change type",),
        when=_type(COLLATION),
        phase=UNKNOWN,
        lock=ACCESS,
        scan=True,
        why="old code gets another order and other matches; the column's indexes are built anew while all wait",
        instead="Add a new column with the collation, copy in batches, read the new one, remove the old one later",
        code='migrations.AddField("<model>", "<field>_new", models.…(null=True, db_collation="…"))',
        manual="collation",
    ),
    ActionRule(
        name="change-type",
        on=("change type",),
        phase=CONTRACT,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="the table may be written anew while readers and writers wait, and old code expects the old type",
        instead="Add a new column, write both, copy in batches, read the new one, remove the old one later",
        code='migrations.AddField("<model>", "<field>_new", <nullable>)',
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-identity",
        on=("add identity", "change identity"),
        phase=EXPAND,
        lock=ACCESS,
        why="a number for new rows that give none; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-identity",
        on=("drop identity",),
        phase=CONTRACT,
        lock=ACCESS,
        why="INSERTs of old code leave the number out and rely on it",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-expression",
        on=("set expression",),
        phase=CONTRACT,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        since=17,
        why="old code reads other values than before; the table is written anew while readers and writers wait",
        instead="Add another generated column and read that one",
        code='migrations.AddField("<model>", "<field>_new", <nullable>)',
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-expression",
        on=("drop expression",),
        phase=CONTRACT,
        lock=ACCESS,
        since=13,
        why="rows that old code writes get no value any more",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-statistics",
        on=("set statistics", "set column option"),
        phase=EXPAND,
        lock=UPDATE,
        why="what the planner collects of the column; nobody waits",
        manual="sql-altertable",
    ),
    ActionRule(
        name="set-column-storage",
        on=("set column storage",),
        phase=EXPAND,
        lock=ACCESS,
        why="for rows written from now on; the table is locked for a moment",
        manual="sql-altertable",
    ),
)

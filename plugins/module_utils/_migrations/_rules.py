# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table: what each of Django's operations means for old code, and whom it keeps waiting.

``RULES`` is for applying, ``UNDO_RULES`` for undoing. The first rule that applies counts, and the last one of
each table applies always: what is not known here is unknown, never harmless. Locks and scans are those that
PostgreSQL 15, 17 and 18 were seen to take for the statements of Django 5.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN, actions, is_concurrent

EXPAND = "expand"
CONTRACT = "contract"
UNDO = "undo"
FAILS = "fails"

_NULLABLE_INSTEAD = (
    "Add it with null=True or, from Django 5.0 on, with db_default=…; "
    "make it NOT NULL in a later deployment, when no old code writes rows"
)
_LATER_INSTEAD = "Take it out of the code first and run this migration in a later deployment, when no old code is left"
_CONCURRENT_INSTEAD = "Use AddIndexConcurrently in a migration of its own with atomic = False"
_READ_INSTEAD = "Look at its SQL, then acknowledge the migration with the reason why it is safe"


@dataclass(frozen=True)
class Context:
    """What is true for all operations of a migration.

    :param first: no migration was ever applied to this database: no old code uses it.
    """

    atomic: bool
    first: bool


Condition = Callable[[Operation, Context], bool]


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    :param kinds: names of Django's operations; empty for any operation, those of others included.
    :param phase: ``expand`` (old code can live with it), ``contract`` (it can't), ``unknown``, ``undo``.
    :param work: ``none`` (nothing in use is blocked), ``brief`` (a blocking lock for a moment),
        ``long`` (a scan, a build or a rewrite under a blocking lock), ``fails``, ``unknown``.
    :param instead: what to write or do instead; empty when nothing better is known or needed.
    """

    name: str
    kinds: tuple[str, ...]
    when: Condition
    phase: str
    work: str
    why: str
    instead: str = ""


def _always(_operation: Operation, _context: Context) -> bool:
    return True


def _no_sql(operation: Operation, _context: Context) -> bool:
    elsewhere = operation.problem or operation.opaque or operation.inner
    return operation.builtin and not operation.sql and not elsewhere


def _of_new_table(operation: Operation, _context: Context) -> bool:
    of_a_model = operation.kind not in {"CreateModel", "RunPython", "RunSQL", "SeparateDatabaseAndState"}
    return operation.builtin and operation.new_table and of_a_model


def _of_new_table_refers(operation: Operation, context: Context) -> bool:
    return _of_new_table(operation, context) and _refers(operation, context)


def _transaction_forbidden(operation: Operation, context: Context) -> bool:
    return context.atomic and any(map(is_concurrent, operation.sql))


def _does(operation: Operation) -> set[str]:
    return {action for statement in operation.sql for action in actions(statement)}


def _only(*known: str) -> Condition:
    return lambda operation, _context: bool(operation.sql) and _does(operation) <= set(known)


def _some(*wanted: str) -> Condition:
    return lambda operation, _context: bool(_does(operation) & set(wanted))


def _has_table(operation: Operation, _context: Context) -> bool:
    return operation.table is not None


def _has_sql(operation: Operation, _context: Context) -> bool:
    return bool(operation.sql)


def _refers(operation: Operation, _context: Context) -> bool:
    return any("REFERENCES" in statement for statement in operation.sql)


def _is_many_to_many(operation: Operation, _context: Context) -> bool:
    return operation.field is not None and operation.field.many_to_many


def _required(operation: Operation, _context: Context) -> bool:
    field = operation.field
    return field is not None and not (field.null or field.db_default != "none" or field.many_to_many or field.generated)


def _required_without_default(operation: Operation, context: Context) -> bool:
    empty = operation.table is not None and operation.table.rows == 0
    return _required(operation, context) and "drop default" not in _does(operation) and not empty


def _same_value_in_unique(operation: Operation, _context: Context) -> bool:
    field = operation.field
    return (
        field is not None and (field.unique or field.primary_key) and (field.primary_key or field.db_default != "none")
    )


def _works_through_the_table(operation: Operation, _context: Context) -> bool:
    """The new column brings an index, a check in its own line, or a value computed for each row."""
    field = operation.field
    if field is None:
        return True
    column = next((statement for statement in operation.sql if "add column" in actions(statement)), "")
    computed = field.generated == "stored" or field.db_default == "expression"
    indexed = field.unique or bool(_does(operation) & {"create index", "create unique index"})
    return computed or indexed or " CHECK (" in column


def _wider_text(operation: Operation, _context: Context) -> bool:
    old, new = operation.old_field, operation.field
    does = _does(operation)
    if old is None or new is None or "change type" not in does or does - {"change type", "comment", "set default"}:
        return False
    texts = {"CharField", "EmailField", "SlugField", "TextField", "URLField"}
    if {old.kind, new.kind} - texts or old.null != new.null or any("COLLATE" in line for line in operation.sql):
        return False
    return new.max_length is None or (old.max_length is not None and new.max_length >= old.max_length)


def _adds_required_back(operation: Operation, context: Context) -> bool:
    return bool(_does(operation) & {"add column"}) and _required_without_default(operation, context)


RULES: tuple[Rule, ...] = (
    # Any operation.
    Rule(
        "concurrently-in-transaction",
        (),
        _transaction_forbidden,
        UNKNOWN,
        FAILS,
        "CONCURRENTLY can't run inside a transaction, and this migration is atomic",
        "Set atomic = False on the migration, and let it hold this operation alone",
    ),
    Rule(
        "table-exists",
        ("CreateModel",),
        _has_table,
        UNKNOWN,
        FAILS,
        "the table that it creates is in the database already",
        "Find out who made it; when it is the same table, mark the migration with `manage.py migrate --fake`",
    ),
    Rule(
        "run-python-noop",
        ("RunPython",),
        lambda operation, _context: operation.noop,
        EXPAND,
        "none",
        "written to do nothing",
    ),
    Rule(
        "required-left-behind",
        ("SeparateDatabaseAndState",),
        lambda operation, _context: bool(operation.required_left_behind),
        UNKNOWN,
        "brief",
        "the new code no longer knows a column that stays, NOT NULL and without a default: its INSERTs fail",
        "Give the column a default or DROP NOT NULL in an earlier migration",
    ),
    Rule(
        "new-table-refers",
        (),
        _of_new_table_refers,
        EXPAND,
        "brief",
        "its table is made by this run; the table that it refers to is locked against writes for a moment",
    ),
    Rule("new-table", (), _of_new_table, EXPAND, "none", "its table is made by this run: nobody uses it yet"),
    Rule(
        "not-djangos-own",
        (),
        lambda operation, _context: not operation.builtin,
        UNKNOWN,
        UNKNOWN,
        "not one of Django's own operations: what it does is not known",
        _READ_INSTEAD,
    ),
    Rule(
        "run-python",
        ("RunPython",),
        _always,
        UNKNOWN,
        UNKNOWN,
        "Python code: what it changes, and for how long it locks it, can't be known beforehand",
        (
            "Fill data in batches from a task outside of the deployment, or acknowledge the migration with the "
            "reason why old code can live with it"
        ),
    ),
    Rule(
        "sql-not-known",
        (),
        lambda operation, _context: bool(operation.problem),
        UNKNOWN,
        UNKNOWN,
        "its statements can't be known before the migrations ahead of it have run",
        "Deploy the migrations ahead of it first, or acknowledge this one with the reason why it is safe",
    ),
    Rule(
        "run-sql",
        ("RunSQL",),
        _has_sql,
        UNKNOWN,
        UNKNOWN,
        "SQL written by hand is shown, not judged",
        "Read it, then acknowledge the migration with the reason why old code can live with it",
    ),
    Rule("no-statement", (), _no_sql, EXPAND, "none", "changes nothing in the database"),
    # Tables and their names.
    Rule(
        "create-model-refers",
        ("CreateModel",),
        _refers,
        EXPAND,
        "brief",
        "a new table; the table that it refers to is locked against writes for a moment",
    ),
    Rule("create-model", ("CreateModel",), _always, EXPAND, "none", "a new table"),
    Rule("delete-model", ("DeleteModel",), _always, CONTRACT, "brief", "old code still uses the table", _LATER_INSTEAD),
    Rule(
        "rename-table",
        ("RenameModel", "AlterModelTable"),
        _always,
        CONTRACT,
        "brief",
        "old code still uses the old name of the table",
        "Keep the name with Meta.db_table, or make a view in its place",
    ),
    Rule("table-comment", ("AlterModelTableComment",), _only("comment"), EXPAND, "none", "a comment only"),
    # Columns.
    Rule(
        "add-many-to-many",
        ("AddField",),
        _is_many_to_many,
        EXPAND,
        "brief",
        "a new table for the relation; the tables that it refers to are locked against writes for a moment",
    ),
    Rule(
        "add-field-fails",
        ("AddField",),
        _required_without_default,
        UNKNOWN,
        FAILS,
        "a NOT NULL column without a default can't be added to a table with rows",
        _NULLABLE_INSTEAD,
    ),
    Rule(
        "add-field-required",
        ("AddField",),
        _required,
        CONTRACT,
        "brief",
        "the column is NOT NULL, and Django drops its default once it is added: the old code's INSERTs fail",
        _NULLABLE_INSTEAD,
    ),
    Rule(
        "add-field-same-value",
        ("AddField",),
        _same_value_in_unique,
        UNKNOWN,
        FAILS,
        "each row would get the same value in a unique column",
        "Add it with null=True, fill it, then make it unique",
    ),
    Rule(
        "add-field-with-work",
        ("AddField",),
        _works_through_the_table,
        EXPAND,
        "long",
        (
            "old code can leave the column out; an index, a check or a computed value is made for all rows "
            "while readers and writers wait"
        ),
        (
            "Add the plain column alone (db_index=False, no check); add the index with AddIndexConcurrently, "
            "the check with AddConstraintNotValid and ValidateConstraint, in migrations of their own"
        ),
    ),
    Rule(
        "add-field",
        ("AddField",),
        _only("add column", "drop default", "set constraints", "comment"),
        EXPAND,
        "brief",
        "old code can leave the column out; the table is locked for a moment",
    ),
    Rule(
        "remove-field",
        ("RemoveField",),
        _always,
        CONTRACT,
        "brief",
        "old code still reads and writes the column",
        _LATER_INSTEAD,
    ),
    Rule(
        "rename-field",
        ("RenameField",),
        _always,
        CONTRACT,
        "brief",
        "old code still uses the old name of the column",
        "Keep the name with db_column, or add a new column and copy",
    ),
    Rule("wider-text", ("AlterField",), _wider_text, EXPAND, "brief", "a wider text column: no row is written anew"),
    Rule(
        "alter-default",
        ("AlterField",),
        _only("set default", "comment"),
        EXPAND,
        "brief",
        "a default in the database: old code does not notice",
    ),
    Rule(
        "alter-index",
        ("AlterField",),
        _only("create index", "comment"),
        EXPAND,
        "long",
        "an index is built while writers wait",
        "Leave db_index=True out; use AddIndexConcurrently in a migration of its own with atomic = False",
    ),
    Rule(
        "alter-not-null",
        ("AlterField",),
        _some("set not null"),
        CONTRACT,
        "long",
        "old code may still write NULL; all rows are checked while readers and writers wait",
        (
            "Deploy code that writes no NULL, add CHECK (… IS NOT NULL) with AddConstraintNotValid, then "
            "ValidateConstraint, then this"
        ),
    ),
    Rule(
        "alter-constraint",
        ("AlterField",),
        _some("add check", "add unique", "add foreign key", "create unique index"),
        CONTRACT,
        "long",
        "old code may still write what the constraint forbids; all rows are checked under a lock",
        "Add it NOT VALID, or as a unique index made concurrently, when no old code writes against it",
    ),
    Rule(
        "alter-null",
        ("AlterField",),
        _only("drop not null"),
        UNKNOWN,
        "brief",
        "new code may write NULL, which old code does not expect to read",
        "Acknowledge it when old code can read NULL here, or when new code writes none yet",
    ),
    Rule(
        "alter-type",
        ("AlterField",),
        _some("change type"),
        CONTRACT,
        "long",
        "the table may be written anew while readers and writers wait, and old code expects the old type",
        "Add a new column, write both, copy in batches, read the new one, remove the old one later",
    ),
    Rule(
        "alter-field",
        ("AlterField",),
        _always,
        UNKNOWN,
        UNKNOWN,
        "a change of the column that is not known to be harmless for old code",
        _READ_INSTEAD,
    ),
    Rule(
        "order-with-respect-to",
        ("AlterOrderWithRespectTo",),
        _always,
        CONTRACT,
        "brief",
        "adds or drops the column _order, NOT NULL without a default: the old code's INSERTs fail",
        _LATER_INSTEAD,
    ),
    # Indexes and constraints.
    Rule(
        "add-index-concurrently",
        ("AddIndexConcurrently",),
        _always,
        EXPAND,
        "none",
        "the index is built while all go on reading and writing",
    ),
    Rule(
        "add-index",
        ("AddIndex", "AlterIndexTogether"),
        _only("create index"),
        EXPAND,
        "long",
        "an index is built while writers wait",
        _CONCURRENT_INSTEAD,
    ),
    Rule(
        "rename-index",
        ("RenameIndex",),
        _only("rename index"),
        EXPAND,
        "none",
        "code does not know the name of an index",
    ),
    Rule(
        "remove-index",
        ("RemoveIndex", "RemoveIndexConcurrently", "AlterIndexTogether", "RenameIndex"),
        _always,
        CONTRACT,
        "brief",
        "old code may be too slow without the index",
        "Run it in a later deployment, with RemoveIndexConcurrently",
    ),
    Rule(
        "add-constraint",
        ("AddConstraint", "AddConstraintNotValid", "AlterUniqueTogether"),
        _always,
        CONTRACT,
        "long",
        "old code may still write what the constraint forbids",
        (
            "Run it when no old code is left: a check with AddConstraintNotValid and ValidateConstraint, a "
            "unique one from an index made concurrently"
        ),
    ),
    Rule(
        "validate-constraint",
        ("ValidateConstraint",),
        _only("validate"),
        EXPAND,
        "none",
        "rows are checked while all go on reading and writing; new rows were held to it before",
    ),
    Rule(
        "remove-constraint",
        ("RemoveConstraint",),
        _always,
        UNKNOWN,
        "brief",
        "old code may rely on it (an upsert needs the unique index) or not expect what new code may write then",
        _LATER_INSTEAD,
    ),
    # The database itself.
    Rule(
        "extension",
        (
            "CreateExtension",
            "CreateCollation",
            "BloomExtension",
            "BtreeGinExtension",
            "BtreeGistExtension",
            "CITextExtension",
            "CryptoExtension",
            "HStoreExtension",
            "TrigramExtension",
            "UnaccentExtension",
        ),
        _only("create extension", "create collation"),
        EXPAND,
        "none",
        "something new that old code does not use",
    ),
    # What is left, operations included that Django got after this table was written.
    Rule("anything-else", (), _always, UNKNOWN, UNKNOWN, "not known to be harmless for old code", _READ_INSTEAD),
)

UNDO_RULES: tuple[Rule, ...] = (
    Rule(
        "irreversible",
        (),
        lambda operation, _context: not operation.reversible,
        UNDO,
        FAILS,
        "it can't be undone: the migration gives no way back",
        "Go forward with a repaired release, or restore the backup of before",
    ),
    Rule(
        "undo-concurrently-in-transaction",
        (),
        _transaction_forbidden,
        UNDO,
        FAILS,
        "CONCURRENTLY can't run inside a transaction, and this migration is atomic",
        "Go forward with a repaired release",
    ),
    Rule(
        "undo-remove-required-field",
        ("RemoveField",),
        _adds_required_back,
        UNDO,
        FAILS,
        "a NOT NULL column without a default can't be added back to a table with rows",
        "Go forward with a repaired release, or restore the backup of before",
    ),
    Rule(
        "undo-create-model",
        ("CreateModel",),
        _has_sql,
        UNDO,
        "brief",
        "drops the table with the rows that were written since",
    ),
    Rule(
        "undo-add-field",
        ("AddField",),
        _has_sql,
        UNDO,
        "brief",
        "drops the column with the values that were written since",
    ),
    Rule("undo-python", ("RunPython",), _always, UNDO, UNKNOWN, "runs the Python code of the way back"),
    Rule("undo", (), _always, UNDO, "brief", "is undone"),
)

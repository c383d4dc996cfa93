# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about constraints."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    CONTRACT,
    EXPAND,
    LATER,
    SHARE_ROW,
    UPDATE,
    ActionRule,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN

CONSTRAINT_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="add-check",
        on=("add check",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="old code may still write what it forbids; all rows are checked while readers and writers wait",
        instead="Add it NOT VALID when no old code writes against it, and validate it in a migration of its own",
        code=(
            'AddConstraintNotValid("<model>", <constraint>)\n'
            "# in a migration after it:\n"
            'ValidateConstraint("<model>", "<name>")'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-check-not-valid",
        on=("add check not valid",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code may still write what it forbids; no row is read",
        instead="Run it when no old code writes against it",
        code="# in a later deployment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-foreign-key",
        on=("add foreign key",),
        phase=CONTRACT,
        lock=SHARE_ROW,
        scan=True,
        why=("old code may still write what it forbids; all rows are looked up while the writers of both tables wait"),
        instead="Add it NOT VALID when no old code writes against it, and validate it in a migration of its own",
        code=(
            "<not_valid>\n"
            "# in a migration after it:\n"
            'migrations.RunSQL(\'ALTER TABLE "<table>" VALIDATE CONSTRAINT "<name>"\')'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-foreign-key-not-valid",
        on=("add foreign key not valid",),
        phase=CONTRACT,
        lock=SHARE_ROW,
        why="old code may still write what it forbids; no row is read",
        instead="Run it when no old code writes against it",
        code="# in a later deployment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-unique",
        on=("add unique",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="old code may still write what it forbids; an index is built while readers and writers wait",
        instead=("Make the unique index concurrently when no old code writes against it, then the constraint from it"),
        code=(
            "# in a migration with atomic = False:\n"
            'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "<name>" ON "<table>" (<columns>)\')\n'
            'migrations.RunSQL(\'ALTER TABLE "<table>" ADD CONSTRAINT "<name>" UNIQUE USING INDEX "<name>"\')'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-unique-using-index",
        on=("add unique using index",),
        phase=EXPAND,
        lock=ACCESS,
        why="the index has forbidden it before; the table is locked for a moment",
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-primary-key",
        on=("add primary key",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="old code may still write what it forbids; an index is built while readers and writers wait",
        instead=(
            "Make the unique index concurrently and the column NOT NULL by a validated check, then the key "
            "from the index"
        ),
        code=(
            "# in a migration with atomic = False:\n"
            'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "<name>" ON "<table>" (<columns>)\')\n'
            'migrations.RunSQL(\'ALTER TABLE "<table>" ADD CONSTRAINT "<name>" PRIMARY KEY USING INDEX "<name>"\')'
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-primary-key-using-index",
        on=("add primary key using index",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="a column that may be NULL is made NOT NULL: all rows are checked while readers and writers wait",
        instead="Make the column NOT NULL first, by a check that is validated",
        code=(
            'AddConstraintNotValid("<model>", models.CheckConstraint(\n'
            '    condition=models.Q(<field>__isnull=False), name="<field>_not_null"))  # before Django 5.1: check='
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="add-exclude",
        on=("add exclude",),
        phase=CONTRACT,
        lock=ACCESS,
        scan=True,
        why="old code may still write what it forbids; an index is built while readers and writers wait",
        instead=(
            "There is no way without that wait: do it in maintenance, or on a new table into which the rows are copied"
        ),
        code="# with the site in maintenance",
        manual="sql-altertable",
    ),
    ActionRule(
        name="validate",
        on=("validate",),
        phase=EXPAND,
        lock=UPDATE,
        scan=True,
        why="rows are checked while all go on reading and writing; new rows were held to it before",
        manual="sql-altertable",
    ),
    ActionRule(
        name="rename-constraint",
        on=("rename constraint",),
        phase=EXPAND,
        lock=ACCESS,
        why=(
            "code does not know the name of a constraint, unless it catches its errors by name; the table is "
            "locked for a moment"
        ),
        manual="sql-altertable",
    ),
    ActionRule(
        name="alter-constraint",
        on=("alter constraint",),
        phase=UNKNOWN,
        lock=ACCESS,
        why="old code may get its errors at another moment",
        instead="Acknowledge it when old code does not mind",
        code=('slipway_acknowledged = {"alter-constraint": "why old code can live with it"}  # in class Migration'),
        manual="sql-altertable",
    ),
    ActionRule(
        name="drop-constraint",
        on=("drop constraint",),
        phase=UNKNOWN,
        lock=ACCESS,
        why=(
            "old code may rely on it (an upsert needs the unique index) or not expect what new code may write "
            "then; the table that a foreign key refers to is locked too"
        ),
        instead=LATER,
        code="# in a later deployment",
        manual="sql-altertable",
    ),
)

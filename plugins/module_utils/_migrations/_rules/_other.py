# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about rows, sessions and what else a database holds, and those that look at what stands around a statement."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    CONTRACT,
    EXPAND,
    LATER,
    LONG,
    READ,
    ROW,
    SHARE,
    UPDATE,
    ActionRule,
    Context,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action, parse


def _among_others(action: Action, operation: Operation, _context: Context) -> bool:
    texts = [parse(statement) for statement in operation.sql]
    return any(action in actions and len(actions) > 1 for actions in texts)


DATA_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="set-constraints",
        on=("set constraints",),
        phase=EXPAND,
        lock="",
        why="checks at once what would be checked at the end of the transaction",
        manual="sql-set-constraints",
    ),
    ActionRule(
        name="update-rows",
        on=("update", "merge"),
        phase=UNKNOWN,
        lock=ROW,
        scan=True,
        why=(
            "changes rows: what old code makes of the new values is not known; writers of the same rows wait "
            "until the end of the transaction"
        ),
        instead=("Change them in batches from a task outside of the deployment, or in a migration with atomic = False"),
        code=(
            'while keys := list(MODEL.objects.filter(FIELD=None).values_list("pk", flat=True)[:1000]):\n'
            "    MODEL.objects.filter(pk__in=keys).update(FIELD=…)"
        ),
        manual="sql-update",
    ),
    ActionRule(
        name="delete-rows",
        on=("delete",),
        phase=UNKNOWN,
        lock=ROW,
        scan=True,
        why=(
            "deletes rows that old code may still need; writers of the same rows wait until the end of the transaction"
        ),
        instead="Delete them in batches, when no old code is left",
        code="MODEL.objects.filter(pk__in=keys).delete()  # 1000 keys at a time",
        manual="sql-delete",
    ),
    ActionRule(
        name="insert-rows",
        on=("insert", "copy in"),
        phase=UNKNOWN,
        lock=ROW,
        why="new rows that old code may not expect",
        instead="Acknowledge it when old code can read those rows",
        code='slipway_acknowledged = {"insert-rows": "why it is safe"}  # in class Migration',
        manual="sql-insert",
    ),
    ActionRule(
        name="select",
        on=("select",),
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="a query may call functions, and what those do is not known",
        instead="Acknowledge it when it only reads, or when what its functions do is safe",
        code='slipway_acknowledged = {"select": "why it is safe"}  # in class Migration',
        manual="sql-select",
    ),
    ActionRule(
        name="do-block",
        on=("do block",),
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="a program in the database: what it does is not known",
        instead="Write its statements one by one, or acknowledge it with the reason why it is safe",
        code='slipway_acknowledged = {"do-block": "why it is safe"}  # in class Migration',
        manual="sql-do",
    ),
    ActionRule(
        name="lock-table",
        on=("lock table",),
        phase=UNKNOWN,
        lock=ACCESS,
        work=LONG,
        why="keeps a table locked until the end of the transaction",
        instead="Leave it out: each statement takes the lock that it needs",
        code="# without LOCK TABLE",
        manual="sql-lock",
    ),
    ActionRule(
        name="set-limit",
        on=("set limit",),
        phase=UNKNOWN,
        lock="",
        why=(
            "sets another limit than the run has: a statement may then wait, and keep others waiting, for "
            "longer than was allowed"
        ),
        instead="Leave it out and use the options lock_timeout_ms and statement_timeout_ms",
        code="# without SET lock_timeout, SET statement_timeout",
        manual="runtime-config-client",
    ),
    ActionRule(
        name="set-parameter",
        on=("set parameter",),
        phase=UNKNOWN,
        lock="",
        why="the statements after it may mean something else than the plan says",
        instead="Name what is meant in each statement, such as its schema, instead of setting a parameter",
        code='migrations.RunSQL(\'ALTER TABLE "schema"."TABLE" …\')',
        manual="sql-set",
    ),
    ActionRule(
        name="transaction-control",
        on=("transaction control",),
        phase=UNKNOWN,
        lock="",
        work=UNKNOWN,
        why="ends or begins a transaction by itself: what is rolled back after a failure is then not known",
        instead="Leave it out; use atomic = False and a migration for each part",
        code=("class Migration(migrations.Migration):\n    atomic = False"),
        manual="sql-commit",
    ),
    ActionRule(
        name="vacuum-full",
        on=("vacuum full",),
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="the table is written anew while readers and writers wait",
        instead="Use VACUUM, or run it in maintenance",
        code="migrations.RunSQL('VACUUM \"TABLE\"')",
        manual="sql-vacuum",
    ),
    ActionRule(
        name="cluster",
        on=("cluster",),
        phase=EXPAND,
        lock=ACCESS,
        rewrite=True,
        scan=True,
        why="the table is written anew while readers and writers wait",
        instead="Run it in maintenance",
        code="# with the site in maintenance",
        manual="sql-cluster",
    ),
    ActionRule(
        name="vacuum",
        on=("vacuum",),
        phase=EXPAND,
        lock=UPDATE,
        why="tidies up while all go on reading and writing",
        manual="sql-vacuum",
    ),
    ActionRule(
        name="analyze",
        on=("analyze",),
        phase=EXPAND,
        lock=UPDATE,
        why="reads a sample while all go on reading and writing",
        manual="sql-analyze",
    ),
)
OBJECT_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="create-extension",
        on=("create extension", "create collation"),
        phase=EXPAND,
        lock="",
        why="something new that old code does not use",
        manual="sql-createextension",
    ),
    ActionRule(
        name="create-schema",
        on=("create schema",),
        phase=EXPAND,
        lock="",
        why="a new schema, which old code does not look into",
        manual="sql-createschema",
    ),
    ActionRule(
        name="rename-schema",
        on=("rename schema",),
        phase=CONTRACT,
        lock="",
        why="old code looks for its tables in the schema of before",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-alterschema",
    ),
    ActionRule(
        name="drop-schema",
        on=("drop schema",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code may use what is in the schema",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-dropschema",
    ),
    ActionRule(
        name="drop-database",
        on=("drop database",),
        phase=CONTRACT,
        lock="",
        why="nobody can use the database any more",
        instead="Drop a database by hand, never in a migration",
        code="# no migration",
        manual="sql-dropdatabase",
    ),
    ActionRule(
        name="create-object",
        on=("create function", "create type", "create domain", "create sequence"),
        phase=EXPAND,
        lock="",
        why="something new that old code does not use",
        manual="sql-commands",
    ),
    ActionRule(
        name="create-statistics",
        on=("create statistics",),
        phase=EXPAND,
        lock=UPDATE,
        why="what the planner collects of the table; nobody waits",
        manual="sql-createstatistics",
    ),
    ActionRule(
        name="replace-function",
        on=("replace function",),
        phase=UNKNOWN,
        lock="",
        why="old code that calls it gets something else",
        instead="Make a function under another name and call that one",
        code="migrations.RunSQL('CREATE FUNCTION …')",
        manual="sql-createfunction",
    ),
    ActionRule(
        name="drop-object",
        on=("drop function", "drop type", "drop sequence", "drop extension"),
        phase=CONTRACT,
        lock="",
        why="old code may still use it",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-commands",
    ),
    ActionRule(
        name="add-enum-value",
        on=("add enum value",),
        phase=EXPAND,
        lock="",
        why="one more value; old code does not write it, and must be able to read it once new code writes it",
        manual="sql-altertype",
    ),
    ActionRule(
        name="rename-enum-value",
        on=("rename enum value", "rename type"),
        phase=CONTRACT,
        lock="",
        why="old code still uses the old name",
        instead="Add the new value beside the old one, and use both until no old code is left",
        code="migrations.RunSQL('ALTER TYPE … ADD VALUE …')",
        manual="sql-altertype",
    ),
    ActionRule(
        name="add-domain-constraint",
        on=("add domain constraint",),
        phase=CONTRACT,
        lock=SHARE,
        scan=True,
        why=(
            "old code may still write what it forbids; all rows of all tables with the domain are checked "
            "while writers wait"
        ),
        instead="Add it NOT VALID when no old code writes against it, and validate it in maintenance",
        code="migrations.RunSQL('ALTER DOMAIN … ADD CONSTRAINT … CHECK (…) NOT VALID')",
        manual="sql-alterdomain",
    ),
    ActionRule(
        name="add-domain-constraint-not-valid",
        on=("add domain constraint not valid",),
        phase=CONTRACT,
        lock="",
        why="old code may still write what it forbids; no row is read",
        instead="Run it when no old code writes against it",
        code="# in a later deployment",
        manual="sql-alterdomain",
    ),
    ActionRule(
        name="change-attribute",
        on=("change attribute",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code reads and writes values of the type as it was; tables with the type are locked for a moment",
        instead="Make another type, and a column of it",
        code="migrations.RunSQL('CREATE TYPE … AS (…)')",
        manual="sql-altertype",
    ),
    ActionRule(
        name="alter-sequence",
        on=("alter sequence",),
        phase=UNKNOWN,
        lock="",
        why="old code draws other numbers from it",
        instead="Acknowledge it when the numbers of old code stay free",
        code='slipway_acknowledged = {"alter-sequence": "why it is safe"}  # in class Migration',
        manual="sql-altersequence",
    ),
    ActionRule(
        name="grant",
        on=("grant",),
        phase=EXPAND,
        lock="",
        why="more rights than before",
        manual="sql-grant",
    ),
    ActionRule(
        name="revoke",
        on=("revoke",),
        phase=CONTRACT,
        lock="",
        why="old code may lose a right that it needs",
        instead=LATER,
        code="# in a later deployment",
        manual="sql-revoke",
    ),
)
# The last one: whatever has no rule.
UNKNOWN_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="unknown-statement",
        phase=UNKNOWN,
        lock=UNKNOWN,
        why="a statement that is not on the list: not known to be harmless for old code",
        instead=READ,
        code='slipway_acknowledged = {"unknown-statement": "why it is safe"}  # in class Migration',
        manual="explicit-locking",
    ),
)
# Of these all that apply count, beside the rule of the statement itself.
AROUND_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="concurrently-in-transaction",
        on=(
            "create index concurrently",
            "create unique index concurrently",
            "drop index concurrently",
            "reindex concurrently",
            "detach partition concurrently",
            "vacuum",
            "vacuum full",
        ),
        when=lambda _action, _operation, context: context.atomic,
        phase=UNKNOWN,
        lock="",
        fails=True,
        why="it can't run inside a transaction, and this migration is atomic",
        instead="Set atomic = False on the migration, and let it hold this operation alone",
        code=(
            "class Migration(migrations.Migration):\n"
            "    atomic = False\n"
            '    operations = [AddIndexConcurrently("MODEL", models.Index(fields=["FIELD"], name="…"))]'
        ),
        manual="sql-createindex",
    ),
    ActionRule(
        name="concurrently-among-others",
        on=(
            "create index concurrently",
            "create unique index concurrently",
            "drop index concurrently",
            "reindex concurrently",
            "detach partition concurrently",
        ),
        when=_among_others,
        phase=UNKNOWN,
        lock="",
        fails=True,
        why=(
            "several statements are sent as one text, which the server runs as one transaction, and this "
            "can't run inside of one"
        ),
        instead="Give each statement its own entry",
        code="migrations.RunSQL(['CREATE INDEX CONCURRENTLY …', '…'])",
        manual="protocol-flow",
    ),
    ActionRule(
        name="concurrently-if-not-exists",
        on=("create index concurrently", "create unique index concurrently"),
        when=lambda action, _operation, _context: action.has(r"IF NOT EXISTS"),
        phase=UNKNOWN,
        lock=UPDATE,
        scan=True,
        why="an index of this name that an earlier try left INVALID is taken for the one that is wanted",
        instead="Leave IF NOT EXISTS out; an INVALID index is found and named before anything runs",
        code='migrations.RunSQL(\'CREATE INDEX CONCURRENTLY "…" ON "TABLE" ("COLUMN")\')',
        manual="sql-createindex",
    ),
    ActionRule(
        name="work-under-lock",
        on=(
            "create index",
            "create unique index",
            "reindex",
            "validate",
            "update",
            "delete",
            "merge",
            "insert",
            "copy in",
            "add foreign key",
            "select",
            "do block",
        ),
        when=lambda _action, _operation, context: context.held and context.atomic,
        phase=EXPAND,
        lock=ACCESS,
        scan=True,
        why=(
            "a statement before it in the same transaction has locked a table against everybody, and this one "
            "takes time: readers and writers wait until the end of the transaction"
        ),
        instead="Put it into a migration of its own, after this one",
        code=('class Migration(migrations.Migration):  # the next one\n    dependencies = [("APP", "MIGRATION")]'),
        manual="explicit-locking",
    ),
)

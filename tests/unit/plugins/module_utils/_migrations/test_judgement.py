# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import (
    LONG_WORK_BYTES,
    judge,
    judge_operation,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Field, Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules import RULES, UNDO_RULES, Context
from hypothesis import given
from hypothesis import strategies as st

SMALL = Table("orders_order", 200, 65536)
LARGE = Table("orders_order", 9_000_000, LONG_WORK_BYTES + 1)
UNKNOWN_SIZE = Table("orders_order", None, None)
EMPTY = Table("orders_order", 0, 0)
ATOMIC = Context(atomic=True, first=False)
TEXT = Field("note", "TextField", null=True)
CHAR = Field("note", "CharField", null=False, max_length=20)
NUMBER = Field("amount", "IntegerField", null=False)
ADD = 'ALTER TABLE "orders_order" ADD COLUMN "note" text'
DROP_DEFAULT = 'ALTER TABLE "orders_order" ALTER COLUMN "note" DROP DEFAULT;'
INDEX = 'CREATE INDEX "i" ON "orders_order" ("note");'


def op(kind: str, *sql: str, table: Table | None = SMALL, **more: object) -> Operation:
    return replace(Operation(0, kind, True, f"{kind} …", sql=sql, table=table), **more)  # type: ignore[arg-type]


def alter(action: str, table: Table = SMALL) -> Operation:
    sql = f'ALTER TABLE "orders_order" ALTER COLUMN "note" {action};'
    return op("AlterField", sql, field=CHAR, old_field=CHAR, table=table)


@dataclass(frozen=True)
class Case:
    rule: str
    operation: Operation
    phase: str
    lock: str
    context: Context = ATOMIC


UNIQUE = replace(TEXT, unique=True)
CASES = [
    Case(
        "concurrently-in-transaction",
        op("AddIndexConcurrently", 'CREATE INDEX CONCURRENTLY "i" ON "t" ("a")'),
        "unknown",
        "fails",
    ),
    Case("concurrently-in-transaction", op("RunSQL", "create index concurrently i on t (a)"), "unknown", "fails"),
    Case("table-exists", op("CreateModel", 'CREATE TABLE "orders_order" ()'), "unknown", "fails"),
    Case("run-python-noop", op("RunPython", opaque=True, noop=True), "expand", "online"),
    Case("required-left-behind", op("SeparateDatabaseAndState", required_left_behind="order.note"), "unknown", "care"),
    Case(
        "new-table-refers",
        op("AddField", f'{ADD} CONSTRAINT "f" REFERENCES "b"("id")', table=None, new_table=True),
        "expand",
        "care",
    ),
    Case(
        "new-table",
        op("RemoveField", 'ALTER TABLE "t" DROP COLUMN "a"', table=None, new_table=True),
        "expand",
        "online",
    ),
    Case(
        "new-table", op("AlterUniqueTogether", problem="not there yet", table=None, new_table=True), "expand", "online"
    ),
    Case("not-djangos-own", op("site.operations.AddField", ADD, builtin=False), "unknown", "unknown"),
    Case("not-djangos-own", op("AddField", ADD, builtin=False, field=TEXT), "unknown", "unknown"),
    Case("run-python", op("RunPython", opaque=True), "unknown", "unknown"),
    Case("run-python", op("RunPython", opaque=True, new_table=True), "unknown", "unknown"),
    Case(
        "sql-not-known",
        op("AlterUniqueTogether", problem="Found wrong number (0) of constraints"),
        "unknown",
        "unknown",
    ),
    Case("run-sql", op("RunSQL", "UPDATE t SET a = 1"), "unknown", "unknown"),
    Case("no-statement", op("AlterField", field=CHAR, old_field=CHAR), "expand", "online"),
    Case("no-statement", op("AlterModelOptions"), "expand", "online"),
    Case("no-statement", op("RunSQL"), "expand", "online"),
    Case("no-statement", op("SeparateDatabaseAndState"), "expand", "online"),
    Case(
        "create-model-refers",
        op(
            "CreateModel",
            'CREATE TABLE "n" ()',
            'ALTER TABLE "n" ADD CONSTRAINT "f" FOREIGN KEY ("o") REFERENCES "orders_order" ("id");',
            table=None,
        ),
        "expand",
        "care",
    ),
    Case("create-model", op("CreateModel", 'CREATE TABLE "n" ()', table=None, new_table=True), "expand", "online"),
    Case("delete-model", op("DeleteModel", 'DROP TABLE "orders_order" CASCADE;'), "contract", "care"),
    Case("rename-table", op("RenameModel", 'ALTER TABLE "orders_order" RENAME TO "b"'), "contract", "care"),
    Case("rename-table", op("AlterModelTable", 'ALTER TABLE "orders_order" RENAME TO "b"'), "contract", "care"),
    Case("table-comment", op("AlterModelTableComment", "COMMENT ON TABLE \"orders_order\" IS 'x'"), "expand", "online"),
    Case(
        "add-many-to-many",
        op("AddField", 'CREATE TABLE "m" ()', field=replace(TEXT, many_to_many=True)),
        "expand",
        "care",
    ),
    Case("add-field-fails", op("AddField", f"{ADD} NOT NULL;", field=NUMBER), "unknown", "fails"),
    Case("add-field-fails", op("AddField", f"{ADD} NOT NULL;", field=NUMBER, table=UNKNOWN_SIZE), "unknown", "fails"),
    Case(
        "add-field-required",
        op("AddField", f"{ADD} DEFAULT 3 NOT NULL;", DROP_DEFAULT, field=NUMBER),
        "contract",
        "care",
    ),
    Case("add-field-required", op("AddField", f"{ADD} NOT NULL;", field=NUMBER, table=EMPTY), "contract", "care"),
    Case(
        "add-field-same-value",
        op("AddField", f"{ADD} DEFAULT 3 UNIQUE", field=replace(NUMBER, unique=True, db_default="constant")),
        "unknown",
        "fails",
    ),
    Case("add-field-with-work", op("AddField", f"{ADD} NULL;", INDEX, field=TEXT), "expand", "care"),
    Case("add-field-with-work", op("AddField", f"{ADD} NULL;", INDEX, field=TEXT, table=LARGE), "expand", "downtime"),
    Case(
        "add-field-with-work",
        op("AddField", f"{ADD} NULL;", INDEX, field=TEXT, table=UNKNOWN_SIZE),
        "expand",
        "downtime",
    ),
    Case(
        "add-field-with-work",
        op("AddField", f'{ADD} NULL CHECK ("note" >= 0)', field=TEXT, table=LARGE),
        "expand",
        "downtime",
    ),
    Case("add-field-with-work", op("AddField", f"{ADD} NULL UNIQUE", field=UNIQUE, table=LARGE), "expand", "downtime"),
    Case(
        "add-field-with-work",
        op("AddField", f"{ADD} DEFAULT gen_random_uuid()", field=replace(NUMBER, db_default="expression"), table=LARGE),
        "expand",
        "downtime",
    ),
    Case(
        "add-field-with-work",
        op("AddField", f"{ADD} GENERATED ALWAYS AS (1) STORED", field=replace(NUMBER, generated="stored"), table=LARGE),
        "expand",
        "downtime",
    ),
    Case("add-field", op("AddField", f"{ADD} NULL;", field=TEXT, table=LARGE), "expand", "care"),
    Case(
        "add-field",
        op("AddField", f"{ADD} DEFAULT 3 NOT NULL;", field=replace(NUMBER, db_default="constant"), table=LARGE),
        "expand",
        "care",
    ),
    Case("add-field", op("AddField", f"{ADD} DEFAULT 3 NULL;", DROP_DEFAULT, field=TEXT), "expand", "care"),
    Case(
        "add-field",
        op("AddField", f'{ADD} NULL CONSTRAINT "f" REFERENCES "b"("id"); SET CONSTRAINTS "f" IMMEDIATE;', field=TEXT),
        "expand",
        "care",
    ),
    Case("remove-field", op("RemoveField", 'ALTER TABLE "orders_order" DROP COLUMN "note"'), "contract", "care"),
    Case(
        "rename-field", op("RenameField", 'ALTER TABLE "orders_order" RENAME COLUMN "note" TO "b"'), "contract", "care"
    ),
    Case("wider-text", replace(alter("TYPE varchar(40)"), field=replace(CHAR, max_length=40)), "expand", "care"),
    Case(
        "wider-text",
        replace(alter('TYPE text USING "note"::text'), field=Field("note", "TextField", null=False)),
        "expand",
        "care",
    ),
    Case("alter-default", alter("SET DEFAULT 'x'"), "expand", "care"),
    Case("alter-index", op("AlterField", INDEX), "expand", "care"),
    Case("alter-index", op("AlterField", INDEX, table=LARGE), "expand", "downtime"),
    Case("alter-not-null", alter("SET NOT NULL", table=LARGE), "contract", "downtime"),
    Case("alter-constraint", op("AlterField", 'ALTER TABLE "t" ADD CONSTRAINT "u" UNIQUE ("a")'), "contract", "care"),
    Case("alter-null", alter("DROP NOT NULL"), "unknown", "care"),
    Case("alter-type", replace(alter("TYPE varchar(10)"), field=replace(CHAR, max_length=10)), "contract", "care"),
    Case("alter-type", alter('TYPE varchar(20) COLLATE "de-x-icu"'), "contract", "care"),
    Case(
        "alter-type", replace(alter("TYPE bigint"), field=NUMBER, old_field=NUMBER, table=LARGE), "contract", "downtime"
    ),
    Case("alter-field", alter("DROP DEFAULT"), "unknown", "unknown"),
    Case("order-with-respect-to", op("AlterOrderWithRespectTo", ADD), "contract", "care"),
    Case(
        "add-index-concurrently",
        op("AddIndexConcurrently", 'CREATE INDEX CONCURRENTLY "i" ON "t" ("a")', table=LARGE),
        "expand",
        "online",
        Context(atomic=False, first=False),
    ),
    Case("add-index", op("AddIndex", INDEX), "expand", "care"),
    Case("add-index", op("AddIndex", INDEX, table=LARGE), "expand", "downtime"),
    Case("rename-index", op("RenameIndex", 'ALTER INDEX "i" RENAME TO "j"'), "expand", "online"),
    Case("remove-index", op("RemoveIndex", 'DROP INDEX IF EXISTS "i"'), "contract", "care"),
    Case(
        "add-constraint", op("AddConstraint", 'ALTER TABLE "t" ADD CONSTRAINT "k" CHECK ("n" > 0)'), "contract", "care"
    ),
    Case(
        "validate-constraint",
        op("ValidateConstraint", 'ALTER TABLE "t" VALIDATE CONSTRAINT "k"', table=LARGE),
        "expand",
        "online",
    ),
    Case("remove-constraint", op("RemoveConstraint", 'ALTER TABLE "t" DROP CONSTRAINT "k"'), "unknown", "care"),
    Case("extension", op("TrigramExtension", 'CREATE EXTENSION IF NOT EXISTS "pg_trgm"'), "expand", "online"),
    Case("anything-else", op("InventedLater", 'ALTER TABLE "t" CLUSTER ON "i"'), "unknown", "unknown"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.operation.kind}")
def test_each_rule(case: Case) -> None:
    verdict = judge_operation(case.operation, case.context)

    assert (verdict.rule, verdict.phase, verdict.lock) == (case.rule, case.phase, case.lock)
    assert verdict.why
    assert verdict.additive is (case.phase == "expand")
    # Who is refused is told what to do.
    assert verdict.harmless or verdict.instead


def test_the_table_of_rules_has_a_case_for_each_rule() -> None:
    assert {case.rule for case in CASES} == {rule.name for rule in RULES}
    assert len({rule.name for rule in (*RULES, *UNDO_RULES)}) == len(RULES) + len(UNDO_RULES)


UNDO_CASES = [
    Case("irreversible", op("RunSQL", reversible=False), "undo", "fails"),
    Case(
        "undo-concurrently-in-transaction", op("AddIndexConcurrently", 'DROP INDEX CONCURRENTLY "i"'), "undo", "fails"
    ),
    Case("undo-remove-required-field", op("RemoveField", f"{ADD} NOT NULL", field=NUMBER), "undo", "fails"),
    Case("undo", op("RemoveField", f"{ADD} NOT NULL", field=NUMBER, table=EMPTY), "undo", "care"),
    Case("undo", op("RemoveField", f"{ADD} NULL", field=TEXT), "undo", "care"),
    Case("undo-create-model", op("CreateModel", 'DROP TABLE "orders_order" CASCADE;'), "undo", "care"),
    Case("undo-add-field", op("AddField", 'ALTER TABLE "orders_order" DROP COLUMN "note"'), "undo", "care"),
    Case("undo-python", op("RunPython", opaque=True), "undo", "unknown"),
    Case("undo", op("AlterField"), "undo", "care"),
]


@pytest.mark.parametrize("case", UNDO_CASES, ids=lambda case: f"{case.rule}-{case.operation.kind}")
def test_each_rule_of_undoing(case: Case) -> None:
    verdict = judge_operation(case.operation, case.context, backwards=True)

    assert (verdict.rule, verdict.phase, verdict.lock) == (case.rule, case.phase, case.lock)
    assert verdict.harmless is (case.lock != "fails")


def test_the_table_of_undo_rules_has_a_case_for_each_rule() -> None:
    assert {case.rule for case in UNDO_CASES} == {rule.name for rule in UNDO_RULES}


def test_a_wrapper_is_as_bad_as_its_worst_inner_operation() -> None:
    inner = (op("AddField", f"{ADD} NULL;", field=TEXT), op("RemoveField", 'ALTER TABLE "t" DROP COLUMN "a"'))
    wrapper = op("SeparateDatabaseAndState", *inner[0].sql, *inner[1].sql, inner=inner)

    assert judge_operation(wrapper, ATOMIC).rule == "remove-field"
    assert judge_operation(replace(wrapper, inner=inner[:1]), ATOMIC).rule == "add-field"


def test_where_no_migration_was_ever_applied_no_old_code_is_broken() -> None:
    first = Context(atomic=True, first=True)

    assert judge_operation(op("RunPython", opaque=True), first).rule == "first-migrations"
    assert judge_operation(op("RunPython", opaque=True), first).harmless
    # What fails, fails there too.
    assert judge_operation(op("CreateModel", 'CREATE TABLE "orders_order" ()'), first).lock == "fails"


def migration(*operations: Operation, backwards: bool = False) -> Migration:
    return Migration("orders", "0002_note", True, backwards, operations)


def test_one_unknown_operation_refuses_the_whole_migration() -> None:
    judged = judge(migration(op("AlterModelOptions"), op("RunPython", opaque=True)), first=False, acknowledged={})

    assert judged.refused
    assert (judged.phase, judged.lock) == ("unknown", "unknown")
    assert [operation.kind for operation, _ in judged.objections] == ["RunPython"]


def test_what_breaks_old_code_weighs_more_than_what_is_not_known() -> None:
    operations = (op("RemoveField", 'ALTER TABLE "t" DROP COLUMN "a"'), op("RunPython", opaque=True))

    assert judge(migration(*operations), first=False, acknowledged={}).phase == "contract"


def test_an_acknowledged_migration_passes_and_keeps_the_reason() -> None:
    judged = judge(migration(op("RunPython", opaque=True)), first=False, acknowledged={"orders.0002_note": "200 rows"})

    assert not judged.refused
    assert judged.objections
    assert judged.acknowledged == "200 rows"


def test_work_on_a_large_table_is_refused_though_old_code_can_live_with_it() -> None:
    judged = judge(migration(op("AddIndex", INDEX, table=LARGE)), first=False, acknowledged={})

    assert judged.phase == "expand"
    assert judged.refused


def test_what_can_not_be_undone_can_not_be_acknowledged() -> None:
    undoing = migration(op("RunSQL", reversible=False), backwards=True)

    assert judge(undoing, first=False, acknowledged={"orders.0002_note": "please"}).refused


def test_a_migration_without_operations_is_harmless() -> None:
    judged = judge(migration(), first=False, acknowledged={})

    assert (judged.phase, judged.lock, judged.refused) == ("expand", "online", False)


@given(st.text(min_size=1), st.booleans(), st.lists(st.text()), st.sampled_from([None, SMALL, LARGE]))
def test_an_operation_that_is_not_djangos_own_is_never_harmless(
    kind: str, atomic: bool, sql: list[str], table: Table | None
) -> None:
    operation = op(kind, *sql, table=table, builtin=False)

    assert not judge_operation(operation, Context(atomic, first=False)).harmless

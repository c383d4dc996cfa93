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
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import MODES, Context, work_of
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import (
    ACTION_RULES,
    OPERATION_RULES,
    RULES,
    STATE_RULES,
    UNDO_RULES,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import KINDS
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


def retyped(old: str, new: str, table: Table = SMALL) -> Operation:
    operation = alter(f"TYPE {new}", table)
    before = replace(CHAR, column="note", db_type=old)
    return replace(operation, old_field=before, field=before)


@dataclass(frozen=True)
class Case:
    rule: str
    operation: Operation
    phase: str
    lock: str
    context: Context = ATOMIC


def sql(*statements: str, table: Table | None = SMALL) -> Operation:
    return op("RunSQL", *statements, table=None, tables=() if table is None else (table,))


UNIQUE = replace(TEXT, unique=True)
ONE_BY_ONE = Context(atomic=False, first=False)
SERVER_18 = Context(atomic=True, first=False, server=18)
T = 'ALTER TABLE "orders_order"'
# Where the size of the table, the server or the transaction matters. All rules have a case on a server as well.
CASES = [
    Case("concurrently-in-transaction", sql("create index concurrently i on orders_order (a)"), "unknown", "fails"),
    Case(
        "create-index-concurrently",
        sql("create index concurrently i on orders_order (a)"),
        "expand",
        "online",
        ONE_BY_ONE,
    ),
    Case(
        "create-index-concurrently",
        sql("create index concurrently i on orders_order (a)", table=LARGE),
        "expand",
        "online",
        ONE_BY_ONE,
    ),
    Case("table-exists", op("CreateModel", 'CREATE TABLE "orders_order" ()'), "unknown", "fails"),
    Case("run-python-noop", op("RunPython", opaque=True, noop=True), "expand", "online"),
    Case("not-this-database", op("RunPython", opaque=True, elsewhere=True), "expand", "online"),
    Case("not-this-database", op("AddField", table=None, new_table=True, elsewhere=True), "expand", "online"),
    Case(
        "required-left-behind", op("SeparateDatabaseAndState", required_left_behind="order.note"), "unknown", "online"
    ),
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
    Case("run-python-under-lock", op("RunPython", opaque=True), "unknown", "unknown", Context(True, False, held=True)),
    Case(
        "sql-not-known",
        op("AlterUniqueTogether", problem="Found wrong number (0) of constraints"),
        "unknown",
        "unknown",
    ),
    Case("no-statement", op("AlterField", field=CHAR, old_field=CHAR), "expand", "online"),
    Case("no-statement", sql("-- nothing"), "expand", "online"),
    Case(
        "create-table", op("CreateModel", 'CREATE TABLE "n" ("id" int)', table=None, new_table=True), "expand", "online"
    ),
    Case("add-column-without-default", op("AddField", f"{ADD} NOT NULL;", field=NUMBER), "unknown", "fails"),
    Case(
        "add-column-without-default",
        op("AddField", f"{ADD} NOT NULL;", field=NUMBER, table=UNKNOWN_SIZE),
        "unknown",
        "fails",
    ),
    Case(
        "add-column-required",
        op("AddField", f"{ADD} NOT NULL;", field=NUMBER, table=EMPTY, tables=(EMPTY,)),
        "contract",
        "care",
    ),
    Case(
        "add-column-required",
        op("AddField", f"{ADD} DEFAULT 3 NOT NULL;", DROP_DEFAULT, field=NUMBER),
        "contract",
        "care",
    ),
    Case(
        "add-column-required",
        op("AddField", f'{ADD} DEFAULT 3 NOT NULL CHECK ("note" > 0);', DROP_DEFAULT, table=LARGE),
        "contract",
        "downtime",
    ),
    Case(
        "add-column-same-value",
        op("AddField", f"{ADD} DEFAULT 3 UNIQUE", field=replace(NUMBER, unique=True, db_default="constant")),
        "unknown",
        "fails",
    ),
    Case("work-under-lock", op("AddField", f"{ADD} NULL;", INDEX, field=TEXT), "expand", "care"),
    Case("work-under-lock", op("AddField", f"{ADD} NULL;", INDEX, field=TEXT, table=LARGE), "offline", "downtime"),
    Case(
        "create-index",
        op("AddField", f"{ADD} NULL;", INDEX, field=TEXT, table=LARGE),
        "offline",
        "downtime",
        ONE_BY_ONE,
    ),
    Case(
        "add-column-check",
        op("AddField", f'{ADD} NULL CHECK ("note" >= 0)', field=TEXT, table=LARGE),
        "offline",
        "downtime",
    ),
    Case("add-column-unique", op("AddField", f"{ADD} NULL UNIQUE", field=UNIQUE, table=LARGE), "offline", "downtime"),
    Case(
        "add-column-volatile-default",
        op("AddField", f"{ADD} DEFAULT gen_random_uuid()", field=NUMBER, table=LARGE),
        "offline",
        "downtime",
    ),
    Case(
        "add-column-generated-stored",
        op("AddField", f"{ADD} GENERATED ALWAYS AS (1) STORED", table=LARGE),
        "offline",
        "downtime",
    ),
    Case(
        "add-column-virtual", op("AddField", f"{ADD} GENERATED ALWAYS AS (1)", table=LARGE), "expand", "care", SERVER_18
    ),
    Case("add-column", op("AddField", f"{ADD} NULL;", field=TEXT, table=LARGE), "expand", "care"),
    Case("add-column", op("AddField", f"{ADD} DEFAULT 3 NULL;", DROP_DEFAULT, field=TEXT), "expand", "care"),
    Case(
        "add-column-refers",
        op("AddField", f'{ADD} NULL CONSTRAINT "f" REFERENCES "b"("id"); SET CONSTRAINTS "f" IMMEDIATE;'),
        "expand",
        "care",
    ),
    Case("drop-column", sql(f"{T} DROP COLUMN note"), "contract", "care"),
    Case("change-type-free", retyped("varchar(20)", "varchar(40)"), "expand", "care"),
    Case("change-type-free", retyped("varchar(20)", 'text USING "note"::text'), "expand", "care"),
    Case("change-type-free", retyped("numeric(5, 2)", "numeric(9, 2)"), "expand", "care"),
    Case("change-type-free", retyped("cidr", "inet"), "expand", "care"),
    Case("change-type-larger-integer", retyped("integer", "bigint", LARGE), "offline", "downtime"),
    Case("change-type-larger-integer", retyped("integer", 'bigint USING "note"::bigint', SMALL), "expand", "care"),
    Case("change-collation", retyped("varchar(20)", 'varchar(20) COLLATE "de-x-icu"'), "unknown", "care"),
    Case("change-type", retyped("varchar(20)", "varchar(19)"), "contract", "care"),
    Case("change-type", retyped("numeric(5, 2)", "numeric(5, 3)"), "contract", "care"),
    Case("change-type", retyped("varchar(20)", "text USING lower(note)"), "contract", "care"),
    Case("change-type", retyped("bigint", "integer", LARGE), "contract", "downtime"),
    Case("change-type", sql(f"{T} ALTER note TYPE text"), "contract", "care"),
    Case("set-not-null", sql(f"{T} ALTER note SET NOT NULL", table=LARGE), "contract", "downtime"),
    Case(
        "set-not-null-proven",
        sql(f"{T} ALTER note SET NOT NULL", table=LARGE),
        "expand",
        "care",
        Context(True, False, proven=frozenset({("orders_order", "note")})),
    ),
    Case("create-index", op("AddIndex", INDEX), "expand", "care"),
    Case("create-index", op("AddIndex", INDEX, table=LARGE), "offline", "downtime"),
    Case("create-index", op("AddIndex", INDEX, table=UNKNOWN_SIZE), "offline", "downtime"),
    Case("create-index", sql("create index i on elsewhere (a)"), "offline", "downtime"),
    Case("vacuum-full", sql("VACUUM FULL"), "offline", "downtime", ONE_BY_ONE),
    Case("validate", sql(f"{T} VALIDATE CONSTRAINT k", table=LARGE), "expand", "online"),
    Case(
        "work-under-lock",
        sql(f"{T} ADD CONSTRAINT k CHECK (a > 0) NOT VALID; {T} VALIDATE CONSTRAINT j", table=LARGE),
        "contract",
        "downtime",
    ),
    Case("update-rows", sql("UPDATE orders_order SET a = 1", table=LARGE), "unknown", "downtime"),
    Case(
        "add-not-null-not-valid",
        sql(f"{T} ADD CONSTRAINT k NOT NULL note NOT VALID", table=LARGE),
        "contract",
        "care",
        SERVER_18,
    ),
    Case("unknown-statement", sql(f"{T} ADD CONSTRAINT k NOT NULL note NOT VALID"), "unknown", "unknown"),
    Case("unknown-statement", op("InventedLater", "INVENT SOMETHING"), "unknown", "unknown"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.operation.kind}")
def test_each_rule(case: Case) -> None:
    verdict = judge_operation(case.operation, case.context)

    assert case.rule in {finding.rule for finding in verdict.findings}
    assert (verdict.phase, verdict.lock) == (case.phase, case.lock)
    assert verdict.additive is (case.phase in {"expand", "offline"})
    # Who is refused is told what to do.
    assert all(finding.instead and finding.code for finding in verdict.objections)


def test_each_rule_says_what_it_is_and_what_to_do_instead() -> None:
    names = [rule.name for rule in (*RULES, *UNDO_RULES)]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule.why, rule
        assert rule.phase in {"expand", "contract", "unknown"}
        assert rule.lock in MODES
        harmless = rule.phase == "expand" and work_of(rule) in {"none", "brief"}
        assert harmless or (rule.instead and rule.code and rule.manual), rule
        assert set(getattr(rule, "on", ())) <= KINDS or rule in (*OPERATION_RULES, *STATE_RULES)


def test_each_kind_of_action_has_a_rule_of_its_own() -> None:
    """Trap: a kind that the reader of statements knows and the table does not would be called unknown."""
    known = {kind for rule in ACTION_RULES for kind in rule.on}

    assert known == KINDS - {"unknown"}


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

    assert judge_operation(wrapper, ATOMIC).rule == "drop-column"
    assert judge_operation(replace(wrapper, inner=inner[:1]), ATOMIC).rule == "add-column"


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
    assert [verdict.rule for _, verdict in judged.open_objections] == ["run-python"]


def test_what_breaks_old_code_weighs_more_than_what_is_not_known() -> None:
    operations = (op("RemoveField", 'ALTER TABLE "t" DROP COLUMN "a"'), op("RunPython", opaque=True))

    assert judge(migration(*operations), first=False, acknowledged={}).phase == "contract"


def test_an_acknowledged_migration_passes_and_keeps_the_reason() -> None:
    judged = judge(migration(op("RunPython", opaque=True)), first=False, acknowledged={"orders.0002_note": "200 rows"})

    assert not judged.refused
    assert judged.objections
    assert judged.acknowledged == "run-python: 200 rows"


def test_work_on_a_large_table_is_refused_though_old_code_can_live_with_it() -> None:
    judged = judge(migration(op("AddIndex", INDEX, table=LARGE)), first=False, acknowledged={})

    assert judged.phase == "offline"
    assert judged.additive
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

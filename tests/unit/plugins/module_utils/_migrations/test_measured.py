# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import Acknowledgement
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, Verdict
from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    BUILD,
    MODES,
    REWRITE,
    SCAN,
    VERIFY,
    WRITE,
    Finding,
    Lock,
    Measured,
    Statement,
    Work,
    estimate_ms,
    find,
    merged,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
LIVE = {"big": Table("big", 5_000_000, 900 * MIB), "small": Table("small", 10, 8192), "odd": Table("odd", None, None)}
ACCESS_EXCLUSIVE = "AccessExclusiveLock"


def ran(
    *work: Work,
    mode: str = ACCESS_EXCLUSIVE,
    operation: int | None = 0,
    sql: str = "ALTER TABLE big …",
    error: str = "",
) -> Statement:
    lock = (Lock(work[0].table if work else "big", mode),)
    return Statement(operation, sql, 100.0, lock, lock, work, error)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (ran(), "care"),
        (ran(Work(VERIFY, "big")), "downtime"),
        (ran(Work(REWRITE, "small")), "care"),
        (ran(Work(REWRITE, "odd")), "downtime"),
        (ran(Work(REWRITE, "nobody knows it")), "downtime"),
        (ran(Work(BUILD, "big"), mode="ShareUpdateExclusiveLock"), "online"),
        (ran(Work(SCAN, "big"), mode="AccessShareLock"), "online"),
        (ran(Work(BUILD, "big"), mode="ShareLock"), "downtime"),
        (ran(error="column is taken"), "fails"),
        # The lock of an earlier statement of the same transaction.
        (Statement(1, "UPDATE", 1, (), (Lock("small", ACCESS_EXCLUSIVE),), (Work(SCAN, "big"),)), "downtime"),
    ],
)
def test_the_class_of_a_statement(statement: Statement, expected: str) -> None:
    assert statement.lock(LIVE) == expected


@given(st.sampled_from(MODES), st.sampled_from([REWRITE, VERIFY, BUILD, SCAN, WRITE]), st.sampled_from(list(LIVE)))
def test_a_stronger_lock_is_never_better(mode: str, kind: str, table: str) -> None:
    order = ["online", "care", "downtime"]
    weaker = ran(Work(kind, table), mode=MODES[max(0, MODES.index(mode) - 1)])

    assert order.index(ran(Work(kind, table), mode=mode).lock(LIVE)) >= order.index(weaker.lock(LIVE))


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        (Table("big", 100_000, 90 * MIB), (600, 2600)),
        (Table("big", 99_999, 90 * MIB), None),
        (Table("big", 0, 0), None),
        (Table("big", None, 90 * MIB), None),
        (None, None),
    ],
)
def test_an_estimate_needs_a_basis(copy: Table | None, expected: tuple[int, int] | None) -> None:
    tables: Mapping[str, Table] = {"big": copy} if copy else {}

    assert estimate_ms(ran(Work(VERIFY, "big")), tables, LIVE) == expected


def test_a_statement_without_work_that_grows_has_no_estimate() -> None:
    assert estimate_ms(ran(), {"big": Table("big", 500_000, MIB)}, LIVE) is None


def judged(phase: str, lock: str, *, opaque: bool = False, acknowledged: str = "") -> Judged:
    operation = Operation(0, "RunSQL", True, "Raw SQL", opaque=opaque)
    verdict = Verdict("a-rule", phase, lock, "because")
    reasons = (Acknowledgement("a-rule", acknowledged, "inventory"),) if acknowledged else ()
    return Judged(Migration("shop", "0002", True, False, (operation,)), (verdict,), reasons)


def finding(plan: Judged, *statements: Statement, rows: bool = False, **seen: tuple[str, ...]) -> Finding:
    return find(plan, Measured("shop.0002", 5, statements, **seen), LIVE, rows=rows, first=False)  # type: ignore[arg-type]


def test_measured_wins_over_claimed() -> None:
    found = finding(judged("expand", "care"), ran(Work(VERIFY, "big")))

    assert (found.phase, found.lock, found.refused, found.status) == ("offline", "downtime", True, "refused")
    assert found.differs == (
        "operation 0: the plan said care (a-rule), measured downtime: verify on big under AccessExclusiveLock on big",
    )
    better = finding(judged("expand", "downtime"), ran())
    assert (better.lock, better.refused) == ("care", False)


def test_what_the_catalogs_show_to_break_is_contract_whatever_the_plan_says() -> None:
    found = finding(judged("expand", "care"), ran(), breaks=("orders.note is gone",))

    assert (found.phase, found.refused) == ("contract", True)
    assert found.differs == ("the plan said expand, measured contract: orders.note is gone",)


@pytest.mark.parametrize(
    ("plan", "statement", "rows", "expected"),
    [
        # Statements on the schema are seen whole.
        (judged("unknown", "unknown"), ran(), False, ("expand", "care")),
        # Where the plan knows the lock, its doubt is about the code.
        (judged("unknown", "care"), ran(), False, ("unknown", "care")),
        (judged("unknown", "unknown"), ran(sql="UPDATE big SET a = 1"), True, ("unknown", "care")),
        # Python code has done nothing where there are no rows, and no catalog shows what it did where there are.
        (judged("unknown", "unknown", opaque=True), ran(), False, ("unknown", "unknown")),
        (judged("unknown", "unknown", opaque=True), ran(), True, ("unknown", "care")),
        # What fails on rows does not fail without them.
        (judged("unknown", "fails"), ran(), False, ("unknown", "fails")),
        (judged("unknown", "fails"), ran(), True, ("unknown", "care")),
        # A plan that is stricter for the sake of the code stands.
        (judged("contract", "care"), ran(), True, ("contract", "care")),
        (judged("unknown", "unknown"), ran(Work(REWRITE, "big")), False, ("offline", "downtime")),
    ],
)
def test_what_a_rehearsal_can_not_see_stays_the_plans_word(
    plan: Judged, statement: Statement, rows: bool, expected: tuple[str, str]
) -> None:
    found = finding(plan, statement, rows=rows)

    assert (found.phase, found.lock) == expected


def test_a_reason_lets_pass_what_is_not_harmless_but_no_failure() -> None:
    plan = judged("contract", "care", acknowledged="nobody reads it")

    assert finding(plan, ran()).status == "acknowledged"
    assert find(plan, Measured("shop.0002", 5, (), error="boom"), LIVE, rows=True, first=True).status == "fails"
    assert finding(plan, ran(), invalid=("i on big",)).refused


def test_a_loop_is_one_line() -> None:
    save = Statement(0, "UPDATE t", 1.5, (Lock("t", "RowExclusiveLock"),), (), (Work(WRITE, "t", 1),))

    (line,) = merged([save] * 1200)

    assert (line.times, line.ms, line.work) == (1200, 1800.0, (Work(WRITE, "t", 1200),))
    assert len(merged([save, ran(), save])) == 3


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [(ran(Work(VERIFY, "big"), sql="UPDATE big"), ()), (ran(sql="UPDATE big"), ("orders.note is gone",))],
)
def test_who_let_the_plan_pass_did_not_know_of_what_was_measured(statement: Statement, breaks: tuple[str, ...]) -> None:
    plan = judged("unknown", "unknown", acknowledged="a few rows")

    assert finding(plan, statement, breaks=breaks).status == "refused"
    known = (*plan.acknowledgements, Acknowledgement("unforeseen-work", "at night", "inventory"))
    assert finding(replace(plan, acknowledgements=known), statement, breaks=breaks).status == "acknowledged"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._losing import Drop, Loss, drops
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation
from hypothesis import given
from hypothesis import strategies as st


def undo(*sql: str, **more: bool) -> list[tuple[str, str]]:
    operation = Operation(0, "Any", True, "any", sql, **more)  # type: ignore[arg-type]
    return [(each.table, each.column) for each in drops([Migration("shop", "0002", True, True, (operation,))])]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('DROP TABLE "shop_gift" CASCADE;', [('"shop_gift"', "")]),
        ("DROP TABLE IF EXISTS one, s.two", [("one", ""), ("s.two", "")]),
        ('ALTER TABLE "t" DROP COLUMN "a" CASCADE;', [('"t"', '"a"')]),
        ('ALTER TABLE "t" DROP COLUMN "a", DROP COLUMN b;', [('"t"', '"a"'), ('"t"', "b")]),
        ('ALTER TABLE "t" ALTER COLUMN "a" DROP NOT NULL;', []),
        ('DROP INDEX IF EXISTS "i";', []),
        ('ALTER TABLE "t" ALTER COLUMN "a" SET DEFAULT \'DROP COLUMN b\';', []),
        ("DELETE FROM t", [("", "")]),
        ("TRUNCATE t", [("", "")]),
        ("DROP TABLE a; TRUNCATE b", [("a", ""), ("", "")]),
    ],
)
def test_what_a_statement_takes_away(statement: str, expected: list[tuple[str, str]]) -> None:
    assert undo(statement) == expected


def test_what_nobody_can_know_is_a_loss() -> None:
    assert undo(opaque=True) == [("", "")]
    assert undo(opaque=True, noop=True) == []


@given(st.text(max_size=40))
def test_unknown_statements_never_pass_for_harmless(text: str) -> None:
    """Whatever is not on the list of actions may take something away."""
    assert undo(f"INVENTED {text}") != []


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Loss(Drop("a.1", 2, "t"), 1), "a.1, operation 2: table t, with 1 row"),
        (Loss(Drop("a.1", 2, "t"), 100_000, True), "a.1, operation 2: table t, with more than 100,000 rows"),
        (Loss(Drop("a.1", 2, "t", "c"), 3), "a.1, operation 2: column c of t, with 3 rows that have a value in it"),
        (Loss(Drop("a.1", 2, "t", "c"), 1), "a.1, operation 2: column c of t, with 1 row that has a value in it"),
        (Loss(Drop("a.1", 2, "t"), None), "a.1, operation 2: table t, with rows that could not be counted"),
        (Loss(Drop("a.1", 2, ""), None), "a.1, operation 2: what it takes away is not known"),
    ],
)
def test_a_loss_in_words(loss: Loss, expected: str) -> None:
    assert str(loss) == expected

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._contract import (
    Catalog,
    Column,
    Relation,
    Rule,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._fits import Expected, Fit, Model, fit

ORDER = Model(
    "orders",
    {
        "id": Expected("id", "bigint", null=False),
        "number": Expected("number", "character varying(20)", null=False),
        "note": Expected("note", "text", null=True),
    },
    unique=frozenset({frozenset({"id"})}),
    foreign=frozenset({"note"}),
)
ID = Column("id", "bigint", required=True, filled=True)
NUMBER = Column("number", "character varying(20)", required=True, filled=False)
NOTE = Column("note", "text", required=False, filled=False)
OWN = Rule(1, "UNIQUE (id)", (1,))


def ask(*columns: Column, rules: tuple[Rule, ...] = (OWN,), ahead: tuple[str, ...] = ("shop.0009",)) -> Fit:
    relation = Relation("orders", dict(enumerate(columns, start=1)))
    return fit([ORDER], Catalog({1: relation}, frozenset(rules)), ahead)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ((ID, NUMBER, NOTE), ()),
        ((ID, replace(NUMBER, kind="text"), NOTE), ()),
        ((ID, NUMBER, NOTE, Column("new", "text", required=False, filled=False)), ()),
        ((ID, NUMBER, NOTE, Column("new", "text", required=True, filled=True)), ()),
        (
            (ID, NUMBER, NOTE, Column("new", "text", required=True, filled=False)),
            ("orders.new is required and has no default, and the release does not know it: INSERTs fail",),
        ),
        ((ID, NUMBER), ("orders has no column note",)),
        (
            (ID, replace(NUMBER, kind="character varying(9)"), NOTE),
            ("orders.number is character varying(9), the release expects character varying(20)",),
        ),
        ((ID, NUMBER, replace(NOTE, required=True)), ("orders.note is NOT NULL, the release may write NULL",)),
    ],
)
def test_what_a_release_can_not_live_with(columns: tuple[Column, ...], expected: tuple[str, ...]) -> None:
    found = ask(*columns)

    assert found.breaks == expected
    assert found.verdict == ("differs" if expected else "fits")


def test_a_table_that_is_gone() -> None:
    assert fit([ORDER], Catalog({}), ()).breaks == ("there is no table orders",)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule(1, "UNIQUE (number)", (2,)), "orders has a rule that the release does not know: UNIQUE (number)"),
        (Rule(1, "UNIQUE (other)", (4,)), ""),
        (Rule(1, "CHECK (number <> '')", (2,)), "orders has 1 checks, the release knows 0"),
        (Rule(1, "FOREIGN KEY (note) REFERENCES t(id)", (3,)), ""),
        (
            Rule(1, "FOREIGN KEY (number) REFERENCES t(id)", (2,)),
            "orders has a rule that the release does not know: FOREIGN KEY (number) REFERENCES t(id)",
        ),
    ],
)
def test_rules_that_others_have_made_are_a_doubt(rule: Rule, expected: str) -> None:
    other = Column("other", "text", required=False, filled=False)
    found = ask(ID, NUMBER, NOTE, other, rules=(OWN, rule))

    assert "; ".join(found.doubts) == expected
    assert found.verdict == ("doubtful" if expected else "fits")
    # Its own migrations may have made it by SQL.
    assert ask(ID, NUMBER, NOTE, other, rules=(OWN, rule), ahead=()).verdict == "fits"


def test_the_verdict_in_words() -> None:
    assert str(ask(ID, NUMBER)) == (
        "the release can't run on this schema, which is ahead of it by shop.0009: orders has no column note"
    )
    assert str(ask(ID, NUMBER, NOTE, ahead=())) == "the release can run on this schema"

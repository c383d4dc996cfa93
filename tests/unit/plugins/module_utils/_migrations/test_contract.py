# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._contract import (
    Catalog,
    Column,
    Relation,
    Rule,
    breaks,
    doubts,
    facts,
    takes,
)
from hypothesis import given
from hypothesis import strategies as st

ID = Column("id", "bigint", required=True, filled=True)
NUMBER = Column("number", "character varying(20)", required=True, filled=False)
NOTE = Column("note", "text", required=False, filled=False)
BEFORE = Catalog({7: Relation("orders", {1: ID, 2: NUMBER, 3: NOTE})}, enums={"mood": ("good", "bad")})


def after(*columns: Column, name: str = "orders", rules: tuple[Rule, ...] = ()) -> Catalog:
    return Catalog({7: Relation(name, dict(enumerate(columns, start=1)))}, frozenset(rules), enums=BEFORE.enums)


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        (after(ID, NUMBER, NOTE), []),
        (after(ID, NUMBER, NOTE, Column("more", "text", required=False, filled=False)), []),
        (after(ID, NUMBER, NOTE, Column("more", "text", required=True, filled=True)), []),
        (
            after(ID, NUMBER, NOTE, Column("more", "text", required=True, filled=False)),
            ["orders.more is required and has no default: INSERTs that leave it out fail"],
        ),
        (after(ID, NUMBER), ["orders.note is gone"]),
        (after(ID, NUMBER, NOTE, name="sales"), ["orders is called sales now"]),
        (after(ID, NUMBER, Column("text", "text", required=False, filled=False)), ["orders.note is called text now"]),
        (after(ID, NUMBER, Column("note", "text", required=True, filled=False)), ["orders.note is NOT NULL now"]),
        (
            after(ID, Column("number", "character varying(9)", required=True, filled=False), NOTE),
            ["orders.number is character varying(9) now and was character varying(20)"],
        ),
        (
            after(Column("id", "bigint", required=True, filled=False), NUMBER, NOTE),
            ["orders.id is required and has lost its default"],
        ),
        (after(ID, NUMBER, NOTE, rules=(Rule(7, "UNIQUE (note)", (3,)),)), ["orders has a new rule: UNIQUE (note)"]),
        (after(ID, NUMBER, NOTE, rules=(Rule(7, "CHECK (more >= 0)", (4,)),)), []),
        (Catalog({}, enums=BEFORE.enums), ["orders is gone"]),
        (Catalog(BEFORE.relations, enums={"mood": ("good",)}), ["type mood has lost bad"]),
        (Catalog(BEFORE.relations), ["type mood is gone"]),
    ],
)
def test_what_old_code_can_not_live_with(catalog: Catalog, expected: list[str]) -> None:
    assert breaks(BEFORE, catalog) == expected


def test_what_no_catalog_can_tell_is_a_doubt() -> None:
    before = Catalog(BEFORE.relations, indexes=frozenset({Rule(7, "(note)", (3,))}))
    now = Catalog(
        {7: Relation("orders", {1: ID, 2: Column("number", "character varying(20)", required=False, filled=False)})},
        triggers=frozenset({Rule(7, "CREATE TRIGGER t", ())}),
    )

    assert doubts(before, now) == [
        "orders.number may be NULL now, and new code may write what old code does not expect",
        "an index of orders is gone, (note): old code may be slow",
        "a trigger of orders is new or gone: CREATE TRIGGER t",
    ]


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ("text", "character varying(20)", True),
        ("character varying", "character varying(20)", True),
        ("character varying(40)", "character varying(20)", True),
        ("character varying(10)", "character varying(20)", False),
        ("character varying(20)", "character varying", False),
        ("character varying(20)", "text", False),
        ("bigint", "integer", True),
        ("integer", "bigint", False),
        ("numeric(12,2)", "numeric(10,2)", True),
        ("numeric(12,3)", "numeric(12,2)", False),
        ("numeric", "numeric(10,2)", True),
        ("jsonb", "json", False),
        ("timestamp with time zone", "timestamp without time zone", False),
    ],
)
def test_which_type_takes_what_another_took(new: str, old: str, expected: bool) -> None:
    assert takes(new, old) is expected


KINDS = st.sampled_from(["text", "integer", "bigint", "character varying(5)", "character varying(9)"])


def columns(names: str) -> st.SearchStrategy[dict[int, Column]]:
    """Any columns of these names, some of which may be missing."""
    each = {
        number: st.builds(Column, st.just(name), KINDS, st.booleans(), st.booleans())
        for number, name in enumerate(names, start=1)
    }
    return st.fixed_dictionaries({}, optional=each)


CATALOGS = st.builds(lambda found: Catalog({7: Relation("orders", found)}), columns("abc"))


@given(CATALOGS, CATALOGS)
def test_schemas_of_equal_facts_break_nothing_of_each_others_code(one: Catalog, other: Catalog) -> None:
    """By equal facts a way back is proved."""
    assert breaks(one, one) == doubts(one, one) == []
    if facts(one) == facts(other):
        assert breaks(one, other) == doubts(one, other) == []
    if breaks(one, other):
        assert facts(one) != facts(other)

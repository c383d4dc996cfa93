# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import (
    created_index,
    head,
    is_concurrent,
    mask,
    mask_detail,
    needs_autocommit,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "SELECT * FROM t WHERE a = 'secret' AND b = 12.5 AND c_1 = -3",
            "SELECT * FROM t WHERE a = '…' AND b = ? AND c_1 = ?",
        ),
        ("SELECT 'it''s' || E'a\\'b' || $$dol'lar$$ || $x$ y $x$", "SELECT '…' || '…' || '…' || '…'"),
        ("SELECT \"quo'ted\", 'x'", "SELECT \"quo'ted\", '…'"),
        ("UPDATE t SET a = 1 -- the password is hunter2", "UPDATE t SET a = ?"),
        ("UPDATE /* hunter2 */ t SET a = B'01'", "UPDATE t SET a = '…'"),
        ("INSERT INTO t VALUES ('cut off by the serv", "INSERT INTO t VALUES ('…'"),
        ("SELECT $1, $2", "SELECT $1, $2"),
    ],
)
def test_literals_and_comments_are_masked(statement: str, expected: str) -> None:
    assert head(statement) == expected


def test_the_head_is_cut_after_masking() -> None:
    cut = head("SELECT " + "x" * 70 + " = 'a long secret that stands at the limit'")

    assert len(cut) == 80
    assert "secret" not in cut


@given(st.text(alphabet=st.characters(exclude_characters="'", exclude_categories=["Cs"]), min_size=8))
def test_no_string_literal_survives(secret: str) -> None:
    assert mask(f"SELECT x FROM t WHERE a = '{secret}'") == "SELECT x FROM t WHERE a = '…'"


@given(st.text())
def test_any_text_is_masked_without_an_error(text: str) -> None:
    assert len(head(text)) <= 80


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("Key (email)=(a@b.c) is duplicated.", "Key (email)=(…) is duplicated."),
        ("Key (a, b)=(1, x) already exists.", "Key (a, b)=(…) already exists."),
        ("Failing row contains (1, null, x).", "Failing row contains (…)."),
    ],
)
def test_values_of_rows_are_masked_in_details(detail: str, expected: str) -> None:
    assert mask_detail(detail) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("  create unique index concurrently i ON t (a)", True),
        ("DROP INDEX CONCURRENTLY IF EXISTS i", True),
        ("REINDEX (VERBOSE) INDEX CONCURRENTLY i", True),
        ("REINDEX TABLE CONCURRENTLY t", True),
        ("CREATE INDEX i ON t (concurrently)", False),
        ("COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'", False),
    ],
)
def test_is_concurrent(statement: str, expected: bool) -> None:
    assert is_concurrent(statement) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("VACUUM (FULL) t", True),
        ("create index concurrently i on t (a)", True),
        ("ALTER TABLE p DETACH PARTITION c CONCURRENTLY", True),
        ("REINDEX DATABASE shop", True),
        ("CLUSTER", True),
        ("CLUSTER t USING i", False),
        ("REINDEX TABLE t", False),
        ("ALTER TABLE p DETACH PARTITION c", False),
        ("INSERT INTO t VALUES ('VACUUM')", False),
    ],
)
def test_needs_autocommit(statement: str, expected: bool) -> None:
    assert needs_autocommit(statement) is expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('CREATE INDEX CONCURRENTLY "Odd ""name" ON t (a)', 'Odd "name'),
        ("create unique index concurrently if not exists Plain on t (a)", "plain"),
        ("CREATE INDEX CONCURRENTLY ON t (a)", None),
        ("CREATE INDEX i ON t (a)", None),
        ("DROP INDEX CONCURRENTLY i", None),
        ("COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY i ON t'", None),
    ],
)
def test_the_index_that_is_made(statement: str, expected: str | None) -> None:
    assert created_index(statement) == expected

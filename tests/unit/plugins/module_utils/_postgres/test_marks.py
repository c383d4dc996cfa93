# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import (
    FAILED,
    LONGEST,
    OLD,
    Mark,
    Seen,
    before,
    comment_statement,
    derived_name,
    parse,
    require_name,
)
from hypothesis import given
from hypothesis import strategies as st

MARK = Mark(OLD, "shop", "/backups/x", "x", "2026-11-21T16:05:28Z", "7", "0/1", "2026-11-21T17:05:28Z", replaced_by=5)
LIVE = Seen("shop", 5, "shop", True, False, None, 0, 1, True)


@given(comment=st.one_of(st.none(), st.text()), backup=st.text())
def test_a_mark_comes_back_from_its_comment(comment: str | None, backup: str) -> None:
    mark = replace(MARK, comment=comment, backup=backup)
    assert parse(mark.text()) == mark


@pytest.mark.parametrize(
    "comment",
    [None, "", "the shop's own", "{", "[]", "7", '{"tool": "another"}', '{"tool": "slipway.django.pg_restore"}'],
)
def test_what_is_no_mark_of_ours_is_none(comment: str | None) -> None:
    assert parse(comment) is None


def test_a_mark_of_a_later_version_is_still_one() -> None:
    assert parse(MARK.text().replace('"at":', '"later": 1, "at":')) == MARK


def test_the_one_before_is_known_by_the_oid_that_took_its_place() -> None:
    def seen(name: str, mark: Mark) -> Seen:
        return replace(LIVE, name=name, oid=len(name), mark=mark)

    databases = {
        "shop": LIVE,
        "a": seen("a", MARK),
        "b": seen("b", replace(MARK, at="2026-11-21T18:00:00Z")),
        "other": seen("other", replace(MARK, replaced_by=6, at="2026-11-22T18:00:00Z")),
        "others": seen("others", replace(MARK, database="shopping", at="2026-11-22T18:00:00Z")),
        "failed": seen("failed", replace(MARK, phase=FAILED)),
    }
    assert before(databases, LIVE, OLD) == databases["b"]
    assert before(databases, LIVE, FAILED) == databases["failed"]
    assert before(databases, replace(LIVE, oid=9), OLD) is None
    assert before(databases, None, OLD) is None


def test_a_name_that_fits_is_readable() -> None:
    assert derived_name("shop", "old", "20261121T160528Z") == "shop__old_20261121t160528z"


@given(st.text(min_size=1, max_size=63), st.sampled_from(["old", "restore", "failed"]))
def test_a_name_always_fits_and_says_what_it_is(database: str, kind: str) -> None:
    name = derived_name(database, kind, "20261121T160528Z")
    assert len(name.encode()) <= LONGEST
    assert name.endswith(f"__{kind}_20261121t160528z")


def test_two_long_names_stay_two() -> None:
    names = {derived_name("a" * 60 + end, "restore", "20261121161428536") for end in "bc"}
    assert len(names) == 2


def test_comments_are_quoted() -> None:
    assert comment_statement('a"b', "it's") == """COMMENT ON DATABASE "a""b" IS 'it''s'"""
    assert comment_statement("a", None) == 'COMMENT ON DATABASE "a" IS NULL'


@pytest.mark.parametrize("name", ["", "a" * 64, "dbname=shop", "postgres://x", "a\nb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidOption, match=r"database: .* is not accepted, expected the name of a database"):
        require_name("database", name)


def test_names_with_signs_are_names() -> None:
    require_name("database", 'a "b" ü')

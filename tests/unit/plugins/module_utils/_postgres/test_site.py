# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._rehearsals import (
    PREPARED,
    REHEARSING,
    mark_of,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._scram import make_verifier
from ansible_collections.slipway.django.plugins.module_utils._postgres._site import (
    Observed,
    Wanted,
    identifier,
    literal,
    plan,
)

WANTED = Wanted("shop", "shop", "s3cret")
WHOLE = Observed(True, make_verifier("s3cret"), True, "shop")


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (WHOLE, []),
        (
            Observed(False, None, False, None),
            ["make role shop", "set the password of role shop", "make database shop"],
        ),
        (Observed(True, make_verifier("other"), True, "shop"), ["set the password of role shop"]),
        (Observed(True, None, True, "shop"), ["set the password of role shop"]),
        (Observed(True, make_verifier("s3cret"), False, "shop"), ["let role shop log in"]),
        (Observed(True, make_verifier("s3cret"), True, None), ["make database shop"]),
    ],
)
def test_only_what_is_missing_is_planned(observed: Observed, words: list[str]) -> None:
    assert [step.words for step in plan(WANTED, observed)] == words


def test_the_password_is_in_no_statement() -> None:
    assert all("s3cret" not in step.sql for step in plan(WANTED, Observed(False, None, False, None)))


def test_a_database_of_somebody_else_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        plan(WANTED, Observed(True, None, True, "billing"))
    assert caught.value.message.startswith("database shop belongs to billing, expected shop. Nothing was changed.")


SECOND = Wanted("shop", "shop", "s3cret", "shop__rehearsal")


def test_a_database_for_rehearsals_is_marked_last() -> None:
    steps = plan(SECOND, WHOLE)

    assert [(step.words, step.database) for step in steps] == [
        ("make database shop__rehearsal for rehearsals", "postgres"),
        ("give shop__rehearsal to shop", "shop__rehearsal"),
        ("mark database shop__rehearsal", "postgres"),
    ]
    assert steps[-1].sql == f"COMMENT ON DATABASE \"shop__rehearsal\" IS '{mark_of('shop', PREPARED)}'"


def test_a_database_for_rehearsals_that_is_there_is_left() -> None:
    observed = replace(WHOLE, rehearsal_owner="shop", rehearsal_comment=mark_of("shop", PREPARED))

    assert plan(SECOND, observed) == ()


@pytest.mark.parametrize("comment", [None, "my own", mark_of("shop", REHEARSING), mark_of("other", PREPARED)])
def test_a_database_that_nobody_has_marked_is_never_marked(comment: str | None) -> None:
    with pytest.raises(Refused) as caught:
        plan(SECOND, replace(WHOLE, rehearsal_owner="shop", rehearsal_comment=comment))

    assert caught.value.message == (
        "database shop__rehearsal is there and bears no mark that it is for rehearsals of shop: a rehearsal would"
        " empty it. Nothing was changed. Drop it when nobody needs it, or name another one in rehearsal_database."
    )


def test_a_database_for_rehearsals_of_somebody_else_is_refused() -> None:
    with pytest.raises(Refused, match="database shop__rehearsal belongs to billing, expected shop"):
        plan(SECOND, replace(WHOLE, rehearsal_owner="billing", rehearsal_comment=mark_of("shop", PREPARED)))


def test_the_extension_that_counts_is_made_once() -> None:
    counting = replace(WANTED, statistics=True)
    loaded = replace(WHOLE, preloaded="auto_explain, pg_stat_statements")

    assert [(step.words, step.sql, step.database) for step in plan(counting, loaded)] == [
        ("count what each query takes", "CREATE EXTENSION pg_stat_statements", "postgres")
    ]
    assert plan(counting, replace(loaded, counts=True)) == ()
    assert plan(WANTED, loaded) == ()


def test_the_extension_is_not_made_where_it_would_count_nothing() -> None:
    with pytest.raises(Refused, match="shared_preload_libraries is 'auto_explain', expected pg_stat_statements in it"):
        plan(replace(WANTED, statistics=True), replace(WHOLE, preloaded="auto_explain", counts=True))


def test_names_and_texts_are_quoted() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("o'clock") == "'o''clock'"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
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


def test_names_and_texts_are_quoted() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("o'clock") == "'o''clock'"

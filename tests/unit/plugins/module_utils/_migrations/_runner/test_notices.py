# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._notices import Ears, work_in


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('rewriting table "orders_order"', ("rewrite", "orders_order")),
        ('verifying table "odd ""name"""', ("verify", 'odd ""name""')),
        ('building index "i" on table "t" serially', ("build index", "t")),
        ('building index "i" on table "t" with request for 2 parallel workers', ("build index", "t")),
        ('validating foreign key constraint "f"', ("validate foreign key", "f")),
        ('existing constraints on column "t.a" are sufficient to prove that it does not contain nulls', None),
        ('CREATE TABLE / PRIMARY KEY will create implicit index "p" for table "t"', None),
        ("StartTransaction(1) name: unnamed; blockState: DEFAULT", None),
    ],
)
def test_what_the_messages_say(message: str, expected: tuple[str, str] | None) -> None:
    assert work_in(message) == expected


class Psycopg2:
    """Its notices are lines with their level, appended to a list that may be replaced."""

    notices: object = None


class Psycopg3:
    def __init__(self) -> None:
        self.handlers: list[object] = []

    def add_notice_handler(self, handler: object) -> None:
        self.handlers.append(handler)


class Diagnosis:
    message_primary = 'verifying table "t"'


def test_both_drivers_are_heard_at_once() -> None:
    told: list[tuple[str, str]] = []
    ears = Ears(lambda kind, name: told.append((kind, name)))
    old, new = Psycopg2(), Psycopg3()

    ears.listen(old)
    old.notices.append('DEBUG:  rewriting table "t"\n')  # type: ignore[attr-defined]
    ears.listen(new)
    new.handlers[0](Diagnosis())  # type: ignore[operator]

    assert told == list(ears.heard()) == [("rewrite", "t"), ("verify", "t")]
    ears.forget()
    assert ears.heard() == ()

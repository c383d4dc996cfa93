# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was dumped and what was restored, compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._snapshot import count, differences
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.backups import manifest
from hypothesis import given
from hypothesis import strategies as st

TABLE = {"schema": "public", "name": "orders", "rows": 3, "fingerprint": "record:7"}
SEQUENCE = {"schema": "public", "name": "orders_id_seq", "last_value": 10, "is_called": True}


class Restored:
    """A database that answers with what it is made of."""

    def __init__(self, tables: list[dict[str, Any]], sequences: list[dict[str, Any]], large_objects: int) -> None:
        self.content = {(row["schema"], row["name"]): row for row in [*tables, *sequences]}
        self.tables, self.sequences, self.large_objects = tables, sequences, large_objects
        self.steps = {"increment": 1, "cycle": False}
        self.asked: list[str] = []

    def order(self, sql: str, timeout_s: float) -> None:
        self.asked.append(sql)

    def ask(self, sql: str, timeout_s: float) -> Any:
        self.asked.append(sql)
        if "WITH ours AS" in sql:
            named = [{"schema": row["schema"], "name": row["name"], "oid": 1} for row in self.tables]
            return {
                "version_num": 150018,
                "large_objects": self.large_objects,
                "tables": [{**row, "hashable": True, "migrations": False, "owner": "o"} for row in named],
                "sequences": [
                    {"schema": row["schema"], "name": row["name"], "oid": 2, **self.steps} for row in self.sequences
                ],
            }
        (key,) = [key for key in self.content if f'"{key[0]}"."{key[1]}"' in sql]
        return {name: value for name, value in self.content[key].items() if name not in ("schema", "name")}


def compared(restored: Restored, **changes: Any) -> list[str]:
    values = {"tables": [TABLE], "sequences": [SEQUENCE], "large_objects": 1, "fingerprint": "content", **changes}
    return differences(restored, replace(manifest(), **values), lambda: 10.0, lambda _d, _t, _n: None)


def test_nothing_differs_and_nothing_is_left_open() -> None:
    restored = Restored([TABLE], [SEQUENCE], 1)
    assert compared(restored) == []
    assert (restored.asked[1], restored.asked[-1]) == ("BEGIN READ ONLY", "ROLLBACK")


@pytest.mark.parametrize(
    ("restored", "words"),
    [
        (Restored([{**TABLE, "rows": 2}], [SEQUENCE], 1), "table public.orders has 2 rows and had 3"),
        (
            Restored([{**TABLE, "fingerprint": "record:8"}], [SEQUENCE], 1),
            "table public.orders has as many rows (3) with other content",
        ),
        (Restored([], [SEQUENCE], 1), "table public.orders is missing"),
        (Restored([TABLE, {**TABLE, "name": "more"}], [SEQUENCE], 1), "table public.more is in no manifest"),
        (Restored([TABLE], [{**SEQUENCE, "last_value": 9}], 1), "sequence public.orders_id_seq is at 9 and was at 10"),
        (Restored([TABLE], [], 1), "sequence public.orders_id_seq is missing"),
        (Restored([TABLE], [SEQUENCE], 0), "there are 0 large objects and were 1"),
    ],
)
def test_one_thing_differs(restored: Restored, words: str) -> None:
    assert compared(restored) == [words]


def test_where_nothing_was_counted_no_table_is_compared() -> None:
    restored = Restored([{**TABLE, "rows": 2}], [SEQUENCE], 1)
    assert compared(restored, fingerprint="none", tables=[]) == []
    assert not [sql for sql in restored.asked if "count(*)" in sql and "WITH ours" not in sql]


@given(st.integers(-100, 100), st.integers(-100, 100), st.sampled_from([1, 5, -1, -3]), st.booleans())
def test_a_sequence_may_be_ahead_and_never_behind(dumped: int, seen: int, increment: int, cycle: bool) -> None:
    restored = Restored([TABLE], [{**SEQUENCE, "last_value": seen}], 1)
    restored.steps = {"increment": increment, "cycle": cycle}
    found = compared(restored, sequences=[{**SEQUENCE, "last_value": dumped}])
    behind = (seen - dumped) * increment < 0
    assert bool(found) == (behind and not cycle)


def test_a_deadline_is_no_reason_to_ask_again() -> None:
    class Late(Restored):
        def ask(self, sql: str, timeout_s: float) -> Any:
            if "SAVEPOINT" in sql:
                raise SlipwayError("canceling statement due to statement timeout", facts={"sqlstate": "57014"})
            return super().ask(sql, timeout_s)

    late = Late([TABLE], [], 0)
    listed = late.ask("WITH ours AS", 1)
    with pytest.raises(SlipwayError, match="statement timeout"):
        count(late, listed, "counts", lambda: 10.0, lambda _d, _t, _n: None)
    assert late.asked == ["WITH ours AS"]

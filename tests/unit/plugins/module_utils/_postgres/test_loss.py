# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._loss import (
    TableLoss,
    assess,
    compare,
    count_question,
    duration,
    written_between,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 18, 5, 28, tzinfo=timezone.utc)
COUNTS = st.dictionaries(st.sampled_from(["public.a", "public.b", "x.c"]), st.integers(0, 50))


def test_the_numbers_are_said() -> None:
    loss = assess(
        since="2026-11-21T16:02:28Z",
        now=NOW,
        wal_bytes=3 << 20,
        kept={"public.orders": 20000, "public.gone": 5, "public.same": 1},
        live={"public.orders": 20412, "public.new": 7, "public.same": 1},
    )
    assert loss.words() == (
        "all that was written since 2026-11-21T16:02:28Z, 2 h 3 min ago; at most 3.0 MiB of this server's log; rows: "
        "public.orders 20412 now, 20000 in what comes (-412), public.new with 7 rows is not in what comes, "
        "public.gone is not there now and has 5 rows in what comes"
    )
    assert loss.as_result()["tables"] == [
        {"table": "public.orders", "rows_live": 20412, "rows_kept": 20000},
        {"table": "public.new", "rows_live": 7, "rows_kept": None},
        {"table": "public.gone", "rows_live": None, "rows_kept": 5},
    ]


def test_what_is_not_known_is_not_said_to_be_nothing() -> None:
    loss = assess(since="2026-11-21T18:05:20Z", now=NOW, wal_bytes=None, kept=None, live=None, note="denied")
    assert loss.words() == ("all that was written since 2026-11-21T18:05:20Z, 8 s ago; rows were not compared (denied)")
    assert loss.as_result()["tables"] is None


def test_equal_counts_are_no_promise() -> None:
    loss = assess(since="2026-11-19T18:05:20Z", now=NOW, wal_bytes=512, kept={}, live={})
    assert loss.words() == (
        "all that was written since 2026-11-19T18:05:20Z, 2 d 0 h ago; at most 512 bytes of this server's log; "
        "no table has another number of rows (changes within rows are not seen by that)"
    )


def test_many_tables_are_counted_and_not_all_listed() -> None:
    live = {f"public.t{number:02d}": number + 1 for number in range(20)}
    loss = assess(since="2026-11-21T18:05:20Z", now=NOW, wal_bytes=None, kept={}, live=live)
    assert "and 12 more tables" in loss.words()
    assert "public.t19 with 20 rows" in loss.words()


@given(COUNTS, COUNTS)
def test_exactly_the_tables_that_differ_are_told(kept: dict[str, int], live: dict[str, int]) -> None:
    expected = {TableLoss(name, kept.get(name), live.get(name)) for name in {*kept, *live}}
    assert set(compare(kept, live)) == {table for table in expected if table.kept != table.live}


@pytest.mark.parametrize(
    ("then", "now", "same", "expected"),
    [
        ("0/10", "0/20", True, 16),
        ("0/FFFFFFFF", "1/0", True, 1),
        ("1/0", "0/FFFFFFFF", True, None),
        ("0/10", "0/20", False, None),
        (None, "0/20", True, None),
        ("0/10", None, True, None),
    ],
)
def test_distance_in_the_log(then: str | None, now: str | None, same: bool, expected: int | None) -> None:
    assert written_between(then, now, same_server=same) == expected


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_distance_is_a_difference(then: int, between: int) -> None:
    def lsn(place: int) -> str:
        return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"

    assert written_between(lsn(then), lsn(then + between), same_server=True) == between


def test_a_clock_that_went_back_makes_no_negative_age() -> None:
    later = (NOW + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert assess(since=later, now=NOW, wal_bytes=None, kept={}, live={}).age_s == 0


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min")])
def test_durations(seconds: int, words: str) -> None:
    assert duration(seconds) == words


def test_names_are_quoted_in_counts() -> None:
    assert '(SELECT count(*) FROM ONLY "a""b"."c d")' in count_question([('a"b', "c d")])

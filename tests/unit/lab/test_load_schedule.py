# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopload import schedule

mixes = st.dictionaries(st.sampled_from(schedule.KINDS), st.integers(0, 30), min_size=1).filter(
    lambda mix: sum(mix.values()) > 0
)


@given(mixes)
def test_a_round_holds_each_kind_as_often_as_its_weight_says(mix: dict[str, int]) -> None:
    assert Counter(schedule.pattern(mix)) == Counter(mix)


@given(mixes)
def test_no_kind_comes_in_a_bunch(mix: dict[str, int]) -> None:
    """Any part of the round holds a kind's share, give or take less than two per other kind."""
    total, round_ = sum(mix.values()), schedule.pattern(mix)
    for kind, weight in mix.items():
        for end in range(1, total + 1):
            assert abs(round_[:end].count(kind) - end * weight / total) < len(mix)


def test_arrivals_are_evenly_spaced_and_end_with_the_duration() -> None:
    due = [arrival.due for arrival in schedule.arrivals(schedule.DEFAULT_MIX, 120, 2)]

    assert len(due) == 240
    assert due[0] == 0
    assert due[-1] < 2
    assert {round(later - earlier, 9) for earlier, later in zip(due, due[1:])} == {round(1 / 120, 9)}


def test_the_default_mix_is_counted_in_requests_of_120_and_writes_enough_orders() -> None:
    mix = schedule.DEFAULT_MIX

    assert sum(mix.values()) == 120
    assert mix["order"] + mix["order_new"] >= 15


def test_a_mix_is_read() -> None:
    assert schedule.parse_mix("page=3, order_new=1") == {"page": 3, "order_new": 1}


@pytest.mark.parametrize("text", ["", "page", "page=", "page=-1", "page=x", "pages=1", "page=1,,order=1", "page=²"])
def test_a_mix_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not KIND=WEIGHT with one of page, page_new"):
        schedule.parse_mix(text)


def test_a_mix_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="all weights of the mix are 0"):
        schedule.parse_mix("page=0")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopload import orders
from shopload.orders import OrdersError, Sent

NUMBERS = st.lists(st.integers(1, 30), unique=True)


def references(numbers: list[int]) -> tuple[str, ...]:
    return tuple(f"L-r1-{number:07d}" for number in numbers)


def test_the_orders_file_is_read() -> None:
    lines = [
        json.dumps({"run": "r1", "started": "…"}),
        json.dumps({"reference": "L-r1-0000001", "outcome": "accepted", "at": "…"}),
        json.dumps({"reference": "L-r1-0000002", "outcome": "failed", "at": "…"}),
    ]

    assert orders.read_sent(lines) == Sent("r1", references([1]), references([2]))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "does not begin with a line that names its run"),
        (['{"run": "a\'; DROP"}'], "does not begin with a line that names its run"),
        (['{"run": 1}', ""], "line 2 of the orders file is not understood"),
        (['{"reference": "x"}'], "line 1 of the orders file is not understood"),
        (['{"run": "r1"}', '{"reference": "L-r1-1", "outc'], "line 2 of the orders file is not understood"),
        (['{"run": "r1"}', '{"reference": "L-r1-1", "outcome": "maybe"}'], "line 2 of the orders file"),
    ],
)
def test_a_line_that_is_not_understood_is_never_skipped(lines: list[str], message: str) -> None:
    with pytest.raises(OrdersError, match=message):
        orders.read_sent(lines)


def test_all_there_once_is_whole() -> None:
    compared = orders.compare(Sent("r1", references([1, 2]), ()), [*references([1, 2]), ""])

    assert compared.verdict == "whole"
    assert compared.document()["found"] == 2


def test_each_kind_of_wrong_is_told_apart() -> None:
    rows = [*references([1]), *references([1]), *references([4]), *references([9])]

    document = orders.compare(Sent("r1", references([1, 2]), references([3, 4])), rows).document()

    assert document == {
        "run": "r1",
        "verdict": "1 accepted orders are lost; 1 orders were executed more than once",
        "accepted": 2,
        "found": 1,
        "lost": 1,
        "duplicated": 1,
        "failed": 2,
        "failed_but_executed": 1,
        "unknown": 1,
        "references": {
            "lost": ["L-r1-0000002"],
            "duplicated": {"L-r1-0000001": 2},
            "failed_but_executed": ["L-r1-0000004"],
            "unknown": ["L-r1-0000009"],
        },
    }


def test_a_failed_order_that_was_executed_is_no_loss() -> None:
    assert orders.compare(Sent("r1", references([1]), references([2])), references([1, 2])).verdict == "whole"


def test_no_accepted_order_shows_nothing() -> None:
    assert orders.compare(Sent("r1", (), ()), []).verdict == "no order was accepted, so nothing is shown"


def test_rows_of_something_else_are_refused() -> None:
    with pytest.raises(OrdersError, match=r"1 rows are not references of run r1, the first is 'count'; expected are"):
        orders.compare(Sent("r1", references([1]), ()), ["count"])


@given(accepted=NUMBERS, rows=st.lists(st.integers(1, 30)))
def test_every_accepted_order_is_found_or_lost(accepted: list[int], rows: list[int]) -> None:
    compared = orders.compare(Sent("r1", references(accepted), ()), references(rows))

    assert compared.found + len(compared.lost) == len(accepted)
    assert sum(compared.duplicated.values()) - len(compared.duplicated) == len(rows) - len(set(rows))
    assert set(compared.unknown) == set(references(rows)) - set(references(accepted))

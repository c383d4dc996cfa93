# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin
from ansible_collections.slipway.django.plugins.module_utils._balancer._share import make_share, parse_share, share_of
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.fake_balancer import pool, server
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("text", "share"), [("25%", 25.0), ("2.5 %", 2.5), (" 5", 5.0), ("99.9%", 99.9)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "0", "0%", "100%", "101", "-5%", "a quarter", "5%%", "1e1"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_share(text)
    assert caught.value.message == (
        f"weight: {text!r} is not accepted, expected a share in percent above 0 and below 100, such as 25%. Nothing "
        "was changed. For none of the requests say state: drained; for all of them take the other servers out."
    )


@pytest.mark.parametrize(
    ("names", "wanted", "weight", "real"),
    [("a", 5, 11, 5.21), ("a", 25, 67, 25.09), ("a", 50, 200, 50.0), ("ab", 50, 50, 50.0), ("a", 1, 2, 0.99)],
)
def test_the_nearest_weight(names: str, wanted: float, weight: int, real: float) -> None:
    share = make_share(pool(server("a"), server("b"), server("c")), list(names), wanted, 256)
    assert (share.weight, round(share.real, 2)) == (weight, real)


def test_servers_without_requests_do_not_count() -> None:
    found = pool(server("a", Admin.MAINT), server("b"), server("c", Admin.MAINT), server("d", up=False))
    assert make_share(found, ["a"], 50, 256).weight == 100


def test_what_is_out_of_reach_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refused) as caught:
        make_share(pool(server("a"), server("b", weight=1)), ["a"], 5, 256)
    assert caught.value.message == (
        "5 % can't be had in pool shop: weight 1 is the nearest and gives 50.00 % (weights now: a 100, b 1). Nothing "
        "was changed. Give the servers the weight 100 in the balancer's configuration, or give the other servers the "
        "rest of the share instead."
    )
    with pytest.raises(Refused, match=r"weight 256 is the nearest and gives 56\.14 %"):
        make_share(pool(server("a"), server("b"), server("c")), ["a"], 90, 256)


def test_nobody_to_share_with() -> None:
    with pytest.raises(Refused, match="No other server of the pool shop gets requests, so that a would have all of"):
        make_share(pool(server("a"), server("b", up=False)), ["a"], 5, 256)


@given(st.lists(st.integers(1, 256), min_size=1, max_size=6), st.integers(1, 4), st.floats(0.5, 99.5))
def test_no_other_weight_is_nearer(others: list[int], servers: int, wanted: float) -> None:
    names = [f"new{number}" for number in range(servers)]
    found = pool(
        *(server(f"old{number}", weight=weight) for number, weight in enumerate(others)), *(server(n) for n in names)
    )
    try:
        share = make_share(found, names, wanted, 256)
    except Refused:
        return
    distances = [abs(share_of(weight, servers, sum(others)) - wanted) for weight in range(1, 257)]
    # Rounding takes the weight to be linear, which it is nearly.
    assert abs(share.real - wanted) <= min(distances) + 100 / (2 * (sum(others) + servers)) + 1e-9
    assert abs(share.real - wanted) <= min(wanted, 100 - wanted) / 2

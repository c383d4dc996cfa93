# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics, held against published values and against counting everything out."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._statistics import (
    at_least,
    fisher_worse,
    lower_bound,
    needed_without_error,
    upper_bound,
)
from hypothesis import given
from hypothesis import strategies as st


# Two-sided 95 % intervals of Clopper and Pearson, as in tables of textbooks: each side is a bound of 97.5 %.
@pytest.mark.parametrize(
    ("bad", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.30850),
        (1, 10, 0.00253, 0.44502),
        (5, 20, 0.08657, 0.49105),
        (10, 20, 0.27196, 0.72804),
        (20, 20, 0.83157, 1.0),
        (0, 100, 0.0, 0.03622),
        (5, 100, 0.01643, 0.11284),
    ],
)
def test_published_intervals(bad: int, total: int, low: float, high: float) -> None:
    assert lower_bound(bad, total, 0.975) == pytest.approx(low, abs=6e-6)
    assert upper_bound(bad, total, 0.975) == pytest.approx(high, abs=6e-6)


def counted_out(count: int, total: int, rate: Fraction) -> Fraction:
    return sum(
        (comb(total, n) * rate**n * (1 - rate) ** (total - n) for n in range(count, total + 1)), start=Fraction(0)
    )


@given(total=st.integers(1, 60), count=st.integers(0, 61), percent=st.integers(1, 99))
def test_the_tail_is_what_counting_gives(total: int, count: int, percent: int) -> None:
    exact = counted_out(count, total, Fraction(percent, 100)) if count <= total else Fraction(0)
    assert at_least(count, total, percent / 100) == pytest.approx(float(exact), rel=1e-9, abs=1e-14)


@given(total=st.integers(1, 3000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
def test_the_bounds_stand_where_the_tails_have_the_wanted_size(total: int, share: float, confidence: float) -> None:
    bad = round(share * total)
    low, high = lower_bound(bad, total, confidence), upper_bound(bad, total, confidence)
    assert 0.0 <= low <= bad / total <= high <= 1.0
    if bad:
        assert at_least(bad, total, low) == pytest.approx(1 - confidence, rel=1e-6)
    if bad < total:
        assert 1 - at_least(bad + 1, total, high) == pytest.approx(1 - confidence, rel=1e-6)


def test_nothing_seen_bounds_nothing() -> None:
    assert (lower_bound(0, 0, 0.95), upper_bound(0, 0, 0.95)) == (0.0, 1.0)


@pytest.mark.parametrize(("bad", "total"), [(13, 200_000), (200_000, 1_000_000)])
def test_large_numbers_are_no_trouble(bad: int, total: int) -> None:
    low, high = lower_bound(bad, total, 0.95), upper_bound(bad, total, 0.95)
    assert low < bad / total < high
    assert high - low < 0.2 * bad / total * 10


@pytest.mark.parametrize(("limit", "requests"), [(0.05, 59), (0.02, 149), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_requests_without_an_error_that_show_a_rate_below_the_limit(limit: float, requests: int) -> None:
    assert needed_without_error(limit, 0.95) == requests
    assert upper_bound(0, requests, 0.95) < limit < upper_bound(0, requests - 1, 0.95)


def fisher_counted_out(bad: int, total: int, base_bad: int, base_total: int) -> Fraction:
    everything, all_bad = total + base_total, bad + base_bad
    ways = sum(comb(total, n) * comb(base_total, all_bad - n) for n in range(bad, min(total, all_bad) + 1))
    return Fraction(ways, comb(everything, all_bad))


# Fisher's own: the lady who tastes tea (The Design of Experiments, 1935).
@pytest.mark.parametrize(
    ("table", "chance"),
    [((4, 4, 0, 4), 1 / 70), ((3, 4, 1, 4), 17 / 70), ((2, 15, 1, 285), 0.007), ((0, 9, 5, 9), 1.0)],
)
def test_published_tables(table: tuple[int, int, int, int], chance: float) -> None:
    assert fisher_worse(*table) == pytest.approx(chance, abs=5e-4)


@given(total=st.integers(1, 60), base_total=st.integers(1, 60), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_fishers_test_is_what_counting_gives(total: int, base_total: int, shares: tuple[float, float]) -> None:
    bad, base_bad = round(shares[0] * total), round(shares[1] * base_total)
    exact = float(fisher_counted_out(bad, total, base_bad, base_total))
    assert fisher_worse(bad, total, base_bad, base_total) == pytest.approx(exact, rel=1e-9, abs=1e-14)

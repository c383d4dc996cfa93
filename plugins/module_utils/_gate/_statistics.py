# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact statistics of small numbers, with nothing but the standard library.

One rate: the one-sided bounds of Clopper and Pearson (Biometrika 26, 1934). They are quantiles of a beta distribution,
found by halving. Two rates: Fisher's exact test. docs/gates.md says why these and no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_HALVINGS = 60
_TERMS = 500
_TINY = 1e-300
_ENOUGH = 1e-15


def lower_bound(bad: int, total: int, confidence: float) -> float:
    """The rate that the true one is above with this confidence, seeing ``bad`` of ``total``."""
    if bad == 0 or total == 0:
        return 0.0
    # The rate at which so many or more would be seen with the probability that is left.
    return _rising_root(lambda rate: at_least(bad, total, rate), 1.0 - confidence)


def upper_bound(bad: int, total: int, confidence: float) -> float:
    """The rate that the true one is below with this confidence, seeing ``bad`` of ``total``."""
    if bad >= total:
        return 1.0
    return _rising_root(lambda rate: at_least(bad + 1, total, rate), confidence)


def at_least(count: int, total: int, rate: float) -> float:
    """The probability of ``count`` or more in ``total`` independent tries, each with this rate."""
    if count <= 0:
        return 1.0
    if count > total:
        return 0.0
    return _regularised_beta(rate, float(count), float(total - count + 1))


def needed_without_error(limit: float, confidence: float) -> int:
    """How many tries without a bad one show a rate below the limit."""
    return math.ceil(math.log(1.0 - confidence) / math.log(1.0 - limit))


def fisher_worse(bad: int, total: int, base_bad: int, base_total: int) -> float:
    """The probability that chance alone puts ``bad`` or more of all bad ones into the first group.

    One-sided: small when the first group is worse than the second.
    """
    everything, all_bad = total + base_total, bad + base_bad
    most = min(total, all_bad)
    logarithm = _log_choose(everything, all_bad)
    probability = 0.0
    for count in range(bad, most + 1):
        rest = all_bad - count
        if rest > base_total:
            continue
        term = math.exp(_log_choose(total, count) + _log_choose(base_total, rest) - logarithm)
        probability += term
        # Beyond the expected number the terms only shrink.
        if count * everything > all_bad * total and term < probability * _ENOUGH:
            break
    return min(1.0, probability)


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)


def _rising_root(function: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1.0
    for _turn in range(_HALVINGS):
        middle = (low + high) / 2
        if function(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _regularised_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), which is the upper tail of a binomial distribution (Abramowitz and Stegun, 26.5.24)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(logarithm)
    # The fraction converges fast on this side only; I_x(a, b) = 1 - I_1-x(b, a).
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, front * _fraction(x, a, b) / a)
    return max(0.0, 1.0 - front * _fraction(1.0 - x, b, a) / b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function (26.5.8), by Lentz's method."""
    above, below = 1.0, _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    below = 1.0 / below
    value = below
    for turn in range(1, _TERMS + 1):
        for factor in (
            turn * (b - turn) * x / ((a + 2 * turn - 1) * (a + 2 * turn)),
            -(a + turn) * (a + b + turn) * x / ((a + 2 * turn) * (a + 2 * turn + 1)),
        ):
            below = 1.0 / _away_from_zero(1.0 + factor * below)
            above = _away_from_zero(1.0 + factor / above)
            step = below * above
            value *= step
        if abs(step - 1.0) < _ENOUGH:
            break
    return value


def _away_from_zero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY

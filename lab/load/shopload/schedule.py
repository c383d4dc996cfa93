# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent when: decided before the first request, whatever the answers are (open loop)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Of 120 requests. A login brings two more after it: its form before, the account page behind.
DEFAULT_MIX: Mapping[str, int] = {
    "page": 52,  # on a kept connection
    "page_new": 20,  # on a connection of its own
    "static": 22,
    "order": 12,
    "order_new": 6,
    "login": 4,
    "upload": 3,
    "slow": 1,
}
KINDS = tuple(DEFAULT_MIX)
MAX_RATE = 1000.0
MAX_DURATION = 3600.0


@dataclass(frozen=True)
class Arrival:
    """One request: its number, when it is due (seconds from the start), what it is."""

    number: int
    due: float
    kind: str


def parse_mix(text: str) -> dict[str, int]:
    """Read ``page=60,order=20``: the kinds named, and no others."""
    mix: dict[str, int] = {}
    for part in text.split(","):
        kind, equals, weight = part.strip().partition("=")
        if kind not in KINDS or not equals or not weight.isascii() or not weight.isdigit():
            raise ValueError(f"{part!r} is not KIND=WEIGHT with one of {', '.join(KINDS)}")
        mix[kind] = int(weight)
    if not sum(mix.values()):
        raise ValueError("all weights of the mix are 0")
    return mix


def pattern(mix: Mapping[str, int]) -> tuple[str, ...]:
    """Spread the kinds evenly over one round: smooth weighted round robin.

    Each kind comes exactly as often as its weight says, and never in a bunch.
    """
    total = sum(mix.values())
    credit = dict.fromkeys(mix, 0)
    round_: list[str] = []
    for _ in range(total):
        for kind, weight in mix.items():
            credit[kind] += weight
        chosen = max(credit, key=lambda kind: credit[kind])
        credit[chosen] -= total
        round_.append(chosen)
    return tuple(round_)


def arrivals(mix: Mapping[str, int], rate: float, duration: float) -> Iterator[Arrival]:
    """Yield what is to be sent in ``duration`` seconds, ``rate`` a second, evenly spaced."""
    kinds = pattern(mix)
    for number in range(int(rate * duration)):
        yield Arrival(number, number / rate, kinds[number % len(kinds)])

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A share of a pool's requests in percent, and the weights that come nearest to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Pool
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused


def parse_share(text: str) -> float:
    """Read ``25``, ``25%`` or ``2.5%``.

    :raises InvalidOption: it is no share between 0 and 100 %, without these two.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip())
    if not found or not 0 < float(found[1]) < 100:
        raise InvalidOption(
            "weight",
            text,
            "a share in percent above 0 and below 100, such as 25%",
            remedy="For none of the requests say state: drained; for all of them take the other servers out",
        )
    return float(found[1])


@dataclass(frozen=True)
class Share:
    """What was wanted, and what whole numbers allow."""

    wanted: float
    weight: int
    real: float

    def as_dict(self) -> dict[str, object]:
        """The values for results."""
        return {"wanted": self.wanted, "real": round(self.real, 2), "weight": self.weight}


def share_of(weight: int, servers: int, others: int) -> float:
    """The share in percent of so many servers of this weight beside others whose weights sum up to ``others``."""
    total = weight * servers + others
    return 100.0 * weight * servers / total if total else 0.0


def make_share(pool: Pool, names: Sequence[str], wanted: float, largest: int) -> Share:
    """Find the weight that gives these servers together the share that is wanted. The others keep theirs.

    :param largest: the largest weight that the balancer takes.
    :raises Refused: there is nothing to share with, or no weight comes within half of what is wanted.
    """
    others = sum(server.weight for server in pool.servers if server.receiving and server.name not in names)
    if not others:
        raise Refused(
            f"No other server of the pool {pool.name} gets requests, so that {', '.join(names)} would have all of "
            f"them and not {wanted:g} %. {pool.in_and_out()}",
            untouched="Nothing was changed",
            remedy="Bring the others back first, or leave weight out",
            facts=pool.facts(),
        )
    exact = wanted * others / ((100 - wanted) * len(names))
    weight = min(max(1, round(exact)), largest)
    real = share_of(weight, len(names), others)
    # Beyond, the next whole weight is no answer to what was asked for.
    if abs(real - wanted) > min(wanted, 100 - wanted) / 2:
        raise _out_of_reach(pool, wanted, real, weight)
    return Share(wanted, weight, real)


def _out_of_reach(pool: Pool, wanted: float, real: float, weight: int) -> Refused:
    weights = ", ".join(f"{server.name} {server.weight}" for server in pool.servers if server.receiving)
    return Refused(
        f"{wanted:g} % can't be had in pool {pool.name}: weight {weight} is the nearest and gives {real:.2f} % "
        f"(weights now: {weights})",
        untouched="Nothing was changed",
        remedy="Give the servers the weight 100 in the balancer's configuration, or give the other servers the rest "
        "of the share instead",
        facts={**pool.facts(), "wanted": wanted, "nearest": round(real, 2), "weight": weight},
    )

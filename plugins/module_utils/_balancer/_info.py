# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a balancer says of its pools, beside what we remember of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Driver, Pool
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record


@dataclass(frozen=True)
class PoolInfo:
    """One pool, and who is remembered as out of it."""

    pool: Pool
    out: Mapping[str, Out]

    @property
    def name(self) -> str:
        return self.pool.name

    def _forgotten(self) -> set[str]:
        """Those who are remembered as out, and whom the balancer sends requests to."""
        ready = {server.name for server in self.pool.servers if server.admin is Admin.READY}
        return ready & set(self.out)

    def in_words(self) -> str:
        """Who serves, who is out since when, and what was forgotten."""
        forgotten = self._forgotten()
        parts = [self.pool.in_and_out()]
        parts += [f"{name} is {entry}" for name, entry in self.out.items() if name not in forgotten]
        parts += [
            f"{name} was taken out at {self.out[name].since}, and the balancer has forgotten it"
            for name in sorted(forgotten)
        ]
        return ". ".join(parts)

    def as_dict(self) -> dict[str, object]:
        """The values for results."""
        forgotten = self._forgotten()
        return {
            "servers": [server.as_dict() for server in self.pool.servers],
            "serving": list(self.pool.serving),
            "not_serving": [server.name for server in self.pool.servers if not server.serving],
            "out": {name: {**entry.as_dict(), "kept": name not in forgotten} for name, entry in self.out.items()},
            "process": str(self.pool.process),
        }


def look(driver: Driver, record: Record, names: Sequence[str] | None) -> tuple[PoolInfo, ...]:
    """Read the pools of these names, or all.

    :raises SlipwayError: nothing answers, or a name is unknown.
    """
    return tuple(PoolInfo(driver.observe(name), record.out(name)) for name in (names or driver.pools()))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/lost-hosts.md, which it writes."""

from __future__ import annotations

from pathlib import Path

from slipway_lab import losing, proof
from slipway_lab.world import World

PAGE = Path(__file__).resolve().parents[2] / "docs" / "proof" / "lost-hosts.md"


def test_each_host_dies_at_each_moment(world: World) -> None:
    cases = []
    for host in world.fleet.apps:
        for moment in losing.MOMENTS:
            cases.append(losing.lose(world, host, moment))
            # Written after each case: a campaign that is ended early leaves what it has seen.
            PAGE.write_text(
                proof.render_lost_hosts(proof.circumstances(world.settings, world.fleet), cases), encoding="utf-8"
            )
    assert [losing.shortfalls(one) for one in cases] == [[]] * len(cases)

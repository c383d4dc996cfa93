# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/zero-loss.md, which it writes."""

from __future__ import annotations

from pathlib import Path

from slipway_lab import proof, rounds
from slipway_lab.world import World

ROUNDS = 5
PAGES = Path(__file__).resolve().parents[2] / "docs" / "proof"


def test_five_deployments_and_their_ways_back_lose_nothing(world: World) -> None:
    world.ready()
    seen = proof.circumstances(world.settings, world.fleet)
    shown = [rounds.run_conclusive(world) for _ in range(ROUNDS)]
    control = rounds.restart_without_drain(world)
    # LAB_BALANCER=nginx_flag make proof writes the page of the other balancer.
    name = {"haproxy": "zero-loss.md", "nginx_flag": "zero-loss-nginx.md"}[world.settings.balancer]
    (PAGES / name).write_text(proof.render_zero_loss(seen, world.settings.balancer, shown, control), encoding="utf-8")
    assert [rounds.shortfalls(one) for one in shown] == [[]] * ROUNDS
    assert [one.figures.why_not for one in shown] == [""] * ROUNDS
    assert control.failed > 0, control.headline()

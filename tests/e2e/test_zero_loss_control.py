# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control of test_zero_loss.py; a file of its own, so that it runs in the other lab."""

from __future__ import annotations

from slipway_lab import rounds
from slipway_lab.world import World


def test_without_drain_the_same_load_loses_requests(world: World) -> None:
    """The control: if nothing were lost here, the zeros above would say nothing."""
    figures = rounds.restart_without_drain(world, rounds.LIGHT_RATE)
    world.talk.say(figures.headline())
    assert figures.failed > 0, f"the load is too weak to notice a restart: {figures.headline()}"

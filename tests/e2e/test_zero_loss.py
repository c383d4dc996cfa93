# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promise of README.md: no request, no answer and no order is lost by a deployment or by its way back."""

from __future__ import annotations

from slipway_lab import rounds
from slipway_lab.world import World


def test_a_deployment_and_its_way_back_lose_nothing(world: World) -> None:
    """v1 to v2, with its migrations, and back, under load; a drained service is stopped with SIGKILL.

    At half the load of `make demo` and of the campaign, since another lab works beside.
    """
    one = rounds.run_conclusive(world, rounds.LIGHT_RATE)
    assert rounds.shortfalls(one) == [], one.figures.headline()
    assert one.figures.kept_up, one.figures.why_not

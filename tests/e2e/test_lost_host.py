# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that dies in the middle: the deployment ends by itself, the site serves, the same command then finishes."""

from __future__ import annotations

import pytest
from slipway_lab import losing
from slipway_lab.world import World

pytestmark = pytest.mark.long


def test_a_host_that_dies_is_set_aside_and_comes_back(world: World) -> None:
    """At its drain, where most is under way. `make proof` kills each host at each moment."""
    assert losing.shortfalls(losing.lose(world, "app2", losing.AT_DRAIN)) == []

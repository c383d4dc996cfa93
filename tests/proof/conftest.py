# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long campaigns on the lab's servers; their pages lie in docs/proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from slipway_lab.world import World, open_world


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The lab with a user's project. What an earlier test has left there, `at_v1` or `ready` brings in order."""
    world = open_world()
    world.prepare()
    yield world
    world.lab.start([])

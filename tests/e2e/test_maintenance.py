# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site closed to visitors and opened again, under load: what each kind of client gets, and when."""

from __future__ import annotations

import pytest
from slipway_lab import closing
from slipway_lab.world import World

pytestmark = pytest.mark.long


def test_visitors_get_the_site_or_the_page_and_the_log_tells_when(world: World) -> None:
    one = closing.run_conclusive(world)
    assert closing.shortfalls(one) == []
    assert one.figures.kept_up, one.figures.why_not


def test_it_outlives_the_balancers_restart_and_the_status_tells_it(world: World) -> None:
    world.at_v1()
    world.project.run("maintenance.yml", extra={"maintenance": "on", "reason": "a test"}).check()
    try:
        world.fleet.run("lb1", "systemctl", "restart", "haproxy")
        world.fleet.wait_until(lambda: world.fleet.visit() == 503, "visitors get the page")
        world.fleet.wait_served()  # The health check passes all the same.
        again = world.project.run("maintenance.yml", extra={"maintenance": "on"}).check()
        assert "It is on already" in again.text
        assert "maintenance: on since" in world.project.run("status.yml").check().text
    finally:
        world.project.run("maintenance.yml", extra={"maintenance": "off"}).check()
    world.fleet.wait_until(lambda: world.fleet.visit() == 200, "visitors get the site")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment keeps the configuration of all hosts, and what a person has broken since comes back."""

from __future__ import annotations

from slipway_lab.world import World

UNIT = "/etc/systemd/system/shop-web@.service"
BALANCER = "/etc/haproxy/haproxy.cfg"


def test_what_somebody_has_broken_comes_back(world: World) -> None:
    world.at_v1()
    fleet = world.fleet
    # A maintenance window has a record too, and no restore point.
    point = next(each["facts"]["restore_point"] for each in reversed(fleet.records()) if each["kind"] == "deploy")
    assert set(point["configuration"]) == {*fleet.apps, "lb1", "db1"}
    before = {"app2": fleet.tree("app2")[UNIT], "lb1": fleet.tree("lb1")[BALANCER]}
    fleet.script("app2", f"sed -i 's/^ExecStart=.*/ExecStart=\\/bin\\/false/' {UNIT}")
    fleet.script("lb1", f"echo nonsense >>{BALANCER}")

    extra = {"backup": str(point["label"]), "host": "app2:lb1"}
    shown = world.project.run("configuration_restore.yml", extra=extra)
    typed = f"restore configuration of shop from {point['label']} on app2:lb1"
    assert shown.rc == 2
    assert f"{UNIT}: content" in shown.text, shown.text[-3000:]
    assert f"{BALANCER}: content" in shown.text
    assert f"-e 'confirm=\"{typed}\"'" in shown.text.replace('\\"', '"')
    assert fleet.tree("app2")[UNIT] != before["app2"]

    run = world.project.run("configuration_restore.yml", extra={**extra, "confirm": f'"{typed}"'})
    assert run.rc == 0, run.text[-3000:]
    assert {"app2": fleet.tree("app2")[UNIT], "lb1": fleet.tree("lb1")[BALANCER]} == before
    again = world.project.run("configuration_restore.yml", extra={**extra, "confirm": f'"{typed}"'})
    assert again.rc == 0
    assert fleet.site_answer() is not None

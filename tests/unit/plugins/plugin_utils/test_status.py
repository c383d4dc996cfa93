# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.slipway.django.plugins.plugin_utils._status import status_lines

CURRENT = {"version": "v2", "release": "r2", "closed_at": "2026-11-21T16:10:00Z", "id": "d2"}
DEPLOYMENTS: dict[str, Any] = {"current": CURRENT, "lease": None, "interrupted": None, "history": [], "lost": []}
# As release_info answers.
APP1 = {
    "slots": {
        "green": {"release": "r2", "enabled": True, "running": ["web", "worker"]},
        "blue": {"release": None, "enabled": False, "running": []},
    },
    "live": {"slot": "green", "release": "r2"},
    "live_reason": "",
}
OPEN: dict[str, Any] = {
    "before": {"state": "off", "since": None, "owner": "", "reason": "", "window": None},
    "closed": False,
}
LB1 = {"servers": [{"name": "app1-green", "before": {"admin": "ready", "status": "UP"}}]}


def told(**change: Any) -> list[str]:
    status: dict[str, Any] = {
        "site": "shop",
        "deployments": DEPLOYMENTS,
        "hosts": {"app1": APP1},
        "balancers": {"lb1": LB1},
    }
    status["maintenance"] = {"lb1": OPEN}
    return status_lines({**status, **change})


def test_a_site_at_rest() -> None:
    assert told() == [
        "shop: v2 (r2) since 2026-11-21T16:10:00Z, d2",
        "  app1: live green r2",
        "    blue: empty, stopped, unknown to the balancer",
        "    green: r2, runs web, worker, lb1 ready UP",
    ]


def test_a_host_that_is_silent_is_unknown_and_never_well() -> None:
    assert told(hosts={"app1": {"unreachable": True, "msg": "timed out"}})[1] == "  app1: does not answer, unknown"


def test_a_balancer_that_is_silent_says_nothing_good() -> None:
    lines = told(balancers={"lb1": {"unreachable": True}})

    assert lines[3] == "    green: r2, runs web, worker, unknown to the balancer"


def maintained(closed: bool, **before: Any) -> str:
    return told(maintenance={"lb1": {"before": {**OPEN["before"], **before}, "closed": closed}})[1]


def test_maintenance_is_told_as_it_is() -> None:
    since = {"since": "2026-11-22T22:00:07.125000Z", "owner": "ada", "reason": "a new server"}
    window = {"from": "2026-11-22T22:00:00.000000Z", "until": "2026-11-22T23:00:00.000000Z"}

    assert maintained(True, state="on", **since) == (
        "  maintenance: on since 2026-11-22T22:00:07Z on lb1, by ada: a new server"
    )
    assert maintained(False, state="announced", window=window) == (
        "  maintenance: planned from 2026-11-22T22:00Z until 2026-11-22T23:00Z on lb1, by somebody: no reason given"
    )


def test_maintenance_that_visitors_do_not_see_is_never_told_as_on() -> None:
    assert maintained(False, state="on").startswith("  maintenance: on on lb1, but visitors get the site")
    assert maintained(True, state="off").startswith("  maintenance: off on lb1, but visitors get the maintenance page")
    assert told(maintenance={"lb1": {"unreachable": True, "msg": "timed out"}})[1] == (
        "  maintenance: unknown on lb1: timed out"
    )


def test_what_is_under_way_and_what_was_left_behind() -> None:
    lease = {"id": "d3", "actor": "ann", "controller": "pc", "step": "drain", "seconds_left": 7, "live": True}
    lines = told(
        deployments={
            **DEPLOYMENTS,
            "current": None,
            "lease": lease,
            "interrupted": {"id": "d3", "step": "drain"},
            "lost": [{"host": "app2", "deployment": "d3", "reason": "unreachable"}],
            "history": [
                {
                    "started_at": "2026-11-21T16:05:28Z",
                    "kind": "deploy",
                    "version": "v3",
                    "release": "r3",
                    "status": "open",
                }
            ],
        }
    )
    assert lines[:5] == [
        "shop: no deployment has ended whole yet",
        "  lease: d3 of ann on pc, step 'drain', 7 s left",
        "  interrupted: d3 in step 'drain'; the next deployment goes on or back",
        "  set aside: app2 by d3: unreachable",
        "  2026-11-21T16:05 deploy v3 (r3): open",
    ]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiles of role verify on real servers, each check green and red; a deployment under watch; a late way back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from slipway_lab.fleet import LOAD_PASSWORD, pattern_of_marks
from slipway_lab.project import Run
from slipway_lab.world import World

pytestmark = pytest.mark.long

# What a team would write into its inventory.
SETTINGS = {
    "verify_profiles": ["django_web", "django_api", "celery", "postgres", "security_headers"],
    "verify_page_text": "Anchors, hawsers, lanterns",
    "verify_static_path": "/health/live",  # Static files have hashed names, which a test does not know.
    "verify_login_path": "/login/",
    "verify_login_fields": {"username": "load", "password": LOAD_PASSWORD},
    "verify_account_path": "/account/",
    "verify_account_text": "load",
    "verify_api_path": "/api/orders",
    "verify_api_closed_status": [405],
    "verify_api_post_path": "/api/upload",
    "verify_api_post_body": {"hello": "gate"},
    "verify_api_secret_headers": {"Authorization": "Bearer {{ vault_api_token }}"},
    "verify_celery_queues": ["shop"],
    "verify_celery_tasks": ["shop.confirm_order"],
    "verify_redis_address": "db1",
    "verify_redis_password": "{{ vault_redis_password }}",
    "verify_sql": [
        {
            "name": "orders have customers",
            "query": "SELECT count(*) FROM shop_order WHERE customer_id IS NULL",
            "equals": 0,
        },
        {
            "name": "heartbeats are written",
            "query": "SELECT count(*) FROM shop_heartbeat WHERE at > now() - interval '2 minutes'",
            "min": 1,
        },
    ],
    # Without TLS the site sends no HSTS, and it has no CSP.
    "verify_headers": {"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"},
    "verify_checks": [{"name": "strangers place no orders", "url": "http://127.0.0.1/api/upload", "method": "POST",
                       "host": "{{ slipway_domain }}", "status": [401]}],
    "verify_thresholds": [{"measure": "query_time", "from": "1h", "times_baseline": 1.2, "action": "hold"}],
    "verify_watch_interval": 2,
    "verify_watch_deadline": 40,
}  # fmt: skip
# The same, with one expectation of each check that can't be met.
RED: dict[str, Any] = {
    "verify_page_text": "No such text",
    "verify_static_path": "/absent.css",
    "verify_login_fields": {"username": "load", "password": "lab-mark-wrong"},
    "verify_api_closed_status": [403],
    "verify_api_secret_headers": {"Authorization": "Bearer lab-mark-wrong"},
    "verify_celery_queues": ["absent"],
    "verify_redis_address": "app3",
    "verify_sql": [
        {"name": "orders have customers", "query": "SELECT count(*) FROM shop_order", "equals": 0},
        {"name": "heartbeats are written", "query": "SELECT count(*) FROM shop_heartbeat", "min": 100000000},
    ],
    "verify_min_replicas": 3,
    "verify_headers": {"X-Frame-Options": "SAMEORIGIN"},
    "verify_min_free_percent": 99.99,
    "verify_rollback": False,
}


def settle(world: World) -> None:
    """Give the project's inventory what a team would write."""
    file = world.project.path / "prod" / "group_vars" / "all" / "verify.yml"
    file.write_text(json.dumps(SETTINGS), encoding="utf-8")


def verify(world: World, *, verbosity: int = 0, **extra: Any) -> Run:
    return world.project.run("verify.yml", arguments=("-e", json.dumps(extra)), verbosity=verbosity)


def test_profiles_and_a_late_way_back(world: World) -> None:
    old = world.at_v1()
    settle(world)
    first = world.fleet.records()[-1]["id"]

    well = verify(world, verbosity=3, deployment=first)
    assert well.rc == 0, well.text[-3000:]
    assert "v1 is well" in well.text
    assert pattern_of_marks().findall(well.text) == []

    sick = verify(world, **RED)
    assert sick.rc == 2
    told = sick.text[sick.text.rindex("TASK [Say it]") :]
    assert "The verdict on v1 is rollback" in told
    red = "page, static file, login, api is closed, api post, workers, redis, orders have customers"
    for name in (*red.split(", "), "heartbeats are written", "security headers"):
        assert f"{name}: " in told, name
    assert "Nothing was changed" in told
    assert pattern_of_marks().findall(sick.text) == []
    assert world.fleet.releases() == {host: [old] for host in world.fleet.apps}

    # Deployed under the same watch, then found to be sick at a later look.
    world.deploy("v2")
    counted = world.fleet.records()[-1]["facts"]["baseline"]["query_time"]["queries"]
    assert any("shop_order" in query["query"] for query in counted.values())
    gone = verify(world, deployment=first)
    assert gone.rc == 2
    assert f"{first} is not live" in gone.text
    back = verify(world, verify_page_text="No such text", verify_profiles=["django_web"])
    assert back.rc == 2
    assert "The site was brought back" in back.text
    assert world.fleet.releases() == {host: [old] for host in world.fleet.apps}
    record = world.fleet.records()[-1]
    assert (record["kind"], record["version"], record["verdict"]) == ("rollback", "v1", "whole")

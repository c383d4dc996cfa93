# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_pool on real balancers: blue are a and b, green is c. Who answers is asked by requests."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration import balancer_modules
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.balancer_worlds import (
    NGINX,
    Background,
    HaproxyWorld,
    Held,
    NginxFlagWorld,
    NginxIncludeWorld,
    World,
)
from ansible_collections.slipway.django.tests.integration.lab_haproxy import HAPROXY, wait_until

pytestmark = [
    pytest.mark.skipif(shutil.which(HAPROXY) is None, reason="needs the package haproxy"),
    pytest.mark.skipif(shutil.which(NGINX) is None, reason="needs the package nginx"),
    pytest.mark.timeout(300),
]
SETS = {"blue": "shop_blue", "green": "shop_green"}
MEMBERS = {"shop_blue": "ab", "shop_green": "c"}


class HaproxyPools(HaproxyWorld):
    """HAProxy that looks the live pool up in a map."""

    def start(self) -> None:
        self.map = self.directory / "live.map"
        if not self.map.exists():
            self.map.write_text("shop shop_blue\n")
        self.haproxy.choice = f"use_backend %[str(shop),map({self.map},shop_blue)]"
        self.haproxy.pools = "\n".join(
            f"backend {pool}\n  option httpchk GET /health\n  default-server check inter 200ms rise 2 fall 3\n"
            + "\n".join(f"  server {name} 127.0.0.1:{self.ports[name]}" for name in names)
            for pool, names in MEMBERS.items()
        )
        super().start()

    def settle(self) -> None:
        options = {**super().options(), "pool": list(MEMBERS)}
        wait_until(
            "both serve", lambda: all(p["not_serving"] == [] for p in balancer_modules.info(options)["pools"].values())
        )

    def options(self) -> dict[str, Any]:
        return {**super().options(), "file": str(self.map)}


class FlagPools(NginxFlagWorld):
    """nginx that looks for a flag."""

    def upstreams(self) -> str:
        return "\n".join(
            f"upstream {pool} {{\n{self.servers(*set('abc') - set(names))}\n}}" for pool, names in MEMBERS.items()
        )

    def choice(self) -> str:
        flag = f"if (-f {self.flags}/shop.live/green) {{ set $group shop_green; }}"
        return f"set $group shop_blue;\n{flag}\nproxy_pass http://$group;"


class IncludePools(NginxIncludeWorld):
    """nginx with a map in a file of its own."""

    upstreams = FlagPools.upstreams

    def write(self) -> None:
        self.switch = self.directory / "live.conf"
        self.switch.write_text("map $host $shop {\n    default shop_blue;\n}\n")
        super().write()
        text = self.configuration.read_text()
        self.configuration.write_text(
            text.replace(f"include {self.file};", f"include {self.file};\n  include {self.switch};")
        )

    def choice(self) -> str:
        return "proxy_pass http://$shop;"

    def options(self) -> dict[str, Any]:
        return {**super().options(), "file": str(self.switch)}


@pytest.fixture(
    name="world", params=[HaproxyPools, FlagPools, IncludePools], ids=["haproxy", "nginx_flag", "nginx_include"]
)
def _world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    world: World = request.param(tmp_path)
    try:
        world.start()
        world.settle()
        yield world
    finally:
        world.close()


def live(world: World, name: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return balancer_modules.switch({**as_options(world, name), **options}, check=check)


def as_options(world: World, name: str) -> dict[str, Any]:
    return {**world.options(), "name": "shop", "sets": SETS, "live": name, "timeout": 20}


def refused(world: World, name: str, **options: Any) -> str:
    with pytest.raises(SlipwayError) as caught:
        live(world, name, **options)
    return caught.value.message


def answering(world: World) -> set[str]:
    answers = [world.get() for _ in range(12)]
    assert {status for status, _name in answers} == {200}
    return {name for _status, name in answers}


def test_check_apply_check_apply_and_back(world: World) -> None:
    for name, members in (("green", {"c"}), ("blue", {"a", "b"})):
        before = answering(world)
        assert live(world, name, check=True)["changed"]
        assert answering(world) == before
        assert live(world, name)["changed"]
        assert answering(world) == members
        assert not live(world, name, check=True)["changed"]
        assert not live(world, name)["changed"]


def test_as_a_task(world: World) -> None:
    assert run_module("lb_pool", as_options(world, "green")).succeeded()["changed"]
    assert answering(world) == {"c"}


def test_what_was_switched_survives(world: World) -> None:
    live(world, "green")
    for how in ("reload", "kill"):
        world.restart(how)
        time.sleep(0.5)
        assert answering(world) == {"c"}
    assert not live(world, "green")["changed"]


def test_the_old_set_ends_what_it_has(world: World) -> None:
    held = Held(world, "a")
    run = Background(lambda: live(world, "green"))
    deadline = time.monotonic() + 30
    while world.get()[1] != "c":
        assert time.monotonic() < deadline
    time.sleep(0.5)
    assert run.result is None
    assert held.let_go() == (200, "a")
    assert "none of its requests is left" in run.succeeded()["msg"]


def test_what_stays_open_switches_back(world: World) -> None:
    held = Held(world, "a")
    message = refused(world, "green", timeout=1)
    assert "1 requests were still open in pool shop_blue after 1 s" in message
    assert "blue is live, as before" in message
    assert answering(world) == {"a", "b"}
    assert held.let_go() == (200, "a")


def test_refused_before_anything_is_switched(world: World) -> None:
    assert "expected one of the sets: blue, green" in refused(world, "grene")
    assert "pool: 'shop_grene' is not accepted" in refused(world, "green", sets={**SETS, "green": "shop_grene"})
    world.applications["c"].healthy = False
    world.applications["c"].stop()
    time.sleep(1)
    message = refused(world, "green")
    assert "green has 0 healthy servers, and min_healthy asks for 1" in message
    assert "Nothing was changed: blue is live" in message
    assert answering(world) == {"a", "b"}


def test_another_release_is_switched_back(world: World) -> None:
    for name, application in world.applications.items():
        application.headers = {"X-Served-By": name, "X-Release": "v1"}
    through = {"url": f"http://127.0.0.1:{world.front}/", "release": "v1"}
    assert "answered through" in live(world, "green", through=through)["msg"]
    message = refused(world, "blue", through={**through, "release": "v2"}, timeout=5)
    assert "blue did not answer as it should through http://127.0.0.1:" in message
    assert "release v1 answered with status 200 (expected v2)" in message
    assert "green is live, as before" in message
    assert answering(world) == {"c"}


def test_under_load_no_request_fails(world: World) -> None:
    if isinstance(world, NginxIncludeWorld):
        pytest.skip("a reload costs some, which is why the other driver is there")
    stop = threading.Event()
    statuses: list[int] = []

    def load() -> None:
        while not stop.is_set():
            statuses.append(world.get()[0])

    thread = threading.Thread(target=load, daemon=True)
    thread.start()
    for name in ("green", "blue", "green"):
        live(world, name)
    stop.set()
    thread.join(30)
    assert len(statuses) > 50
    assert set(statuses) == {200}

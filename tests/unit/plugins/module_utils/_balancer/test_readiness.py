# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks, Health
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Check, Order, Running
from ansible_collections.slipway.django.plugins.module_utils._balancer._readiness import ReadinessDriver, is_local
from ansible_collections.slipway.django.plugins.module_utils._balancer._sockets import Connection
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock

SERVERS = {"a": "127.0.0.1:8001", "b": "127.0.0.1:8002", "far": "192.0.2.77:8001"}


class Site(Health):
    """The endpoints of the servers: ``heeds`` says whether a server's file makes it say that it is out."""

    def __init__(self, flags: Path | None) -> None:
        super().__init__()
        self.answers: dict[str, bool] = {}
        object.__setattr__(self, "flags", flags)
        object.__setattr__(self, "heeds", True)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def ask(self, addresses: Mapping[str, str], clock: object) -> dict[str, Check]:
        return {name: Check(configured=True, passed=self._well(name), text="asked") for name in addresses}

    def _well(self, name: str) -> bool:
        flags: Path | None = self.__dict__["flags"]
        out = flags is not None and self.__dict__["heeds"] and (flags / name).exists()
        return self.answers.get(name, True) and not out


class Stage:
    """The driver, its endpoints and a clock."""

    def __init__(self, tmp_path: Path) -> None:
        self.flags = tmp_path / "out"
        self.flags.mkdir()
        self.clock = FakeClock()
        self.health = Site(self.flags)
        self.alive = Site(None)
        self.connections: list[Connection] = []
        self.driver = ReadinessDriver(
            pool="shop",
            servers=SERVERS,
            directory=str(self.flags),
            notice_s=3.0,
            health=Checks(self.health, self.clock, every_s=0),
            alive=Checks(self.alive, self.clock, every_s=0),
            clock=self.clock,
            connections=lambda _addresses: self.connections,
        )

    def tell(self, name: str, admin: Admin) -> None:
        self.driver.apply("shop", [Order(name, admin)])
        if admin is not Admin.READY:
            # Files bear the machine's time, tests the clock's.
            now = self.clock.utcnow().timestamp()
            os.utime(self.flags / name, (now, now))

    def held(self, name: str = "a") -> str:
        return next(server.held for server in self.driver.observe("shop").servers if server.name == name)


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_it_is_out_when_the_balancer_must_have_noticed(it: Stage) -> None:
    it.tell("a", Admin.DRAIN)
    assert it.held() == "the balancer may not have noticed yet, 0.0 of 3 s have passed"
    it.clock.advance(2.9)
    assert it.held() == "the balancer may not have noticed yet, 2.9 of 3 s have passed"
    it.clock.advance(0.2)
    assert it.held() == ""
    (server,) = (one for one in it.driver.observe("shop").servers if one.name == "a")
    assert (server.admin, server.status, server.quiet) == (Admin.DRAIN, "DRAIN", True)


def test_an_endpoint_that_does_not_heed_the_file_is_never_out(it: Stage) -> None:
    it.health.heeds = False
    it.tell("a", Admin.DRAIN)
    it.clock.advance(100)
    assert it.held() == f"its health endpoint does not heed {it.flags}/a (asked)"
    # From the moment on when it does, the balancer needs its time; how old the file is says nothing then.
    it.health.heeds = True
    assert it.held() == "the balancer may not have noticed yet, 0.0 of 3 s have passed"


def test_a_second_run_does_not_wait_for_what_has_passed(it: Stage, tmp_path: Path) -> None:
    it.tell("a", Admin.MAINT)
    it.clock.advance(10)
    assert it.held() == ""


def test_another_word_in_the_file_begins_nothing_anew(it: Stage) -> None:
    it.tell("a", Admin.DRAIN)
    it.held()
    it.clock.advance(2)
    it.tell("a", Admin.MAINT)
    assert it.held() == "the balancer may not have noticed yet, 2.0 of 3 s have passed"
    it.tell("a", Admin.READY)
    it.tell("a", Admin.MAINT)
    assert it.held() == "the balancer may not have noticed yet, 0.0 of 3 s have passed"


def test_of_one_that_has_died_the_balancer_learns_no_sooner(it: Stage) -> None:
    it.health.heeds = False
    it.tell("a", Admin.DRAIN)
    assert "does not heed" in it.held()
    it.health.heeds = True
    it.alive.answers["a"] = False
    assert it.held() == "the balancer may not have noticed yet, 0.0 of 3 s have passed"
    it.clock.advance(3)
    assert it.held() == ""
    (server,) = (one for one in it.driver.observe("shop").servers if one.name == "a")
    assert server.status == "DOWN"


def test_its_health_counts_for_the_pool(it: Stage) -> None:
    it.health.answers["far"] = False
    assert it.driver.observe("shop").serving == ("a", "b")


def test_connections_that_it_has_taken(it: Stage) -> None:
    it.connections = [
        Connection(("10.0.0.1", 8001), ("198.51.100.7", 4000)),
        Connection(("10.0.0.1", 5432), ("198.51.100.7", 4001)),
    ]
    assert {server.name: server.sessions for server in it.driver.observe("shop").servers} == {
        "a": 1,
        "b": 0,
        "far": None,
    }
    assert it.driver.running("shop", ["a"]) == (Running("a", "connection", "10.0.0.1:8001 with 198.51.100.7:4000"),)


def test_one_of_another_host_can_not_be_told_here(it: Stage) -> None:
    pool = it.driver.observe("shop")
    it.driver.refuse(pool, [Order("a", Admin.MAINT)])
    with pytest.raises(Refused, match=r"far \(192\.0\.2\.77:8001\) does not run on this host"):
        it.driver.refuse(pool, [Order("a", Admin.MAINT), Order("far", Admin.MAINT)])
    assert is_local("127.0.0.1:1")
    assert not is_local("no-such-host.invalid:1")


def test_its_one_pool(it: Stage) -> None:
    assert it.driver.pools() == ("shop",)
    with pytest.raises(InvalidOption, match="pool: 'else' is not accepted, expected shop"):
        it.driver.observe("else")


def test_rights(it: Stage) -> None:
    it.driver.require_rights()
    it.flags.rmdir()
    with pytest.raises(Refused, match="is not there, or this user may not make files in it"):
        it.driver.require_rights()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks, Health
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    Check,
    Order,
    Process,
    Running,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import Worker
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include import (
    NginxIncludeDriver,
    Reload,
    UpstreamFile,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._sockets import Connection
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeClock, FakeRunner, completed

TEXT = "upstream shop {\n  server 192.0.2.1:80 weight=100; # a\n  server 192.0.2.2:80 weight=100; # b\n}\n"


class Well(Health):
    """Servers that are all well, or are not."""

    def ask(self, addresses: object, clock: object) -> dict[str, Check]:
        assert isinstance(addresses, dict)
        return {name: Check(configured=True, passed=name != self.path, text="asked") for name in addresses}


@dataclass
class Nginx:
    """A master with workers that a reload replaces after some looks."""

    workers_now: list[Worker] = field(default_factory=lambda: [Worker(11, 1, old=False)])
    # What each look after a reload finds.
    script: list[list[Worker]] = field(default_factory=list)

    def master(self) -> Process:
        return Process(10, 1)

    def workers(self, master: Process) -> tuple[Worker, ...]:
        assert master == self.master()
        if self.script:
            self.workers_now = self.script.pop(0)
        return tuple(self.workers_now)

    def reloaded(self, call: Call) -> str:
        old = [Worker(worker.pid, worker.started, old=True) for worker in self.workers_now]
        self.script = [
            self.workers_now,
            [*self.workers_now, Worker(12, 2, old=False)],
            [*old, Worker(12, 2, old=False)],
        ]
        return ""


@dataclass
class Stage:
    """The driver over a file."""

    path: Path
    nginx: Nginx
    runner: FakeRunner
    clock: FakeClock
    connections: list[Connection] = field(default_factory=list)
    ill: str = ""

    @property
    def driver(self) -> NginxIncludeDriver:
        reload = Reload(["nginx"], self.nginx, self.runner, self.clock)  # type: ignore[arg-type]  # a stand-in
        checks = Checks(Well(self.ill), self.clock)
        file = UpstreamFile(str(self.path), reload)
        return NginxIncludeDriver(file, self.nginx, reload, checks, lambda _addresses: self.connections)  # type: ignore[arg-type]


@pytest.fixture(name="it")
def _it(tmp_path: Path) -> Stage:
    path = tmp_path / "upstreams.conf"
    path.write_text(TEXT)
    nginx = Nginx()
    runner = FakeRunner().on("nginx", "-t").on("nginx", "-s", "reload", answer=nginx.reloaded)
    return Stage(path, nginx, runner, FakeClock())


def test_a_reload_is_over_when_the_new_workers_have_taken_over(it: Stage) -> None:
    it.driver.apply("shop", [Order("a", Admin.DRAIN), Order("b", weight=5)])
    assert it.path.read_text() == TEXT.replace("weight=100; # a", "weight=100 down; # a drain").replace(
        "weight=100; # b", "weight=5; # b of 100"
    )
    assert it.runner.argvs == [("nginx", "-t"), ("nginx", "-s", "reload")]
    assert not it.nginx.script
    servers = it.driver.observe("shop").servers
    assert [(server.admin, server.weight, server.configured_weight) for server in servers] == [
        (Admin.DRAIN, 100, 100),
        (Admin.READY, 5, 100),
    ]
    # The old worker still has clients: it may send requests to the server that is out, and to that one only.
    assert [server.held for server in servers] == [
        "1 old workers of nginx (11) still have clients and go by the file from before the reload",
        "",
    ]
    assert not servers[0].quiet
    it.nginx.workers_now = [Worker(12, 2, old=False)]
    assert it.driver.observe("shop").servers[0].quiet


def test_what_nginx_does_not_see_needs_no_reload(it: Stage) -> None:
    it.driver.apply("shop", [Order("a", Admin.DRAIN)])
    before = len(it.runner.calls)
    it.driver.apply("shop", [Order("a", Admin.MAINT)])
    assert "# a maint" in it.path.read_text()
    assert len(it.runner.calls) == before


def test_a_file_that_fails_its_test_is_put_back(it: Stage) -> None:
    it.runner.on("nginx", "-t", answer=completed(returncode=1, stderr="nginx: [emerg] no such file"))
    with pytest.raises(BalancerError) as caught:
        it.driver.apply("shop", [Order("a", Admin.DRAIN)])
    assert "nginx -t ended with status 1: nginx: [emerg] no such file." in caught.value.message
    assert f"{it.path} was put back as it was. See the configuration (nginx -t), and that" in caught.value.message
    assert it.path.read_text() == TEXT
    assert it.runner.argvs == [("nginx", "-t")]


def test_a_reload_without_new_workers_is_no_reload(it: Stage) -> None:
    it.runner.on("nginx", "-s", "reload", answer="")
    with pytest.raises(SlipwayError, match="nginx was told to reload and has no new workers after 15 s"):
        it.driver.apply("shop", [Order("a", Admin.DRAIN)])
    assert it.path.read_text() == TEXT
    assert it.clock.elapsed == pytest.approx(15)
    # Or a late one: nobody can say which text nginx goes by, until it has been made to read this one.
    assert all(server.mixed for server in it.driver.observe("shop").servers)
    it.runner.on("nginx", "-s", "reload", answer=it.nginx.reloaded)
    it.driver.apply("shop", [Order("a", Admin.READY)])
    assert it.path.read_text() == TEXT
    assert not any(server.mixed for server in it.driver.observe("shop").servers)


def test_a_run_that_dies_before_the_reload_is_noticed_by_the_next(it: Stage) -> None:
    def killed(call: Call) -> str:
        raise KeyboardInterrupt

    it.runner.on("nginx", "-s", "reload", answer=killed)
    with pytest.raises(KeyboardInterrupt):
        it.driver.apply("shop", [Order("a", Admin.DRAIN)])
    assert "# a drain" in it.path.read_text()
    assert all(server.mixed for server in it.driver.observe("shop").servers)
    it.runner.on("nginx", "-s", "reload", answer=it.nginx.reloaded)
    it.driver.apply("shop", [Order("a", Admin.DRAIN)])
    assert not any(server.mixed for server in it.driver.observe("shop").servers)


def test_rights_are_tried_before_anything(it: Stage) -> None:
    it.driver.require_rights()
    it.runner.on("nginx", "-t", answer=completed(returncode=1, stderr="permission denied"))
    with pytest.raises(CommandFailed, match="permission denied"):
        it.driver.require_rights()


def test_connections_are_counted_and_named(it: Stage) -> None:
    it.connections = [
        Connection(("10.0.0.1", 40001), ("192.0.2.1", 80)),
        Connection(("10.0.0.1", 40002), ("192.0.2.2", 80)),
        Connection(("10.0.0.1", 40003), ("192.0.2.1", 81)),
    ]
    assert [server.sessions for server in it.driver.observe("shop").servers] == [1, 1]
    assert it.driver.running("shop", ["a"]) == (Running("a", "connection", "10.0.0.1:40001 with 192.0.2.1:80"),)


def test_servers_that_are_ill_do_not_serve(it: Stage) -> None:
    it.ill = "a"
    assert it.driver.observe("shop").serving == ("b",)
    assert it.driver.pools() == ("shop",)


def test_a_write_that_fails_says_so(it: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    where = "ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include.write_atomic"
    monkeypatch.setattr(where, full)
    with pytest.raises(BalancerError, match=r"could not be written: .*No space left .* It holds what it held before"):
        it.driver.apply("shop", [Order("a", Admin.DRAIN)])

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of balancer, real, over the same three applications: what the contract of the drivers is tested on.

A world says by other means than the modules what the servers are told, and does to its balancer what happens to one.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import boto3
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration import lab_s3
from ansible_collections.slipway.django.tests.integration.lab_haproxy import (
    Application,
    Haproxy,
    free_port,
    get,
    wait_until,
)

# Another version than the one that is installed: NGINX=/path/to/nginx.
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
NAMES = ("a", "b", "c")
# Where a balancer lets requests through by one word for all drivers.
READY, DRAIN, MAINT = "ready", "drain", "maint"


class World(ABC):
    """One balancer in front of the applications ``a``, ``b`` and ``c``, pool ``shop``."""

    driver: str
    # What the contract asks only of those that have it.
    carries_requests = True
    weights = False
    knows_drain = True
    # Whether the balancer is a process of this host that can go away.
    has_process = True
    # Whether a new process of it may lose count of what the old one still has.
    forgets = False
    # Seconds that a drain takes at least, on top of its three looks.
    notice_s = 0.0
    # Options that spare the tests of a slow one some time.
    quick: ClassVar[dict[str, Any]] = {}

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.front = free_port()
        self.applications = {name: Application(free_port()) for name in NAMES}

    @property
    def ports(self) -> dict[str, int]:
        return {name: application.port for name, application in self.applications.items()}

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The modules' options that name this balancer."""

    @abstractmethod
    def without_rights(self) -> tuple[dict[str, Any], str]:
        """Options of somebody who may not, and what he is told."""

    @abstractmethod
    def told(self) -> dict[str, str]:
        """What each server is told, by other means than the modules."""

    @abstractmethod
    def start(self) -> None:
        """Start the balancer."""

    def settle(self) -> None:
        """Return when all servers serve."""
        return

    def restart(self, how: str) -> None:
        """Let the balancer come anew: ``restart``, ``kill`` or ``reload``."""
        raise NotImplementedError(f"{self.driver} is no process of this host")

    @abstractmethod
    def stop(self) -> None:
        """Make it go away at once."""

    def close(self) -> None:
        self.stop()
        for application in self.applications.values():
            application.let_go.set()
            with contextlib.suppress(OSError):
                application.stop()

    def get(self, path: str = "/", *, timeout: float = 60) -> tuple[int, str]:
        """One request through the balancer: status, and the name of the server that answered."""
        status, body = get(self.front, path, timeout=timeout)
        return status, {str(port): name for name, port in self.ports.items()}.get(body, body)

    def revive(self, name: str) -> None:
        """Start an application that was stopped once more."""
        old = self.applications[name]
        self.applications[name] = Application(old.port)
        self.applications[name].out = old.out

    def health(self) -> dict[str, Any]:
        return {"path": "/health"}


class HaproxyWorld(World):
    """HAProxy, by its UNIX socket."""

    driver = "haproxy"
    weights = True
    forgets = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.haproxy = Haproxy(directory, self.ports, dict.fromkeys(NAMES, ""))
        self.haproxy.state.write_text("")
        self.front = self.haproxy.front

    def options(self) -> dict[str, Any]:
        return {"driver": "haproxy", "socket": [self.haproxy.socket], "state_file": str(self.haproxy.state)}

    def without_rights(self) -> tuple[dict[str, Any], str]:
        return {"socket": [self.haproxy.user_socket]}, "gives the level 'user', and changing servers needs 'admin'"

    def told(self) -> dict[str, str]:
        words = {0: READY, 8: DRAIN, 1: MAINT}
        return {name: words[admin] for name, (admin, _weight) in self.haproxy.told().items()}

    def start(self) -> None:
        self.haproxy.start()

    def settle(self) -> None:
        self.haproxy.wait_status(**dict.fromkeys(NAMES, "UP"))

    def restart(self, how: str) -> None:
        if how == "reload":
            self.haproxy.reload()
        else:
            self.haproxy.restart(signal.SIGKILL if how == "kill" else signal.SIGTERM)

    def stop(self) -> None:
        self.haproxy.stop(signal.SIGKILL)


class ReadinessWorld(HaproxyWorld):
    """A balancer that nobody may speak to: HAProxy again, which only asks the applications for their health."""

    driver = "readiness"
    weights = False
    forgets = False
    has_process = False
    # `fall 3` and `inter 200ms`, and what one check takes.
    notice_s = 1.0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        # An idle connection that it kept would count, until the application closes it.
        self.haproxy.lines = "option http-server-close"
        self.flags = directory / "out"
        self.flags.mkdir()
        for name, application in self.applications.items():
            application.out = self.flags / name

    def options(self) -> dict[str, Any]:
        servers = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        values = {"servers": servers, "directory": str(self.flags), "notice": self.notice_s, "health": self.health()}
        return {"driver": "readiness", "readiness": values}

    def without_rights(self) -> tuple[dict[str, Any], str]:
        values = {**self.options()["readiness"], "directory": "/nowhere/out"}
        return {"readiness": values}, "The directory /nowhere/out is not there, or this user may not make files in it"

    def told(self) -> dict[str, str]:
        return {
            name: (self.flags / name).read_text().strip() if (self.flags / name).exists() else READY for name in NAMES
        }


class NginxWorld(World):
    """nginx, as both of its drivers have it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        os.chmod(directory, 0o755)
        self.flags = directory / "flags"
        self.flags.mkdir()
        self.file = directory / "upstreams.conf"
        self.pid_file = directory / "nginx.pid"
        self.configuration = directory / "nginx.conf"
        self._wrapper = directory / "nginx"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def upstreams(self) -> str:
        """The file with the groups."""

    @abstractmethod
    def choice(self) -> str:
        """The lines of the location that choose a group."""

    def servers(self, *without: str) -> str:
        # Without max_fails a request that fails would take the server out for 10 s.
        return "\n".join(
            f"  server 127.0.0.1:{port} weight=100 max_fails=0; # {name}"
            for name, port in self.ports.items()
            if name not in without
        )

    def nginx_options(self) -> dict[str, Any]:
        return {"file": str(self.file), "pid_file": str(self.pid_file), "health": self.health()}

    def write(self) -> None:
        self.file.write_text(self.upstreams())
        self._wrapper.write_text(f'#!/bin/sh\nexec {NGINX} -p {self.directory} -c {self.configuration} "$@"\n')
        self._wrapper.chmod(0o755)
        temporary = "\n".join(
            f"  {kind}_temp_path {self.directory}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.configuration.write_text(
            f"""daemon off;
worker_processes 2;
{"user root;" if os.geteuid() == 0 else ""}
pid {self.pid_file};
error_log {self.directory}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
{temporary}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  include {self.file};
  server {{
    listen 127.0.0.1:{self.front};
    location / {{
{self.choice()}
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_request_buffering off;
      proxy_next_upstream off;
      proxy_read_timeout 60s;
    }}
  }}
}}
"""
        )

    def start(self) -> None:
        if not self.configuration.exists():
            self.write()
        with (self.directory / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen([self._wrapper], stdout=log, stderr=log)
        pid = self._process.pid
        wait_until("nginx answers", lambda: self._is(pid))

    def _is(self, pid: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "nginx.log").read_text()
        if not self.pid_file.exists() or self.pid_file.read_text().strip() != str(pid):
            return False
        with contextlib.suppress(OSError):
            return self.get("/health")[0] == 200
        return False

    def restart(self, how: str) -> None:
        if how == "reload":
            subprocess.run([self._wrapper, "-s", "reload"], check=True, capture_output=True)
            return
        self.stop(signal.SIGKILL if how == "kill" else signal.SIGTERM)
        self.start()

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is None:
            return
        workers = self._workers()
        self._process.send_signal(number)
        self._process.wait(15)
        self._process = None
        for pid in workers:
            # Workers outlive a master that is killed, and keep its port.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.pid_file.unlink(missing_ok=True)

    def _workers(self) -> list[int]:
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in path.read_text().split()] if path.exists() else []


class NginxFlagWorld(NginxWorld):
    """nginx that chooses a group by flag files."""

    driver = "nginx_flag"

    def upstreams(self) -> str:
        sets = [out for count in range(len(NAMES)) for out in combinations(NAMES, count)]
        return "\n".join(f"upstream {'--'.join(['shop', *out])} {{\n{self.servers(*out)}\n}}" for out in sets)

    def choice(self) -> str:
        lines = ["set $group shop;"]
        lines += [f'if (-f {self.flags}/shop/{name}) {{ set $group "${{group}}--{name}"; }}' for name in NAMES]
        return "\n".join(f"      {line}" for line in [*lines, "proxy_pass http://$group;"])

    def options(self) -> dict[str, Any]:
        return {"driver": "nginx_flag", "nginx_flag": {**self.nginx_options(), "directory": str(self.flags)}}

    def without_rights(self) -> tuple[dict[str, Any], str]:
        values = {**self.options()["nginx_flag"], "directory": "/nowhere/flags"}
        return {
            "nginx_flag": values
        }, "The directory /nowhere/flags is not there, or this user may not make files in it"

    def told(self) -> dict[str, str]:
        paths = {name: self.flags / "shop" / name for name in NAMES}
        return {name: path.read_text().strip() if path.exists() else READY for name, path in paths.items()}


class NginxIncludeWorld(NginxWorld):
    """nginx that is reloaded with another file."""

    driver = "nginx_include"
    weights = True

    def upstreams(self) -> str:
        return f"upstream shop {{\n{self.servers()}\n}}\n"

    def choice(self) -> str:
        return "      proxy_pass http://shop;"

    def options(self) -> dict[str, Any]:
        values = {**self.nginx_options(), "command": [str(self._wrapper)]}
        return {"driver": "nginx_include", "nginx_include": values}

    def without_rights(self) -> tuple[dict[str, Any], str]:
        values = {**self.options()["nginx_include"], "command": ["/bin/false"]}
        return {"nginx_include": values}, "/bin/false -t ended with status 1"

    def told(self) -> dict[str, str]:
        found = {}
        for line in self.file.read_text().splitlines():
            if line.lstrip().startswith("server"):
                before, _sign, note = line.partition("#")
                words = note.split()
                found[words[0]] = words[1] if "down" in before.replace(";", "").split() else READY
        return found


class AlbWorld(World):
    """A target group of AWS, as moto plays it: no request passes through it."""

    driver = "alb"
    carries_requests = False
    knows_drain = False
    has_process = False
    # It is looked at once a second.
    quick: ClassVar[dict[str, Any]] = {"confirm": 1, "stable": 0}
    # Its server takes seconds to start: one for all tests of a run.
    storage: ClassVar[lab_s3.Storage]

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._arn = ""

    def start(self) -> None:
        self._storage = self.storage
        self._storage.control("reset")
        os.environ.update(AWS_ACCESS_KEY_ID="access-of-the-test", AWS_SECRET_ACCESS_KEY="mark-of-a-secret-91")
        self._client = boto3.client("elbv2", endpoint_url=self._storage.url, region_name="us-east-1")
        ec2 = boto3.client("ec2", endpoint_url=self._storage.url, region_name="us-east-1")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = self._client.create_target_group(Name="shop", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")
        self._arn = made["TargetGroups"][0]["TargetGroupArn"]
        self._client.register_targets(TargetGroupArn=self._arn, Targets=[self._target(name) for name in NAMES])

    def _target(self, name: str) -> dict[str, Any]:
        return {"Id": f"10.0.0.{10 + NAMES.index(name)}", "Port": 8001}

    def stop(self) -> None:
        """It serves the next test too."""

    def options(self) -> dict[str, Any]:
        targets = {name: f"{self._target(name)['Id']}:8001" for name in NAMES}
        values = {"targets": targets, "region": "us-east-1", "endpoint_url": self._storage.url}
        return {"driver": "alb", "alb": values, "record_file": str(self.directory / "record.json")}

    def without_rights(self) -> tuple[dict[str, Any], str]:
        values = {**self.options()["alb"], "endpoint_url": f"http://127.0.0.1:{free_port()}"}
        return {"alb": values}, "AWS gave no answer to the target group shop"

    def told(self) -> dict[str, str]:
        seen = self._client.describe_target_health(TargetGroupArn=self._arn)["TargetHealthDescriptions"]
        there = {one["Target"]["Id"] for one in seen}
        return {name: READY if self._target(name)["Id"] in there else MAINT for name in NAMES}


WORLDS: dict[str, type[World]] = {
    world.driver: world for world in (HaproxyWorld, NginxFlagWorld, NginxIncludeWorld, ReadinessWorld, AlbWorld)
}


@contextlib.contextmanager
def world_of(driver: str, directory: Path) -> Iterator[World]:
    """Start the world of a driver; it is gone afterwards."""
    world = WORLDS[driver](directory)
    try:
        world.start()
        world.settle()
        yield world
    finally:
        world.close()


@contextlib.contextmanager
def two_haproxies(directory: Path) -> Iterator[dict[str, HaproxyWorld]]:
    """Two HAProxies over the applications of the first."""
    worlds: dict[str, HaproxyWorld] = {}
    for name in ("lb1", "lb2"):
        (directory / name).mkdir(mode=0o755)
        worlds[name] = HaproxyWorld(directory / name)
    first, second = worlds.values()
    for application in second.applications.values():
        application.stop()
    second.applications = first.applications
    second.haproxy.ports = first.ports
    try:
        for world in worlds.values():
            world.start()
            world.settle()
        yield worlds
    finally:
        second.stop()
        first.close()


class Held:
    """A request on one server that ends when it is let go."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._application = world.applications[name]
        self.answer: tuple[int, str] | None = None
        before = self._application.holding
        # A daemon: a test that fails must not be kept from ending by what it had started.
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        wait_until(f"the request is at {name}", lambda: self._application.holding > before)

    def _ask(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            # The other servers answer at once, until it is the turn of the right one.
            while self.answer is None or self.answer[1] != self._name:
                self.answer = self._world.get(f"/held/{self._application.port}")

    def let_go(self) -> tuple[int, str] | None:
        """Let it end, and return its answer; None when it was cut."""
        self._application.let_go.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.answer if self.answer and self.answer[1] == self._name else None


class Background:
    """A run in a thread, with its end."""

    def __init__(self, call: Callable[[], dict[str, Any]]) -> None:
        self._call = call
        self.result: dict[str, Any] | None = None
        self.error: SlipwayError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except SlipwayError as error:
            self.error = error

    def end(self) -> Background:
        self._thread.join(90)
        assert not self._thread.is_alive()
        return self

    def succeeded(self) -> dict[str, Any]:
        assert self.end().error is None, self.error
        assert self.result is not None
        return self.result

    def failed(self) -> SlipwayError:
        assert self.end().error is not None, self.result
        return self.error  # type: ignore[return-value]  # asserted in the line above

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real balancers on the loopback address, each with the lines of role maintenance in its configuration."""

from __future__ import annotations

import hashlib
import http.client
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jinja2
from ansible_collections.slipway.django.tests.integration.lab_haproxy import HAPROXY, Application, free_port, wait_until

# Another version than the one that is installed: NGINX=/path/to/nginx.
NGINX = os.environ.get("NGINX", "/usr/sbin/nginx")
TEMPLATES = Path(__file__).resolve().parents[2] / "roles" / "maintenance" / "templates"
SECRET = "test-mark-maintenance-secret"
OPERATOR = "127.0.0.9"


@dataclass(frozen=True)
class Visit:
    """What a visitor was answered."""

    status: int
    headers: Mapping[str, str]
    body: str


class Balancer(Protocol):
    """One kind of balancer, with its module's options."""

    front: int
    switch: Path
    options: dict[str, Any]

    def start(self, *, prepared: bool = True) -> None:
        """Start it, with or without the lines of the role."""

    def reload(self) -> None:
        """Have it read its configuration again."""

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it."""


def lay(directory: Path) -> Path:
    """Make the directory of the switch as the role does."""
    switch = directory / "switch"
    switch.mkdir()
    directory.chmod(0o755)
    (switch / "page.html").write_text("<p>closed</p>")
    (switch / "page.json").write_text('{"error": "maintenance"}')
    (switch / "switch.map").write_text("maintenance off\n")
    return switch


def render(template: str, switch: Path) -> str:
    """A template of the role, as Ansible renders it."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True)
    environment.filters["hash"] = lambda text, kind: hashlib.new(kind, text.encode()).hexdigest()
    return environment.get_template(template).render(
        ansible_managed="a test",
        maintenance_site="shop",
        maintenance_digest="0" * 64,
        maintenance_directory=str(switch),
        maintenance_retry_after=77,
        maintenance_pool="shop",
        maintenance_health_path="/health",
        maintenance_health_paths=["/live"],
        maintenance_operators=[f"{OPERATOR}/32"],
        maintenance_secret=SECRET,
        maintenance_secret_header="X-Maintenance-Pass",
        maintenance_secret_cookie="maintenance_pass",
    )


class HaproxyBalancer:
    """HAProxy over one application."""

    def __init__(self, directory: Path, application: Application) -> None:
        self._directory, self._application = directory, application
        self._process: subprocess.Popen[bytes] | None = None
        self.front, self.switch = free_port(), lay(directory)
        socket = directory / "admin.sock"
        self.options = {
            "directory": str(self.switch),
            "socket": str(socket),
            "probe_url": f"http://127.0.0.1:{self.front}/",
        }

    def start(self, *, prepared: bool = True, arguments: tuple[str, ...] = ()) -> None:
        configuration = self._directory / "haproxy.cfg"
        configuration.write_text(
            f"""global
  stats socket {self.options["socket"]} mode 600 level admin
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 1s
frontend web
  bind 127.0.0.1:{self.front}
{render("haproxy.cfg.j2", self.switch) if prepared else ""}
  default_backend shop
backend shop
  server a 127.0.0.1:{self._application.port}
"""
        )
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [HAPROXY, "-db", "-f", str(configuration), *arguments], stdout=log, stderr=log
            )
        wait_until("HAProxy answers", lambda: answers(self.front))

    def reload(self) -> None:
        old = self._process
        assert old is not None
        self.start(arguments=("-sf", str(old.pid)))
        # Until it is gone it may be the one that answers.
        old.wait(15)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(15)
            self._process = None


class NginxBalancer:
    """nginx over one application."""

    def __init__(self, directory: Path, application: Application) -> None:
        self._directory, self._application = directory, application
        self._process: subprocess.Popen[bytes] | None = None
        self.front, self.switch = free_port(), lay(directory)
        self.options = {
            "driver": "nginx_flag",
            "directory": str(self.switch),
            "probe_url": f"http://127.0.0.1:{self.front}/",
        }

    def start(self, *, prepared: bool = True) -> None:
        for part in ("nginx-http", "nginx-server"):
            text = render(f"{part}.conf.j2", self.switch) if prepared else ""
            (self.switch / f"{part}.conf").write_text(text)
        paths = " ".join(
            f"{name}_temp_path {self._directory}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self._directory / "nginx.conf"
        configuration.write_text(
            f"""user {pwd.getpwuid(os.geteuid()).pw_name};
daemon off; pid {self._directory}/pid; error_log {self._directory}/log;
events {{}}
http {{
  access_log off; {paths}
  include {self.switch}/nginx-http.conf;
  server {{
    listen 127.0.0.1:{self.front};
    include {self.switch}/nginx-server.conf;
    location / {{ proxy_pass http://127.0.0.1:{self._application.port}; }}
  }}
}}
"""
        )
        self._process = subprocess.Popen([NGINX, "-c", str(configuration), "-e", str(self._directory / "log")])
        wait_until("nginx answers", lambda: answers(self.front))

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        log = self._directory / "log"
        wait_until("the old workers end", lambda: "gracefully shutting down" in log.read_text() or answers(self.front))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(15)
            self._process = None


KINDS: dict[str, tuple[str, Callable[[Path, Application], Balancer]]] = {
    "haproxy": (HAPROXY, HaproxyBalancer),
    "nginx": (NGINX, NginxBalancer),
}
INSTALLED = [name for name, (program, _kind) in KINDS.items() if shutil.which(program)]


def answers(port: int) -> bool:
    """Whether anybody does."""
    try:
        return visit(port).status > 0
    except OSError:
        return False


def visit(
    port: int, path: str = "/", *, method: str = "GET", source: str = "", body: bytes | None = None, **headers: str
) -> Visit:
    """One request by one connection, never repeated. ``x_name`` is the header ``X-Name``."""
    address = (source, 0) if source else None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=address)
    try:
        connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        found = {key.lower(): value for key, value in answer.getheaders()}
        return Visit(answer.status, found, answer.read().decode())
    finally:
        connection.close()

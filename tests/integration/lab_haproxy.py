# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HAProxy with tiny real servers behind it, on the loopback address, all in one temporary directory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Another version than the one that is installed: HAPROXY=/path/to/haproxy.
HAPROXY = os.environ.get("HAPROXY", "/usr/sbin/haproxy")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, found: object, *, seconds: float = 30) -> None:
    """Return when ``found()`` is true."""
    assert callable(found)
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.005)


class Application(http.server.ThreadingHTTPServer):
    """One web server behind the balancer. ``/held`` and ``/socket`` end with ``let_go``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = port
        self.healthy = True
        # While this file is there it says that it is not healthy.
        self.out: Path | None = None
        # With each answer.
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.holding = 0
        self.last_end = 0.0
        self.let_go = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: HAProxy closes a check's connection as soon as it knows enough."""

    def stop(self) -> None:
        """Stop listening, as a killed process does."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Application

    def do_GET(self) -> None:
        if self.path == "/health":
            out = self.server.out is not None and self.server.out.exists()
            self._answer(200 if self.server.healthy and not out else 503)
            return
        self.server.requests += 1
        if self.path == "/socket":
            self._upgrade()
            return
        # With a port, only the application of that port holds it.
        if self.path in {"/held", f"/held/{self.server.port}"}:
            self.server.holding += 1
            self.server.let_go.wait(60)
        self._answer(200)
        self.server.last_end = time.monotonic()

    def _upgrade(self) -> None:
        """Take a WebSocket, as far as a balancer can tell, and hold it until all may go."""
        # RFC 6455, 4.2.2; HAProxy lets no other answer through.
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        self.server.let_go.wait(60)
        self.close_connection = True

    def _answer(self, status: int) -> None:
        body = str(self.server.port).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass
class Haproxy:
    """HAProxy as the tests want it: servers ``a``, ``b``, ``c`` in pool ``shop``, and ``b2`` that is dead."""

    directory: Path
    ports: dict[str, int]
    # Lines for the server's line in the configuration.
    options: dict[str, str] = field(default_factory=dict)
    state_file: bool = True
    # More lines for the pool, what chooses a pool, and more pools.
    lines: str = ""
    choice: str = "default_backend shop"
    pools: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.front = free_port()
        self.tcp = free_port()
        self.socket = str(self.directory / "admin.sock")
        self.user_socket = str(self.directory / "user.sock")
        self.state = self.directory / "server-state"
        self.configuration = self.directory / "haproxy.cfg"
        self.log = self.directory / "haproxy.log"

    def configure(self) -> None:
        servers = "\n".join(
            f"  server {name} 127.0.0.1:{port} {self.options.get(name, '')}" for name, port in self.ports.items()
        )
        self.configuration.write_text(
            f"""global
  stats socket {self.socket} mode 600 level admin
  stats socket {self.user_socket} mode 600 level user
  stats socket ipv4@127.0.0.1:{self.tcp} level admin
  server-state-file {self.state}
  hard-stop-after 10s
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 1s
  {"load-server-state-from-file global" if self.state_file else ""}
frontend web
  bind 127.0.0.1:{self.front}
  {self.choice}
backend shop
  option httpchk GET /health
  {self.lines}
  default-server check inter 200ms rise 2 fall 3 weight 100
{servers}
{self.pools}
"""
        )

    def start(self, *arguments: str) -> None:
        self.configure()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [HAPROXY, "-db", "-f", str(self.configuration), *arguments], stdout=log, stderr=log
            )
        pid = self.process.pid
        wait_until("HAProxy answers", lambda: f"Pid: {pid}\n" in self._try("show info"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(15)
            self.process = None

    def restart(self, number: int = signal.SIGTERM) -> None:
        self.stop(number)
        self.start()

    def reload(self) -> None:
        """Start a new process that takes over; the old one ends with its last session."""
        old, self.process = self.process, None
        assert old is not None
        self.start("-sf", str(old.pid))
        threading.Thread(target=old.wait).start()

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.socket)
            connection.sendall(f"{text}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def _try(self, text: str) -> str:
        with contextlib.suppress(OSError):
            return self.command(text)
        return ""

    def told(self) -> dict[str, tuple[int, int]]:
        """Admin state (1 maintenance, 8 drain, 0 ready) and weight of each server, by HAProxy's own word."""
        lines = [line.split() for line in self.command("show servers state shop").splitlines()[2:] if line]
        return {line[3]: (int(line[6]) & ~4, int(line[7])) for line in lines}

    def statuses(self) -> dict[str, str]:
        rows = [line.split(",") for line in self.command("show stat shop 4 -1").splitlines()[1:] if line]
        return {row[1]: row[17] for row in rows}

    def wait_status(self, **wanted: str) -> None:
        wait_until(f"{wanted}", lambda: {**self.statuses(), **wanted} == self.statuses())

    def get(self, path: str = "/", *, timeout: float = 60) -> tuple[int, str]:
        """One request by one connection, never repeated. Returns status and the port that answered."""
        return get(self.front, path, timeout=timeout)


def get(port: int, path: str, *, timeout: float) -> tuple[int, str]:
    """One request by one connection, never repeated. Returns status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def running(directory: Path, **options: str) -> Iterator[tuple[Haproxy, dict[str, Application]]]:
    """Run HAProxy over the applications ``a``, ``b``, ``c`` and the dead server ``dead``."""
    applications = {name: Application(free_port()) for name in "abc"}
    ports = {name: application.port for name, application in applications.items()}
    haproxy = Haproxy(directory, {**ports, "dead": free_port()}, options)
    haproxy.state.write_text("")
    os.chmod(directory, 0o755)
    try:
        haproxy.start()
        haproxy.wait_status(a="UP", b="UP", c="UP", dead="DOWN")
        yield haproxy, applications
    finally:
        haproxy.stop(signal.SIGKILL)
        for application in applications.values():
            with contextlib.suppress(OSError):
                application.stop()

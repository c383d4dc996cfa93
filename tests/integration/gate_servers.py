# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers on the loopback, each with a habit of its own, and gates that ask them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module

RELEASE = "4f1c2d9a7b30-9e01aa42"
OK_BODY = json.dumps({"status": "ok", "release": RELEASE}).encode()
SECRET = "token-that-nobody-may-see"
# A server's habit: it is given the socket and the head of the request.
Habit = Callable[[socket.socket, str], None]


def answer(
    status: str, body: bytes = b"", *, length: int | None = None, release: str = RELEASE, more: str = ""
) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\nX-Release: {release}\r\n{more}Connection: close\r\n\r\n"
    return head.encode() + body


def healthy(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("200 OK", OK_BODY))


def red(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("503 Service Unavailable", b'{"status": "red", "password": "body-that-nobody-may-see"}'))


def wrong_release(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("200 OK", OK_BODY, release="000000000000-11111111"))


def silent_about_its_release(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def redirects(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("302 Found", more="Location: /elsewhere\r\n"))


def strict_about_its_host(connection: socket.socket, head: str) -> None:
    known = "host: shop.example.com\r\n" in head.lower()
    connection.sendall(answer("200 OK" if known else "400 Bad Request", OK_BODY))


def strict_about_its_token(connection: socket.socket, head: str) -> None:
    known = f"authorization: bearer {SECRET}\r\n" in head.lower()
    connection.sendall(answer("200 OK" if known else "401 Unauthorized", OK_BODY))


def drips(connection: socket.socket, _head: str) -> None:
    # A byte now and then: each read returns in time, the answer never ends.
    connection.sendall(answer("200 OK", b"", length=1000))
    for _turn in range(200):
        time.sleep(0.1)
        connection.sendall(b".")


def drips_its_head(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for turn in range(200):
        time.sleep(0.1)
        connection.sendall(f"X-{turn}: .\r\n".encode())


def hangs(connection: socket.socket, _head: str) -> None:
    connection.settimeout(20)
    while connection.recv(65536):  # until the other side gives up; a request may come in pieces
        pass


def closes(_connection: socket.socket, _head: str) -> None:
    return


def answers_half(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("200 OK", b"half", length=1000))


def answers_half_in_chunks(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")


def speaks_something_else(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"220 mail.example.com ESMTP body-that-nobody-may-see\r\n")


def slow(connection: socket.socket, _head: str) -> None:
    time.sleep(0.3)
    healthy(connection, _head)


def endless(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Release: " + RELEASE.encode() + b"\r\n\r\n")
    with contextlib.suppress(OSError):
        for _turn in range(4000):
            connection.sendall(b"x" * 65536)


class Server(socketserver.ThreadingTCPServer):
    """A server on a free port of the loopback that does what its habit says."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, habit: Habit, tls: ssl.SSLContext | None = None) -> None:
        self.habit, self.tls = habit, tls
        self.heads: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_address[1]}/health/ready"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what most of these habits are for."""


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        connection = self.request if server.tls is None else server.tls.wrap_socket(self.request, server_side=True)
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                block = connection.recv(65536)
                if not block:
                    return
                head += block
            server.heads.append(head.decode("latin-1"))
            server.habit(connection, head.decode("latin-1"))


Serve = Callable[..., Server]


@contextlib.contextmanager
def serving() -> Iterator[Serve]:
    """Start servers, which end with the block."""
    with contextlib.ExitStack() as stack:

        def start(habit: Habit, tls: ssl.SSLContext | None = None) -> Server:
            server = Server(habit, tls)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return server

        yield start


def make_authority(folder: Path, name: str = "shop.example.com") -> Path:
    """A certificate for a name that only its own file vouches for."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl makes the certificate of this test"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([openssl, "req", *kind, *named, *files], cwd=folder, check=True, capture_output=True)
    return folder


def server_tls(authority: Path) -> ssl.SSLContext:
    """TLS with that certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    return context


def gate(*checks: dict[str, Any], check_mode: bool = False, **options: Any) -> ModuleRun:
    named = [{"name": f"check {number}", "timeout": 1, **check} for number, check in enumerate(checks, start=1)]
    given = {"checks": named, "interval": 0.1, "deadline": 3, **options}
    return run_module("health_gate", given, check=check_mode)

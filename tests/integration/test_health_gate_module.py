# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""health_gate against real servers, each with a habit of its own."""

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

import pytest
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
    connection.recv(1)  # until the other side gives up


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
            server.heads.append(head.decode())
            server.habit(connection, head.decode())


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
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


Serve = Callable[..., Server]


def gate(*checks: dict[str, Any], check_mode: bool = False, **options: Any) -> ModuleRun:
    named = [{"name": f"check {number}", "timeout": 1, **check} for number, check in enumerate(checks, start=1)]
    given = {"checks": named, "interval": 0.1, "deadline": 3, **options}
    return run_module("health_gate", given, check=check_mode)


def test_a_healthy_server_passes_at_once_and_again(serve: Serve) -> None:
    server = serve(healthy)
    check = {"url": server.url, "release": RELEASE, "json": {"status": "ok"}, "text": "ok"}
    for check_mode in (False, True):
        result = gate(check, check_mode=check_mode).succeeded()
        assert (result["changed"], result["verdict"], result["code"]) == (False, "pass", "passed")
        assert result["msg"] == "pass: the check passed"
        assert result["elapsed_s"] < 1
        (seen,) = result["checks"]
        assert seen["samples"] == {"good": 3, "bad": 0, "no_data": 0, "error": 0}
        assert (seen["last_status"], seen["releases"], seen["last_fault"]) == (200, [RELEASE], None)
        assert 0 < seen["latency_ms"]["p50"] <= seen["latency_ms"]["max"] < 500
    assert len(server.heads) == 6
    assert server.heads[0].startswith("GET /health/ready HTTP/1.1\r\n")


SICK = [
    (red, "status", "status 503 (expected 200)"),
    (redirects, "status", "status 302 (expected 200; redirects are not followed)"),
    (silent_about_its_release, "release_missing", f"no header X-Release (expected release {RELEASE})"),
    (closes, "closed", "the connection was closed without an answer"),
    (answers_half, "incomplete", "the connection was closed in the middle of the answer"),
    (answers_half_in_chunks, "incomplete", "the connection was closed in the middle of the answer"),
    (speaks_something_else, "not_http", "the answer is not HTTP (BadStatusLine)"),
    (strict_about_its_host, "status", "status 400 (expected 200)"),
    (hangs, "timeout", "no whole answer within 1 s (while waiting for the answer)"),
    (drips, "timeout", "no whole answer within 1 s (while reading the answer)"),
    (drips_its_head, "timeout", "no whole answer within 1 s (while waiting for the answer)"),
]


@pytest.mark.parametrize(("habit", "code", "words"), SICK, ids=[row[0].__name__ for row in SICK])
def test_a_sick_server_is_a_rollback_that_says_what_was_seen(serve: Serve, habit: Habit, code: str, words: str) -> None:
    server = serve(habit)
    started = time.monotonic()
    run = gate({"url": server.url, "release": RELEASE}, failures_allowed=1)
    assert time.monotonic() - started < 20, "the deadline of a sample is none"
    assert run.failed
    result = run.result
    assert (result["verdict"], result["code"]) == ("rollback", "too_many_failures")
    assert result["elapsed_s"] < 2.6, "two samples of at most 1 s"
    (seen,) = result["checks"]
    assert seen["last_fault"] == {"code": code, "text": words}
    assert seen["samples"] == {"good": 0, "bad": 2, "no_data": 0, "error": 0}
    assert run.msg.startswith(
        f"The gate's verdict is rollback, seen from {socket.gethostname()}. Check check 1 ({server.url})"
    )
    assert f"2 bad, allowed 1; last: {words}; 2 samples: 0 good, 2 bad, 0 no data, 0 error" in run.msg
    assert f"expected 3 in a row with status 200, release {RELEASE} in X-Release within 3 s" in run.msg
    assert "body-that-nobody-may-see" not in run.output


def test_another_release_is_doomed_at_its_limit(serve: Serve) -> None:
    run = gate({"url": serve(wrong_release).url, "release": RELEASE}, deadline=30)
    assert run.failed
    assert run.result["code"] == "wrong_release"
    assert run.result["elapsed_s"] < 2
    assert run.result["checks"][0]["releases"] == ["000000000000-11111111"]
    assert f"release 000000000000-11111111 answered with status 200 (expected {RELEASE})" in run.msg


def test_nobody_there(serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = gate({"url": f"http://127.0.0.1:{unused.getsockname()[1]}/"}, deadline=1)
    assert run.failed
    assert (run.result["verdict"], run.result["code"]) == ("rollback", "not_healthy_in_time")
    assert run.result["checks"][0]["last_fault"] == {"code": "refused", "text": "the connection was refused"}
    assert run.result["elapsed_s"] < 1.5


def test_a_server_that_comes_up_later_passes(serve: Serve) -> None:
    def recovers(connection: socket.socket, head: str) -> None:
        (red if len(server.heads) <= 4 else healthy)(connection, head)

    server = serve(recovers)
    result = gate({"url": server.url}, deadline=15).succeeded()
    assert result["checks"][0]["samples"] == {"good": 3, "bad": 4, "no_data": 0, "error": 0}


def test_a_name_that_can_not_be_resolved_says_nothing_about_the_release() -> None:
    run = gate({"url": "http://no-such-host.invalid/", "timeout": 0.5}, deadline=1)
    assert run.failed
    assert (run.result["verdict"], run.result["code"]) == ("hold", "probe_error")
    assert run.result["checks"][0]["last_fault"]["code"] == "resolve"
    assert run.result["checks"][0]["samples"]["bad"] == 0


def test_the_host_header_is_the_one_given(serve: Serve) -> None:
    server = serve(strict_about_its_host)
    gate({"url": server.url, "host": "shop.example.com"}).succeeded()
    assert "Host: shop.example.com\r\n" in server.heads[0]


def test_a_secret_header_is_sent_and_never_shown(serve: Serve) -> None:
    server = serve(strict_about_its_token)
    run = gate(
        {"url": server.url, "secret_headers": {"Authorization": f"Bearer {SECRET}"}, "headers": {"X-Seen": "yes"}}
    )
    run.succeeded()
    assert f"Authorization: Bearer {SECRET}\r\n" in server.heads[0]
    assert "X-Seen: yes\r\n" in server.heads[0]
    assert SECRET not in run.output
    assert "X-Seen" in run.output
    run = gate({"url": server.url, "secret_headers": {"Authorization": f"Bearer {SECRET}\r\nX: y"}})
    assert run.failed
    assert SECRET not in run.output


def test_checks_are_asked_at_the_same_time(serve: Serve) -> None:
    result = gate(*[{"url": serve(slow).url} for _number in range(5)], successes=2, deadline=10).succeeded()
    assert 0.6 <= result["elapsed_s"] < 1.5, "two rounds of 0.3 s, not ten"


def test_one_that_hangs_does_not_hide_the_others(serve: Serve) -> None:
    run = gate({"url": serve(hangs).url}, {"url": serve(healthy).url}, deadline=4)
    assert [check["verdict"] for check in run.result["checks"]] == ["rollback", "pass"]
    assert run.result["elapsed_s"] < 4.5
    assert "check 2" not in run.msg


def test_a_body_without_end_is_read_no_further_than_needed(serve: Serve) -> None:
    gate({"url": serve(endless).url, "timeout": 3}, successes=1, deadline=4).succeeded()
    run = gate({"url": serve(endless).url, "timeout": 3, "json": {"status": "ok"}}, failures_allowed=0, deadline=4)
    assert run.result["checks"][0]["last_fault"]["code"] == "too_long"


def test_a_verdict_that_need_not_fail_is_returned(serve: Serve) -> None:
    result = gate({"url": serve(red).url}, failures_allowed=0, fail_on=[]).succeeded()
    assert result["verdict"] == "rollback"
    assert result["msg"] == "rollback: 1 bad, allowed 0"


def test_a_gate_that_can_not_pass_is_refused_before_the_first_sample(serve: Serve) -> None:
    server = serve(healthy)
    run = gate({"url": server.url}, successes=100)
    assert run.failed
    assert run.msg == (
        "deadline: 3.0 is not accepted, expected 9.9 seconds or more: 100 samples every 0.1 s after 0 s. "
        "Nothing was changed."
    )
    assert server.heads == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for shop.example.com that only its own file vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl makes the certificate of this test"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=shop.example.com", "-addext", "subjectAltName=DNS:shop.example.com"]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([openssl, "req", *kind, *name, *files], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    return context


def test_tls_is_verified_for_the_host_that_is_asked_for(serve: Serve, tls: ssl.SSLContext, authority: Path) -> None:
    check = {"url": serve(healthy, tls).url, "ca_path": str(authority / "cert.pem")}
    result = gate({**check, "host": "shop.example.com"}).succeeded()
    assert result["checks"][0]["tls_verified"] is True
    run = gate(check, failures_allowed=0)
    assert run.result["checks"][0]["last_fault"]["code"] == "tls_verify"
    assert "IP address mismatch" in run.msg


def test_an_unknown_authority_is_not_believed_unless_told_so(serve: Serve, tls: ssl.SSLContext) -> None:
    check = {"url": serve(healthy, tls).url, "host": "shop.example.com"}
    run = gate(check, failures_allowed=0)
    assert run.failed
    assert run.result["checks"][0]["last_fault"]["code"] == "tls_verify"
    result = gate({**check, "validate_certs": False}).succeeded()
    assert result["checks"][0]["tls_verified"] is False


def test_a_server_that_hangs_in_the_middle_of_tls_is_cut(serve: Serve) -> None:
    server = serve(hangs)
    run = gate({"url": server.url.replace("http:", "https:")}, failures_allowed=0)
    assert run.result["elapsed_s"] < 1.5
    assert run.result["checks"][0]["last_fault"]["text"].endswith("(while agreeing on TLS)")

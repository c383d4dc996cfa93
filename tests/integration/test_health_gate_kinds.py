# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each kind of check of health_gate, green and red, and against servers that hang, drip, answer half, are not there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun
from ansible_collections.slipway.django.tests.integration.gate_servers import (
    Habit,
    Serve,
    Server,
    answer,
    closes,
    drips,
    gate,
    hangs,
    make_authority,
    server_tls,
    serving,
)
from ansible_collections.slipway.django.tests.integration.lab_postgres import (
    SYSTEM_USER,
    Cluster,
    bin_directory,
    running,
)

SECRETS = tuple(f"mark-{place}-nobody-may-see" for place in ("query", "password", "header", "cookie", "token", "csrf"))
QUERY, PASSWORD, HEADER, COOKIE, TOKEN, CSRF = SECRETS


@pytest.fixture(name="serve")
def _serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def place(server: Server) -> dict[str, Any]:
    return {"address": "127.0.0.1", "port": server.server_address[1]}


def only(run: ModuleRun) -> dict[str, Any]:
    (check,) = run.result["checks"]
    found: dict[str, Any] = check
    return found


def once(*checks: dict[str, Any], **options: Any) -> ModuleRun:
    """One sample of each check decides."""
    return gate(*checks, successes=1, failures_allowed=0, **{"fail_on": [], **options})


def seen(run: ModuleRun) -> tuple[str, str]:
    check = only(run)
    return check["verdict"], (check["last_fault"] or {"text": "well"})["text"]


def holds_no_secret(run: ModuleRun) -> None:
    assert [secret for secret in SECRETS if secret in run.output] == []


# --- http -----------------------------------------------------------------------------------------------------------


def body_of(connection: socket.socket, head: str) -> bytes:
    length = int(
        next((line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")), 0)
    )
    body = head.encode("latin-1").partition(b"\r\n\r\n")[2]
    while len(body) < length:
        body += connection.recv(65536)
    return body


def shop(connection: socket.socket, head: str) -> None:
    """A site with Django's login, a login of an API, and pages that only those who are logged in see."""
    method, target, *_rest = head.split(" ", 2)
    path, body, lower = urlsplit(target).path, body_of(connection, head).decode(), head.lower()
    if path == "/login/" and method == "GET":
        connection.sendall(answer("200 OK", more=f"Set-Cookie: csrftoken={CSRF}; Path=/\r\n"))
    elif path == "/login/":
        fields = parse_qs(body)
        well = fields == {"username": ["smoke"], "password": [PASSWORD]} and f"x-csrftoken: {CSRF}" in lower
        more = f"Set-Cookie: sessionid={COOKIE}; HttpOnly\r\nLocation: /account/?next={QUERY}\r\n"
        connection.sendall(answer("302 Found", more=more) if well else answer("403 Forbidden"))
    elif path == "/account/":
        known = f"cookie: csrftoken={CSRF}; sessionid={COOKIE}" in lower
        connection.sendall(answer("200 OK", b"Log out") if known else answer("302 Found", more="Location: /login/\r\n"))
    elif path == "/api/login":
        well = json.loads(body) == {"email": "smoke", "password": PASSWORD}
        document = json.dumps({"data": {"access": TOKEN}}).encode()
        connection.sendall(answer("200 OK", document) if well else answer("401 Unauthorized", document))
    elif path == "/api/me":
        known = f"authorization: bearer {TOKEN}" in lower
        connection.sendall(answer("200 OK", b'{"id": 7}') if known else answer("401 Unauthorized"))
    elif path == "/private":
        known = parse_qs(urlsplit(target).query) == {"page": ["2"], "key": [QUERY]} and f"x-key: {HEADER}" in lower
        connection.sendall(answer("200 OK" if known else "403 Forbidden"))
    else:
        connection.sendall(answer("404 Not Found"))


def form_login(base: str, password: str) -> list[dict[str, Any]]:
    fields = {"username": "smoke", "password": password}
    return [
        {"name": "form", "url": f"{base}/login/"},
        {
            "name": "login",
            "after": "form",
            "url": f"{base}/login/",
            "method": "POST",
            "body_format": "form",
            "secret_body": fields,
            "csrf": True,
            "redirect": "^/account/",
        },
        {"name": "account", "after": "login", "url": f"{base}/account/", "text": "Log out"},
    ]


def api_login(base: str, password: str) -> list[dict[str, Any]]:
    login = {"name": "api", "url": f"{base}/api/login", "method": "POST", "token": "data.access"}
    return [
        {**login, "body": {"email": "smoke"}, "secret_body": {"password": password}},
        {"name": "me", "after": "api", "url": f"{base}/api/me", "json": {"id": 7}},
    ]


def test_logins_are_carried_to_the_checks_after_them_and_nothing_of_them_is_shown(serve: Serve) -> None:
    base = serve(shop).url.removesuffix("/health/ready")
    private = {
        "name": "private",
        "url": f"{base}/private?page=2",
        "secret_query": {"key": QUERY},
        "secret_headers": {"X-Key": HEADER},
    }
    run = gate(*form_login(base, PASSWORD), *api_login(base, PASSWORD), private, successes=2)
    assert run.succeeded()["verdict"] == "pass"
    assert all(check["samples"]["good"] == 2 for check in run.result["checks"])
    holds_no_secret(run)


def test_a_login_that_fails_is_told_without_its_secrets(serve: Serve) -> None:
    base = serve(shop).url.removesuffix("/health/ready")
    wrong = "mark-query-nobody-may-see"
    run = once(*form_login(base, wrong), *api_login(base, wrong), fail_on=["rollback"])
    assert run.failed
    codes = {check["name"]: check["last_fault"] and check["last_fault"]["code"] for check in run.result["checks"]}
    assert codes == {"form": None, "login": "status", "account": "not_asked", "api": "status", "me": "not_asked"}
    assert "Check login" in run.msg
    holds_no_secret(run)


def test_a_redirect_is_shown_without_what_follows_the_question_mark(serve: Serve) -> None:
    base = serve(shop).url.removesuffix("/health/ready")
    login = [
        {**check, "redirect": "^https://"} if check["name"] == "login" else check
        for check in form_login(base, PASSWORD)
    ]
    run = once(*login, fail_on=["rollback"])
    assert "redirected to /account/ (expected ^https://)" in run.msg
    holds_no_secret(run)


def test_in_check_mode_nothing_is_sent_that_may_change_something(serve: Serve) -> None:
    server = serve(shop)
    base = server.url.removesuffix("/health/ready")
    result = gate(*form_login(base, PASSWORD), check_mode=True).succeeded()
    assert result["left_out"] == ["login", "account"]
    assert {head.split(" ")[0] for head in server.heads} == {"GET"}


def secure(connection: socket.socket, head: str) -> None:
    stranger = "origin: https://stranger.example" in head.lower()
    more = "Strict-Transport-Security: max-age=31536000\r\nX-Frame-Options: DENY\r\n"
    allowed = "Access-Control-Allow-Origin: https://shop.example.com\r\n" if not stranger else ""
    connection.sendall(answer("200 OK", more=more + allowed))


def insecure(connection: socket.socket, head: str) -> None:
    more = "Strict-Transport-Security: max-age=0\r\nAccess-Control-Allow-Origin: *\r\nX-Frame-Options: DENY\r\n"
    connection.sendall(answer("200 OK", more=more))


HEADERS = {"response_headers": {"Strict-Transport-Security": "max-age=[1-9]", "X-Frame-Options": "DENY|SAMEORIGIN"}}
CORS = {"headers": {"Origin": "https://stranger.example"}, "absent_headers": ["Access-Control-Allow-Origin"]}


@pytest.mark.parametrize(
    ("habit", "check", "verdict", "text"),
    [
        (secure, HEADERS, "pass", "well"),
        (insecure, HEADERS, "rollback", "header Strict-Transport-Security has another value (expected max-age=[1-9])"),
        (
            secure,
            {"response_headers": {"Content-Security-Policy": "."}, "action": "hold"},
            "hold",
            "no header Content-Security-Policy (expected .)",
        ),
        (secure, CORS, "pass", "well"),
        (insecure, CORS, "rollback", "header Access-Control-Allow-Origin is there (expected none)"),
        (insecure, {**CORS, "action": "notify"}, "pass", "header Access-Control-Allow-Origin is there (expected none)"),
    ],
)
def test_headers(serve: Serve, habit: Habit, check: dict[str, Any], verdict: str, text: str) -> None:
    run = once({"url": serve(habit).url, **check}, deadline=1.2)
    assert seen(run) == (verdict, text)
    assert run.result["notices"] == ([f"check 1: {text}"] if check.get("action") == "notify" else [])


def limited(after: int) -> Habit:
    asked: list[str] = []

    def habit(connection: socket.socket, head: str) -> None:
        asked.append(head)
        connection.sendall(answer("200 OK" if len(asked) <= after else "429 Too Many Requests"))

    return habit


def counting(number: object) -> Habit:
    def habit(connection: socket.socket, _head: str) -> None:
        connection.sendall(answer("200 OK", json.dumps({"issues": number}).encode()))

    return habit


def takes_uploads(connection: socket.socket, head: str) -> None:
    """Answers 201 with what it was sent, to who shows the token."""
    body = body_of(connection, head)
    kind = next(line for line in head.splitlines() if line.lower().startswith("content-type"))
    parts = BytesParser(policy=HTTP).parsebytes(kind.encode() + b"\r\n\r\n" + body)
    said = {
        str(part.get_param("name", header="content-disposition")): [
            part.get_filename(),
            bytes(part.get_payload(decode=True) or b"").decode("latin-1"),
        ]
        for part in parts.iter_parts()
    }
    known = f"authorization: bearer {TOKEN}" in head.lower()
    connection.sendall(answer("201 Created", json.dumps(said).encode()) if known else answer("403 Forbidden"))


def test_a_file_is_sent_as_a_browser_does_it(serve: Serve, tmp_path: Path) -> None:
    image = tmp_path / "probe.png"
    image.write_bytes(b"\x89PNG\r\n--not a boundary\x00\xff")
    check: dict[str, Any] = {
        "url": f"{serve(takes_uploads).url}/upload",
        "method": "POST",
        "status": [201],
        "body": {"kind": "avatar"},
        "secret_headers": {"Authorization": f"Bearer {TOKEN}"},
    }
    sent: list[tuple[dict[str, str], list[str]]] = [
        ({"field": "file"}, ["slipway.txt", "slipway-health-gate\n"]),
        ({"field": "file", "filename": "a.csv", "text": "1;2"}, ["a.csv", "1;2"]),
        ({"field": "file", "path": str(image)}, ["slipway.txt", image.read_bytes().decode("latin-1")]),
    ]
    for upload, arrives in sent:
        told = {**check, "upload": upload, "json": {"file": arrives, "kind": [None, "avatar"]}}
        assert seen(once(told)) == ("pass", "well")
    refused = once({**check, "upload": {"field": "file"}, "secret_headers": {}})
    assert seen(refused) == ("rollback", "status 403 (expected 201)")
    for wrong, message in (
        ({"field": 'a"; x="'}, "checks[0].upload.field: 'a\"; x=\"' is not accepted, expected letters, digits"),
        ({"field": "file", "path": "/no/such"}, "checks[0].upload.path: '/no/such' is not accepted, expected a file"),
        ({"field": "file", "path": str(image), "text": ""}, "expected either text or path"),
    ):
        assert message in once({**check, "upload": wrong}).msg


def tardy(connection: socket.socket, _head: str) -> None:
    time.sleep(0.3)
    connection.sendall(answer("200 OK"))


@pytest.mark.parametrize(
    ("habit", "check", "verdict", "text"),
    [
        (limited(5), {"status": [429], "within": 10}, "pass", "well"),
        (limited(50), {"status": [429], "within": 10}, "rollback", "status 200 (expected 429)"),
        (counting([]), {"value_of": "issues", "max": 0}, "pass", "well"),
        (counting(["one"]), {"value_of": "issues", "max": 0}, "rollback", "issues: 1 is above 0"),
        (counting(3), {"value_of": "errors", "max": 0}, "rollback", "the JSON has no errors"),
        (tardy, {"max_latency": 2}, "pass", "well"),
        (tardy, {"max_latency": 0.1}, "rollback", None),
    ],
)
def test_limits(serve: Serve, habit: Habit, check: dict[str, Any], verdict: str, text: str | None) -> None:
    found = seen(once({"url": serve(habit).url, **check}))
    assert found[0] == verdict
    assert found[1] == text if text else found[1].startswith("the answer took 0.")


# --- what hangs, drips, answers half, is absent, for each kind that connects ----------------------------------------


def half_redis(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"$100\r\nhalf")


def half_http(connection: socket.socket, _head: str) -> None:
    connection.sendall(answer("200 OK", b"half", length=1000))


def half_websocket(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso")


@contextmanager
def raw_server(habit: Habit) -> Iterator[int]:
    """A server that does not wait for the head of a request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=quietly, args=(connection,), daemon=True).start()

    def quietly(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                habit(connection, "")
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()


KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "redis": lambda port: {"kind": "redis", "address": "127.0.0.1", "port": port},
    "websocket": lambda port: {"kind": "websocket", "url": f"ws://127.0.0.1:{port}/ws/"},
    "prometheus": lambda port: {"kind": "prometheus", "url": f"http://127.0.0.1:{port}", "query": "up", "min": 1},
    "tls": lambda port: {"kind": "tls", "address": "127.0.0.1", "port": port, "host": "shop.example.com"},
}
HALF: dict[str, Habit] = {
    "redis": half_redis,
    "websocket": half_websocket,
    "prometheus": half_http,
    "tls": half_redis,
}


@pytest.mark.parametrize("kind", KINDS)
def test_servers_that_are_not_well_do_not_hold_a_look(kind: str) -> None:
    """All at once: one that hangs, one that drips, one that answers half, one that closes, one that is not there."""
    habits = {"hangs": hangs, "drips": drips, "half": HALF[kind], "closes": closes}
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with ExitStack() as stack:
            ports = {name: stack.enter_context(raw_server(habit)) for name, habit in habits.items()}
            ports["absent"] = int(unused.getsockname()[1])
            checks = [{**KINDS[kind](port), "name": name} for name, port in ports.items()]
            run = gate(*checks, successes=1, deadline=1, interval=5, fail_on=[])
    assert run.result["elapsed_s"] < 1.6
    verdicts = {check["name"]: (check["verdict"], sum(check["samples"].values())) for check in run.result["checks"]}
    worst = "hold" if kind == "prometheus" else "rollback"
    assert {verdict for verdict, _looks in verdicts.values()} <= {worst, "hold"}
    faults = {check["name"]: check["last_fault"]["code"] for check in run.result["checks"]}
    assert faults["absent"] == "refused"
    assert faults["hangs"] in ("timeout", "cut_by_deadline")
    for check in run.result["checks"]:
        assert check["samples"]["good"] == 0


# --- tcp and tls ----------------------------------------------------------------------------------------------------


def test_tcp(serve: Serve) -> None:
    assert seen(once({"kind": "tcp", **place(serve(closes))})) == ("pass", "well")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        check = {"kind": "tcp", "address": "127.0.0.1", "port": unused.getsockname()[1]}
        assert seen(once(check)) == ("rollback", "the connection was refused")


def test_tls(serve: Serve, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    server = serve(closes, server_tls(authority))
    check = {"kind": "tls", **place(server), "host": "shop.example.com", "ca_path": str(authority / "cert.pem")}
    run = once({**check, "min_days": 1})
    assert seen(run) == ("pass", "well")
    assert 1.9 < only(run)["value"] <= 2
    verdict, text = seen(once({**check, "action": "hold"}, deadline=1.2))
    assert verdict == "hold"
    assert text.startswith(("1.9", "2.0"))
    assert text.endswith("days left (expected 14 or more)")
    verdict, text = seen(once({**check, "host": "other.example.com", "min_days": 1}))
    assert verdict == "rollback"
    assert "certificate is not accepted" in text


# --- websocket ------------------------------------------------------------------------------------------------------


def echoes(connection: socket.socket, head: str) -> None:
    key = next(line.split(": ")[1] for line in head.splitlines() if line.startswith("Sec-WebSocket-Key"))
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{start}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    frame = connection.recv(65536)
    mask, payload = frame[2:6], frame[6 : 6 + (frame[1] & 0x7F)]
    text = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    # A ping first, then the message in two parts.
    connection.sendall(b"\x89\x00" + bytes([0x01, 2]) + text[:2] + bytes([0x80, len(text) - 2]) + text[2:])
    connection.recv(65536)


def wrong_key(connection: socket.socket, _head: str) -> None:
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n")


def test_websocket(serve: Serve) -> None:
    def check(habit: Habit, **more: Any) -> dict[str, Any]:
        return {"kind": "websocket", "url": serve(habit).url.replace("http:", "ws:"), **more}

    assert seen(once(check(echoes, send="hello", text="hello"))) == ("pass", "well")
    assert seen(once(check(echoes, send="hello", text="bye"))) == (
        "rollback",
        "the message does not hold the given text",
    )
    assert seen(once(check(wrong_key))) == ("rollback", "the answer does not bear the right key")
    assert seen(once(check(insecure))) == ("rollback", "status 200 (expected 101)")


# --- redis ----------------------------------------------------------------------------------------------------------


@contextmanager
def redis_server(*settings: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = shutil.which("redis-server")
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--save", "", "--dir", folder, *settings]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                with socket.socket() as client:
                    if client.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs the package redis-server")
def test_redis() -> None:
    with redis_server("--requirepass", PASSWORD) as port:
        check = {"kind": "redis", "port": port, "password": PASSWORD}
        run = once(check)
        assert seen(run) == ("pass", "well")
        holds_no_secret(run)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"AUTH {PASSWORD}\r\nRPUSH shop a b c\r\n".encode())
            time.sleep(0.2)
        queue = {**check, "command": ["LLEN", "shop"]}
        assert seen(once({**queue, "max": 3})) == ("pass", "well")
        assert seen(once({**queue, "max": 2})) == ("rollback", "LLEN: 3 is above 2")
        run = once({**check, "password": HEADER}, deadline=1.2)
        assert seen(run) == ("hold", "Redis answers with the error WRONGPASS")
        holds_no_secret(run)


# --- postgres and sql -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="primary")
def _primary() -> Iterator[Cluster]:
    if bin_directory() is None:
        pytest.skip("needs the package postgresql")
    with running("max_connections=20", "wal_level=replica") as cluster:
        with (cluster.data / "pg_hba.conf").open("a", encoding="utf-8") as rules:
            rules.write("local replication all trust\n")
        cluster.sql("SELECT pg_reload_conf()", database="postgres")
        cluster.fresh()
        cluster.sql("CREATE ROLE looker LOGIN; CREATE ROLE guest LOGIN; GRANT pg_monitor TO looker;")
        cluster.sql("GRANT SELECT ON orders TO looker")
        yield cluster


@contextmanager
def replica(primary: Cluster) -> Iterator[None]:
    data = primary.socket / "replica"
    user = {"user": SYSTEM_USER} if os.geteuid() == 0 else {}

    def run(*command: object) -> None:
        words = [str(word) for word in command]
        subprocess.run(words, cwd=primary.socket, env=primary.environment, check=True, capture_output=True, **user)  # type: ignore[call-overload]

    run(primary.bin / "pg_basebackup", "-D", data, "-R", "-c", "fast", "-X", "stream")
    options = f"-p {primary.port + 1} -c listen_addresses= -c unix_socket_directories={primary.socket} -c fsync=off"
    run(primary.bin / "pg_ctl", "-D", data, "-o", options, "-l", primary.socket / "replica.log", "-w", "start")
    try:
        yield
    finally:
        run(primary.bin / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def database(primary: Cluster, kind: str = "postgres", **more: Any) -> dict[str, Any]:
    reach = {"address": str(primary.socket), "port": primary.port, "user": "looker", "database": "shop"}
    return {"kind": kind, **reach, "timeout": 4, **more}


def held(*checks: dict[str, Any]) -> ModuleRun:
    return gate(*checks, successes=1, failures_allowed=0, fail_on=[], deadline=4, interval=20)


def test_postgres_with_a_replica(primary: Cluster) -> None:
    limits: dict[str, Any] = {"min_replicas": 1, "max_replication_lag": 30, "max_lock_wait": 1, "max_query_age": 60}
    everything = database(primary, **limits, max_invalid_indexes=0, max_connection_use=0.9)
    assert seen(held(everything)) == ("rollback", "streaming replicas 0 (expected at least 1)")
    with replica(primary):
        run = held(everything, {**database(primary), "port": primary.port + 1, "max_replication_lag": 30})
        assert run.result["verdict"] == "pass", run.msg
        assert run.result["checks"][0]["numbers"]["min_replicas"] == 1


def test_postgres_locks_indexes_and_connections(primary: Cluster) -> None:
    primary.sql("CREATE TABLE twice (n int); INSERT INTO twice VALUES (1), (1)")
    assert seen(held(database(primary, max_invalid_indexes=0))) == ("pass", "well")
    command = [str(primary.bin / "psql"), "-X", "-d", "shop", "-c", "CREATE UNIQUE INDEX CONCURRENTLY ON twice (n)"]
    assert subprocess.run(command, env=primary.environment, capture_output=True, check=False).returncode == 1
    found = seen(held(database(primary, max_invalid_indexes=0)))
    assert found == ("rollback", "invalid indexes 1 (expected at most 0)")

    holder = subprocess.Popen(
        [
            str(primary.bin / "psql"),
            "-Xq",
            "-d",
            "shop",
            "-c",
            "BEGIN",
            "-c",
            "LOCK twice",
            "-c",
            "SELECT pg_sleep(30)",
        ],
        env=primary.environment,
    )
    waiter = subprocess.Popen(
        [str(primary.bin / "psql"), "-Xq", "-d", "shop", "-c", "SELECT pg_sleep(0.5)", "-c", "SELECT FROM twice"],
        env=primary.environment,
    )
    try:
        time.sleep(2)
        run = held(database(primary, max_lock_wait=0.5, max_query_age=1, max_connection_use=0.05))
        verdict, text = seen(run)
        assert verdict == "rollback"
        assert "longest wait for a lock" in text
        assert "oldest query or transaction" in text
        assert "share of the connections in use" in text
        run = held(database(primary, user="guest", max_query_age=60))
        assert seen(run) == ("hold", "the role does not see other sessions: make it a member of pg_monitor")
    finally:
        for process in (waiter, holder):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("query", "limits", "verdict", "text"),
    [
        ("SELECT count(*) FROM orders WHERE note IS NULL", {"equals": 0}, "pass", "well"),
        ("SELECT count(*) FROM orders", {"min": 20000, "max": 20000}, "pass", "well"),
        ("SELECT count(*) FROM orders", {"max": 10}, "rollback", "value: 20000 is above 10"),
        ("SELECT note FROM orders WHERE id = 0", {"equals": 0}, "hold", "the query gave 0 rows (expected one)"),
        ("SELECT NULL", {"equals": 0}, "rollback", "the query gave NULL or an empty text"),
        ("DELETE FROM orders", {"equals": 0}, "hold", "the query would change something, a gate only looks"),
        ("SELECT * FROM absent", {"equals": 0}, "hold", "the query names something that does not exist"),
        ("SELECT pg_sleep(60)", {"equals": 0}, "rollback", "the query did not end in time"),
        ("SELECT FROM WHERE", {"equals": 0}, "hold", "PostgreSQL does not understand the query"),
    ],
)
def test_sql(primary: Cluster, query: str, limits: dict[str, Any], verdict: str, text: str) -> None:
    check = database(primary, "sql", query=query, **limits)
    if query.startswith("DELETE"):
        check["user"] = "postgres"
    limit_s = 1.5 if "sleep" in query else 3
    run = gate(
        {**check, "timeout": limit_s}, successes=1, failures_allowed=0, fail_on=[], deadline=limit_s + 0.1, interval=60
    )
    found = seen(run)
    if "sleep" in query:
        # psql's own deadline and the server's lie a moment apart.
        assert found[0] == "rollback"
        assert "in time" in found[1] or "whole answer" in found[1]
        return
    assert found == (verdict, text)


@pytest.mark.parametrize(
    ("index", "verdict", "text"),
    [
        ("orders_pkey", "pass", "well"),
        ("orders_note", "rollback", "the plan uses orders_pkey (expected orders_note)"),
    ],
)
def test_the_plan_of_a_query(primary: Cluster, index: str, verdict: str, text: str) -> None:
    query = "SELECT note FROM orders WHERE id = 7"
    assert seen(once(database(primary, "sql", query=query, uses_index=index), deadline=5)) == (verdict, text)
    whole = once(
        database(primary, "sql", query="SELECT count(*) FROM orders WHERE note > 'x'", uses_index=index), deadline=5
    )
    assert seen(whole)[1] == f"the plan uses no index (expected {index}) and reads all of orders"


def test_a_database_that_is_not_there(primary: Cluster) -> None:
    run = once({**database(primary), "address": "/nowhere", "timeout": 2}, deadline=2, interval=5)
    assert seen(run) == ("rollback", "no connection to PostgreSQL")


# --- command, file, service, celery ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "verdict", "text"),
    [
        ({"command": ["true"]}, "pass", "well"),
        ({"command": ["false"]}, "rollback", "it ended with status 1"),
        ({"command": ["false"], "return_codes": [1]}, "pass", "well"),
        ({"command": ["echo", "4"], "max": 3}, "rollback", "what it printed: 4 is above 3"),
        ({"command": ["echo", "well"], "text": "ill"}, "rollback", "it did not print the given text"),
        ({"command": ["/no/such"]}, "hold", "/no/such could not be started"),
        (
            {"command": ["sleep", "60"], "timeout": 0.5},
            "rollback",
            "no whole answer within 0.5 s (while running sleep)",
        ),
    ],
)
def test_command(check: dict[str, Any], verdict: str, text: str) -> None:
    assert seen(once({"kind": "command", **check}, deadline=1.2)) == (verdict, text)


def test_a_program_gets_its_environment_which_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f'SECRET_KEY="{TOKEN}"\n', encoding="utf-8")
    said = ["sh", "-c", 'echo "$SECRET_KEY"; echo "$SECRET_KEY" >&2; exit 3']
    run = once({"kind": "command", "command": said, "environment_file": str(file)}, fail_on=["rollback"])
    assert "it ended with status 3" in run.msg
    holds_no_secret(run)


def test_file(tmp_path: Path) -> None:
    check = {"kind": "file", "path": str(tmp_path)}
    assert seen(once({**check, "min_free_mib": 1, "max_age": "1h"})) == ("pass", "well")
    verdict, text = seen(once({**check, "min_free_mib": 1 << 40}))
    assert (verdict, text.endswith(f"MiB free (expected {1 << 40} or more)")) == ("rollback", True)
    os.utime(tmp_path, (1, 1))
    assert seen(once({**check, "max_age": 60}))[0] == "rollback"
    assert seen(once({**check, "path": "/no/such"})) == ("rollback", "it is not there")
    for name in ("one.partial", "two.partial", "whole"):
        (tmp_path / name).touch()
    assert seen(once({**check, "max_entries": 3})) == ("pass", "well")
    few = {**check, "max_entries": 1, "matching": "*.partial"}
    assert seen(once(few)) == ("rollback", "2 of *.partial in it (expected 1 or fewer)")
    assert seen(once({**few, "path": str(tmp_path / "whole")})) == ("rollback", "it is no folder")


def test_a_site_without_celery_is_no_worker() -> None:
    check = {"kind": "celery", "command": [sys.executable], "app": "config", "timeout": 10}
    run = once(check, deadline=10)
    assert seen(run) == ("rollback", "Celery could not be asked: ModuleNotFoundError")

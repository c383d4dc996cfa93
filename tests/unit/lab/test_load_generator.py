# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator against a shop in the same process, over socket pairs: no network, fractions of a second."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest
from shopload import summary, wire
from shopload.generator import Files, Generator, Options, Secrets

OPTIONS = Options(
    run="t",
    address=("127.0.0.1", 80),
    host="shop.example",
    rate=1000,
    duration=0.06,
    mix={"page": 2, "page_new": 1, "static": 1, "order": 1, "login": 1, "slow": 1},
    profile="strict",
    clients=2,
    idle_limit=5,
    timeout=5,
    grace=5,
    max_in_flight=100,
    status_every=0.02,
    username="load",
)
Answer = Callable[[str, bytes], bytes]


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} x",
        "X-Release: r1",
        "X-Served-By: app1-blue",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def shop(target: str, body: bytes) -> bytes:
    """Answer as the demo site does."""
    page = b'<meta name="release" content="r1"><link href="/static/a.1.css">csrfmiddlewaretoken load</html>'
    if target == "/api/orders":
        return http(201, json.dumps({"reference": json.loads(body)["reference"]}).encode())
    if target.startswith("/slow/"):
        return http(200, b"slept 5 s\n")
    if target == "/login/" and body:
        return http(302, b"", "Set-Cookie: sessionid=s", "Location: /account/")
    return http(200, page, "Set-Cookie: csrftoken=c")


class Peer:
    """The other ends of all connections."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.tasks: set[asyncio.Task[None]] = set()

    async def connect(self, address: wire.Address) -> wire.Connection:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.tasks.add(asyncio.create_task(self.serve(theirs)))
        return wire.Connection(ours)

    async def serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(sock, 65536):
                head, _end, body = data.partition(b"\r\n\r\n")
                answer = self.answer(head.split()[1].decode(), body)
                await loop.sock_sendall(sock, answer)
                if not answer.endswith((b"\n", b">", b"}", b"\r\n\r\n")):
                    return
        except ConnectionError:
            pass
        finally:
            sock.close()

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Run:
    """One run, with what it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Answer = shop, **options: object) -> None:
        self.orders, self.failures = io.StringIO(), io.StringIO()
        self.lines: list[str] = []
        files = Files(self.orders, self.failures, self.lines.append)
        self.generator = Generator(
            replace(OPTIONS, **options),  # type: ignore[arg-type]
            Secrets("token", "password"),
            files,
        )
        self.peer = Peer(answer)
        monkeypatch.setattr(wire, "connect", self.peer.connect)

    def go(self, during: Callable[[Generator], None] = lambda _generator: None) -> Run:
        async def run() -> None:
            asyncio.get_running_loop().call_later(0.02, during, self.generator)
            try:
                await self.generator.run()
            finally:
                await self.peer.end()

        asyncio.run(run())
        return self

    def written(self, stream: io.StringIO) -> list[dict[str, object]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_run_without_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch).go()

    figures = run.generator.figures
    assert figures.by_class() == {}
    assert len(figures.lags) == 60
    assert figures.sent == 60 + 2 * figures.sent_by_kind["login"]
    assert {"page", "page_new", "static", "order", "login_form", "login", "account", "slow"} == set(
        figures.sent_by_kind
    )
    assert figures.static_files == {"r1": figures.sent_by_kind["static"]}
    assert dict(figures.answers) == {"r1": {"app1-blue": figures.sent}}
    assert run.failures.getvalue() == ""
    first, *rest = run.written(run.orders)
    assert first["run"] == "t"
    assert {order["outcome"] for order in rest} == {"accepted"}
    assert len({order["reference"] for order in rest}) == figures.orders_accepted == figures.sent_by_kind["order"]
    assert "failed 0 (cut 0)" in run.lines[-1]
    assert "answered by r1" in run.lines[-1]


def test_kept_connections_are_kept_and_new_ones_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, mix={"page": 1, "page_new": 1}, rate=200, duration=0.1).go()

    assert run.generator.figures.sent == 20
    assert 11 <= len(run.peer.tasks) < 20, "ten new ones, and fewer than ten for the clients that keep theirs"


def test_a_truncated_answer_is_a_cut_and_an_order_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def truncating(target: str, body: bytes) -> bytes:
        return shop(target, body)[:-1] if target == "/api/orders" else shop(target, body)

    run = Run(monkeypatch, truncating, mix={"order": 1}, duration=0.01).go()

    figures = run.generator.figures
    assert (figures.sent, figures.failed, figures.cut, figures.orders_accepted) == (10, 10, 10, 0)
    assert dict(figures.failures) == {"order": {"truncated": 10}}
    failures = run.written(run.failures)
    assert {failure["failure"] for failure in failures} == {"truncated"}
    assert {failure["reference"] for failure in failures} == {
        order["reference"] for order in run.written(run.orders)[1:]
    }
    assert {order["outcome"] for order in run.written(run.orders)[1:]} == {"failed"}


def test_nothing_is_sent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def silent(target: str, body: bytes) -> bytes:
        seen.append(body)
        return b""

    run = Run(monkeypatch, silent, mix={"order": 1}, duration=0.01).go()

    assert run.generator.figures.failed == 10
    assert len(seen) == len(set(seen)) == 10


def test_a_wrong_content_is_corrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, lambda *_: http(200, b"<html></html>"), mix={"page": 1}, duration=0.01).go()

    assert run.generator.figures.by_class() == {"corrupt": 10}


def test_a_status_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, lambda *_: http(503, b"x\n"), mix={"page": 1, "login": 1}, duration=0.01).go()

    assert run.generator.figures.by_class() == {"5xx": 10}
    assert run.generator.figures.sent_by_kind["login"] == 0, "no login without its form"


class Hanging(Peer):
    """A shop that takes connections and says nothing."""

    async def serve(self, sock: socket.socket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            sock.close()


def hang(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.peer = Hanging(shop)
    monkeypatch.setattr(wire, "connect", run.peer.connect)


def test_no_answer_in_time_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, mix={"page": 1}, duration=0.01, timeout=0.01)
    hang(run, monkeypatch)

    assert run.go().generator.figures.by_class() == {"timeout": 10}


def test_what_is_not_answered_at_the_end_is_counted_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, mix={"order": 1}, duration=0.01, grace=0.01)
    hang(run, monkeypatch)

    assert run.go().generator.figures.by_class() == {"unfinished": 10}
    assert len(run.written(run.orders)) == 11, "the order may have been executed: it is in the file"


def test_requests_that_are_too_many_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, mix={"page": 1}, duration=0.03, grace=0, max_in_flight=5)
    hang(run, monkeypatch)
    run.go()

    document = summary.summarise(run.generator, elapsed=1, cpu_seconds=0.1, stopped=False)

    assert run.generator.skipped == 25
    assert document["generator"]["kept_up"] is False
    assert "THE GENERATOR DID NOT KEEP UP" in summary.headline(document)
    assert "25 requests were not sent" in summary.headline(document)


def test_stop_ends_the_sending_and_keeps_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, duration=60, rate=500).go(during=Generator.stop)

    assert 0 < run.generator.figures.sent < 60
    assert run.generator.figures.failed == 0
    assert run.generator.due_for < 5


def test_an_error_of_its_own_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, duration=60)
    monkeypatch.setattr("shopload.generator.judge", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run.go()


def test_the_summary_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch).go()

    document = summary.summarise(run.generator, elapsed=0.5, cpu_seconds=0.05, stopped=False)

    assert json.loads(json.dumps(document)) == document
    assert (document["sent"], document["failed"], document["cut"]) == (run.generator.figures.sent, 0, 0)
    assert document["generator"]["cpu_percent_of_one_core"] == 10.0
    assert document["generator"]["wanted_rate"] == 1000
    assert f"orders accepted {run.generator.figures.orders_accepted}" in summary.headline(document)
    assert "token" not in json.dumps(document)


def test_secrets_are_not_shown() -> None:
    assert "token" not in repr(Secrets("token", "password"))

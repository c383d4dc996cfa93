# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest
from shopload import wire
from shopload.failures import Failure
from shopload.response import Response, ResponseParser
from shopload.shop import Request
from shopload.wire import Connection, ExchangeError, Lane, Pool

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
GET = Request("GET", "/")


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its peer, no network between them."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield Connection(ours), theirs
    ours.close()
    theirs.close()


def ask(connection: Connection, request: Request = GET, parser: ResponseParser | None = None) -> Response:
    return asyncio.run(wire.exchange(connection, request, "shop.example", parser or ResponseParser(), close=False))


def test_one_request_one_answer(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.send(ANSWER)

    answer = ask(connection)

    assert (answer.status, answer.body) == (200, b"abc")
    assert peer.recv(1000) == b"GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: shopload\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "used", "failure"),
    [
        (b"", 0, Failure.EOF_FRESH),
        (b"", 1, Failure.EOF_REUSED),
        (ANSWER[:-1], 0, Failure.TRUNCATED),
        (ANSWER[:10], 1, Failure.TRUNCATED),
        (b"220 mail.example ESMTP\r\n\r\n", 0, Failure.MALFORMED),
    ],
)
def test_an_answer_that_is_not_whole(
    pair: tuple[Connection, socket.socket], sent: bytes, used: int, failure: Failure
) -> None:
    connection, peer = pair
    connection.used = used
    peer.send(sent)
    peer.shutdown(socket.SHUT_WR)

    with pytest.raises(ExchangeError) as caught:
        ask(connection)

    assert caught.value.failure is failure


def test_a_reset(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    connection.sock.send(b"never read")
    peer.close()

    with pytest.raises(ExchangeError) as caught:
        ask(connection)

    assert caught.value.failure is Failure.RESET


def test_what_was_said_before_hanging_up_counts(pair: tuple[Connection, socket.socket]) -> None:
    """A server may refuse an upload before it was sent, and hang up: that is its answer, not a reset."""
    connection, peer = pair
    peer.send(ANSWER)
    peer.close()

    assert ask(connection, Request("POST", "/api/upload", body=b"x")).body == b"abc"


def test_a_strict_client_does_not_look_before_it_uses_a_connection(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    pool = Pool(1, looks=False, idle_limit=5)
    pool.give(None)
    pool.take()
    pool.give(connection)
    peer.close()

    assert pool.take() is connection


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_a_browser_like_client_looks(pair: tuple[Connection, socket.socket], said: bytes) -> None:
    connection, peer = pair
    pool = Pool(1, looks=True, idle_limit=5)
    pool.take()
    pool.give(connection)
    assert pool.take() is connection
    pool.give(connection)

    if said:
        peer.send(said)
    else:
        peer.close()

    assert pool.take() is None
    assert connection.sock.fileno() == -1


def test_a_connection_that_was_idle_for_too_long_is_dropped(pair: tuple[Connection, socket.socket]) -> None:
    connection, _peer = pair
    pool = Pool(1, looks=False, idle_limit=5)
    pool.take()
    pool.give(connection)
    connection.idle_since -= 6

    assert pool.take() is None
    assert connection.sock.fileno() == -1


def test_each_kept_connection_has_its_turn() -> None:
    with contextlib.ExitStack() as stack:
        connections = [Connection(stack.enter_context(socket.socket())) for _turn in range(3)]
        pool = Pool(3, looks=False, idle_limit=5)
        for _slot in connections:
            pool.take()
        for connection in connections:
            pool.give(connection)

        taken = []
        for _turn in range(6):
            connection_or_none = pool.take()
            taken.append(connection_or_none)
            pool.give(connection_or_none)

        assert taken == connections * 2


def test_a_pool_keeps_no_more_than_its_size(pair: tuple[Connection, socket.socket]) -> None:
    connection, _peer = pair
    pool = Pool(1, looks=False, idle_limit=5)

    pool.give(connection)

    assert connection.sock.fileno() == -1


@pytest.mark.parametrize(
    ("response", "close", "kept"),
    [
        (Response(200, {}, (), b"", keep=True), False, True),
        (Response(200, {}, (), b"", keep=False), False, False),
        (Response(200, {}, (), b"", keep=True), True, False),
        (None, False, False),
    ],
)
def test_a_lane_drops_a_connection_that_takes_no_more(
    pair: tuple[Connection, socket.socket], response: Response | None, close: bool, kept: bool
) -> None:
    connection, _peer = pair
    lane = Lane(("127.0.0.1", 80), None, close=close)
    lane.connection = connection

    lane.answered(response)

    assert (lane.connection is connection) is kept
    assert (connection.sock.fileno() == -1) is not kept


def test_a_refused_connection_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_arguments: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    async def connect() -> Connection:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
        return await wire.connect(("127.0.0.1", 80))

    with pytest.raises(ExchangeError) as caught:
        asyncio.run(connect())

    assert caught.value.failure is Failure.REFUSED


def test_a_body_in_pieces_is_whole() -> None:
    body = bytes(range(256)) * 5
    request = Request("POST", "/", body=body, pieces=7)

    assert len(list(wire.pieces(request))) == 7
    assert b"".join(wire.pieces(request)) == body
    assert list(wire.pieces(GET)) == [b""]

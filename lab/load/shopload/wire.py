# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections: made, used, kept, and never asked twice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Iterator

from . import failures
from .failures import Failure
from .response import MalformedError, Response, ResponseParser
from .shop import UPLOAD_PAUSE, Request

BLOCK = 65536
Address = tuple[str, int]


class ExchangeError(Exception):
    """A request that got no whole answer."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail


class Connection:
    """A TCP connection, not watched while idle: a close by the peer shows only at the next use."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.used = 0
        self.idle_since = time.monotonic()

    def close(self) -> None:
        self.sock.close()

    def looks_alive(self) -> bool:
        """Tell whether an idle connection is still open and silent, as browsers look before they use one."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # ended, or something that nobody asked for


class Pool:
    """Kept connections of so many clients, each used in turn.

    :param looks: True is the browser-like client, False the strict one.
    :param idle_limit: seconds after which a client closes a connection by itself, as all do; it must be
        less than the balancer's own limit, else the closed connections that are met come from there.
    """

    def __init__(self, size: int, *, looks: bool, idle_limit: float) -> None:
        self._idle: deque[Connection | None] = deque([None] * size)
        self._size = size
        self._looks = looks
        self._idle_limit = idle_limit

    def take(self) -> Connection | None:
        """Return the connection of the client whose turn it is; None when it has none and must make one."""
        connection = self._idle.popleft() if self._idle else None
        if connection is None:
            return None
        too_old = time.monotonic() - connection.idle_since > self._idle_limit
        if too_old or (self._looks and not connection.looks_alive()):
            connection.close()
            return None
        return connection

    def give(self, connection: Connection | None) -> None:
        """Put a client back, with its connection or without."""
        if len(self._idle) < self._size:
            if connection is not None:
                connection.idle_since = time.monotonic()
            self._idle.append(connection)
        elif connection is not None:
            connection.close()

    def close(self) -> None:
        while self._idle:
            connection = self._idle.popleft()
            if connection is not None:
                connection.close()


async def connect(address: Address) -> Connection:
    """Make a connection.

    :raises ExchangeError: it was refused or failed otherwise.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as error:
        sock.close()
        raise ExchangeError(failures.of_connect(error), str(error)) from error
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


async def exchange(
    connection: Connection, request: Request, host: str, parser: ResponseParser, *, close: bool
) -> Response:
    """Send one request and read its answer.

    :raises ExchangeError: there was no whole answer.
    """
    reused = connection.used > 0
    connection.used += 1
    broken = await send(connection, request, host, close=close)
    try:
        return await receive(connection, parser)
    except OSError as error:
        raise ExchangeError(Failure.RESET, str(broken or error)) from error
    except EOFError:
        failure = failures.of_end(begun=parser.begun, reused=reused)
        raise ExchangeError(failure, str(broken or "the peer closed the connection")) from None
    except MalformedError as error:
        raise ExchangeError(Failure.MALFORMED, str(error)) from error


async def send(connection: Connection, request: Request, host: str, *, close: bool) -> OSError | None:
    """Send a request; return the error when the peer has hung up.

    It is not raised: the peer may have answered before it hung up, and what it said then counts.
    """
    loop = asyncio.get_running_loop()
    data = request.head(host, close=close)
    try:
        for piece in pieces(request):
            await loop.sock_sendall(connection.sock, data + piece)
            data = b""
            if request.pieces > 1:
                await asyncio.sleep(UPLOAD_PAUSE)
    except OSError as error:
        return error
    return None


def pieces(request: Request) -> Iterator[bytes]:
    """Cut the body into the pieces wanted; at least one, if only for the head."""
    size = max(1, -(-len(request.body) // request.pieces))
    yield request.body[:size]
    for start in range(size, len(request.body), size):
        yield request.body[start : start + size]


async def receive(connection: Connection, parser: ResponseParser) -> Response:
    """Read one answer.

    :raises EOFError: the connection ended before it was whole.
    """
    loop = asyncio.get_running_loop()
    while True:
        data = await loop.sock_recv(connection.sock, BLOCK)
        response = parser.feed(data) if data else parser.end()
        if response is not None:
            return response
        if not data:
            raise EOFError


class Lane:
    """Where the requests of one client go, one after another.

    :param pool: None is a connection of its own, ended with the lane.
    :param close: ask the server to close after the answer.
    """

    def __init__(self, address: Address, pool: Pool | None, *, close: bool = False) -> None:
        self._address = address
        self._pool = pool
        self.close = close
        self.connection = pool.take() if pool else None

    async def get(self) -> Connection:
        """Return the connection, made now if there is none."""
        if self.connection is None:
            self.connection = await connect(self._address)
        return self.connection

    def answered(self, response: Response | None) -> None:
        """Drop the connection when it can't take another request."""
        if self.connection is not None and (response is None or self.close or not response.keep):
            self.connection.close()
            self.connection = None

    def release(self) -> None:
        """End the lane."""
        if self._pool is not None:
            self._pool.give(self.connection)
        elif self.connection is not None:
            self.connection.close()
        self.connection = None

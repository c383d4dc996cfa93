# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP exchange within a look."""

from __future__ import annotations

import http.client
import queue
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Union

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Attempt, Failure, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._network import connect, start_tls
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

# A health page is small. What is longer is read no further: a probe must not fill the memory of its host.
BODY_LIMIT = 1 << 20


@dataclass(frozen=True)
class Request:
    """What is sent. All but the method and the place may hold secrets, so it is no part of its representation."""

    method: str
    hostname: str
    port: int
    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_hostname: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer that arrived whole, or whose body is longer than the limit (``truncated``)."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    truncated: bool
    elapsed_s: float

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case."""
        return next(iter(self.all_of(name)), None)

    def all_of(self, name: str) -> list[str]:
        """All values of a header that may come more than once."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


def ask(request: Request, watch: Watch) -> Answer:
    """Send a request and read its answer. Redirects are not followed."""
    began = watch.elapsed_s()
    plain = connect(request.hostname, request.port, watch)
    connection = http.client.HTTPConnection(request.hostname, request.port)
    connection.sock = plain if request.tls is None else start_tls(plain, request.tls, request.server_hostname, watch)
    watch.stage = "sending the request"
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value)
    connection.endheaders(request.body)
    watch.stage = "waiting for the answer"
    with connection.getresponse() as response:
        watch.stage = "reading the answer"
        body = _read(response)
        headers = tuple(response.getheaders())
        cut = len(body) > BODY_LIMIT
        return Answer(response.status, headers, body[:BODY_LIMIT], cut, watch.elapsed_s() - began)


Exchange = Union[Answer, Failure]


def ask_all(requests: Sequence[Request], limits_s: Sequence[float], clock: Clock) -> list[Exchange]:
    """Send all requests at once and return what came of each, in the same order.

    For who needs the answers themselves: a gate looks by its checks.

    :param limits_s: how long each may take, whatever its server does.
    """
    ended: queue.SimpleQueue[Attempt[Answer]] = queue.SimpleQueue()
    running: dict[int, Attempt[Answer]] = {}
    for index, (request, limit_s) in enumerate(zip(requests, limits_s)):
        running[index] = Attempt(index, partial(ask, request), Watch(limit_s, clock), ended)
        running[index].start()
    came: dict[int, Exchange] = {}
    while running:
        nearest = min(running.values(), key=lambda attempt: attempt.watch.deadline)
        try:
            attempt = ended.get(timeout=max(0.0, nearest.watch.deadline - clock.monotonic()))
        except queue.Empty:
            attempt = nearest
        # One that was cut off before has its outcome already.
        if running.pop(attempt.index, None) is not None:
            came[attempt.index] = attempt.end()
    return [came[index] for index in range(len(requests))]


def _read(response: http.client.HTTPResponse) -> bytes:
    body = b""
    while len(body) <= BODY_LIMIT:
        block = response.read(1 << 16)
        if not block:
            # read(n) ends silently where the connection was cut; what is still owed tells.
            if response.length:
                raise http.client.IncompleteRead(body, response.length)
            break
        body += block
    return body

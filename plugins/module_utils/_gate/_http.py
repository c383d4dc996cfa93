# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request with a real deadline.

A socket's timeout is none: it bounds one system call, and a server that drips a byte a second kept
such a client busy for 11 s with ``timeout=2``. Here each request runs on a thread of its own, and
the caller waits no longer than the limit, then shuts the socket. Name resolution, which nothing
can interrupt, is left behind on its daemon thread.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Union

from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

# A health page is small. What is longer is read no further: a probe must not fill the memory of its host.
BODY_LIMIT = 1 << 20
# How long a thread whose socket was shut may take to notice.
_GRACE_S = 0.2
# The probe's own host can't ask: that says nothing about the application.
_LOCAL_ERRNOS = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EACCES,
    errno.EPERM,
    errno.ENETUNREACH,
}


@dataclass(frozen=True)
class Request:
    """What is sent. ``headers`` may hold secrets, so they are no part of its representation."""

    method: str
    hostname: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
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
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Failure:
    """No answer. ``local``: the cause is on the asking side."""

    code: str
    text: str
    local: bool
    elapsed_s: float


Outcome = Union[Answer, Failure]


class _Attempt:
    """One request on its thread."""

    def __init__(self, request: Request, limit_s: float, clock: Clock) -> None:
        self._request = request
        self._clock = clock
        self._started = clock.monotonic()
        self._limit_s = limit_s
        self._socket: socket.socket | None = None
        self._stage = "resolving the name"
        self._outcome: Outcome | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slipway-probe", daemon=True)
        self.deadline = self._started + limit_s

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> Outcome:
        """Wait until the answer or the deadline, and in that case end the request."""
        self._done.wait(max(0.0, self.deadline - self._clock.monotonic()))
        outcome, stage = self._outcome, self._stage
        if outcome is None:
            self._shut()
            self._done.wait(_GRACE_S)
            outcome = self._timed_out(stage)
        return outcome

    def _timed_out(self, stage: str) -> Failure:
        resolving = stage == "resolving the name"
        return Failure(
            "resolve" if resolving else "timeout",
            f"no whole answer within {self._limit_s:g} s (while {stage})",
            resolving,
            self._elapsed(),
        )

    def _shut(self) -> None:
        if self._socket is not None:
            # Not the method of SSLSocket: that one first forgets the encryption, and the thread reads on.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _run(self) -> None:
        try:
            self._outcome = self._ask()
        except Exception as error:  # the thread's only way to tell; every class is named in the outcome
            self._outcome = self._failure(error)
        finally:
            if self._socket is not None:
                self._socket.close()
            self._done.set()

    def _failure(self, error: Exception) -> Failure:
        # The thread saw the deadline first. Until Python 3.9 these are two classes.
        if isinstance(error, (socket.timeout, TimeoutError)):
            return self._timed_out(self._stage)
        code, text, local = classify(error)
        return Failure(code, text, local, self._elapsed())

    def _ask(self) -> Answer:
        request = self._request
        self._socket = self._connect()
        if request.tls is not None:
            self._stage = "agreeing on TLS"
            wrapped = request.tls.wrap_socket(
                self._socket, server_hostname=request.server_hostname, do_handshake_on_connect=False
            )
            self._socket = wrapped
            wrapped.do_handshake()
        connection = http.client.HTTPConnection(request.hostname, request.port)
        connection.sock = self._socket
        self._stage = "sending the request"
        connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value)
        connection.endheaders()
        self._stage = "waiting for the answer"
        with connection.getresponse() as response:
            self._stage = "reading the answer"
            body = _read(response)
            headers = tuple(response.getheaders())
            return Answer(response.status, headers, body[:BODY_LIMIT], len(body) > BODY_LIMIT, self._elapsed())

    def _connect(self) -> socket.socket:
        last: OSError | None = None
        addresses = socket.getaddrinfo(self._request.hostname, self._request.port, type=socket.SOCK_STREAM)
        self._stage = "connecting"
        for family, kind, protocol, _name, address in addresses:
            try:
                self._socket = socket.socket(family, kind, protocol)
                # Bounds each call, for the case that the shutdown comes between two of them.
                self._socket.settimeout(max(0.001, self.deadline - self._clock.monotonic()))
                self._socket.connect(address)
                return self._socket
            except OSError as error:
                last = error
                if self._socket is not None:
                    self._socket.close()
        raise last or OSError(errno.EADDRNOTAVAIL, "the name has no address")


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


def classify(error: Exception) -> tuple[str, str, bool]:
    """Name an error: code, words, and whether its cause is on the asking side.

    No words of the server are used: an answer that is no HTTP may hold anything.
    """
    for kind, code, text in _KNOWN_ERRORS:
        if isinstance(error, kind):
            return code, text.format(detail=_detail(error)), kind is socket.gaierror
    if isinstance(error, OSError):
        local = error.errno in _LOCAL_ERRNOS
        return ("local" if local else "connection"), error.strerror or type(error).__name__, local
    return "probe", f"the probe failed with {type(error).__name__}", True


def _detail(error: Exception) -> str:
    if isinstance(error, http.client.HTTPException):
        return type(error).__name__
    details = (getattr(error, name, None) for name in ("verify_message", "reason", "strerror"))
    return next((str(detail) for detail in details if detail), type(error).__name__)


# The first that fits counts: the special ones before those that they are made of.
_KNOWN_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (socket.gaierror, "resolve", "the name can't be resolved: {detail}"),
    (http.client.RemoteDisconnected, "closed", "the connection was closed without an answer"),
    (http.client.IncompleteRead, "incomplete", "the connection was closed in the middle of the answer"),
    (http.client.HTTPException, "not_http", "the answer is not HTTP ({detail})"),
    (ssl.SSLCertVerificationError, "tls_verify", "the certificate is not accepted: {detail}"),
    (ssl.SSLError, "tls", "no TLS connection: {detail}"),
    (ConnectionRefusedError, "refused", "the connection was refused"),
    (ConnectionResetError, "reset", "the connection was reset"),
    (ConnectionAbortedError, "reset", "the connection was reset"),
    (BrokenPipeError, "reset", "the connection was reset"),
)


def ask_all(requests: Sequence[Request], limits_s: Sequence[float], clock: Clock) -> list[Outcome]:
    """Send all requests at once and return their outcomes in the same order.

    Returns at the latest a moment after the largest limit, whatever the servers do.
    """
    attempts = [_Attempt(request, limit_s, clock) for request, limit_s in zip(requests, limits_s)]
    for attempt in attempts:
        attempt.start()
    # The nearest deadline first: each is then waited for until its own, and no longer.
    outcomes = {id(attempt): attempt.finish() for attempt in sorted(attempts, key=lambda a: a.deadline)}
    return [outcomes[id(attempt)] for attempt in attempts]

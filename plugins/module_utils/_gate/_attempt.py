# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look with a real deadline.

A socket's timeout is none: it bounds one system call, and a server that drips a byte a second kept such a client busy
for 11 s with ``timeout=2``. Here each look runs on a thread of its own, and the caller waits no longer than the limit,
then shuts the sockets that the look has opened. Name resolution, which nothing can interrupt, is left behind on its
daemon thread.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, Union

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Moment, Sample
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

RESOLVING = "resolving the name"
# Programs are ended by their own deadline a moment before ours, so that the whole group of processes is killed.
_PROGRAM_MARGIN_S = 0.1
_LEAST_S = 0.001
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
class Failure:
    """The look did not end with a sample. ``local``: the cause is on the asking side."""

    code: str
    text: str
    local: bool
    elapsed_s: float


Outcome = Union[Sample, Failure]
Seen = TypeVar("Seen")


class NotUnderstood(Exception):
    """What came back can't be used. Its text is of our words only, and its code goes to machines.

    :param local: the cause is on the asking side.
    """

    def __init__(self, code: str, text: str, *, local: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.local = code, text, local


class Watch:
    """The time that a look has, what it is told, and what is to be ended with it.

    :ivar stage: what is being done, for the message of a look that is cut.
    """

    def __init__(self, limit_s: float, clock: Clock, moment: Moment | None = None) -> None:
        self.moment = moment or Moment()
        self._clock = clock
        self._started = clock.monotonic()
        self._sockets: list[socket.socket] = []
        self.limit_s = limit_s
        self.deadline = self._started + limit_s
        self.stage = "starting"

    def elapsed_s(self) -> float:
        """Seconds since the look began."""
        return self._clock.monotonic() - self._started

    def left_s(self) -> float:
        """Seconds until its deadline, never quite none."""
        return max(_LEAST_S, self.deadline - self._clock.monotonic())

    def program_s(self) -> float:
        """Seconds that a program may take which this look starts."""
        return max(_LEAST_S, self.left_s() - _PROGRAM_MARGIN_S)

    def own(self, connection: socket.socket) -> None:
        """End this connection with the look."""
        self._sockets.append(connection)

    def cut(self) -> None:
        """Shut all connections: whoever waits for one of them goes on at once."""
        for connection in list(self._sockets):
            # Not the method of SSLSocket: that one first forgets the encryption, and the thread reads on.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connections back."""
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.close()


class Attempt(Generic[Seen]):
    """One look on its thread. When it has ended it puts itself into the queue."""

    def __init__(
        self, index: int, look: Callable[[Watch], Seen], watch: Watch, ended: queue.SimpleQueue[Attempt[Seen]]
    ) -> None:
        self.index = index
        self.watch = watch
        self.outcome: Seen | Failure | None = None
        self._look = look
        self._ended = ended

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="slipway-probe", daemon=True).start()

    def _run(self) -> None:
        try:
            self.outcome = self._look(self.watch)
        except Exception as error:  # the thread's only way to tell; every class is named in the outcome
            self.outcome = failure_of(error, self.watch)
        finally:
            self.watch.close()
            self._ended.put(self)

    def end(self) -> Seen | Failure:
        """Cut the look off, whose time is over, and say where it was."""
        outcome, stage = self.outcome, self.watch.stage
        self.watch.cut()
        return outcome or timed_out(self.watch, stage)


def timed_out(watch: Watch, stage: str) -> Failure:
    """A look that was still at this stage when its time was over."""
    resolving = stage == RESOLVING
    text = f"no whole answer within {watch.limit_s:g} s (while {stage})"
    return Failure("resolve" if resolving else "timeout", text, resolving, watch.elapsed_s())


def failure_of(error: Exception, watch: Watch) -> Failure:
    """Name what a look raised."""
    # The thread saw the deadline first. Until Python 3.9 the first two are two classes.
    if isinstance(error, (socket.timeout, TimeoutError, TimedOut)):
        return timed_out(watch, watch.stage)
    if isinstance(error, NotUnderstood):
        return Failure(error.code, error.text, error.local, watch.elapsed_s())
    if isinstance(error, CommandFailed):
        # Its arguments are the task's own; what it said is not repeated.
        return Failure("program", f"{error.argv[0]} could not be started", True, watch.elapsed_s())
    code, text, local = classify(error)
    return Failure(code, text, local, watch.elapsed_s())


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

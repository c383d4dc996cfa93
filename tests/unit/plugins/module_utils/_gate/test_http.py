# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers. The exchange itself: tests/integration/test_health_gate_module.py."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Failure
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer, Request, ask_all
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock


def test_headers_are_found_whatever_their_case() -> None:
    answer = Answer(200, (("x-RELEASE", "r1"), ("X-Release", "r2")), b"", False, 0.0)
    assert answer.header("X-Release") == "r1"
    assert answer.header("X-Other") is None


def test_a_secret_is_not_in_the_representation_of_a_request() -> None:
    request = Request("GET", "localhost", 80, "/", (("Authorization", "Bearer SECRET"),))
    assert "SECRET" not in repr(request)


@contextlib.contextmanager
def server(*parts: bytes, pause_s: float = 0.0) -> Iterator[int]:
    """Answer one connection with these bytes, one after the other."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _peer = listener.accept()
            with connection:
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause_s)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])


def test_all_are_asked_at_once_and_none_waits_for_another() -> None:
    good = b"HTTP/1.1 204 No Content\r\nX-Release: r1\r\n\r\n"
    drip = [b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 100]
    with server(good) as first, server(*drip, pause_s=0.05) as dripping, server() as last:
        requests = [Request("GET", "127.0.0.1", port, "/", ()) for port in (dripping, first, last)]
        began = time.monotonic()
        dripped, answer, closed = ask_all(requests, [0.3, 5.0, 5.0], SystemClock())
        assert time.monotonic() - began < 3
    assert isinstance(dripped, Failure)
    assert dripped.text == "no whole answer within 0.3 s (while waiting for the answer)"
    assert isinstance(answer, Answer)
    assert (answer.status, answer.header("X-Release")) == (204, "r1")
    assert isinstance(closed, Failure)
    assert closed.text == "the connection was closed without an answer"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Naming what went wrong with a look. The looks themselves: tests/integration/test_health_gate_module.py."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import classify

CASES: list[tuple[Exception, str, str, bool]] = [
    (socket.gaierror(-2, "Name or service not known"), "resolve", "can't be resolved: Name or service", True),
    (http.client.RemoteDisconnected("SECRET"), "closed", "closed without an answer", False),
    (http.client.IncompleteRead(b"SECRET", 5), "incomplete", "in the middle of the answer", False),
    (http.client.BadStatusLine("SECRET"), "not_http", "is not HTTP (BadStatusLine)", False),
    (ssl.SSLError(1, "[SSL] wrong version number"), "tls", "no TLS connection: [SSL] wrong version", False),
    (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused", "was refused", False),
    (ConnectionResetError(errno.ECONNRESET, "x"), "reset", "was reset", False),
    (BrokenPipeError(errno.EPIPE, "x"), "reset", "was reset", False),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "connection", "No route to host", False),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "local", "Network is unreachable", True),
    (OSError(errno.EMFILE, "Too many open files"), "local", "Too many open files", True),
    (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "local", "Cannot assign", True),
    (PermissionError(errno.EPERM, "Operation not permitted"), "local", "not permitted", True),
    (RuntimeError("SECRET"), "probe", "the probe failed with RuntimeError", True),
]


@pytest.mark.parametrize(("error", "code", "words", "local"), CASES)
def test_each_error_has_a_name_and_a_side(error: Exception, code: str, words: str, local: bool) -> None:
    seen = classify(error)
    assert (seen[0], seen[2]) == (code, local)
    assert words in seen[1]
    assert "SECRET" not in seen[1]

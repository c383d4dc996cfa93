# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of a look: plain, to a UNIX socket, with TLS."""

from __future__ import annotations

import errno
import socket
import ssl

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import RESOLVING, Watch


def connect(address: str, port: int, watch: Watch) -> socket.socket:
    """Connect to a host, or to the UNIX socket when the address is an absolute path."""
    if address.startswith("/"):
        return _open(socket.AF_UNIX, address, watch)
    last: OSError | None = None
    watch.stage = RESOLVING
    addresses = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    for family, _kind, _protocol, _name, place in addresses:
        try:
            return _open(family, place, watch)
        except OSError as error:
            last = error
    raise last or OSError(errno.EADDRNOTAVAIL, "the name has no address")


def _open(family: int, place: object, watch: Watch) -> socket.socket:
    watch.stage = "connecting"
    connection = socket.socket(family, socket.SOCK_STREAM)
    watch.own(connection)
    # Bounds each call, for the case that the shutdown comes between two of them.
    connection.settimeout(watch.left_s())
    connection.connect(place)  # type: ignore[arg-type]  # what getaddrinfo gave, or a path
    return connection


def start_tls(
    connection: socket.socket, context: ssl.SSLContext, server_hostname: str | None, watch: Watch
) -> ssl.SSLSocket:
    """Agree on TLS over a connection."""
    watch.stage = "agreeing on TLS"
    wrapped = context.wrap_socket(connection, server_hostname=server_hostname, do_handshake_on_connect=False)
    watch.own(wrapped)
    wrapped.do_handshake()
    return wrapped


def tls_context(option: str, ca_path: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return the context of all connections of a check: making one costs milliseconds.

    :raises InvalidOption: the file of certificates can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except (OSError, ssl.SSLError) as error:
        accepted = f"a readable file of PEM certificates ({error.strerror or type(error).__name__})"
        raise InvalidOption(option, ca_path, accepted) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes.

    :raises ConnectionResetError: the other side ended before.
    """
    data = b""
    while len(data) < size:
        block = connection.recv(size - len(data))
        if not block:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        data += block
    return data

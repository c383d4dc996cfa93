# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TCP connections of this host, as the kernel tells them (proc(5), /proc/net/tcp and tcp6)."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import split_address
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import BalancerError
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
# TCP_ESTABLISHED, SYN_SENT, SYN_RECV (include/net/tcp_states.h). Where one side has closed, nobody waits for an
# answer any more, or it is all said.
_OPEN = frozenset({1, 2, 3})

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Connection:
    """One connection as this host sees it. IPv4 addresses in IPv6 are written as IPv4."""

    local: Endpoint
    remote: Endpoint


def parse_table(text: str, ports: Collection[int], *, byteorder: str = sys.byteorder) -> list[Connection]:
    """Return the open connections of one of the kernel's tables that have one of these ports at an end.

    A busy balancer has tens of thousands of lines, of which few are asked for: they are told apart before any is read.

    :raises BalancerError: a line is not as proc(5) says.
    """
    wanted = {f"{port:04X}" for port in ports}
    found = []
    for line in text.splitlines()[1:]:
        words = line.split(None, 4)
        try:
            if words[1][-5] != ":" or words[2][-5] != ":":
                raise ValueError("no address with four digits of a port")
            if int(words[3], 16) not in _OPEN or not {words[1][-4:], words[2][-4:]} & wanted:
                continue
            found.append(Connection(_endpoint(words[1], byteorder), _endpoint(words[2], byteorder)))
        except (IndexError, ValueError) as error:
            raise BalancerError(
                f"A line of the kernel's table of connections is not understood: {line.strip()!r}",
                untouched="Nothing was changed",
                remedy="See /proc/net/tcp on this host",
            ) from error
    return found


def _endpoint(text: str, byteorder: str) -> Endpoint:
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    if byteorder == "little":
        # Words of 32 bits, each in the machine's own order.
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(_plain(ipaddress.ip_address(raw))), int(port, 16)


def _plain(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def read_connections(addresses: Iterable[str]) -> list[Connection]:
    """Return the open connections of this host that have a port of one of these addresses at an end.

    :raises BalancerError: the kernel's tables can't be read.
    """
    ports = {split_address(address)[1] for address in addresses}
    found = []
    for path in TABLES:
        try:
            with open(path, encoding="ascii") as stream:
                found += parse_table(stream.read(), ports)
        except FileNotFoundError:
            # A kernel without IPv6 has no second table; one without the first has no connections to count.
            if path == TABLES[0]:
                raise BalancerError(f"{path} is not there, so that connections can't be counted") from None
    return found


# How a driver asks for them; tests have another way.
Read = Callable[[Iterable[str]], Sequence[Connection]]


def resolve(address: str) -> set[Endpoint]:
    """Return the endpoints of host:port, several when a name has several addresses.

    :raises InvalidOption: the name is unknown here.
    """
    host, port = split_address(address)
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise InvalidOption("address", address, f"a host that this one knows ({error.strerror})") from error
    return {(str(_plain(ipaddress.ip_address(info[4][0]))), port) for info in infos}


def to_server(connections: Iterable[Connection], address: str) -> list[Connection]:
    """The connections from this host to a server."""
    ends = resolve(address)
    return [connection for connection in connections if connection.remote in ends]


def at_port(connections: Iterable[Connection], address: str) -> list[Connection]:
    """The connections that a server on this host has taken, whatever address they came to."""
    _host, port = split_address(address)
    return [connection for connection in connections if connection.local[1] == port]


def in_words(connection: Connection) -> str:
    """The two ends, for people."""
    return f"{connection.local[0]}:{connection.local[1]} with {connection.remote[0]}:{connection.remote[1]}"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import socket

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import BalancerError
from ansible_collections.slipway.django.plugins.module_utils._balancer._sockets import (
    Connection,
    at_port,
    parse_table,
    read_connections,
    resolve,
    to_server,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from hypothesis import given
from hypothesis import strategies as st

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
# Linux 6.1 on a little-endian machine: a listener, three states of one client, and one of IPv6 that is IPv4.
TCP = (
    HEAD
    + """   0: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20 1 0
   1: 0100007F:A5D2 0100007F:1F41 01 00000000:00000000 00:00000000 00000000     0        0 21 1 0 20 4 30 10 -1
   2: 0100007F:1F41 0100007F:A5D2 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0 20 4 30 10 -1
   3: 0100007F:A5D4 0100007F:1F41 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0
   4: 0100007F:A5D6 0100007F:1F41 08 00000000:00000000 00:00000000 00000000     0        0 24 1 0 20 4 30 10 -1
"""
)
TCP6 = (
    HEAD
    + """   0: 0000000000000000FFFF00000100007F:1F42 0000000000000000FFFF00000100007F:A600 01 00000000:00000000 00:0 0
   1: 00000000000000000000000001000000:1F43 00000000000000000000000001000000:A601 01 00000000:00000000 00:0 0 0 0 9
"""
)


def test_open_connections_of_ipv4() -> None:
    assert parse_table(TCP, [8001], byteorder="little") == [
        Connection(("127.0.0.1", 42450), ("127.0.0.1", 8001)),
        Connection(("127.0.0.1", 8001), ("127.0.0.1", 42450)),
    ]


def test_ipv6_and_ipv4_within_it() -> None:
    assert parse_table(TCP6, [8002, 8003], byteorder="little") == [
        Connection(("127.0.0.1", 8002), ("127.0.0.1", 42496)),
        Connection(("::1", 8003), ("::1", 42497)),
    ]


def test_what_was_not_asked_for_is_not_read() -> None:
    assert parse_table(TCP, [8002], byteorder="little") == []
    assert parse_table(TCP, [], byteorder="little") == []


def test_which_way_a_connection_goes() -> None:
    found = parse_table(TCP, [8001], byteorder="little")
    assert [connection.local[1] for connection in to_server(found, "127.0.0.1:8001")] == [42450]
    assert [connection.remote[1] for connection in at_port(found, "192.0.2.1:8001")] == [42450]
    assert to_server(found, "127.0.0.1:8002") == []


@pytest.mark.parametrize("line", ["   0: nonsense", "   0: 0100007F:1F41 00000000", "   0: 01:1 02:2 01"])
def test_a_line_that_is_not_understood_is_no_zero(line: str) -> None:
    with pytest.raises(BalancerError, match="A line of the kernel's table of connections is not understood: '0: "):
        parse_table(HEAD + line + "\n", [8001, 2])


def test_a_name_that_is_unknown() -> None:
    with pytest.raises(InvalidOption, match="expected a host that this one knows"):
        resolve("no-such-host.invalid:80")


def test_a_real_connection_is_seen_from_both_sides() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert not to_server(read_connections([address]), address)
        with socket.create_connection(server.getsockname()) as client:
            found = read_connections([address])
            assert [connection.local for connection in to_server(found, address)] == [client.getsockname()]
            assert [connection.remote for connection in at_port(found, address)] == [client.getsockname()]


@given(st.ip_addresses(), st.integers(1, 65535), st.sampled_from(["little", "big"]))
def test_any_address_is_read_back(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, byteorder: str
) -> None:
    raw = address.packed
    if byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    table = f"{HEAD}   0: {raw.hex().upper()}:{port:04X} {raw.hex().upper()}:0001 01 0:0 0:0 0 0 0 1\n"
    (connection,) = parse_table(table, [port], byteorder=byteorder)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert connection.local == (str(mapped or address), port)

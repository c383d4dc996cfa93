# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a port, and where a process runs: parsers on recorded text, and this very process."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._service._processes import (
    Listener,
    Processes,
    listening_inodes,
    unit_of,
)

# Linux 6.1, a host with sshd, a web server on port 8001 and a connection to it.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222369 1 00000000 100 0 0 10 0
   1: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000   997        0 506220 1 00000000 100 0 0 10 0
   2: 0100007F:1F41 0100007F:8A6C 01 00000000:00000000 00:00000000 00000000   997        0 506300 1 00000000 20 4 30 10 -1
"""  # noqa: E501 - recorded as it is
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222380 1 00000000 100 0 0 10 0
"""  # noqa: E501 - recorded as it is
# Linux with both hierarchies, in a container; and with the unified one alone.
HYBRID = (
    "9:name=systemd:/libpod_parent/libpod-e913/system.slice/system-shop\\x2dweb.slice/shop-web@blue.service\n"
    "8:pids:/libpod_parent/libpod-e913\n"
    "0::/libpod_parent/libpod-e913\n"
)
UNIFIED = "0::/system.slice/system-shop\\x2dweb.slice/shop-web@blue.service\n"


def test_only_listening_sockets_count() -> None:
    assert listening_inodes(TCP, 8001) == ["506220"]
    assert listening_inodes(TCP, 8002) == []
    assert listening_inodes(TCP6, 22) == ["222380"]
    assert listening_inodes("", 22) == []


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (HYBRID, "shop-web@blue.service"),
        (UNIFIED, "shop-web@blue.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process(text: str, unit: str) -> None:
    assert unit_of(text) == unit


def proc(top: Path) -> Processes:
    """A made-up /proc: process 42 of a unit listens on 8001, nobody known on 8003."""
    (top / "net").mkdir()
    (top / "net" / "tcp").write_text(TCP + "   3: 00000000:1F43 00000000:0000 0A 0:0 00:0 0 0 0 999 1 0 100 0 0 10 0\n")
    (top / "42" / "fd").mkdir(parents=True)
    (top / "42" / "fd" / "0").symlink_to("/dev/null")
    (top / "42" / "fd" / "3").symlink_to("socket:[506220]")
    (top / "42" / "cwd").symlink_to("/srv/shop/releases/r1/src")
    (top / "42" / "comm").write_text("gunicorn\n")
    (top / "42" / "cgroup").write_text(HYBRID)
    (top / "7").mkdir()
    return Processes(str(top))


@pytest.mark.parametrize("likely", [0, 42, 7, 4711])
def test_a_listener_has_a_process_and_a_unit(tmp_path: Path, likely: int) -> None:
    (listener,) = proc(tmp_path).listeners(8001, likely)
    assert listener == Listener(42, "gunicorn", "shop-web@blue.service")
    assert listener.describe() == "process 42 (gunicorn) of shop-web@blue.service"


def test_a_listener_that_can_not_be_seen_is_still_one(tmp_path: Path) -> None:
    (listener,) = proc(tmp_path).listeners(8003)
    assert listener.describe() == "a process that can't be seen from here"


def test_a_free_port_has_no_listener(tmp_path: Path) -> None:
    assert proc(tmp_path).listeners(8002) == ()


def test_where_a_process_runs(tmp_path: Path) -> None:
    processes = proc(tmp_path)
    assert processes.working_directory(42) == "/srv/shop/releases/r1/src"
    assert processes.working_directory(7) is None
    assert processes.working_directory(4711) is None


def test_this_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listeners = Processes().listeners(server.getsockname()[1], os.getpid())
    assert [listener.pid for listener in listeners] == [os.getpid()]
    assert Processes().working_directory(os.getpid()) == os.path.realpath(os.getcwd())

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel knows of processes: where they run, and who listens on a port."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

_LISTEN = "0A"


@dataclass(frozen=True)
class Listener:
    """Somebody listens on a port. ``pid`` 0: not to be found out."""

    pid: int
    command: str
    unit: str

    def describe(self) -> str:
        if not self.pid:
            return "a process that can't be seen from here"
        return f"process {self.pid} ({self.command})" + (f" of {self.unit}" if self.unit else "")


def listening_inodes(text: str, port: int) -> list[str]:
    """The inodes of sockets that listen on a port, from the text of C(/proc/net/tcp) or C(tcp6)."""
    inodes = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.append(fields[9])
    return inodes


def unit_of(cgroups: str) -> str:
    """The service that a process belongs to, from the text of its C(/proc/PID/cgroup); empty for none."""
    parts = [part for line in cgroups.splitlines() for part in line.split(":", 2)[-1].split("/")]
    return next((part for part in reversed(parts) if part.endswith(".service")), "")


class Processes:
    """The processes of this host."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc

    def working_directory(self, pid: int) -> str | None:
        """Where a process runs; None when it is gone or may not be looked at."""
        path = f"{self._proc}/{pid}"
        return _looked_at(path, lambda: os.readlink(f"{path}/cwd"))

    def listeners(self, port: int, likely: int = 0) -> tuple[Listener, ...]:
        """Who listens on a TCP port, whatever the address.

        :param likely: a process that is looked at first; 0: none.
        """
        wanted: set[str] = set()
        for table in ("tcp", "tcp6"):
            wanted.update(listening_inodes(self._read(f"net/{table}"), port))
        found: dict[str, int] = {}
        for pid in self._likely_first(likely):
            if not wanted - set(found):
                break
            for inode in (wanted - set(found)) & self._sockets(pid):
                found[inode] = pid
        return tuple(self._listener(found.get(inode, 0)) for inode in sorted(wanted))

    def _likely_first(self, likely: int) -> Iterator[int]:
        if likely:
            yield likely
        yield from (int(name) for name in os.listdir(self._proc) if name.isdigit() and int(name) != likely)

    def _sockets(self, pid: int) -> set[str]:
        path = f"{self._proc}/{pid}"
        links = _looked_at(path, lambda: [_link(f"{path}/fd/{name}") for name in os.listdir(f"{path}/fd")])
        return {link[len("socket:[") : -1] for link in links or () if link.startswith("socket:[")}

    def _listener(self, pid: int) -> Listener:
        if not pid:
            return Listener(0, "", "")
        return Listener(pid, self._read(f"{pid}/comm").strip(), unit_of(self._read(f"{pid}/cgroup")))

    def _read(self, name: str) -> str:
        try:
            with open(f"{self._proc}/{name}", encoding="utf-8", errors="replace") as stream:
                return stream.read()
        except OSError:  # a process that has ended, or no IPv6
            return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # closed meanwhile
        return ""


def _looked_at(path: str, look: Callable[[], T]) -> T | None:
    """Look as we are, then as the process's own user: in a container root may lack CAP_SYS_PTRACE."""
    try:
        return look()
    except PermissionError:
        pass
    except OSError:
        return None
    try:
        with _as_owner_of(path):
            return look()
    except OSError:
        return None


@contextmanager
def _as_owner_of(path: str) -> Iterator[None]:
    owner, uid, gid = os.stat(path), os.geteuid(), os.getegid()
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        try:
            yield
        finally:
            os.seteuid(uid)
    finally:
        os.setegid(gid)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx without a reload: upstream groups prepared beforehand, one of them chosen for each request by flag files.

A reload costs keep-alive clients their requests, an existing file costs nobody anything. For each set of servers that
may be out together there is a group without them: ``shop`` with all, ``shop--a`` without a, ``shop--a--b`` without
both, the names in the order in which ``shop`` has them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from ansible_collections.slipway.django.plugins.module_utils._balancer import _sockets
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks
from ansible_collections.slipway.django.plugins.module_utils._balancer._flags import Flags
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    Order,
    Pool,
    Running,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import (
    Line,
    Processes,
    build_server,
    group_of,
    read_groups,
    told,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused

BETWEEN = "--"


def group_without(pool: str, out: Sequence[str]) -> str:
    """The name of the group of a pool without these servers."""
    return BETWEEN.join([pool, *out])


def may_reach(directory: str, uid: int, gids: Sequence[int], look: Callable[[str], os.stat_result] = os.stat) -> bool:
    """True when a process of this user finds a file in the directory: it must be let through each one above, too."""
    if uid == 0:
        return True
    path = os.path.realpath(directory)
    while True:
        status = look(path)
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid in gids:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


class NginxFlagDriver:
    """A :class:`Driver` over flag files that nginx looks for with each request."""

    traits = Traits("nginx")

    def __init__(
        self,
        path: str,
        directory: str,
        processes: Processes,
        checks: Checks,
        connections: _sockets.Read = _sockets.read_connections,
    ) -> None:
        self._path = path
        self._directory = directory
        self._processes = processes
        self._checks = checks
        self._connections = connections

    def require_rights(self) -> None:
        Flags(self._directory).require_writable()
        master = self._processes.master()
        for worker in self._processes.workers(master):
            user = self._processes.user(worker.pid)
            if user is None:
                continue
            uid, gids = user
            if not may_reach(self._directory, uid, gids):
                raise Refused(
                    f"The workers of nginx (user {uid}) can't find a file in {self._directory}, so that it would "
                    "change nothing",
                    untouched="Nothing was changed",
                    remedy="Let others pass through that directory and those above it (chmod o+x)",
                    facts={"directory": self._directory, "uid": uid},
                )

    def pools(self) -> tuple[str, ...]:
        """Return the names of the groups with all servers."""
        return tuple(sorted(name for name in read_groups(self._path)[1] if BETWEEN not in name))

    def observe(self, pool: str) -> Pool:
        master = self._processes.master()
        lines = self._lines(pool)
        checks = self._checks.of({line.name: line.address for line in lines})
        connections = self._connections(line.address for line in lines)
        servers = tuple(
            build_server(line, checks[line.name], len(_sockets.to_server(connections, line.address))) for line in lines
        )
        return Pool(pool, master, servers)

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        flags = self._flags(pool.name)
        if os.path.isdir(flags.directory):
            flags.require_writable()
        after = {server.name: server.admin for server in pool.servers}
        after.update({order.server: order.admin for order in orders if order.admin is not None})
        out = [name for name, admin in after.items() if admin is not Admin.READY]
        groups = read_groups(self._path)[1]
        if group_without(pool.name, out) in groups:
            return
        prepared = sorted(name for name in groups if name.startswith(f"{pool.name}{BETWEEN}"))
        raise Refused(
            f"nginx has no upstream group {group_without(pool.name, out)}, which it would need without "
            f"{', '.join(out)}; prepared in {self._path} are: {', '.join(prepared[:20]) or 'none'}",
            untouched="Nothing was changed",
            remedy="Prepare that group and reload nginx once, or bring another server back first",
            facts={"file": self._path, "missing": group_without(pool.name, out), "prepared": prepared},
        )

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        flags = self._flags(pool)
        for order in orders:
            if order.admin is not None:
                flags.ensure()
                flags.tell(order.server, order.admin)

    def persist(self) -> None:
        """The files lie where they outlive nginx and the host."""

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        lines = self._lines(pool)
        connections = self._connections(line.address for line in lines)
        return tuple(
            Running(line.name, "connection", _sockets.in_words(connection))
            for line in lines
            if line.name in servers
            for connection in _sockets.to_server(connections, line.address)
        )

    def _flags(self, pool: str) -> Flags:
        return Flags(os.path.join(self._directory, pool))

    def _lines(self, pool: str) -> list[Line]:
        flags = self._flags(pool)
        lines = group_of(read_groups(self._path)[1], pool, self._path)
        down = [line.name for line in lines if line.admin is not Admin.READY]
        if down:
            raise BalancerError(
                f"{', '.join(down)} of upstream {pool} is 'down' in {self._path}, where a flag can't bring it back",
                untouched="Nothing was changed",
                remedy="Take 'down' away there, reload nginx once, and take the server out with this module",
                facts={"file": self._path, "down": down},
            )
        return [told(line, flags.told(line.name), None) for line in lines]

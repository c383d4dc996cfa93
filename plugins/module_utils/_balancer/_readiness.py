# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer that can't be spoken to: the site's own health endpoint answers so that it takes the server out.

A file tells the site that it shall. That the endpoint heeds it is seen; when the balancer has noticed can't be, so that
the time which its checks need is given. After it, the connections that the server has taken are counted.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ansible_collections.slipway.django.plugins.module_utils._balancer import _sockets
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks, split_address
from ansible_collections.slipway.django.plugins.module_utils._balancer._flags import Flags
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    Check,
    Order,
    Pool,
    Process,
    Running,
    Server,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock


def is_local(address: str) -> bool:
    """True when the host of this address is this one."""
    host, _port = split_address(address)
    try:
        family, kind, _protocol, _name, where = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(where)
    except OSError:
        return False
    return True


class ReadinessDriver:
    """A :class:`Driver` over files that the sites' health endpoints look for."""

    traits = Traits("the health endpoint")

    def __init__(
        self,
        *,
        pool: str,
        servers: Mapping[str, str],
        directory: str,
        notice_s: float,
        health: Checks,
        alive: Checks,
        clock: Clock,
        connections: _sockets.Read = _sockets.read_connections,
    ) -> None:
        self._pool = pool
        self._servers = dict(servers)
        self._flags = Flags(directory)
        self._notice_s = notice_s
        self._health = health
        self._alive = alive
        self._clock = clock
        self._connections = connections
        # When an endpoint was first seen to say that its server is out.
        self._said: dict[str, float] = {}

    def require_rights(self) -> None:
        self._flags.require_writable()

    def pools(self) -> tuple[str, ...]:
        """Return the one name under which the servers were given."""
        return (self._pool,)

    def observe(self, pool: str) -> Pool:
        if pool != self._pool:
            raise InvalidOption("pool", pool, self._pool)
        told = {name: self._flags.told(name) for name in self._servers}
        health = self._health.of(self._servers)
        alive = self._alive.of({name: self._servers[name] for name in told if told[name] is not Admin.READY})
        connections = self._connections(self._servers.values())
        servers = tuple(
            self._server(name, told[name], health[name], alive.get(name), connections) for name in self._servers
        )
        return Pool(pool, Process(0, 0), servers)

    def _server(
        self,
        name: str,
        admin: Admin,
        health: Check,
        alive: Check | None,
        connections: Sequence[_sockets.Connection],
    ) -> Server:
        check = health if alive is None else alive
        well = {Admin.READY: "UP", Admin.DRAIN: "DRAIN", Admin.MAINT: "MAINT"}[admin]
        address = self._servers[name]
        server = Server(
            name=name,
            address=address,
            admin=admin,
            status=well if check.passed or admin is Admin.MAINT else "DOWN",
            check=check,
            weight=1,
            configured_weight=1,
            sessions=len(_sockets.at_port(connections, address)) if is_local(address) else None,
            queued=0,
        )
        return server if alive is None else replace(server, held=self._held(name, health))

    def _held(self, name: str, health: Check) -> str:
        # Of one that has died the balancer learns by the same checks, and sends to it until then.
        if health.passed:
            # How old the file is says nothing any more: the endpoint has not heeded it since then.
            self._said[name] = math.inf
            return f"its health endpoint does not heed {self._flags.path(name)} ({health.text})"
        now = self._clock.monotonic()
        first = self._said.setdefault(name, now - self._age_s(name))
        if math.isinf(first):
            first = self._said[name] = now
        if now - first >= self._notice_s:
            return ""
        return f"the balancer may not have noticed yet, {now - first:.1f} of {self._notice_s:g} s have passed"

    def _age_s(self, name: str) -> float:
        """How long ago the file was written: a second run need not wait for what has passed."""
        try:
            return max(0.0, self._clock.utcnow().timestamp() - os.stat(self._flags.path(name)).st_mtime)
        except FileNotFoundError:
            return 0.0

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        for order in orders:
            if not is_local(self._servers[order.server]):
                raise Refused(
                    f"{order.server} ({self._servers[order.server]}) does not run on this host, and its health "
                    "endpoint reads no file of it",
                    untouched="Nothing was changed",
                    remedy="Run the task on its host, or give it the address by which it is known there",
                    facts={"server": order.server, "address": self._servers[order.server]},
                )

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.admin is not None:
                if order.admin is Admin.READY:
                    self._said.pop(order.server, None)
                self._flags.tell(order.server, order.admin)
        # They answer otherwise now.
        self._health.forget()

    def persist(self) -> None:
        """The files lie where they are."""

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        connections = self._connections(self._servers.values())
        return tuple(
            Running(name, "connection", _sockets.in_words(connection))
            for name in servers
            for connection in _sockets.at_port(connections, self._servers[name])
        )

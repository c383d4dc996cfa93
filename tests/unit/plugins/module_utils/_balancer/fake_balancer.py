# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer in memory, which does what HAProxy does as far as the logic can see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Order,
    Pool,
    Process,
    Running,
    Server,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError

PASSED = Check(configured=True, passed=True, text="L7OK 200")
FAILED = Check(configured=True, passed=False, text="L4CON Connection refused")
_UP = {Admin.READY: "UP", Admin.DRAIN: "DRAIN", Admin.MAINT: "MAINT"}


def server(name: str, admin: Admin = Admin.READY, *, up: bool = True, sessions: int = 0, weight: int = 100) -> Server:
    """Return a server that is told this and is well, or is DOWN."""
    return Server(
        name=name,
        address=f"192.0.2.1:{8000 + len(name)}",
        admin=admin,
        status=_UP[admin] if up or admin is Admin.MAINT else "DOWN",
        check=PASSED if up else FAILED,
        weight=weight,
        configured_weight=100,
        sessions=sessions,
        queued=0,
    )


def _as_told(server: Server) -> Server:
    # HAProxy says nothing about the checks of a server in maintenance.
    if server.admin is not Admin.MAINT:
        return server
    return replace(server, check=replace(server.check, passed=False, trusts_blindly=False, text=""))


def pool(*servers: Server) -> Pool:
    return Pool("shop", Process(100, 1), servers)


@dataclass
class FakeBalancer:
    """A driver. ``world`` is called before each look and may change ``servers``, as time does."""

    servers: dict[str, Server]
    process: Process = field(default_factory=lambda: Process(100, 1))
    orders: list[str] = field(default_factory=list)
    world: Callable[[], None] = lambda: None
    # Whether the application behind a server answers its checks.
    well: dict[str, bool] = field(default_factory=dict)
    no: str = ""
    # A server that can't be told anything, which is known beforehand.
    never: str = ""
    ignore: bool = False
    away: bool = False
    level: str = "admin"
    traits: Traits = field(default_factory=lambda: Traits("HAProxy", largest_weight=256, forgets=True))
    saved: list[str] = field(default_factory=list)
    save_error: SlipwayError | None = None
    open: tuple[Running, ...] = ()

    @classmethod
    def of(cls, *servers: Server) -> FakeBalancer:
        return cls({server.name: server for server in servers})

    def require_rights(self) -> None:
        if self.level != "admin":
            raise BalancerError(f"level '{self.level}'")

    def observe(self, pool: str) -> Pool:
        self.world()
        if self.away:
            raise BalancerUnreachable("HAProxy gave no answer", facts={"socket": "s"})
        return Pool(pool, self.process, tuple(_as_told(server) for server in self.servers.values()))

    def pools(self) -> tuple[str, ...]:
        return ("shop",)

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        for order in orders:
            if self.never == order.server:
                raise Refused(f"{order.server} can't be told", untouched="Nothing was changed")

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.weight is not None:
                self._order(f"{order.server} weight {order.weight}")
                self.change(order.server, weight=order.weight)
            if order.admin is not None:
                self.set_admin(order.server, order.admin)
            if order.doubted:
                self._order(f"{order.server} doubted")

    def set_admin(self, server: str, admin: Admin) -> None:
        self._order(f"{server} {admin.value}")
        if not self.ignore:
            self.change(server, admin=admin, status=self._status(server, admin), mixed=False)

    def _status(self, server: str, admin: Admin) -> str:
        if admin is not Admin.MAINT and not self.well.get(server, True):
            return "DOWN"
        return _UP[admin]

    def _order(self, order: str) -> None:
        if order == self.no:
            raise BalancerError(f"HAProxy answered '{order}' with: No", untouched="This order was not carried out")
        self.orders.append(order)

    def persist(self) -> None:
        if self.save_error:
            raise self.save_error
        self.saved.append(repr([(s.name, s.admin.value, s.status) for s in self.servers.values()]))

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        return tuple(one for one in self.open if one.server in servers)

    def change(self, name: str, **values: object) -> None:
        self.servers[name] = replace(self.servers[name], **values)  # type: ignore[arg-type]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every balancer has in common: a pool, its servers, what they were told and how they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError


class Admin(Enum):
    """What a server was told to do. How it is, is another thing: see :attr:`Server.status`."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


class BalancerError(SlipwayError):
    """The balancer gave an answer that is an error, or that is not understood."""


class BalancerUnreachable(SlipwayError):
    """The balancer gave no answer at all."""


@dataclass(frozen=True)
class Check:
    """The health check of one server as the balancer sees it."""

    configured: bool
    passed: bool
    text: str
    # True when the balancer takes the server for healthy as soon as it leaves maintenance, with no check made.
    trusts_blindly: bool = False


@dataclass(frozen=True)
class Server:
    """One server of a pool, at one moment."""

    name: str
    address: str
    admin: Admin
    status: str
    check: Check
    weight: int
    configured_weight: int
    # None where the balancer does not say.
    sessions: int | None
    queued: int
    # Connections to it that failed since the balancer began to count.
    failures: int = 0
    backup: bool = False
    # The server that this one follows; empty when it stands alone. A follower can't be readmitted by itself.
    inherited_from: str = ""
    # What else may still send requests to it, in words, beside the sessions that are counted.
    held: str = ""
    # True when not all processes of the balancer go by the same word about it.
    mixed: bool = False

    @property
    def open(self) -> int:
        """Requests that would be lost if the server stopped now, as far as they can be counted."""
        return (self.sessions or 0) + self.queued

    @property
    def quiet(self) -> bool:
        """True when nothing is open on it, and nothing can come."""
        return self.open == 0 and not self.held

    @property
    def serving(self) -> bool:
        """True when new requests go to it and it is well. ``UP 1/3`` is a server that is going down."""
        return self.admin is Admin.READY and self.status == "UP" and self.weight > 0 and not self.backup

    @property
    def receiving(self) -> bool:
        """True when new requests go to it, also while it is not known to be well."""
        unsure = self.status.startswith("UP ") or self.status == "no check"
        return self.serving or (self.admin is Admin.READY and unsure and self.weight > 0 and not self.backup)

    def as_dict(self) -> dict[str, object]:
        """The values for results and facts."""
        return {
            "name": self.name,
            "address": self.address,
            "admin": self.admin.value,
            "status": self.status,
            "check": self.check.text,
            "serving": self.serving,
            "weight": self.weight,
            "sessions": self.sessions,
            "queued": self.queued,
            "held": self.held,
        }


@dataclass(frozen=True)
class Process:
    """The process that answered. Another one knows nothing of what this one was told."""

    pid: int
    started: int
    # The other ones, where several share the work.
    others: tuple[Process, ...] = ()

    def __str__(self) -> str:
        return ", ".join(str(process.pid) for process in (self, *self.others))


@dataclass(frozen=True)
class Pool:
    """A pool at one moment, with the process that told it."""

    name: str
    process: Process
    servers: tuple[Server, ...]

    def select(self, names: Iterable[str]) -> tuple[Server, ...]:
        """Return the servers of these names, in this order.

        :raises InvalidOption: a name is unknown; the message lists the known ones.
        """
        known = {server.name: server for server in self.servers}
        wanted = list(names)
        unknown = sorted(set(wanted) - set(known))
        if unknown:
            raise InvalidOption(
                "server", ", ".join(unknown), f"a server of the pool {self.name}: {', '.join(sorted(known))}"
            )
        return tuple(known[name] for name in wanted)

    @property
    def serving(self) -> tuple[str, ...]:
        """The names of the servers that serve."""
        return tuple(server.name for server in self.servers if server.serving)

    @property
    def whole(self) -> int:
        """How many servers make up the pool: all but backups and those in maintenance (idle slots)."""
        return sum(1 for server in self.servers if server.admin is not Admin.MAINT and not server.backup)

    def in_and_out(self) -> str:
        """Who serves and who does not, in one sentence for people."""
        names = [s.name if s.serving else f"{s.name} ({s.status})" for s in self.servers if s.receiving]
        others = [f"{server.name} ({server.status})" for server in self.servers if not server.receiving]
        return (
            f"In pool {self.name} now serving: {', '.join(names) or 'nobody'}; "
            f"not serving: {', '.join(others) or 'nobody'}"
        )

    def facts(self) -> dict[str, object]:
        """The same for machines."""
        return {
            "pool": self.name,
            "serving": list(self.serving),
            "not_serving": [server.name for server in self.servers if not server.serving],
        }


@dataclass(frozen=True)
class Traits:
    """What one kind of balancer is called and what it can do."""

    # As messages have it: "HAProxy".
    name: str
    # What a weight may be at most; 0 when it knows none.
    largest_weight: int = 0
    # Whether a server can be without new requests and still be checked. Where it can't, maintenance is told at once
    # and the balancer itself checks a server before its first request.
    drains: bool = True
    # Whether a new process may not know what the old one was told.
    forgets: bool = False
    # Seconds that must lie between two looks at least; a provider's API bears no more.
    interval_s: float = 0.0


@dataclass(frozen=True)
class Order:
    """What one server is told. None: as it is."""

    server: str
    admin: Admin | None = None
    weight: int | None = None
    # Take it for ill until its checks say otherwise. It must not be serving.
    doubted: bool = False


@dataclass(frozen=True)
class Running:
    """Something that is still open on a server."""

    server: str
    # "WebSocket", "request", "connection", …
    kind: str
    source: str
    # None where it is not known since when.
    seconds: float | None = None

    def __str__(self) -> str:
        since = "" if self.seconds is None else f" for {self.seconds:.0f} s"
        return f"{self.kind} of {self.source}{since}"

    def as_dict(self) -> dict[str, object]:
        """The values for results and facts."""
        return {"server": self.server, "kind": self.kind, "source": self.source, "seconds": self.seconds}


class Driver(Protocol):
    """One kind of balancer: observe, refuse what can't be planned, apply. docs/balancers.md says how to write one."""

    @property
    def traits(self) -> Traits:
        """What it is called and what it can do."""

    def require_rights(self) -> None:
        """Return when this user may change servers, and when what was told can be kept.

        :raises SlipwayError: it may not.
        """

    def pools(self) -> tuple[str, ...]:
        """Return the names of all pools.

        :raises SlipwayError: nothing answers.
        """

    def observe(self, pool: str) -> Pool:
        """Read the pool now.

        :raises InvalidOption: it is unknown; the message lists the known ones.
        :raises BalancerUnreachable: nothing answers.
        :raises SlipwayError: an answer is not understood.
        """

    def refuse(self, pool: Pool, orders: Sequence[Order]) -> None:
        """Return when the balancer can be told this. Part of planning: asks nothing, changes nothing.

        :raises Refused: it can't.
        """

    def apply(self, pool: str, orders: Sequence[Order]) -> None:
        """Tell the servers. An end without error is no proof: observe afterwards.

        :raises SlipwayError: an order was not carried out; those before it may have been.
        """

    def persist(self) -> None:
        """Keep what was told, where a new process of the balancer would not know it."""

    def running(self, pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        """Return what is still open on these servers, as far as it can be named."""

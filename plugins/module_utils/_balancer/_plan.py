# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be told to which server, and whether the pool can bear it. Values in, values out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from enum import Enum

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Order, Pool, Server, Traits
from ansible_collections.slipway.django.plugins.module_utils._balancer._share import Share, make_share
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True)
class MinHealthy:
    """How many servers must go on serving: a number, or a share of the pool."""

    amount: int
    percent: bool

    @classmethod
    def parse(cls, text: str) -> MinHealthy:
        """Read ``2`` or ``50%``.

        :raises InvalidOption: it is neither.
        """
        found = re.fullmatch(r"(\d+)(%?)", text.strip())
        if not found or (found[2] and int(found[1]) > 100):
            raise InvalidOption("min_healthy", text, "a number of servers (1), or a share from 0% to 100%")
        return cls(int(found[1]), bool(found[2]))

    def of(self, whole: int) -> int:
        """The number of servers for a pool of so many; a share is rounded up."""
        return math.ceil(whole * self.amount / 100) if self.percent else self.amount


class AtDeadline(Enum):
    """What becomes of sessions that are left when the time is over."""

    # The servers are put back as they were.
    FAIL = "fail"
    # They are waited for, up to a second deadline.
    WAIT = "wait"
    # They are left behind, to be cut when the service behind stops.
    CUT = "cut"


@dataclass(frozen=True)
class Request:
    """What is wanted of which servers."""

    pool: str
    servers: tuple[str, ...]
    wanted: Admin
    min_healthy: MinHealthy
    force: bool = False
    # The share in percent that the servers shall have together; None: what the configuration says.
    share: float | None = None
    # Who keeps them out, or brings them back.
    owner: str = ""
    at_deadline: AtDeadline = AtDeadline.FAIL
    timeout_s: float = 60.0
    # Seconds since the begin that AtDeadline.WAIT has.
    wait_timeout_s: float = 3600.0
    interval_s: float = 0.1
    confirm: int = 3
    stable_s: float = 0.5

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked of the balancer.

        :raises InvalidOption: a value is out of its range.
        """
        for option, name in [("pool", self.pool), *(("server", name) for name in self.servers)]:
            if not _NAME.fullmatch(name):
                raise InvalidOption(option, name, "a name of letters, digits and the characters _ . : -")
        if not self.servers or len(set(self.servers)) != len(self.servers):
            raise InvalidOption("server", ", ".join(self.servers), "at least one name, each only once")
        for option, value, least in [
            ("timeout", self.timeout_s, 0.0),
            ("wait_timeout", self.wait_timeout_s, 0.0),
            ("interval", self.interval_s, 0.01),
            ("confirm", self.confirm, 1),
            ("stable", self.stable_s, 0.0),
        ]:
            if value < least:
                raise InvalidOption(option, value, f"a number that is at least {least:g}")
        if self.share is not None and self.wanted is not Admin.READY:
            raise InvalidOption("weight", f"{self.share:g}%", "state: ready beside it, since others get no requests")


@dataclass(frozen=True)
class Move:
    """What one server was told before, and what it is to be told."""

    before: Server
    admin: Admin
    weight: int

    @property
    def name(self) -> str:
        return self.before.name

    @property
    def changed(self) -> bool:
        return self.admin is not self.before.admin or self.weight != self.before.weight or self.before.mixed

    @property
    def order(self) -> Order:
        """What the server is to be told in the end."""
        return Order(self.name, self.admin, self.weight)

    def predicted(self) -> Server:
        """The server as it will be when all goes well."""
        if not self.changed:
            return self.before
        status = {Admin.READY: "UP", Admin.DRAIN: "DRAIN", Admin.MAINT: "MAINT"}[self.admin]
        return replace(
            self.before,
            admin=self.admin,
            weight=self.weight,
            status=status,
            sessions=None if self.before.sessions is None else 0,
            queued=0,
            held="",
            mixed=False,
        )


@dataclass(frozen=True)
class Plan:
    """All moves, and what they mean for the pool."""

    moves: tuple[Move, ...]
    changed: bool
    reason: str
    healthy_before: int
    healthy_after: int
    # How many must serve all the time; 0 when nobody who serves is taken out, or by force.
    required: int
    share: Share | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(move.name for move in self.moves)


def make_plan(pool: Pool, request: Request, traits: Traits) -> Plan:
    """Decide what has to be done.

    :raises InvalidOption: a server is unknown.
    :raises Refused: the pool can't bear it, or the server could not be judged on its way back.
    """
    servers = pool.select(request.servers)
    readmission = request.wanted is Admin.READY
    if readmission:
        _refuse_unjudgeable(servers, request)
    share = _share(pool, request, traits)
    wanted = Admin.MAINT if request.wanted is Admin.DRAIN and not traits.drains else request.wanted
    moves = tuple(Move(server, wanted, _weight(server, share, readmission)) for server in servers)
    leaving = {move.name for move in moves if move.before.serving and not readmission}
    joining = sum(1 for move in moves if readmission and not move.before.serving and not move.before.backup)
    after = len(pool.serving) - len(leaving) + joining
    required = 0 if request.force or not leaving else request.min_healthy.of(pool.whole)
    if after < required:
        raise _too_few(pool, leaving, after, required)
    return Plan(
        moves=moves,
        changed=any(move.changed for move in moves),
        reason=_reason(moves, share),
        healthy_before=len(pool.serving),
        healthy_after=after,
        required=required,
        share=share,
    )


def _share(pool: Pool, request: Request, traits: Traits) -> Share | None:
    if request.share is None:
        return None
    if not traits.largest_weight:
        raise Refused(
            f"weight: {traits.name} knows no weights by this driver",
            untouched="Nothing was changed",
            remedy="Leave weight out, or use a driver that can: haproxy, nginx_include",
            facts={"driver": traits.name},
        )
    return make_share(pool, request.servers, request.share, traits.largest_weight)


def _weight(server: Server, share: Share | None, readmission: bool) -> int:
    if share is not None:
        return share.weight
    return server.configured_weight if readmission else server.weight


def _refuse_unjudgeable(servers: tuple[Server, ...], request: Request) -> None:
    for server in servers:
        if server.inherited_from:
            raise Refused(
                f"{server.name} follows {server.inherited_from}, which is out of its pool",
                untouched="Nothing was changed",
                remedy=f"Readmit {server.inherited_from}",
                facts={"server": server.name, "follows": server.inherited_from},
            )
        if not server.check.configured and not request.force:
            raise Refused(
                f"{server.name} has no health check in the balancer, which would send requests to it dead or alive",
                untouched="Nothing was changed",
                remedy="Give it one ('check' and 'option httpchk' in HAProxy's configuration), or say force: true "
                "after you have seen that it is well",
                facts={"server": server.name},
            )


def _too_few(pool: Pool, leaving: set[str], after: int, required: int) -> Refused:
    names = ", ".join(sorted(leaving))
    return Refused(
        f"Without {names} {after} healthy servers would be left in pool {pool.name}, and min_healthy asks for "
        f"{required}. {pool.in_and_out()}",
        untouched="Nothing was changed",
        remedy="Bring the other servers back first, lower min_healthy, or say force: true for an outage you want",
        facts={**pool.facts(), "healthy_after": after, "required": required},
    )


def _reason(moves: tuple[Move, ...], share: Share | None) -> str:
    parts = [_reason_of(move, share) for move in moves]
    if share is not None:
        parts.append(f"{share.wanted:g} % were asked for, {share.real:.2f} % it is")
    return "; ".join(parts)


def _reason_of(move: Move, share: Share | None) -> str:
    if move.admin is not move.before.admin:
        return f"{move.name} goes from {move.before.admin.value} to {move.admin.value}"
    if move.weight != move.before.weight:
        back = "gets the weight" if share is not None else "gets its weight"
        return f"{move.name} {back} {move.weight}{'' if share is not None else ' back'} (it was {move.before.weight})"
    if move.before.mixed:
        return f"{move.name} is told {move.admin.value} once more, since not all of the balancer goes by it"
    return f"{move.name} is already told {move.admin.value}"

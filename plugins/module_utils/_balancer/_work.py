# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run on one pool: telling servers, looking at them, and putting them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerUnreachable,
    Driver,
    Order,
    Pool,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import Move, Plan, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record, moment
from ansible_collections.slipway.django.plugins.module_utils._errors import Doomed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Outcome, Verdict, poll

# A supervised balancer is back within a second; the message is better when it can say what the new process does.
_RESTART_S = 5.0
AGAIN = "Run the same task again: it goes on from the state that is there"


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    driver: Driver
    clock: Clock
    record: Record
    lock: OneLock


class Work:
    """The plan, what was told so far, and what was seen."""

    def __init__(self, request: Request, tools: Tools, plan: Plan, pool: Pool, out: Mapping[str, Out]) -> None:
        """Begin.

        :param out: who was out of the pool before, by the record.
        """
        self.request = request
        self.plan = plan
        self.clock = tools.clock
        self.driver = tools.driver
        self.start_pool = pool
        self.started = tools.clock.monotonic()
        self._tools = tools
        # The pool as it was seen last: the facts of an error are about how it is now.
        self._last = pool
        # What each server was told last, by us or by whoever came before us.
        self.told = {move.name: move.before.admin for move in plan.moves}
        self._remembered = {name: out.get(name) for name in plan.names}

    # --- telling -------------------------------------------------------------------------------------------------

    def tell(self, moves: Iterable[Move], admin: Admin, *, weigh: bool = False) -> None:
        """Tell, read back, save. An answer without error is no proof.

        :param weigh: give all servers of the plan their weights with it.
        """
        orders = self._orders({move.name for move in moves}, admin, weigh=weigh)
        if not orders:
            return
        with self.undone_on_error(), self._tools.lock():
            self.told.update({order.server: order.admin for order in orders if order.admin is not None})
            if admin is not Admin.READY:
                # Before the order: should this run be killed in between, the next one finds the name.
                self.write_record()
            self.driver.apply(self.request.pool, orders)
            self._expect_told(self.driver.observe(self.request.pool))
            self.driver.persist()
            self.write_record()

    def _orders(self, names: set[str], admin: Admin, *, weigh: bool) -> list[Order]:
        orders = []
        for move in self.plan.moves:
            new = self.told[move.name] is not admin or (move.before.mixed and admin is move.admin)
            told = admin if move.name in names and new else None
            weight = move.weight if weigh and move.weight != move.before.weight else None
            if told is not None or weight is not None:
                orders.append(Order(move.name, told, weight))
        return orders

    def write_record(self) -> None:
        """Remember who is out. Who was out before keeps his time and his owner."""
        now = moment(self.clock.utcnow())
        entries: dict[str, Out | None] = {}
        for name, admin in self.told.items():
            before = self._remembered.get(name)
            since = before.since if before is not None else now
            owner = (before.owner if before is not None else "") or self.request.owner
            entries[name] = None if admin is Admin.READY else Out(admin, since, owner)
        self._tools.record.put(self.request.pool, entries)

    @contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """When an order fails, take back those that came before it."""
        try:
            yield
        except BalancerUnreachable as error:
            raise self._lost(error) from error
        except SlipwayError as error:
            raise SlipwayError(
                f"{error.seen.rstrip('.')}. {error.untouched}".rstrip(". "),
                untouched=self.put_back(),
                remedy=error.remedy,
                facts={**error.facts, **self.facts()},
            ) from error

    def put_back(self) -> str:
        """Tell every server again what it was told before us. Returns how it is now, in words."""
        try:
            with self._tools.lock():
                pool = self._put_back()
        except SlipwayError as error:
            return f"The servers could not be put back as they were: {error.message} {self._now()}"
        names = ", ".join(f"{s.name} ({s.admin.value}, {s.status})" for s in pool.select(self.plan.names))
        return f"As it was before: {names}. {pool.in_and_out()}{self._kept_in_words()}"

    def _put_back(self) -> Pool:
        now = {server.name: server for server in self.driver.observe(self.request.pool).servers}
        orders = []
        for move in self.plan.moves:
            before, server = move.before, now[move.name]
            weight = before.weight if server.weight != before.weight else None
            admin = before.admin if server.admin is not before.admin or server.mixed else None
            if weight is not None or admin is not None:
                orders.append(Order(move.name, admin, weight))
        if orders:
            self.driver.apply(self.request.pool, orders)
        self.told = {move.name: move.before.admin for move in self.plan.moves}
        self._last = self.driver.observe(self.request.pool)
        self._expect_told(self._last)
        return self._last

    def _kept_in_words(self) -> str:
        try:
            self.driver.persist()
            self._tools.record.put(self.request.pool, self._remembered)
        except SlipwayError as error:
            return f". {error.seen}"
        return ""

    @property
    def interval_s(self) -> float:
        """Seconds between two looks."""
        return max(self.request.interval_s, self.driver.traits.interval_s)

    # --- looking -------------------------------------------------------------------------------------------------

    def observe(self) -> Pool:
        """Look at the pool, and keep what is seen."""
        try:
            self._last = self.driver.observe(self.request.pool)
        except BalancerUnreachable as error:
            raise self._lost(error) from error
        return self._last

    def poll(self, judge: Callable[[Pool], Judgement], *, confirm: int, timeout_s: float) -> Outcome[Pool]:
        """Look until it is as the judge wants it, or so many seconds after the begin.

        :raises Doomed: waiting on is useless.
        """
        outcome = poll(
            self.observe,
            lambda pool: judge(pool) if not self.hopeless(pool) else Judgement(Verdict.DOOMED, ""),
            clock=self.clock,
            interval_s=self.interval_s,
            timeout_s=max(0.0, self.started + timeout_s - self.clock.monotonic()),
            confirm=confirm,
        )
        self.refuse_obstacle(outcome.last)
        return outcome

    def hopeless(self, pool: Pool) -> bool:
        """True when waiting can't lead to success any more."""
        return bool(self._obstacle(pool)) or self._too_few(pool)

    def _obstacle(self, pool: Pool) -> str:
        """What makes it useless to wait on; empty when nothing does."""
        if self.driver.traits.forgets and pool.process != self.start_pool.process:
            return (
                f"{self.driver.traits.name} was restarted or reloaded meanwhile (process {self.start_pool.process} "
                f"became {pool.process}); sessions that the old process still has can't be seen"
            )
        for server in pool.select(self.plan.names):
            if server.admin is not self.told[server.name]:
                return (
                    f"{server.name} is in state {server.admin.value} and was told {self.told[server.name].value}: "
                    "somebody else changes it"
                )
        return ""

    def _too_few(self, pool: Pool) -> bool:
        return sum(1 for server in pool.servers if server.receiving) < self.plan.required

    def _expect_told(self, pool: Pool) -> None:
        obstacle = self._obstacle(pool)
        if obstacle:
            raise Doomed(obstacle)

    def refuse_obstacle(self, pool: Pool) -> None:
        """Return when nothing stands in the way.

        :raises Doomed: something does.
        """
        obstacle = self._obstacle(pool)
        if obstacle:
            raise Doomed(
                f"{obstacle}. {pool.in_and_out()}",
                untouched="Nothing was told to any server since",
                remedy=AGAIN,
                facts=self.facts(),
            )
        if self._too_few(pool):
            raise Doomed(
                f"Fewer healthy servers than min_healthy asks for ({self.plan.required}) were left in pool "
                f"{pool.name} while {', '.join(self.plan.names)} drained",
                untouched=self.put_back(),
                remedy="Bring the other servers back first",
                facts=self.facts(),
            )

    def _lost(self, error: BalancerUnreachable) -> SlipwayError:
        """The balancer went away: wait a little for a supervised one to come back, then say what it does."""
        return BalancerUnreachable(
            f"{error.seen}. It answered when this task began",
            untouched=self._now(),
            remedy=f"See why {self.driver.traits.name} went away. {AGAIN}",
            facts={**error.facts, **self.facts()},
        )

    def _now(self) -> str:
        """Who serves now, in words, or what was told last when nothing answers."""
        outcome = poll(self._look, _judge_look, clock=self.clock, interval_s=0.2, timeout_s=_RESTART_S)
        if outcome.last is None:
            told = ", ".join(f"{name}: {admin.value}" for name, admin in self.told.items())
            return f"What the servers are told now can't be read; told last: {told}"
        return outcome.last.in_and_out()

    def _look(self) -> Pool | None:
        try:
            self._last = self.driver.observe(self.request.pool)
        except SlipwayError:
            return None
        return self._last

    def facts(self) -> dict[str, object]:
        """How the pool was seen last, and whether our orders stand, for an error."""
        changed = any(self.told[move.name] is not move.before.admin for move in self.plan.moves)
        return {**self._last.facts(), "changed": changed, "told": {k: v.value for k, v in self.told.items()}}


def _judge_look(pool: Pool | None) -> Judgement:
    return Judgement(Verdict.RETRY if pool is None else Verdict.SUCCESS, "")

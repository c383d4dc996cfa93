# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking servers out of a pool and bringing them back, with no request lost.

Out: ``drain`` → no session and nothing queued, seen several times in a row → ``maint``. Drain before maintenance
because clients with a persistence cookie still reach a server under drain; maintenance moves them on.
Back: ``drain`` → the balancer's own check is content → ``ready`` → exactly UP. Never ``maint`` → ``ready``: HAProxy
then takes the server for healthy before it has looked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerUnreachable,
    Driver,
    Pool,
    Server,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import Move, Plan, Request, make_plan
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._errors import Doomed, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Outcome, Verdict, poll

# A supervised HAProxy is back within a second; the message is better when it can say what the new process does.
_RESTART_S = 5.0
# A session whose connection failed is not counted for up to a second, then may try the same server once more
# (turn-around of HAProxy's backend.c).
_TURNAROUND_S = 1.2
_AGAIN = "Run the same task again: it goes on from the state that is there"


@dataclass(frozen=True)
class Sessions:
    """Open requests of the servers that were asked for, over the time of waiting."""

    first: int = 0
    last: int = 0
    max: int = 0


@dataclass(frozen=True)
class Result:
    """What was done, and how the servers are."""

    plan: Plan
    before: tuple[Server, ...]
    after: tuple[Server, ...]
    reason: str
    waited_s: float = 0.0
    sessions: Sessions = Sessions()
    cut: int = 0


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    driver: Driver
    clock: Clock
    state_file: StateFile
    lock: Callable[[], AbstractContextManager[None]]


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """Bring the servers where they are wanted; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is in the pool now, what to do.
    """
    request.validate()
    tools.driver.require_rights()
    tools.state_file.require_writable()
    # The lock is held from reading to telling, some milliseconds: two drains can't both see two healthy servers.
    with tools.lock():
        pool = tools.driver.observe(request.pool)
        plan = make_plan(pool, request)
        if check_mode:
            predicted = tuple(move.predicted() for move in plan.moves)
            return Result(plan, pool.select(plan.names), predicted, plan.reason)
        work = _Work(request, tools, plan, pool)
        work.begin()
    return work.readmit() if request.wanted is Admin.READY else work.take_out()


class _Work:
    """One run: the plan, what was told so far, and what was seen."""

    def __init__(self, request: Request, tools: Tools, plan: Plan, pool: Pool) -> None:
        self._request = request
        self._tools = tools
        self._driver = tools.driver
        self._clock = tools.clock
        self._plan = plan
        self._start_pool = pool
        self._started = tools.clock.monotonic()
        self._counts: list[int] = []
        self._empty_since = math.inf
        # The pool as it was seen last: the facts of an error are about how it is now.
        self._last = pool
        # What each server was told last, by us or by whoever came before us.
        self._told = {move.name: move.before.admin for move in plan.moves}

    # --- telling -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Stop new sessions on all servers of the plan or, on the way back, begin the checks."""
        moves = [move for move in self._plan.moves if _begins_with_drain(move)]
        self._tell(moves, Admin.DRAIN, weigh=self._plan.moves)

    def _tell(self, moves: Iterable[Move], admin: Admin, *, weigh: Iterable[Move] = ()) -> None:
        """Tell, read back, save. An answer without error is no proof."""
        names = [move.name for move in moves if self._told[move.name] is not admin]
        weights = [move for move in weigh if move.weight != move.before.weight]
        if not names and not weights:
            return
        with self._undone_on_error():
            for move in weights:
                self._driver.set_weight(self._request.pool, move.name, move.weight)
            for name in names:
                self._driver.set_admin(self._request.pool, name, admin)
                self._told[name] = admin
            self._expect_told(self._driver.observe(self._request.pool))
            self._save()

    @contextmanager
    def _undone_on_error(self) -> Iterator[None]:
        """When an order fails, take back those that came before it."""
        try:
            yield
        except BalancerUnreachable as error:
            raise self._lost(error) from error
        except SlipwayError as error:
            raise SlipwayError(
                f"{error.seen.rstrip('.')}. {error.untouched}".rstrip(". "),
                untouched=self._put_back(),
                remedy=error.remedy,
                facts={**error.facts, **self._facts()},
            ) from error

    def _put_back(self) -> str:
        """Tell every server again what it was told before us. Returns how it is now, in words."""
        try:
            for move in self._plan.moves:
                if move.weight != move.before.weight:
                    self._driver.set_weight(self._request.pool, move.name, move.before.weight)
                if self._told[move.name] is not move.before.admin:
                    self._driver.set_admin(self._request.pool, move.name, move.before.admin)
                    self._told[move.name] = move.before.admin
            pool = self._last = self._driver.observe(self._request.pool)
            self._expect_told(pool)
        except SlipwayError as error:
            return f"The servers could not be put back as they were: {error.message} {self._now()}"
        names = ", ".join(f"{s.name} ({s.admin.value}, {s.status})" for s in pool.select(self._plan.names))
        return f"As it was before: {names}. {pool.in_and_out()}{self._saved_in_words()}"

    def _save(self) -> None:
        self._tools.state_file.write(self._driver.saved_state())

    def _saved_in_words(self) -> str:
        try:
            self._save()
        except SlipwayError as error:
            return f". {error.seen}"
        return ""

    # --- looking -------------------------------------------------------------------------------------------------

    def _observe(self) -> Pool:
        try:
            self._last = self._driver.observe(self._request.pool)
        except BalancerUnreachable as error:
            raise self._lost(error) from error
        return self._last

    def _poll(self, judge: Callable[[Pool], Judgement], *, confirm: int) -> Outcome[Pool]:
        outcome = poll(
            self._observe,
            judge,
            clock=self._clock,
            interval_s=self._request.interval_s,
            timeout_s=max(0.0, self._started + self._request.timeout_s - self._clock.monotonic()),
            confirm=confirm,
        )
        self._refuse_obstacle(outcome.last)
        return outcome

    def _obstacle(self, pool: Pool) -> str:
        """What makes it useless to wait on; empty when nothing does."""
        if pool.process != self._start_pool.process:
            return (
                f"HAProxy was restarted or reloaded meanwhile (process {self._start_pool.process.pid} became "
                f"{pool.process.pid}); sessions that the old process still has can't be seen"
            )
        for server in pool.select(self._plan.names):
            if server.admin is not self._told[server.name]:
                return (
                    f"{server.name} is in state {server.admin.value} and was told {self._told[server.name].value}: "
                    "somebody else changes it"
                )
        return ""

    def _too_few(self, pool: Pool) -> bool:
        return sum(1 for server in pool.servers if server.receiving) < self._plan.required

    def _expect_told(self, pool: Pool) -> None:
        obstacle = self._obstacle(pool)
        if obstacle:
            raise Doomed(obstacle)

    def _refuse_obstacle(self, pool: Pool) -> None:
        obstacle = self._obstacle(pool)
        if obstacle:
            raise Doomed(
                f"{obstacle}. {pool.in_and_out()}",
                untouched="Nothing was told to any server since",
                remedy=_AGAIN,
                facts=self._facts(),
            )
        if self._too_few(pool):
            raise Doomed(
                f"Fewer healthy servers than min_healthy asks for ({self._plan.required}) were left in pool "
                f"{pool.name} while {', '.join(self._plan.names)} drained",
                untouched=self._put_back(),
                remedy="Bring the other servers back first",
                facts=self._facts(),
            )

    def _lost(self, error: BalancerUnreachable) -> SlipwayError:
        """HAProxy went away: wait a little for a supervised one to come back, then say what it does."""
        return BalancerUnreachable(
            f"{error.seen}. It answered when this task began",
            untouched=self._now(),
            remedy=f"See why HAProxy went away. {_AGAIN}",
            facts={**error.facts, **self._facts()},
        )

    def _now(self) -> str:
        """Who serves now, in words, or what was told last when nothing answers."""
        outcome = poll(self._look, _judge_look, clock=self._clock, interval_s=0.2, timeout_s=_RESTART_S)
        if outcome.last is None:
            told = ", ".join(f"{name}: {admin.value}" for name, admin in self._told.items())
            return f"What the servers are told now can't be read; told last: {told}"
        return outcome.last.in_and_out()

    def _look(self) -> Pool | None:
        try:
            self._last = self._driver.observe(self._request.pool)
        except SlipwayError:
            return None
        return self._last

    def _facts(self) -> dict[str, object]:
        """How the pool was seen last, and whether our orders stand, for an error."""
        changed = any(self._told[move.name] is not move.before.admin for move in self._plan.moves)
        return {**self._last.facts(), "changed": changed, "told": {k: v.value for k, v in self._told.items()}}

    # --- out -----------------------------------------------------------------------------------------------------

    def take_out(self) -> Result:
        """Wait until nothing is open on the servers, then leave them where they are wanted."""
        left = self._wait_until_empty(confirm=self._request.confirm + 1)
        # The last look before the step that can't be undone without loss: same process, same orders.
        self._refuse_obstacle(self._observe())
        self._tell([move for move in self._plan.moves if move.admin is Admin.MAINT], Admin.MAINT)
        if not left:
            # A client with a cookie may have come between the last zero and the order: it finishes now.
            left = self._wait_until_empty(confirm=1)
        return self._result(left)

    def _wait_until_empty(self, *, confirm: int) -> int:
        """Return how many sessions were left: 0, or more when they may be cut."""
        outcome = self._poll(self._judge_empty, confirm=confirm)
        if not outcome.timed_out:
            return 0
        left = self._open(outcome.last)
        if self._request.cut:
            return left
        sessions = self._sessions
        raise TimedOut(
            f"{left} sessions were still open on {', '.join(self._plan.names)} after {self._request.timeout_s:g} s "
            f"({sessions.first} at first, {sessions.max} at most)",
            untouched=self._put_back(),
            remedy="Give more time than the slowest request takes, or say on_timeout: cut to go on without them",
            facts={**self._facts(), "sessions": vars(sessions)},
        )

    def _judge_empty(self, pool: Pool) -> Judgement:
        if self._obstacle(pool) or self._too_few(pool):
            return Judgement(Verdict.DOOMED, "")
        count = self._open(pool)
        self._counts.append(count)
        now = self._clock.monotonic()
        self._empty_since = math.inf if count else min(self._empty_since, now)
        dwell = _TURNAROUND_S if self._failures(pool) > self._failures(self._start_pool) else 0.0
        return Judgement(Verdict.SUCCESS if now - self._empty_since >= dwell else Verdict.RETRY, f"{count} sessions")

    def _open(self, pool: Pool) -> int:
        return sum(server.open for server in pool.select(self._plan.names))

    def _failures(self, pool: Pool) -> int:
        return sum(server.failures for server in pool.select(self._plan.names))

    @property
    def _sessions(self) -> Sessions:
        counts = self._counts or [0]
        return Sessions(counts[0], counts[-1], max(counts))

    # --- back ----------------------------------------------------------------------------------------------------

    def readmit(self) -> Result:
        """Wait for the balancer's check, give traffic, and see that it holds."""
        drained = [move for move in self._plan.moves if self._told[move.name] is Admin.DRAIN]
        self._doubt(drained)
        self._wait_until_well(drained, "DRAIN", confirm=1)
        self._tell(self._plan.moves, Admin.READY)
        lasting = 1 + math.ceil(self._request.stable_s / self._request.interval_s)
        self._wait_until_well(self._plan.moves, "UP", confirm=lasting)
        self._save_health()
        return self._result(0)

    def _doubt(self, drained: Iterable[Move]) -> None:
        # Asked now, since HAProxy says nothing about the checks of a server in maintenance.
        with self._undone_on_error():
            for server in self._driver.observe(self._request.pool).select(move.name for move in drained):
                if server.check.trusts_blindly:
                    self._driver.forget_health(self._request.pool, server.name)

    def _save_health(self) -> None:
        # Saved when told ready its health was not known yet, and a fresh process begins with the health it reads.
        if self._plan.changed:
            self._save()

    def _wait_until_well(self, moves: Iterable[Move], status: str, *, confirm: int) -> None:
        names = [move.name for move in moves]

        def judge(pool: Pool) -> Judgement:
            if self._obstacle(pool):
                return Judgement(Verdict.DOOMED, "")
            ill = [server for server in pool.select(names) if not self._well(server, status)]
            words = ", ".join(f"{server.name} is {server.status} ({server.check.text or 'no check'})" for server in ill)
            return Judgement(Verdict.RETRY if ill else Verdict.SUCCESS, words)

        outcome = self._poll(judge, confirm=confirm)
        if outcome.timed_out:
            checks = {server.name: server.check.text for server in outcome.last.select(self._plan.names)}
            raise TimedOut(
                f"After {self._request.timeout_s:g} s {outcome.reason or 'the good state has not lasted'}; "
                f"expected {status} with a passed check",
                untouched=self._put_back(),
                remedy="See why the balancer's health check of that server fails (its address, the application's log)",
                facts={**self._facts(), "checks": checks},
            )

    def _well(self, server: Server, status: str) -> bool:
        if not server.check.configured:
            return self._request.force
        return server.status == status and server.check.passed

    # --- the end -------------------------------------------------------------------------------------------------

    def _result(self, cut: int) -> Result:
        waited_s = self._clock.monotonic() - self._started
        return Result(
            plan=self._plan,
            before=self._start_pool.select(self._plan.names),
            after=self._observe().select(self._plan.names),
            reason=f"{self._plan.reason}; {self._waiting_in_words(cut, waited_s)}",
            waited_s=waited_s,
            sessions=self._sessions,
            cut=cut,
        )

    def _waiting_in_words(self, cut: int, waited_s: float) -> str:
        if self._request.wanted is Admin.READY:
            return f"healthy after {waited_s:.1f} s"
        if cut:
            return f"{cut} sessions were still open after {waited_s:.1f} s and are left to be cut"
        return f"no session left after {waited_s:.1f} s ({self._sessions.first} at first, {self._sessions.max} at most)"


def _begins_with_drain(move: Move) -> bool:
    if move.admin is Admin.READY:
        return move.before.admin is Admin.MAINT
    if move.admin is Admin.DRAIN:
        return move.before.admin is not Admin.DRAIN
    return move.before.admin is Admin.READY


def _judge_look(pool: Pool | None) -> Judgement:
    return Judgement(Verdict.RETRY if pool is None else Verdict.SUCCESS, "")

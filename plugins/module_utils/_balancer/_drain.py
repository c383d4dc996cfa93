# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking servers out of a pool and bringing them back, with no request lost.

Out: ``drain`` → no session and nothing queued, seen several times in a row → ``maint``. Drain before maintenance
because clients with a persistence cookie still reach a server under drain; maintenance moves them on.
Back: ``drain`` → the balancer's own check is content → ``ready`` → exactly UP. Never ``maint`` → ``ready``: HAProxy
then takes the server for healthy before it has looked.
A balancer that knows no drain is told maintenance at once, and looks by itself before it sends the first request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Passage, Through
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    Order,
    Pool,
    Running,
    Server,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import (
    AtDeadline,
    Move,
    Plan,
    Request,
    make_plan,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out
from ansible_collections.slipway.django.plugins.module_utils._balancer._work import AGAIN, Tools, Work
from ansible_collections.slipway.django.plugins.module_utils._errors import Doomed, Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Judgement, Outcome, Verdict, poll

# A session whose connection failed is not counted for up to a second, then may try the same server once more
# (turn-around of HAProxy's backend.c).
_TURNAROUND_S = 1.2
# More names than anybody reads.
_NAMED = 5


@dataclass(frozen=True)
class Sessions:
    """Open requests of the servers that were asked for, over the time of waiting."""

    first: int = 0
    last: int = 0
    max: int = 0


@dataclass(frozen=True)
class Left:
    """What was still open at the deadline."""

    count: int = 0
    running: tuple[Running, ...] = ()
    held: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = "; ".join(str(one) for one in self.running[:_NAMED])
        more = f" and {len(self.running) - _NAMED} more" if len(self.running) > _NAMED else ""
        named = f" ({words}{more})" if words else ""
        return "; ".join([f"{self.count} sessions{named}", *self.held])


@dataclass(frozen=True)
class Result:
    """What was done, and how the servers are."""

    plan: Plan
    before: tuple[Server, ...]
    after: tuple[Server, ...]
    reason: str
    waited_s: float = 0.0
    sessions: Sessions = Sessions()
    # What was open at the deadline; None when nothing was.
    left: Left | None = None
    # Of these how many were left behind.
    cut: int = 0
    # Who of the servers was out before, by the record.
    out_before: tuple[tuple[str, Out], ...] = ()


def run(request: Request, tools: Tools, *, check_mode: bool, through: Through | None = None) -> Result:
    """Bring the servers where they are wanted; in check mode say what that would mean.

    :param through: a request through the balancer that each readmitted server must have answered in the end.
    :raises SlipwayError: see the message: what was seen, what is in the pool now, what to do.
    """
    request.validate()
    tools.driver.require_rights()
    tools.record.require_writable()
    # The lock is held from reading to telling, some milliseconds: two drains can't both see two healthy servers.
    with tools.lock():
        pool = tools.driver.observe(request.pool)
        plan = make_plan(pool, request, tools.driver.traits)
        tools.driver.refuse(pool, [move.order for move in plan.moves])
        out = tools.record.out(request.pool)
        _refuse_other_owner(request, out)
        before = tuple((name, out[name]) for name in plan.names if name in out)
        if check_mode:
            predicted = tuple(move.predicted() for move in plan.moves)
            return Result(plan, pool.select(plan.names), predicted, plan.reason, out_before=before)
        work = Work(request, tools, plan, pool, out)
        _begin(work, tools.driver.traits)
    if request.wanted is Admin.READY:
        return _Readmission(work, before, through).run()
    return _TakingOut(work, before).run()


def _refuse_other_owner(request: Request, out: dict[str, Out]) -> None:
    if request.wanted is not Admin.READY or request.force:
        return
    for name in request.servers:
        entry = out.get(name)
        if entry is not None and entry.owner and entry.owner != request.owner:
            raise Refused(
                f"{name} is {entry}",
                untouched="Nothing was changed",
                remedy=f"Ask there, then say owner: {entry.owner}, or force: true",
                facts={"server": name, **entry.as_dict()},
            )


def _begin(work: Work, traits: Traits) -> None:
    """Stop new sessions on all servers of the plan or, on the way back, begin the checks."""
    readmission = work.request.wanted is Admin.READY
    if traits.drains:
        work.tell([move for move in work.plan.moves if _begins_with_drain(move)], Admin.DRAIN, weigh=True)
    elif not readmission:
        work.tell(work.plan.moves, Admin.MAINT)
    if not readmission:
        # Somebody else may have taken it out: from now on it is remembered.
        work.write_record()


def _begins_with_drain(move: Move) -> bool:
    if move.admin is Admin.READY:
        return move.before.admin is Admin.MAINT
    if move.admin is Admin.DRAIN:
        return move.before.admin is not Admin.DRAIN or move.before.mixed
    return move.before.admin is Admin.READY


def _result(work: Work, out_before: tuple[tuple[str, Out], ...], words: str) -> Result:
    return Result(
        plan=work.plan,
        before=work.start_pool.select(work.plan.names),
        after=work.observe().select(work.plan.names),
        reason=f"{work.plan.reason}; {words}",
        waited_s=work.clock.monotonic() - work.started,
        out_before=out_before,
    )


class _TakingOut:
    """The way out, after its begin."""

    def __init__(self, work: Work, out_before: tuple[tuple[str, Out], ...]) -> None:
        self._work = work
        self._out_before = out_before
        self._counts: list[int] = []
        self._empty_since = math.inf
        self._left: Left | None = None

    def run(self) -> Result:
        """Wait until nothing is open on the servers, then leave them where they are wanted."""
        work = self._work
        cut = self._wait_until_empty(confirm=work.request.confirm + 1)
        # The last look before the step that can't be undone without loss: same process, same orders.
        work.refuse_obstacle(work.observe())
        work.tell([move for move in work.plan.moves if move.admin is Admin.MAINT], Admin.MAINT)
        if not cut:
            # A client with a cookie may have come between the last zero and the order: it finishes now.
            cut = self._wait_until_empty(confirm=1)
        waited_s = work.clock.monotonic() - work.started
        words = self._in_words(cut, waited_s)
        result = _result(work, self._out_before, words)
        return replace(result, sessions=self._sessions, left=self._left, cut=cut)

    def _wait_until_empty(self, *, confirm: int) -> int:
        """Return how many sessions were left: 0, or more when they may be cut."""
        request = self._work.request
        outcome = self._work.poll(self._judge, confirm=confirm, timeout_s=request.timeout_s)
        if not outcome.timed_out:
            return 0
        left = self._still_open(outcome.last)
        self._left = self._left or left
        if request.at_deadline is AtDeadline.CUT:
            # Something else than sessions may be what was left: it is cut as well.
            return max(1, left.count)
        if request.at_deadline is AtDeadline.WAIT:
            outcome = self._work.poll(self._judge, confirm=confirm, timeout_s=request.wait_timeout_s)
            if not outcome.timed_out:
                return 0
            left = self._still_open(outcome.last)
        raise self._too_late(left)

    def _too_late(self, left: Left) -> SlipwayError:
        request, sessions = self._work.request, self._sessions
        waits = request.at_deadline is AtDeadline.WAIT
        return TimedOut(
            f"Still open on {', '.join(self._work.plan.names)} after "
            f"{request.wait_timeout_s if waits else request.timeout_s:g} s: {left} "
            f"({sessions.first} at first, {sessions.max} at most)",
            untouched=self._work.put_back(),
            remedy="Give more time than the slowest request takes, or say on_timeout: cut to go on without them"
            + ("" if waits else ", or on_timeout: wait"),
            facts={
                **self._work.facts(),
                "sessions": vars(sessions),
                "running": [one.as_dict() for one in left.running],
            },
        )

    def _still_open(self, pool: Pool) -> Left:
        servers = pool.select(self._work.plan.names)
        held = tuple(f"{server.name}: {server.held}" for server in servers if server.held)
        try:
            running = self._work.driver.running(pool.name, self._work.plan.names)
        except SlipwayError as error:
            running, held = (), (*held, f"they can't be named: {error.seen}")
        return Left(self._open(pool), running, held)

    def _judge(self, pool: Pool) -> Judgement:
        count = self._open(pool)
        self._counts.append(count)
        now = self._work.clock.monotonic()
        quiet = all(server.quiet for server in pool.select(self._work.plan.names))
        self._empty_since = min(self._empty_since, now) if quiet else math.inf
        dwell = _TURNAROUND_S if self._failures(pool) > self._failures(self._work.start_pool) else 0.0
        return Judgement(Verdict.SUCCESS if now - self._empty_since >= dwell else Verdict.RETRY, f"{count} sessions")

    def _open(self, pool: Pool) -> int:
        return sum(server.open for server in pool.select(self._work.plan.names))

    def _failures(self, pool: Pool) -> int:
        return sum(server.failures for server in pool.select(self._work.plan.names))

    @property
    def _sessions(self) -> Sessions:
        counts = self._counts or [0]
        return Sessions(counts[0], counts[-1], max(counts))

    def _in_words(self, cut: int, waited_s: float) -> str:
        if cut:
            return f"after {waited_s:.1f} s still open and left to be cut: {self._left}"
        late = f", later than {self._work.request.timeout_s:g} s, when open were: {self._left}" if self._left else ""
        first, most = self._sessions.first, self._sessions.max
        return f"no session left after {waited_s:.1f} s ({first} at first, {most} at most){late}"


class _Readmission:
    """The way back, after its begin."""

    def __init__(self, work: Work, out_before: tuple[tuple[str, Out], ...], through: Through | None) -> None:
        self._work = work
        self._out_before = out_before
        self._through = through

    def run(self) -> Result:
        """Wait for the balancer's check, give traffic, and see that it holds."""
        work = self._work
        drained = [move for move in work.plan.moves if work.told[move.name] is Admin.DRAIN]
        self._doubt(drained)
        self._wait_until_well(drained, "DRAIN", confirm=1)
        work.tell(work.plan.moves, Admin.READY, weigh=not work.driver.traits.drains)
        lasting = 1 + math.ceil(work.request.stable_s / work.interval_s)
        self._wait_until_well(work.plan.moves, "UP", confirm=lasting)
        if work.plan.changed:
            # Saved when told ready its health was not known yet, and a fresh process begins with the health it reads.
            work.driver.persist()
        answered = self._wait_until_answered()
        waited_s = work.clock.monotonic() - work.started
        return _result(work, self._out_before, f"healthy after {waited_s:.1f} s{answered}")

    def _doubt(self, drained: Iterable[Move]) -> None:
        # Asked now, since HAProxy says nothing about the checks of a server in maintenance.
        names = [move.name for move in drained]
        with self._work.undone_on_error():
            servers = self._work.driver.observe(self._work.request.pool).select(names)
            orders = [Order(server.name, doubted=True) for server in servers if server.check.trusts_blindly]
            if orders:
                self._work.driver.apply(self._work.request.pool, orders)

    def _wait_until_well(self, moves: Iterable[Move], status: str, *, confirm: int) -> None:
        names = [move.name for move in moves]

        def judge(pool: Pool) -> Judgement:
            ill = [server for server in pool.select(names) if not self._well(server, status)]
            words = ", ".join(f"{server.name} is {server.status} ({server.check.text or 'no check'})" for server in ill)
            return Judgement(Verdict.RETRY if ill else Verdict.SUCCESS, words)

        work = self._work
        outcome = work.poll(judge, confirm=confirm, timeout_s=work.request.timeout_s)
        if outcome.timed_out:
            checks = {server.name: server.check.text for server in outcome.last.select(work.plan.names)}
            raise TimedOut(
                f"After {work.request.timeout_s:g} s {outcome.reason or 'the good state has not lasted'}; "
                f"expected {status} with a passed check",
                untouched=work.put_back(),
                remedy="See why the balancer's health check of that server fails (its address, the application's log)",
                facts={**work.facts(), "checks": checks},
            )

    def _well(self, server: Server, status: str) -> bool:
        if not server.check.configured:
            return self._work.request.force
        return server.status == status and server.check.passed

    def _wait_until_answered(self) -> str:
        """Wait until each server has answered a request through the balancer. Returns that in words."""
        through, work = self._through, self._work
        if through is None:
            return ""
        names = {name: {name, server.address} for name, server in self._served().items()}
        answered: set[str] = set()

        def judge(passage: Passage) -> Judgement:
            by = next((name for name, words in names.items() if passage.by in words), "")
            if by and passage.wrong:
                return Judgement(Verdict.DOOMED, f"{by}: {passage.text}")
            if by and passage.good:
                answered.add(by)
            missing = [name for name in names if name not in answered]
            last = f"the last answer came from {passage.by or 'an unknown server'}: {passage.text}"
            words = f"no good answer of {', '.join(missing)} has come through {through.url}; {last}"
            return Judgement(Verdict.RETRY if missing else Verdict.SUCCESS, words)

        outcome = poll(
            lambda: through.ask(work.clock),
            judge,
            clock=work.clock,
            interval_s=min(work.request.interval_s, 0.05),
            timeout_s=max(0.0, work.started + work.request.timeout_s - work.clock.monotonic()),
        )
        if outcome.verdict is not Verdict.SUCCESS:
            raise self._unanswered(through, outcome)
        return f"; answered through {through.url} as expected ({outcome.observations} requests)"

    def _served(self) -> dict[str, Server]:
        return {server.name: server for server in self._work.observe().select(self._work.plan.names)}

    def _unanswered(self, through: Through, outcome: Outcome[Passage]) -> SlipwayError:
        kind = Doomed if outcome.verdict is Verdict.DOOMED else TimedOut
        return kind(
            f"Through the balancer: {outcome.reason}; expected {through.expectation.describe()}, named by "
            f"{through.server_header}",
            untouched=self._work.put_back(),
            remedy=f"See which release runs behind that server. {AGAIN}",
            facts={**self._work.facts(), "url": through.url, "by": outcome.last.by},
        )

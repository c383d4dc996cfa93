# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of two pools gets the requests of a site: looked at, decided, switched, looked at again, or switched back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Passage, Through
from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import BalancerError, Driver, Pool
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    Doomed,
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

# Good answers in a row that say that the switch has come about.
_ANSWERS = 3


class Switch(Protocol):
    """How one kind of balancer is told which pool is live."""

    def require_rights(self) -> None:
        """Return when this user may switch.

        :raises SlipwayError: it may not.
        """

    def live(self) -> str:
        """Return the pool that gets the requests now, by the balancer's own word."""

    def settled(self) -> bool:
        """True when all of the balancer goes by that word, also after its restart."""

    def set_live(self, pool: str) -> None:
        """Let this pool get the requests, also after the balancer's restart.

        :raises SlipwayError: it was not done.
        """

    def pending(self) -> str:
        """What may still send requests to the pool from before, in words; empty when nothing does."""


@dataclass(frozen=True)
class SwitchRequest:
    """Which set is wanted, and of which sets."""

    wanted: str
    # Pool of each set.
    sets: Mapping[str, str]
    min_healthy: MinHealthy
    force: bool = False
    at_deadline: AtDeadline = AtDeadline.FAIL
    timeout_s: float = 60.0
    wait_timeout_s: float = 3600.0
    interval_s: float = 0.1
    confirm: int = 3

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked of the balancer.

        :raises InvalidOption: a value is out of its range.
        """
        if len(self.sets) != 2 or len(set(self.sets.values())) != 2:
            raise InvalidOption("sets", dict(self.sets), "two sets, each with a pool of its own")
        if self.wanted not in self.sets:
            raise InvalidOption("live", self.wanted, f"one of the sets: {', '.join(self.sets)}")
        for option, value, least in [
            ("timeout", self.timeout_s, 0.0),
            ("interval", self.interval_s, 0.01),
            ("confirm", self.confirm, 1),
        ]:
            if value < least:
                raise InvalidOption(option, value, f"a number that is at least {least:g}")

    @property
    def pool(self) -> str:
        """The pool that is wanted."""
        return self.sets[self.wanted]

    def name_of(self, pool: str) -> str:
        """The set of a pool.

        :raises BalancerError: it is the pool of none.
        """
        for name, mine in self.sets.items():
            if mine == pool:
                return name
        raise BalancerError(
            f"The pool {pool} is live, which is of none of the sets ({', '.join(self.sets.values())})",
            untouched="Nothing was changed",
            remedy="Name the two sets between which the balancer chooses",
            facts={"live": pool, "sets": dict(self.sets)},
        )


@dataclass(frozen=True)
class SwitchPlan:
    """What will be done, and why."""

    before: str
    after: str
    changed: bool
    reason: str


@dataclass(frozen=True)
class Switched:
    """What was done."""

    plan: SwitchPlan
    reason: str
    waited_s: float = 0.0
    # What was still open on the pool from before at the deadline.
    left: int = 0


def plan_switch(request: SwitchRequest, live: str, target: Pool, *, settled: bool = True) -> SwitchPlan:
    """Decide what has to be done. Pure.

    :param settled: whether all of the balancer goes by what it says.

    :raises Refused: the pool that is wanted could not bear it.
    """
    before = request.name_of(live)
    if before == request.wanted and settled:
        return SwitchPlan(before, before, False, f"{before} is live already")
    required = request.min_healthy.of(target.whole)
    healthy = len(target.serving)
    if healthy < max(required, 1) and not request.force:
        raise Refused(
            f"{request.wanted} has {healthy} healthy servers, and min_healthy asks for {max(required, 1)}. "
            f"{target.in_and_out()}",
            untouched=f"Nothing was changed: {before} is live",
            remedy="Start its servers and bring them into their pool first, lower min_healthy, or say force: true",
            facts={**target.facts(), "live": before, "required": max(required, 1)},
        )
    if before == request.wanted:
        return SwitchPlan(
            before, before, True, f"{before} is told to be live once more: a run before has not ended that"
        )
    return SwitchPlan(before, request.wanted, True, f"{request.wanted} takes the requests over from {before}")


@dataclass(frozen=True)
class SwitchTools:
    """What the work needs from outside."""

    switch: Switch
    driver: Driver
    clock: Clock
    lock: OneLock
    through: Through | None = None


def run_switch(request: SwitchRequest, tools: SwitchTools, *, check_mode: bool) -> Switched:
    """Make the wanted set live; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, which set is live now, what to do.
    """
    request.validate()
    tools.switch.require_rights()
    with tools.lock():
        # Both are looked at: a name that is wrong is found before anything is changed.
        pools = {pool: tools.driver.observe(pool) for pool in request.sets.values()}
        plan = plan_switch(request, tools.switch.live(), pools[request.pool], settled=tools.switch.settled())
        if check_mode:
            return Switched(plan, plan.reason)
        work = _Switching(request, tools, plan)
        work.switch()
    return work.finish()


class _Switching:
    """One run: switched, then looked at."""

    def __init__(self, request: SwitchRequest, tools: SwitchTools, plan: SwitchPlan) -> None:
        self._request = request
        self._tools = tools
        self._plan = plan
        self._started = tools.clock.monotonic()
        self._old = request.sets[next(name for name in request.sets if name != request.wanted)]

    def switch(self) -> None:
        """Tell the balancer, and ask it what it was told. Under the lock."""
        if not self._plan.changed:
            return
        try:
            self._tools.switch.set_live(self._request.pool)
            self._expect(self._request.pool)
        except SlipwayError as error:
            raise self._undone(error) from error

    def finish(self) -> Switched:
        """Wait until the new set answers and the old one has nothing left."""
        answered = self._wait_until_answered()
        left = self._wait_until_left()
        waited_s = self._tools.clock.monotonic() - self._started
        words = f"{left} requests were still open there" if left else "none of its requests is left"
        old = next(name for name in self._request.sets if name != self._request.wanted)
        reason = f"{self._plan.reason}{answered}; of {old} after {waited_s:.1f} s {words}"
        return Switched(self._plan, reason, waited_s, left)

    def _expect(self, pool: str) -> None:
        live = self._tools.switch.live()
        if live != pool:
            raise Doomed(f"The balancer was told {pool} and says {live}: somebody else changes it")

    def _undone(self, error: SlipwayError) -> SlipwayError:
        seen = f"{error.seen.rstrip('.')}. {error.untouched}".rstrip(". ")
        facts = {**error.facts, "changed": False}
        if not self._plan.changed:
            return SlipwayError(seen, untouched=f"{self._plan.before} is live", remedy=error.remedy, facts=facts)
        try:
            with self._tools.lock():
                pool = self._request.sets[self._plan.before]
                if self._tools.switch.live() != pool:
                    self._tools.switch.set_live(pool)
                    self._expect(pool)
        except SlipwayError as second:
            untouched = f"It could not be switched back: {second.message}"
            return SlipwayError(seen, untouched=untouched, remedy=error.remedy, facts={**facts, "changed": True})
        return SlipwayError(seen, untouched=f"{self._plan.before} is live, as before", remedy=error.remedy, facts=facts)

    def _left_s(self, timeout_s: float) -> float:
        return max(0.0, self._started + timeout_s - self._tools.clock.monotonic())

    def _wait_until_answered(self) -> str:
        through, request = self._tools.through, self._request
        if through is None:
            return ""
        servers = self._tools.driver.observe(request.pool).servers
        words = {word for server in servers for word in (server.name, server.address)}

        def judge(passage: Passage) -> Judgement:
            ours = passage.by in words
            by = passage.by or "an unknown server"
            if ours and passage.wrong:
                return Judgement(Verdict.DOOMED, f"{by}: {passage.text}")
            good = ours and passage.good
            return Judgement(
                Verdict.SUCCESS if good else Verdict.RETRY, f"the last answer came from {by}: {passage.text}"
            )

        outcome = poll(
            lambda: through.ask(self._tools.clock),
            judge,
            clock=self._tools.clock,
            interval_s=min(request.interval_s, 0.05),
            timeout_s=self._left_s(request.timeout_s),
            confirm=_ANSWERS,
        )
        if outcome.verdict is Verdict.SUCCESS:
            return f"; answered through {through.url} as expected ({outcome.observations} requests)"
        raise self._undone(
            TimedOut(
                f"{request.wanted} did not answer as it should through {through.url}: {outcome.reason}; expected "
                f"{through.expectation.describe()}",
                remedy="See which release runs in its servers",
                facts={"url": through.url, "by": outcome.last.by},
            )
        )

    def _wait_until_left(self) -> int:
        """Return how many requests were left on the other pool at the deadline."""
        request = self._request

        def judge(pool: Pool) -> Judgement:
            quiet = all(server.quiet for server in pool.servers) and not self._tools.switch.pending()
            return Judgement(Verdict.SUCCESS if quiet else Verdict.RETRY, "")

        for timeout_s in (request.timeout_s, request.wait_timeout_s):
            outcome = poll(
                lambda: self._tools.driver.observe(self._old),
                judge,
                clock=self._tools.clock,
                interval_s=request.interval_s,
                timeout_s=self._left_s(timeout_s),
                confirm=request.confirm + 1,
            )
            if not outcome.timed_out:
                return 0
            if request.at_deadline is AtDeadline.CUT:
                return max(1, _open(outcome.last))
            if request.at_deadline is AtDeadline.FAIL:
                break
        pending = self._tools.switch.pending()
        raise self._undone(
            TimedOut(
                f"{_open(outcome.last)} requests were still open in pool {self._old} after {timeout_s:g} s"
                + (f", and {pending}" if pending else ""),
                remedy="Give more time than the slowest request takes, or say on_timeout: cut to leave them there",
                facts={"left": _open(outcome.last)},
            )
        )


def _open(pool: Pool) -> int:
    return sum(server.open for server in pool.servers)

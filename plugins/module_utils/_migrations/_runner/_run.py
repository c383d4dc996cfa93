# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has, how far it got, and how it waits for locks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Applied
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._blockers import (
    Blocker,
    Watcher,
    long_holders,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    DEADLOCK,
    LOCK_NOT_AVAILABLE,
    error_text,
    sqlstate,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import Journal
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._steps import Step, runs_python
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._tripwire import Guard
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

# Pauses grow up to this many lock timeouts: readers then wait for a tenth of the time.
_LONGEST_PAUSE = 20
_FIRST_SHARE = 0.25
_SHORTEST_S = 0.01
TRY_AGAIN = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK})


def full_jitter(limit_s: float) -> float:
    """Any time up to the limit, so that two who wait don't meet again and again."""
    return random.uniform(0.0, limit_s)


def timeout_of(number: int, longest_s: float) -> float:
    """Return how long the try of this number may wait, the first being 1: a quarter first, the whole from the third on.

    Most locks come at once or not at all; who gets none at first must wait longer than the others' transactions last.
    """
    return min(longest_s, max(_SHORTEST_S, longest_s * _FIRST_SHARE * 2.0 ** min(number - 1, 9)))


@dataclass
class Budget:
    """The time that a run may spend on tries that got no lock, and on the pauses after them.

    :param stall_limit_s: the part of it in which others may have waited behind a try.
    """

    limit_s: float
    jitter: Callable[[float], float] = full_jitter
    spent_s: float = 0.0
    stall_limit_s: float = math.inf
    stalled_s: float = 0.0

    def __str__(self) -> str:
        stall = "" if self.stall_limit_s == math.inf else f" and the stall_budget of {self.stall_limit_s:g} s"
        return f"the lock_budget of {self.limit_s:g} s{stall}"

    def pause_s(self, tries: int, lock_timeout_s: float) -> float | None:
        """Return how long to wait after so many tries, None when the budget does not last for one more."""
        if self.stalled_s + timeout_of(tries + 1, lock_timeout_s) > self.stall_limit_s:
            return None
        pause = self.jitter(lock_timeout_s * min(2.0**tries, _LONGEST_PAUSE))
        return pause if self.spent_s + pause + lock_timeout_s <= self.limit_s else None


Tell = Callable[..., None]


def _nobody(*_args: object, **_kwargs: object) -> None:
    """Told when nobody wants to know."""


@dataclass
class Progress:
    """How far the migration is that runs now.

    :param step: the operation that was begun last.
    :param operations: how many operations are done.
    :param start: the operation that it begins with: not the first when it is resumed.
    :param deferred: what runs now is what Django leaves for the end of a migration.
    :param statements: how many statements of the begun operation have taken effect.
    :param doubtful: a statement was sent that leaves something behind also when it fails.
    :param waited_s: the time of tries without a lock, with the pauses after them.
    """

    step: Step | None = None
    start: int = 0
    deferred: bool = False
    python_ran: bool = False
    operations: int = 0
    statements: int = 0
    doubtful: bool = False
    tries: int = 0
    waited_s: float = 0.0
    blockers: list[Blocker] = field(default_factory=list)

    def begin(self, step: Step) -> None:
        """The next operation begins."""
        self.step, self.statements, self.doubtful = step, 0, False
        self.python_ran = self.python_ran or runs_python(step.operation)

    @property
    def nothing_done(self) -> bool:
        """True when surely nothing of the migration has taken effect, inside of the database or outside."""
        return self.operations == 0 and self.statements == 0 and not self.doubtful and not self.python_ran


@dataclass
class Run:
    """The parts of a run.

    :param applied: what was applied or undone so far.
    :param plan: the verdicts on the migrations by ``app.name``.
    :param guard: ends what nobody foresaw; None where nobody can be kept waiting.
    :param resume: where to begin with those of which a part is done.
    """

    request: Request
    work: Any
    lock: Any
    journal: Journal
    watcher: Watcher
    executor: Any
    clock: Clock
    budget: Budget
    applied: list[Applied] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    plan: Mapping[str, Judged] = field(default_factory=dict)
    resume: Mapping[str, int] = field(default_factory=dict)
    tell: Tell = _nobody
    guard: Guard | None = None

    def reason(self, migration: Any) -> str:
        """Why the migration may run though it is not known to be harmless; empty when nobody had to say."""
        judged = self.plan.get(f"{migration.app_label}.{migration.name}")
        return judged.acknowledged if judged else ""

    def now_ms(self, since: float) -> int:
        return round((self.clock.monotonic() - since) * 1000)

    def wait_for_lock(self, began: float, error: BaseException) -> None:
        """Account for a try that got no lock, and wait before the next one.

        :raises SlipwayError: the budget is spent. There is no last try without a limit.
        """
        progress, timeout_s = self.progress, self.request.lock_timeout_ms / 1000
        progress.blockers = self.watcher.end() or progress.blockers
        tried_s = self.clock.monotonic() - began
        self._spend(tried_s)
        self.budget.stalled_s += tried_s
        pause = self.budget.pause_s(progress.tries, timeout_s)
        if pause is None:
            raise SlipwayError(
                f"{error_text(error)}: no lock in {progress.tries} tries of up to {self.request.lock_timeout_ms} ms"
                f" within {self.budget}; {_held_by(progress.blockers)}",
                remedy="Wait until those have ended, or end them, and run again; or give a longer lock_budget, or a"
                f" longer lock_timeout_ms, for which readers then wait{_autovacuum(progress.blockers)}",
                facts={"sqlstate": sqlstate(error)},
            ) from error
        self.clock.sleep(pause)
        self._spend(pause)

    def timeout_ms(self) -> int:
        """How long the next statement may wait for its lock, by the number of tries so far."""
        return round(timeout_of(self.progress.tries, self.request.lock_timeout_ms / 1000) * 1000)

    def judged(self, migration: Any) -> Judged | None:
        """The verdicts on a migration, None when there are none."""
        return self.plan.get(f"{migration.app_label}.{migration.name}")

    def wait_for_long_transactions(self, migration: Any) -> None:
        """Before the first try, without standing in the queue: nobody waits behind us meanwhile.

        At most half of the budget. Who can't be seen, or stays, is met by the tries.
        """
        judged = self.judged(migration)
        tables = sorted(blocked_tables(judged)) if judged else []
        if not tables:
            return
        limit_s = self.request.long_transaction_s

        def judge(found: Sequence[Blocker]) -> Judgement:
            if found:
                self.tell(f"{migration.app_label}.{migration.name} waits", text=_held_by(found), unit="")
            return Judgement(Verdict.RETRY if found else Verdict.SUCCESS, "")

        outcome = poll(
            lambda: long_holders(self.lock, tables, limit_s),
            judge,
            clock=self.clock,
            interval_s=0.5,
            timeout_s=max(0.0, (self.budget.limit_s - self.budget.spent_s) / 2),
        )
        self.progress.blockers = list(outcome.last)
        if outcome.observations > 1:
            self._spend(outcome.elapsed_s)

    def _spend(self, seconds: float) -> None:
        self.budget.spent_s += seconds
        self.progress.waited_s += seconds


def blocked_tables(judged: Judged) -> set[str]:
    """The tables on which a migration takes a lock that others wait for, as far as the plan knows."""
    pairs = zip(judged.migration.operations, judged.verdicts)
    return {
        table.name
        for operation, verdict in pairs
        if verdict.lock != "online"
        for table in (*operation.tables, *((operation.table,) if operation.table else ()))
    }


def _held_by(blockers: Sequence[Blocker]) -> str:
    return f"held by {'; '.join(map(str, blockers))}" if blockers else "who held it was not seen"


def _autovacuum(blockers: Sequence[Blocker]) -> str:
    if not any("autovacuum" in blocker.kind for blocker in blockers):
        return ""
    return ". An autovacuum gives way only to one who waits longer than deadlock_timeout (1 s): lock_timeout_ms: 1500"

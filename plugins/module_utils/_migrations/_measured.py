# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal has measured, what that means for a site that serves, and how it differs from the plan.

Measured wins over claimed, with two exceptions that fail closed: a copy without rows says nothing about Python code,
and the catalogs say nothing about what the new code needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import UNFORESEEN
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import (
    LOCKS,
    LONG_WORK_BYTES,
    Judged,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    CONTRACT,
    EXPAND,
    FAILS,
    OFFLINE,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN

# From weak to strong, as pg_locks names them.
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
# From here on writers wait; for the last one readers too.
_FIRST_BLOCKING = MODES.index("ShareLock")

# Kinds of work that grow with the table.
REWRITE = "rewrite"
VERIFY = "verify"
BUILD = "build index"
VALIDATE = "validate foreign key"
SCAN = "scan"
WRITE = "write rows"

# Below so many rows a time says nothing about a table of another size.
BASIS_ROWS = 100_000
# Real times were 0.6 to 2.6 times what the sizes let expect, from 100,000 rows to sixteen times as many.
_LEAST, _MOST = 0.6, 2.6


@dataclass(frozen=True)
class Lock:
    """A lock on a relation that was there before the run."""

    relation: str
    mode: str

    @property
    def blocking(self) -> bool:
        """Whether somebody's writes wait for it."""
        return MODES.index(self.mode) >= _FIRST_BLOCKING

    def __str__(self) -> str:
        return f"{self.mode} on {self.relation}"


@dataclass(frozen=True)
class Work:
    """Something that takes longer the larger the table is. ``rows`` counts those that were written."""

    kind: str
    table: str
    rows: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} of {self.table}" if self.kind in {REWRITE, SCAN} else f"{self.kind} on {self.table}"


@dataclass(frozen=True)
class Statement:
    """One statement of a migration as it was seen to run.

    :param operation: index of the operation; None for what Django leaves for the end.
    :param taken: the locks that it took.
    :param held: the blocking locks that its transaction held at its end, those of earlier statements included.
    :param times: how many statements of the same text in a row this stands for.
    """

    operation: int | None
    sql: str
    ms: float
    taken: tuple[Lock, ...] = ()
    held: tuple[Lock, ...] = ()
    work: tuple[Work, ...] = ()
    error: str = ""
    times: int = 1

    def lock(self, sizes: Mapping[str, Table]) -> str:
        """Return the class: ``online``, ``care``, ``downtime`` or ``fails``.

        :param sizes: the tables of the live database. Work on one that is not among them is long work.
        """
        if self.error:
            return FAILS
        if not any(lock.blocking for lock in (*self.taken, *self.held)):
            return "online"
        return "downtime" if any(_is_long(work, sizes) for work in self.work) else "care"


def _is_long(work: Work, sizes: Mapping[str, Table]) -> bool:
    table = sizes.get(work.table)
    return table is None or table.bytes is None or table.bytes > LONG_WORK_BYTES


def estimate_ms(statement: Statement, copy: Mapping[str, Table], live: Mapping[str, Table]) -> tuple[int, int] | None:
    """Return from when to when the statement may take on the live database, None when nothing can be said.

    :param copy: the tables of the copy that it was measured on, before the run.
    """
    factors = [_factor(copy.get(work.table), live.get(work.table)) for work in statement.work]
    if not factors or statement.error:
        return None
    known = [factor for factor in factors if factor is not None]
    if len(known) < len(factors):
        return None
    expected = statement.ms * max(known)
    return round(expected * _LEAST), round(expected * _MOST)


def _factor(copy: Table | None, live: Table | None) -> float | None:
    if copy is None or live is None or not copy.bytes or live.bytes is None or (copy.rows or 0) < BASIS_ROWS:
        return None
    return live.bytes / copy.bytes


@dataclass(frozen=True)
class Measured:
    """A migration as the rehearsal saw it.

    :param breaks: what old code can't live with, from the catalogs before and after.
    :param doubts: what it may or may not live with.
    :param invalid: INVALID indexes that it left.
    """

    key: str
    ms: int
    statements: tuple[Statement, ...]
    breaks: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Finding:
    """Plan and rehearsal of a migration side by side.

    :param phase: what counts, as ``lock``; ``differs`` says in words where that is not what the plan said.
    :param rows: whether the copy had the rows of the site.
    """

    judged: Judged
    measured: Measured
    phase: str
    lock: str
    differs: tuple[str, ...]
    rows: bool

    @property
    def refused(self) -> bool:
        """As in the plan: what is not harmless needs a person's word. A failure is never acknowledged.

        Who has let the plan pass did not know of what only the rehearsal has shown.
        """
        if self.measured.error or self.measured.invalid:
            return True
        harmless = self.phase == EXPAND and self.lock not in {"downtime", FAILS}
        word = self.judged.acknowledged and not (self.judged.refused or self._is_unforeseen)
        return not harmless and not word

    @property
    def _is_unforeseen(self) -> bool:
        waits = self.lock == "downtime" and self.judged.lock != "downtime"
        breaks = self.phase == CONTRACT and self.judged.phase != CONTRACT
        return (waits or breaks) and all(each.rule != UNFORESEEN for each in self.judged.acknowledgements)

    @property
    def status(self) -> str:
        """One word for a table."""
        if self.measured.error:
            return "fails"
        return "refused" if self.refused else "acknowledged" if self.judged.acknowledged else "ready"


def find(judged: Judged, measured: Measured, sizes: Mapping[str, Table], *, rows: bool, first: bool) -> Finding:
    """Hold the plan for a migration against what was measured.

    :param rows: the copy had the rows of the site, so that Python code and data statements had something to do.
    :param first: no migration was ever applied: there is no old code and nobody waits.
    """
    if first and not measured.error:
        return Finding(judged, measured, judged.phase, judged.lock, (), rows)
    differs = [*_lock_differences(judged, measured, sizes, rows)]
    lock = _worst(_lock_of(operation, measured, sizes) for operation in _indexes(judged, measured))
    if not rows and lock != "downtime":
        lock = _worst([lock, *_unseen(judged)])
    # Where no old code runs, nothing is broken.
    phase = _phase(judged, measured) if judged.old_code else EXPAND
    if judged.old_code and phase != (EXPAND if judged.phase == OFFLINE else judged.phase):
        because = f": {'; '.join(measured.breaks)}" if measured.breaks else ": the catalogs show nothing that breaks"
        differs.append(f"the plan said {judged.phase}, measured {phase}{because}")
    elif judged.old_code and judged.phase == CONTRACT and not measured.breaks:
        differs.append("the plan says contract, and no catalog shows why: the plan's reason stands")
    # How long others wait is a matter of what was measured, not of what the plan feared.
    phase = OFFLINE if phase == EXPAND and lock == "downtime" else phase
    return Finding(judged, measured, phase, lock, tuple(differs), rows)


def _worst(locks: Any) -> str:
    return max(locks, key=LOCKS.index, default="online")


def _indexes(judged: Judged, measured: Measured) -> list[int | None]:
    return [*range(len(judged.verdicts)), *([None] if any(s.operation is None for s in measured.statements) else [])]


def _lock_of(operation: int | None, measured: Measured, sizes: Mapping[str, Table]) -> str:
    return _worst(each.lock(sizes) for each in measured.statements if each.operation == operation)


def _lock_differences(judged: Judged, measured: Measured, sizes: Mapping[str, Table], rows: bool) -> list[str]:
    found = []
    for operation, verdict in zip(judged.migration.operations, judged.verdicts):
        lock = _lock_of(operation.index, measured, sizes)
        unseen = not rows and (_says_nothing(operation) or verdict.lock == FAILS)
        if lock == verdict.lock or (unseen and lock != FAILS):
            continue
        found.append(
            f"operation {operation.index}: the plan said {verdict.lock} ({verdict.rule}), measured {lock}"
            f"{_reason(operation.index, measured, sizes)}"
        )
    return found


def _reason(operation: int, measured: Measured, sizes: Mapping[str, Table]) -> str:
    ran = [each for each in measured.statements if each.operation == operation]
    if not ran:
        return ""
    worst = max(ran, key=lambda each: LOCKS.index(each.lock(sizes)))
    if worst.error:
        return f": {worst.error}"
    work = ", ".join(map(str, worst.work))
    locks = ", ".join(str(lock) for lock in dict.fromkeys((*worst.taken, *worst.held)) if lock.blocking)
    return ": " + " under ".join(part for part in (work, locks) if part) if work or locks else ""


def _unseen(judged: Judged) -> list[str]:
    """The claims of the plan that a copy without rows can't disprove."""
    pairs = zip(judged.migration.operations, judged.verdicts)
    return [verdict.lock for operation, verdict in pairs if verdict.lock == FAILS or _says_nothing(operation)]


def _says_nothing(operation: Operation) -> bool:
    """Python code does its work on rows: on a copy without them it was not seen to do it."""
    return operation.opaque or any(map(_says_nothing, operation.inner))


def _phase(judged: Judged, measured: Measured) -> str:
    if measured.breaks:
        return CONTRACT
    if judged.phase != UNKNOWN:
        return EXPAND if judged.phase == OFFLINE else judged.phase
    doubtful = [
        operation
        for operation, verdict in zip(judged.migration.operations, judged.verdicts)
        # Where the plan knows the lock it knows the operation, and its doubt is one that no catalog can settle.
        if verdict.phase == UNKNOWN and (verdict.lock != UNKNOWN or not _is_seen(operation, measured))
    ]
    return UNKNOWN if doubtful or measured.doubts else EXPAND


def _is_seen(operation: Operation, measured: Measured) -> bool:
    """Whether the catalogs tell all that an operation has done: SQL that wrote and read no rows itself."""
    if _says_nothing(operation):
        return False
    ran = [each for each in measured.statements if each.operation == operation.index]
    return bool(ran) and not any(_is_data(each) for each in ran)


def _is_data(statement: Statement) -> bool:
    return statement.sql.lstrip().partition(" ")[0].upper() in {"INSERT", "UPDATE", "DELETE", "SELECT", "WITH", "MERGE"}


def merged(statements: Sequence[Statement]) -> list[Statement]:
    """Return the statements with those of the same text in a row made one: a loop of a thousand saves is one line."""
    found: list[Statement] = []
    for each in statements:
        last = found[-1] if found else None
        if last and (last.operation, last.sql, last.error) == (each.operation, each.sql, each.error):
            found[-1] = _together(last, each)
        else:
            found.append(each)
    return found


def _together(one: Statement, other: Statement) -> Statement:
    work: dict[tuple[str, str], int | None] = {}
    for each in (*one.work, *other.work):
        before = work.get((each.kind, each.table))
        work[each.kind, each.table] = each.rows if before is None else before + (each.rows or 0)
    return Statement(
        one.operation,
        one.sql,
        one.ms + other.ms,
        tuple(dict.fromkeys((*one.taken, *other.taken))),
        tuple(dict.fromkeys((*one.held, *other.held))),
        tuple(Work(kind, table, rows) for (kind, table), rows in work.items()),
        one.error,
        one.times + other.times,
    )

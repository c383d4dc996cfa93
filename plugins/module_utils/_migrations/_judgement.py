# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation means for the release that still runs, and for those who use the table meanwhile.

Two questions, apart: can the old code live with the new schema (``phase``), and who waits while the statements
run (``lock``). The answers come from the table in ``_rules``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules import (
    CONTRACT,
    EXPAND,
    FAILS,
    RULES,
    UNDO,
    UNDO_RULES,
    Context,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN

# Work on more than this under a blocking lock is downtime: reading it takes about a second on a cold disk.
LONG_WORK_BYTES = 64 << 20

# From harmless to not: `care` blocks for a moment, `downtime` for as long as the work lasts.
LOCKS = ("online", "care", "downtime", UNKNOWN, FAILS)
# What is known to break old code weighs more than what is not known.
PHASES = (EXPAND, UNDO, UNKNOWN, CONTRACT)


@dataclass(frozen=True)
class Verdict:
    """The answer for one operation.

    :param rule: the name of the rule that decided.
    :param phase: one of ``PHASES``.
    :param lock: one of ``LOCKS``.
    """

    rule: str
    phase: str
    lock: str
    why: str
    instead: str = ""

    @property
    def additive(self) -> bool:
        """Whether the old code is known to work with the schema after it."""
        return self.phase == EXPAND

    @property
    def harmless(self) -> bool:
        """Whether it may run without anybody's word for it."""
        return self.phase in {EXPAND, UNDO} and self.lock not in {"downtime", FAILS}


def judge_operation(operation: Operation, context: Context, *, backwards: bool = False) -> Verdict:
    """Return the verdict of the first rule that applies; for a wrapper that of its worst inner operation."""
    inner = [judge_operation(each, context, backwards=backwards) for each in operation.inner]
    verdict = _by_rule(operation, context, backwards)
    if inner and verdict.rule in {"anything-else", "undo"}:
        verdict = max(inner, key=_weight)
    if not context.first or backwards or verdict.additive or verdict.lock == FAILS:
        return verdict
    return Verdict(
        "first-migrations", EXPAND, "online", "no migration was ever applied here: no old code uses this database"
    )


def _by_rule(operation: Operation, context: Context, backwards: bool) -> Verdict:
    table = UNDO_RULES if backwards else RULES
    rule = next(
        rule
        for rule in table
        if (not rule.kinds or (operation.builtin and operation.kind in rule.kinds)) and rule.when(operation, context)
    )
    return Verdict(rule.name, rule.phase, _lock(rule.work, operation), rule.why, rule.instead)


def _weight(verdict: Verdict) -> tuple[int, int]:
    return (PHASES.index(verdict.phase), LOCKS.index(verdict.lock))


def _lock(work: str, operation: Operation) -> str:
    if work != "long":
        return {"none": "online", "brief": "care"}.get(work, work)
    table = operation.table
    small = table is None or (table.bytes is not None and table.bytes <= LONG_WORK_BYTES)
    return "care" if small else "downtime"


@dataclass(frozen=True)
class Judged:
    """A migration with the verdicts on its operations, in their order."""

    migration: Migration
    verdicts: tuple[Verdict, ...]
    acknowledged: str = ""

    @property
    def phase(self) -> str:
        return max((verdict.phase for verdict in self.verdicts), key=PHASES.index, default=EXPAND)

    @property
    def lock(self) -> str:
        return max((verdict.lock for verdict in self.verdicts), key=LOCKS.index, default="online")

    @property
    def objections(self) -> tuple[tuple[Operation, Verdict], ...]:
        """The operations that nobody but a person can let pass."""
        pairs = zip(self.migration.operations, self.verdicts)
        return tuple((operation, verdict) for operation, verdict in pairs if not verdict.harmless)

    @property
    def refused(self) -> bool:
        return bool(self.objections) and not self.acknowledged


def judge(migration: Migration, *, first: bool, acknowledged: Mapping[str, str]) -> Judged:
    """Return the migration with a verdict for each operation.

    :param first: no migration was ever applied to this database.
    :param acknowledged: reasons by ``app.name``; they let pass what is not known to be harmless, never an undoing.
    """
    context = Context(migration.atomic, first)
    verdicts = tuple(judge_operation(each, context, backwards=migration.backwards) for each in migration.operations)
    reason = "" if migration.backwards else acknowledged.get(migration.key, "")
    return Judged(migration, verdicts, reason)

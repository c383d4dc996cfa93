# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation means for the release that still runs, and for those who use the table meanwhile.

Two questions, apart: can the old code live with the new schema (``phase``), and who waits while the statements
run (``lock``). The answers come from the table in ``_rules``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import (
    Acknowledgement,
    granted,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._instead import filled, names_of
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    BRIEF,
    CONTRACT,
    EXPAND,
    FAILS,
    LONG,
    MODES,
    NONE,
    OFFLINE,
    OLDEST_SERVER,
    UNDO,
    AnyRule,
    Context,
    Rule,
    work_of,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import (
    OPERATION_RULES,
    STATE_RULES,
    UNDO_RULES,
    rules_of,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action, parse

# Work on more than this under a blocking lock is downtime: reading it takes about a second on a cold disk.
LONG_WORK_BYTES = 64 << 20

# From harmless to not: `care` blocks for a moment, `downtime` for as long as the work lasts.
LOCKS = ("online", "care", "downtime", UNKNOWN, FAILS)
_BEARABLE = frozenset({"online", "care"})
# What is known to break old code weighs more than what is not known.
PHASES = (EXPAND, UNDO, OFFLINE, UNKNOWN, CONTRACT)
_NEW = {rule.name: rule for rule in OPERATION_RULES if rule.name in {"new-table", "new-table-refers"}}


@dataclass(frozen=True)
class Verdict:
    """The answer for one operation, or for one action of a statement.

    :param rule: the name of the rule that decided.
    :param phase: one of ``PHASES``.
    :param lock: one of ``LOCKS``.
    :param code: the code to write instead.
    :param mode: the strongest lock mode on a table in use, as PostgreSQL names it.
    :param rewrite: all rows of a table are written anew.
    :param scan: all rows of a table are read.
    :param statement: position of the statement in the operation's SQL; None for the operation itself.
    :param findings: for an operation, what each rule says that applies to it.
    """

    rule: str
    phase: str
    lock: str
    why: str
    instead: str = ""
    code: str = ""
    mode: str = ""
    rewrite: bool = False
    scan: bool = False
    statement: int | None = None
    findings: tuple[Verdict, ...] = ()

    @property
    def additive(self) -> bool:
        """Whether the old code is known to work with the schema after it."""
        return self.phase in {EXPAND, OFFLINE}

    @property
    def harmless(self) -> bool:
        """Whether it may run without anybody's word for it."""
        return self.phase in {EXPAND, UNDO} and self.lock not in {"downtime", FAILS}

    @property
    def objections(self) -> tuple[Verdict, ...]:
        """The findings that are not harmless."""
        return tuple(each for each in self.findings or (self,) if not each.harmless)


def judge_operation(operation: Operation, context: Context, *, backwards: bool = False) -> Verdict:
    """Return the verdict on an operation: the worst of all that the rules find in it."""
    findings = _undoing(operation, context) if backwards else _findings(operation, context)
    verdict = _combined(findings)
    if not context.first or backwards or verdict.additive or verdict.lock == FAILS:
        return verdict
    return Verdict(
        "first-migrations", EXPAND, "online", "no migration was ever applied here: no old code uses this database"
    )


def _findings(operation: Operation, context: Context) -> list[Verdict]:
    found = [
        _verdict(rule, operation, None, context.migration) for rule in STATE_RULES if _applies(rule, operation, context)
    ]
    if operation.inner:
        inside = context
        for each in operation.inner:
            verdict = judge_operation(each, replace(inside, first=False))
            found.extend(verdict.findings)
            inside = advanced(inside, each, verdict)
        return found
    rule = next((rule for rule in OPERATION_RULES if _applies(rule, operation, context)), None)
    if rule is not None:
        return [*found, _verdict(rule, operation, None, context.migration)]
    return [*found, *_of_statements(operation, context)]


def _undoing(operation: Operation, context: Context) -> list[Verdict]:
    rule = next(rule for rule in UNDO_RULES if _applies(rule, operation, context))
    return [_verdict(rule, operation, None)]


def _applies(rule: Rule, operation: Operation, context: Context) -> bool:
    return (not rule.on or (operation.builtin and operation.kind in rule.on)) and rule.when(operation, context)


def _of_statements(operation: Operation, context: Context) -> list[Verdict]:
    found: list[Verdict] = []
    for number, statement in enumerate(operation.sql):
        for action in parse(statement):
            verdicts = _of_action(action, operation, context)
            found.extend(replace(each, statement=number) for each in verdicts)
            context = _after_action(context, action, operation, verdicts)
    # A text without any action: comments.
    return found or [_verdict(_NOTHING, operation, None)]


_NOTHING = next(rule for rule in OPERATION_RULES if rule.name == "no-statement")


def _of_action(action: Action, operation: Operation, context: Context) -> list[Verdict]:
    rules: Sequence[AnyRule] = rules_of(action, operation, context)
    if action.relation in context.made and not any(rule.fails for rule in rules):
        refers = bool(action.refers) and action.refers not in context.made
        return [_verdict(_NEW["new-table-refers" if refers else "new-table"], operation, action)]
    return [_verdict(rule, operation, action, context.migration) for rule in rules]


def _verdict(rule: AnyRule, operation: Operation, action: Action | None, migration: str = "") -> Verdict:
    work = work_of(rule)
    known = names_of(operation, action, migration)
    lock = _lock(work, operation, action)
    return Verdict(
        rule=rule.name,
        phase=OFFLINE if rule.phase == EXPAND and lock == "downtime" else rule.phase,
        lock=lock,
        why=filled(rule.why, known),
        instead=rule.instead,
        code=filled(rule.code, known),
        mode=rule.lock,
        rewrite=rule.rewrite,
        scan=rule.scan,
    )


def _lock(work: str, operation: Operation, action: Action | None) -> str:
    if work != LONG:
        return {NONE: "online", BRIEF: "care"}.get(work, work)
    table = _table(operation, action)
    return "care" if table is not None and table.bytes is not None and table.bytes <= LONG_WORK_BYTES else "downtime"


def _table(operation: Operation, action: Action | None) -> Table | None:
    """The table that is worked through."""
    if action is not None and action.relation:
        known = (*operation.tables, *((operation.table,) if operation.table else ()))
        return next((table for table in known if table.name == action.relation), None)
    return operation.table if operation.builtin else None


def _combined(findings: Sequence[Verdict]) -> Verdict:
    """One verdict for all findings: each of its parts is that of the worst."""
    worst = max(findings, key=_weight)
    return replace(
        worst,
        lock=max((each.lock for each in findings), key=LOCKS.index),
        mode=max((each.mode for each in findings), key=MODES.index),
        rewrite=any(each.rewrite for each in findings),
        scan=any(each.scan for each in findings),
        statement=None,
        findings=tuple(findings),
    )


def _weight(verdict: Verdict) -> tuple[int, int, bool, bool]:
    return (PHASES.index(verdict.phase), LOCKS.index(verdict.lock), verdict.rewrite, verdict.scan)


# --- what an operation changes for those after it ---


def advanced(context: Context, operation: Operation, verdict: Verdict) -> Context:
    """Return the context of the next operation."""
    if operation.inner:
        for each in operation.inner:
            context = advanced(context, each, verdict)
        return context
    for statement in operation.sql:
        for action in parse(statement):
            context = _after_action(context, action, operation, [verdict])
    return context


def _after_action(context: Context, action: Action, operation: Operation, verdicts: Iterable[Verdict]) -> Context:
    made, proven = context.made, context.proven
    if action.kind in _MAKES:
        made |= {action.relation, action.target} - {""}
    elif "index" in action.kind and action.kind.startswith("create ") and action.relation in made:
        made |= {action.target} - {""}
    elif action.kind == "rename table" and action.relation in made:
        made |= {action.target}
    elif action.kind.startswith("drop ") and action.relation in made and action.target == "":
        made -= {action.relation}
    used = action.relation not in made and not operation.new_table
    held = context.held or (used and any(each.mode == ACCESS for each in verdicts))
    if action.kind == "add check" and action.proves:
        proven |= {(action.relation, action.proves)}
    elif action.kind == "validate":
        proven |= {
            (action.relation, column) for name, column in _checks(operation, action, context) if name == action.target
        }
    unvalidated = context.unvalidated
    if action.kind == "add check not valid" and action.proves:
        unvalidated |= {(action.relation, action.target, action.proves)}
    elif action.kind == "drop constraint":
        # It may be the one that proved it.
        proven = frozenset(each for each in proven if each[0] != action.relation)
    return replace(context, made=made, proven=proven, held=held, unvalidated=unvalidated)


_MAKES = frozenset(
    {
        "create table",
        "create temporary table",
        "create table as",
        "create partition",
        "create view",
        "create materialized view",
    }
)


def _checks(operation: Operation, action: Action, context: Context) -> list[tuple[str, str]]:
    """Name and column of the checks that are not valid yet."""
    here = [(name, column) for table, name, column in context.unvalidated if table == action.relation]
    table = _table(operation, action)
    return here + [(name, column) for name, column, _valid in (table.checks if table else ())]


# --- migrations ---


@dataclass(frozen=True)
class Judged:
    """A migration with the verdicts on its operations, in their order.

    :param acknowledgements: those of its objections that a person has let pass.
    :param old_code: whether code of before still runs; without it only the waiting counts.
    """

    migration: Migration
    verdicts: tuple[Verdict, ...]
    acknowledgements: tuple[Acknowledgement, ...] = ()
    old_code: bool = True

    @property
    def phase(self) -> str:
        return max((verdict.phase for verdict in self.verdicts), key=PHASES.index, default=EXPAND)

    @property
    def lock(self) -> str:
        return max((verdict.lock for verdict in self.verdicts), key=LOCKS.index, default="online")

    @property
    def additive(self) -> bool:
        """Whether the old code is known, or said by a person, to work with the schema after it."""
        allowed = {each.rule for each in self.acknowledgements}
        findings = (each for verdict in self.verdicts for each in verdict.findings or (verdict,))
        return all(each.additive or each.rule in allowed for each in findings)

    @property
    def objections(self) -> tuple[tuple[Operation, Verdict], ...]:
        """The findings that nobody but a person can let pass."""
        pairs = zip(self.migration.operations, self.verdicts)
        found = ((operation, each) for operation, verdict in pairs for each in verdict.objections)
        return tuple(pair for pair in found if self.old_code or pair[1].lock not in _BEARABLE)

    @property
    def open_objections(self) -> tuple[tuple[Operation, Verdict], ...]:
        """Those of them that nobody has let pass."""
        allowed = {each.rule for each in self.acknowledgements}
        return tuple(pair for pair in self.objections if pair[1].rule not in allowed)

    @property
    def ever_objecting(self) -> frozenset[str]:
        """The rules that object here, or would if the tables were large."""
        findings = (each for verdict in self.verdicts for each in verdict.findings or (verdict,))
        return frozenset(each.rule for each in findings if not each.harmless or each.scan or each.rewrite)

    @property
    def acknowledged(self) -> str:
        """The reasons for which objections are let pass, for people; empty when there is none."""
        return "; ".join(map(str, self.acknowledgements))

    @property
    def refused(self) -> bool:
        return bool(self.open_objections)


def judge_all(
    migrations: Sequence[Migration],
    *,
    first: bool,
    acknowledged: Mapping[str, Mapping[str, str] | str],
    server: int = OLDEST_SERVER,
    old_code: bool = True,
) -> list[Judged]:
    """Return the migrations of a plan, in their order, with a verdict for each operation.

    :param first: no migration was ever applied to this database.
    :param acknowledged: reasons by ``app.name`` and rule; they let pass what is not known to be harmless, never an
        undoing.
    :param old_code: whether code of before still runs.
    """
    context = Context(True, first, server)
    judged: list[Judged] = []
    for migration in migrations:
        context = replace(context, migration=migration.key, atomic=migration.atomic, held=False)
        verdicts: list[Verdict] = []
        for operation in migration.operations:
            context = _knowing(context, operation)
            verdicts.append(judge_operation(operation, context, backwards=migration.backwards))
            context = advanced(context, operation, verdicts[-1])
        judged.append(_with_reasons(Judged(migration, tuple(verdicts), (), old_code), acknowledged))
    return judged


def _knowing(context: Context, operation: Operation) -> Context:
    """With what the database has proven already."""
    valid = {(table.name, column) for table in operation.tables for _name, column, valid in table.checks if valid}
    return replace(context, proven=context.proven | valid) if valid - context.proven else context


def judge(migration: Migration, *, first: bool, acknowledged: Mapping[str, Mapping[str, str] | str]) -> Judged:
    """Return one migration with a verdict for each operation, as if it were the whole plan."""
    return judge_all([migration], first=first, acknowledged=acknowledged)[0]


def _with_reasons(judged: Judged, acknowledged: Mapping[str, Mapping[str, str] | str]) -> Judged:
    migration = judged.migration
    if migration.backwards:
        return judged
    rules = {verdict.rule for _why, verdict in judged.objections}
    return replace(judged, acknowledgements=granted(migration, rules, acknowledged.get(migration.key, {})))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations run while old code still serves, and whether both codes can live with what lies between.

``expand`` is the largest set, closed under dependencies, that old code can live with. What remains must be such
that the new code can live without it until ``contract``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, Verdict
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import parse

ALL = "all"
EXPAND = "expand"
CONTRACT = "contract"

# Rules about what takes away, forbids, or only makes faster: new code works before it as after it.
DEFERRABLE = frozenset(
    {
        "add-check",
        "add-check-not-valid",
        "add-domain-constraint",
        "add-domain-constraint-not-valid",
        "add-exclude",
        "add-foreign-key",
        "add-foreign-key-not-valid",
        "add-not-null-not-valid",
        "add-primary-key",
        "add-primary-key-using-index",
        "add-unique",
        "add-unique-using-index",
        "analyze",
        "comment",
        "create-index",
        "create-index-concurrently",
        "create-statistics",
        "create-unique-index",
        "create-unique-index-concurrently",
        "concurrently-if-not-exists",
        "delete-rows",
        "detach-partition",
        "detach-partition-concurrently",
        "drop-column",
        "drop-constraint",
        "drop-default",
        "drop-expression",
        "drop-identity",
        "drop-index",
        "drop-index-concurrently",
        "drop-object",
        "drop-schema",
        "drop-table",
        "drop-trigger",
        "drop-view",
        "no-statement",
        "not-this-database",
        "policy",
        "reindex",
        "reindex-concurrently",
        "rename-constraint",
        "rename-index",
        "revoke",
        "row-security",
        "run-python-noop",
        "set-constraints",
        "set-not-null",
        "set-not-null-proven",
        "set-statistics",
        "truncate",
        "vacuum",
        "validate",
        "work-under-lock",
    }
)
# Django's own steps on the way to NOT NULL.
_HELPERS = frozenset({"set-default", "drop-default-again", "update-rows"})


@dataclass(frozen=True)
class Later:
    """A migration that does not run with ``expand``, and why."""

    key: str
    why: str

    def as_dict(self) -> dict[str, str]:
        return dict(vars(self))


@dataclass(frozen=True)
class Bridge:
    """A statement by which new code can live with a column that it no longer knows, until it is dropped."""

    migration: str
    table: str
    column: str
    statement: str

    @property
    def text(self) -> str:
        return (
            f"{self.table}.{self.column} stays until {self.migration} runs, is NOT NULL and has no default: INSERTs of"
            f" the new code, which no longer knows it, would fail. Bridge it in a migration before that one:"
            f" migrations.RunSQL({self.statement!r})"
        )


@dataclass(frozen=True)
class Split:
    """The answer.

    :param now: by ``app.name`` those that run.
    :param problems: why the new code could not work on the schema after them, by ``app.name``.
    """

    now: frozenset[str]
    later: tuple[Later, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    bridges: tuple[Bridge, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "later": [each.as_dict() for each in self.later],
            "bridges": [dict(vars(each)) for each in self.bridges],
            "problems": [f"{key}: {text}" for key, text in self.problems],
        }

    def lines(self) -> list[str]:
        """For people."""
        return [
            *(f"{each.key}: later: {each.why}" for each in self.later),
            *(f"{key}: refused: {text}" for key, text in self.problems),
        ]


def split(plan: Sequence[Judged], needs: Mapping[str, Collection[str]], owed: Mapping[str, str]) -> Split:
    """Split a plan, which is in an order that its dependencies allow.

    :param needs: by ``app.name`` the migrations that must be there before it.
    :param owed: migrations that an earlier release left for later, with that release: it works without them.
    """
    by_key = {judged.migration.key: judged for judged in plan}
    now: set[str] = set()
    for key, judged in by_key.items():
        if _livable(judged) and set(needs.get(key, ())) & set(by_key) <= now:
            now.add(key)
    later = [judged for key, judged in by_key.items() if key not in now]
    reasons = [Later(judged.migration.key, _why(judged, by_key, needs, now, owed)) for judged in later]
    bridges = [bridge for judged in later for bridge in _bridges(judged, [by_key[key] for key in by_key if key in now])]
    problems = [(judged.migration.key, text) for judged in later if (text := _needed(judged, by_key, needs, now, owed))]
    problems.extend((bridge.migration, bridge.text) for bridge in bridges)
    return Split(frozenset(now), tuple(reasons), tuple(problems), tuple(bridges))


def _livable(judged: Judged) -> bool:
    return judged.additive and not judged.migration.later


def _waits_for(
    key: str, by_key: Mapping[str, Judged], needs: Mapping[str, Collection[str]], now: Collection[str]
) -> list[str]:
    return sorted(each for each in needs.get(key, ()) if each in by_key and each not in now)


def _breaking(judged: Judged) -> tuple[Operation, Verdict] | None:
    """The first finding that old code can't, or may not be able to, live with."""
    allowed = {each.rule for each in judged.acknowledgements}
    pairs = zip(judged.migration.operations, judged.verdicts)
    found = ((operation, each) for operation, verdict in pairs for each in verdict.findings or (verdict,))
    return next(((op, each) for op, each in found if not each.additive and each.rule not in allowed), None)


def _why(
    judged: Judged,
    by_key: Mapping[str, Judged],
    needs: Mapping[str, Collection[str]],
    now: Collection[str],
    owed: Mapping[str, str],
) -> str:
    key = judged.migration.key
    if key in owed:
        return f"release {owed[key]} has left it for later and still owes it"
    if judged.migration.later:
        return "its file says so (slipway_phase)"
    breaking = _breaking(judged)
    if breaking is not None:
        operation, verdict = breaking
        return f"operation {operation.index} ({operation.describe}): {verdict.why} [{verdict.rule}]"
    return f"it builds on {', '.join(_waits_for(key, by_key, needs, now))}"


def _needed(
    judged: Judged,
    by_key: Mapping[str, Judged],
    needs: Mapping[str, Collection[str]],
    now: Collection[str],
    owed: Mapping[str, str],
) -> str:
    """Why the new code can't do without a migration until later; empty when it can."""
    key = judged.migration.key
    if key in owed or judged.migration.later:
        return ""
    pairs = zip(judged.migration.operations, judged.verdicts)
    rule = next((rule for operation, verdict in pairs for rule in _needed_rules(operation, verdict)), "")
    if not rule:
        return ""
    if not _livable(judged):
        return (
            "old code can't, or may not be able to, live with it, and new code may not be able to do without it"
            f" [{rule}]: write it in two steps, or acknowledge the rule, or say in its file that new code does not need"
            ' it: slipway_phase = "contract"'
        )
    waits = _waits_for(key, by_key, needs, now)
    indebted = sorted({owed[each] for each in _all_before(key, by_key, needs) if each in owed})
    if indebted:
        return (
            f"new code needs it [{rule}], and it builds on {', '.join(waits)}, which release {', '.join(indebted)}"
            " still owes: run phase contract with the live release first"
        )
    return (
        f"new code needs it [{rule}], and it builds on {', '.join(waits)}, which old code can't live with: put that one"
        " last, or into a later deployment"
    )


def _needed_rules(operation: Operation, verdict: Verdict) -> list[str]:
    rules = {each.rule for each in verdict.findings or (verdict,)}
    rest = rules - DEFERRABLE
    if operation.builtin and operation.kind == "AlterField" and rules & DEFERRABLE:
        rest -= _HELPERS
    return sorted(rest)


def _all_before(key: str, by_key: Mapping[str, Judged], needs: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    todo = [key]
    while todo:
        for each in needs.get(todo.pop(), ()):
            if each in by_key and each not in found:
                found.add(each)
                todo.append(each)
    return found


def _bridges(judged: Judged, before: Sequence[Judged]) -> list[Bridge]:
    """The columns that a migration would drop, that no INSERT can leave out, and that nothing before it bridges."""
    bridged = {
        (action.relation, action.target)
        for each in before
        for operation in each.migration.operations
        for statement in operation.sql
        for action in parse(statement)
        if action.kind in {"drop not null", "set default"}
    }
    return [
        Bridge(judged.migration.key, table, column, _statement(operation, table, column))
        for operation in judged.migration.operations
        for table, column in operation.required
        if (table, column) not in bridged
    ]


def _statement(operation: Operation, table: str, column: str) -> str:
    quoted = f'"{column.replace(chr(34), chr(34) * 2)}"'
    owner = f'"{table.replace(chr(34), chr(34) * 2)}"'
    # Old code reads the rows that new code writes: a value is better than none.
    done = f"SET DEFAULT {operation.default_sql}" if operation.default_sql else "DROP NOT NULL"
    return f"ALTER TABLE {owner} ALTER COLUMN {quoted} {done}"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is so now: the release's migrations, what the database has of them, and what must not be so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import split_key
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import error_text, rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import HalfDone, Journal

Key = tuple[str, str]

# Of the schemas that this role looks into, and not of a partitioned table's parent, which waits for its parts.
_INVALID = """
SELECT index.relname, relation.relname FROM pg_index
JOIN pg_class AS index ON index.oid = indexrelid JOIN pg_class AS relation ON relation.oid = indrelid
WHERE NOT indisvalid AND index.relkind = 'i'
  AND index.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))
ORDER BY 2, 1
"""


@dataclass(frozen=True)
class Observation:
    """All that the plan is made of.

    :param plan: Django's migrations that would run, in their order.
    :param heads: by app the newest applied migrations.
    :param after: the same, once the plan has run.
    :param ahead: applied migrations that this release does not have.
    :param owed: migrations that an earlier release left for later, by ``app.name``, with that release.
    :param left: those of the plan that this run leaves for later.
    :param noted: those that any run has left for later.
    :param replacements: squashed migrations whose parts are all applied, not yet recorded themselves.
    """

    executor: Any
    plan: tuple[Any, ...]
    backwards: bool
    heads: Mapping[str, list[str]]
    after: Mapping[str, list[str]]
    ahead: tuple[str, ...]
    invalid_indexes: tuple[str, ...]
    half_done: tuple[HalfDone, ...]
    replacements: tuple[str, ...]
    signals_owed: bool
    first: bool
    owed: Mapping[str, str] = field(default_factory=dict)
    left: tuple[Any, ...] = ()
    noted: frozenset[str] = frozenset()

    @property
    def unnoted(self) -> list[Any]:
        """Those that are left and of which no run has noted it. What stands half done is noted otherwise."""
        known = {*self.noted, *(half.key for half in self.half_done)}
        return [each for each in self.left if f"{each.app_label}.{each.name}" not in known]


def load(connection: Any) -> Any:
    """Return Django's executor over the release's migrations.

    :raises Refused: the release's migrations don't fit together, or not with what the database has.
    """
    try:
        executor = dj.MigrationExecutor(connection)
        executor.loader.check_consistent_history(connection)
    except dj.Error:
        raise
    except Exception as error:
        # A migration's file may fail in any way when it is imported.
        raise Refused(
            f"the release's migrations can't be loaded: {error_text(error)}",
            untouched="Nothing was changed",
            remedy="Repair the migrations and deploy that version",
        ) from error
    conflicts = executor.loader.detect_conflicts()
    if conflicts:
        named = "; ".join(f"{app}: {', '.join(sorted(names))}" for app, names in sorted(conflicts.items()))
        raise Refused(
            f"the release has more than one last migration in an app ({named})",
            untouched="Nothing was changed",
            remedy="Run `manage.py makemigrations --merge`, commit, and deploy that version",
            facts={"conflicts": {app: sorted(names) for app, names in conflicts.items()}},
        )
    return executor


def observe(connection: Any, journal: Journal) -> Observation:
    """Observe for applying: the plan is all that is not applied."""
    executor = load(connection)
    pairs = executor.migration_plan(executor.loader.graph.leaf_nodes())
    wanted = {pair[0] for pair in pairs}
    return _observation(connection, journal, executor, tuple(each for each in full_plan(executor) if each in wanted))


def observe_undoing(connection: Any, journal: Journal, keys: Sequence[str]) -> Observation:
    """Observe for undoing: the plan is those of ``keys`` that are applied, the last one first.

    :raises Refused: a key is unknown, or something outside of the keys builds on one of them.
    """
    executor = load(connection)
    graph, applied = executor.loader.graph, executor.loader.applied_migrations
    unknown = [key for key in keys if split_key(key) not in graph.nodes]
    if unknown:
        raise Refused(
            f"this release has no migration {', '.join(unknown)}",
            untouched="Nothing was changed",
            remedy="Undo with the release that applied them: the older one does not have their files",
            facts={"unknown": unknown},
        )
    wanted = {split_key(key) for key in keys} & set(applied)
    _refuse_dependents(graph, applied, wanted)
    plan = [each for each in reversed(full_plan(executor)) if (each.app_label, each.name) in wanted]
    return _observation(connection, journal, executor, tuple(plan), backwards=True)


def full_plan(executor: Any) -> list[Any]:
    """Return all migrations of the release in the order of an empty database."""
    pairs = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    return [pair[0] for pair in pairs]


def _refuse_dependents(graph: Any, applied: Collection[Key], wanted: Collection[Any]) -> None:
    left = sorted(
        f"{'.'.join(child.key)} needs {'.'.join(key)}"
        for key in wanted
        for child in graph.node_map[key].children
        if child.key in applied and child.key not in wanted
    )
    if left:
        raise Refused(
            f"applied migrations outside of this set build on it: {'; '.join(left)}",
            untouched="Nothing was changed",
            remedy="Undo the run that applied those first",
            facts={"dependents": left},
        )


def _observation(
    connection: Any, journal: Journal, executor: Any, plan: tuple[Any, ...], *, backwards: bool = False
) -> Observation:
    loader = executor.loader
    applied = {key for key in loader.applied_migrations if key in loader.graph.nodes}
    changed = {(each.app_label, each.name) for each in plan}
    recorded = dj.MigrationRecorder(connection).applied_migrations()
    return Observation(
        executor=executor,
        plan=plan,
        backwards=backwards,
        heads=heads(loader.graph, applied),
        after=heads(loader.graph, applied - changed if backwards else applied | changed),
        ahead=tuple(sorted(".".join(key) for key in set(recorded) - set(loader.disk_migrations))),
        invalid_indexes=invalid_indexes(connection),
        half_done=tuple(journal.half_done(recorded)),
        replacements=tuple(sorted(".".join(key) for key in _unrecorded(loader, recorded))),
        signals_owed=journal.signals_owed(),
        first=not recorded,
        owed=journal.owed(),
        noted=journal.noted(),
    )


def in_part(seen: Observation, keys: Collection[str]) -> Observation:
    """Return the observation with those of the plan that are in ``keys``; the others are left for later."""
    chosen = tuple(each for each in seen.plan if f"{each.app_label}.{each.name}" in keys)
    loader = seen.executor.loader
    applied = {key for key in loader.applied_migrations if key in loader.graph.nodes}
    after = heads(loader.graph, applied | {(each.app_label, each.name) for each in chosen})
    return replace(seen, plan=chosen, after=after, left=tuple(each for each in seen.plan if each not in chosen))


def needs(seen: Observation) -> dict[str, frozenset[str]]:
    """Return for each migration of the plan what must be there before it, by ``app.name``."""
    nodes = seen.executor.loader.graph.node_map
    return {
        f"{each.app_label}.{each.name}": frozenset(
            ".".join(parent.key) for parent in nodes[(each.app_label, each.name)].parents
        )
        for each in seen.plan
    }


def _unrecorded(loader: Any, recorded: Collection[Key]) -> list[Key]:
    return [
        key
        for key, migration in loader.replacements.items()
        if key not in recorded and all(each in recorded for each in migration.replaces)
    ]


def heads(graph: Any, applied: Collection[Key]) -> dict[str, list[str]]:
    """Return by app the applied migrations that no other applied one of the same app follows."""
    found: dict[str, list[str]] = {}
    for app, name in sorted(applied):
        children = graph.node_map[(app, name)].children
        if not any(child.key in applied and child.key[0] == app for child in children):
            found.setdefault(app, []).append(name)
    return found


def invalid_indexes(connection: Any) -> tuple[str, ...]:
    """Return the indexes that a failed CONCURRENTLY left: they cost each write and serve no query."""
    return tuple(f"{index} on {table}" for index, table in rows(connection, _INVALID))


def states_before(executor: Any, plan: Sequence[Any]) -> dict[Any, Any]:
    """Return for each migration of an undoing plan the state of the project before it.

    As in Django's ``_migrate_all_backwards``: only applied migrations count.
    """
    applied = set(executor.loader.applied_migrations)
    state = executor._create_project_state()
    found: dict[Any, Any] = {}
    for migration in full_plan(executor):
        if migration in plan:
            found[migration] = state
            state = migration.mutate_state(state, preserve=True)
        elif (migration.app_label, migration.name) in applied:
            state = migration.mutate_state(state, preserve=False)
    return found

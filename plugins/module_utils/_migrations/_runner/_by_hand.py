# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations that somebody has applied by hand: recorded once the schema is what they would have made.

What they would have made is not read from their text: all migrations that are applied are run from zero in an empty
database, then those; what changes there must be so in the live one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import NOT_SEEN
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, split_key
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._applying import apply_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._catalog import read_exactly
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._copy import copied
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._observing import (
    Observation,
    full_plan,
    in_part,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._rehearse import moved_to
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Progress, Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import kinds
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_NOTHING = "Nothing was recorded"
# What changes rows, or may, and so is in no catalog.
_ROWS = frozenset({UNKNOWN, "update", "delete", "insert", "merge", "copy in", "truncate", "select", "do block"})
_SHOWN = 20


def chosen_of(seen: Observation, keys: Sequence[str]) -> Observation:
    """Return the observation with those of the pending migrations that are named. Applied ones are passed over.

    :raises Refused: there is none of that name, or what one builds on is not applied.
    """
    graph = seen.executor.loader.graph
    unknown = sorted(key for key in keys if split_key(key) not in graph.nodes)
    if unknown:
        raise Refused(
            f"by_hand names what is no migration of this release: {', '.join(unknown)}",
            untouched=_NOTHING,
            remedy="Write app.name, such as shop.0002_order_note; of a squashed migration and its parts the one that"
            " the plan has",
            facts={"option": "by_hand", "unknown": unknown},
        )
    chosen = in_part(seen, frozenset(keys))
    open_ones = {_key(each) for each in chosen.left}
    wanting = sorted(
        f"{key} needs {parent}"
        for key, parents in _parents(graph, chosen.plan).items()
        for parent in parents & open_ones
    )
    if wanting:
        raise Refused(
            f"what they build on is not applied: {'; '.join(wanting)}",
            untouched=_NOTHING,
            remedy="Apply that first, or name it in by_hand too when it was done by hand",
            facts={"wanting": wanting},
        )
    return chosen


def _parents(graph: Any, plan: Sequence[Any]) -> dict[str, set[str]]:
    return {
        _key(each): {".".join(parent.key) for parent in graph.node_map[(each.app_label, each.name)].parents}
        for each in plan
    }


def _key(migration: Any) -> str:
    return f"{migration.app_label}.{migration.name}"


def refuse_unseen(plan: Sequence[Migration], acknowledged: Mapping[str, Mapping[str, str] | str]) -> None:
    """Refuse what no comparison of schemas shows, unless a person says that it was done.

    :raises Refused: nobody does.
    """
    found = [
        f"{migration.key}, operation {operation.index} ({operation.describe})"
        for migration in plan
        for operation in migration.operations
        if _is_unseen(operation) and not _is_vouched(acknowledged.get(migration.key, {}))
    ]
    if found:
        raise Refused(
            f"no schema shows whether this was done: {'; '.join(found)}",
            untouched=_NOTHING,
            remedy=f"Look at the rows; when it was done, say who did: acknowledged: {{app.name: {{{NOT_SEEN}: who did"
            " what}}",
            facts={"unseen": found},
        )


def _is_vouched(given: Mapping[str, str] | str) -> bool:
    return isinstance(given, Mapping) and NOT_SEEN in given


def _is_unseen(operation: Operation) -> bool:
    if operation.elsewhere or operation.noop:
        return False
    if operation.inner:
        return any(_is_unseen(each) for each in operation.inner)
    if not operation.builtin or operation.kind == "RunPython":
        return True
    # What Django's other operations do to rows, their change of the schema could not do without.
    return operation.kind == "RunSQL" and any(kind in _ROWS for line in operation.sql for kind in kinds(line))


def refuse_difference(run: Run, seen: Observation, runner: Runner) -> None:
    """Run the applied migrations and then the chosen ones in an empty database, and hold the live one against it.

    :raises Refused: something of what they make is not so in the live database.
    :raises SlipwayError: it can't be known.
    """
    work = run.work
    live, path = read_exactly(work), rows(work, "SHOW search_path")[0][0]
    with copied(work, "", clock=run.clock, runner=runner, empty=True) as name, moved_to(work, name, path):
        before, after = _made(run, seen)
    missing = sorted((after - before) - live)
    left = sorted((before - after) & live)
    if missing or left:
        raise Refused(
            "the schema is not what the migrations would have made: " + "; ".join(_told(missing, left)),
            untouched=_NOTHING,
            remedy="Make it so by hand, or undo what was done by hand and let the migrations run",
            facts={"missing": missing, "left": left},
        )


def _made(run: Run, seen: Observation) -> tuple[frozenset[str], frozenset[str]]:
    """The empty database after the applied migrations, and after the chosen ones."""
    executor = dj.MigrationExecutor(run.work)
    stage = dataclasses.replace(run, executor=executor, applied=[], progress=Progress(), plan={}, guard=None)
    run.journal.create()
    executor.recorder.ensure_schema()
    loader = seen.executor.loader
    done = [each for each in full_plan(seen.executor) if (each.app_label, each.name) in loader.applied_migrations]
    try:
        state = apply_all(stage, done, dj.ProjectState(real_apps=loader.unmigrated_apps))
        before = read_exactly(run.work)
        apply_all(stage, seen.plan, state)
    except SlipwayError as error:
        raise SlipwayError(
            f"what the migrations would have made can't be known, one fails in an empty database: {error.seen}",
            untouched=_NOTHING,
            remedy="Give the role what it lacks there, such as the right to create an extension",
            facts=error.facts,
        ) from error
    return before, read_exactly(run.work)


def _told(missing: Sequence[str], left: Sequence[str]) -> Iterator[str]:
    yield from (f"missing: {each}" for each in missing[:_SHOWN])
    yield from (f"still there: {each}" for each in left[:_SHOWN])
    more = max(0, len(missing) - _SHOWN) + max(0, len(left) - _SHOWN)
    if more:
        yield f"and {more} more"

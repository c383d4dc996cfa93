# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operations of a migration one by one, each between the two states of the project that it leads between.

The same as ``Migration.apply`` and ``Migration.unapply`` of Django, which run all of them in one call: between
two operations the journal is written, and of a failed migration it is known which operation failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._resuming import title_of
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj


@dataclass(frozen=True)
class Step:
    """One operation. Its states are Django's, before and after in the direction of the run."""

    index: int
    operation: Any
    from_state: Any
    to_state: Any
    backwards: bool

    @property
    def title(self) -> str:
        """For people: number and description."""
        return title_of(self.index, describe(self.operation))


def describe(operation: Any) -> str:
    """Return what Django says of an operation; of Python code also its name."""
    code = getattr(operation, "code", None)
    name = getattr(code, "__qualname__", "")
    return f"{operation.describe()} {name}".strip()


def steps(migration: Any, state: Any, *, backwards: bool) -> Iterator[Step]:
    """Yield the steps in the order in which they run.

    Forwards, ``state`` is led along: after the last step it is the state after the migration.
    """
    return _backward(migration, state) if backwards else _forward(migration, state)


def _forward(migration: Any, state: Any) -> Iterator[Step]:
    for index, operation in enumerate(migration.operations):
        before = state.clone()
        operation.state_forwards(migration.app_label, state)
        yield Step(index, operation, before, state, backwards=False)


def _backward(migration: Any, state: Any) -> Iterator[Step]:
    found: list[Step] = []
    after = state
    for index, operation in enumerate(migration.operations):
        after = after.clone()
        before = after.clone()
        operation.state_forwards(migration.app_label, after)
        found.append(Step(index, operation, after, before, backwards=True))
    yield from reversed(found)


def run(step: Step, migration: Any, editor: Any) -> None:
    """Run one step; in a transaction of its own where the operation asks for one and none is open."""
    operation = step.operation
    wanted = operation.atomic or (migration.atomic and operation.atomic is not False)
    if wanted and not editor.atomic_migration and not editor.collect_sql:
        with dj.atomic(editor.connection.alias):
            call(step, migration.app_label, editor)
    else:
        call(step, migration.app_label, editor)


def call(step: Step, app: str, editor: Any) -> None:
    """Hand the step to its operation."""
    way = step.operation.database_backwards if step.backwards else step.operation.database_forwards
    way(app, editor, step.from_state, step.to_state)


def runs_python(operation: Any) -> bool:
    """True for operations with code of the site's own, whose effects outside of the database nothing rolls back."""
    inner = getattr(operation, "database_operations", ())
    return not operation.reduces_to_sql or any(runs_python(each) for each in inner)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a half done migration can go on by itself: only where the journal and the catalogs leave no doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration

VALID = "valid"
INVALID = "invalid"


@dataclass(frozen=True)
class Traces:
    """What the journal says of a half done migration.

    :param done: the operations that are done, ``titles`` what they were called.
    :param doubtful: the operation during which the run ended.
    :param index: the index that the doubtful one was making as its first statement; empty when it was none.
    """

    done: tuple[int, ...]
    titles: tuple[str, ...]
    doubtful: int | None
    index: str
    backwards: bool


@dataclass(frozen=True)
class Resumption:
    """The operation to begin with, and the INVALID index of ours that has to go before."""

    key: str
    start: int
    drop: str = ""

    def __str__(self) -> str:
        first = f", after the INVALID index {self.drop}, which it had left, is removed" if self.drop else ""
        return f"{self.key} continues at operation {self.start}{first}"


def title_of(index: int, description: str) -> str:
    """What the journal calls an operation."""
    return f"operation {index} ({description})"


def resume(traces: Traces, migration: Migration, state: str | None) -> Resumption | None:
    """Return where the migration goes on, None when a person has to look.

    :param state: what the index is now: ``valid``, ``invalid``, or None when it is not there.
    """
    if traces.backwards or migration.atomic or not _same(traces, migration):
        return None
    start = len(traces.done)
    if traces.doubtful is None:
        return Resumption(migration.key, start)
    if not traces.index or traces.doubtful != start or start >= len(migration.operations):
        return None
    if state == VALID:
        # The statement has ended, and was the whole operation or not.
        alone = len(migration.operations[start].sql) == 1
        return Resumption(migration.key, start + 1) if alone else None
    return Resumption(migration.key, start, traces.index if state == INVALID else "")


def _same(traces: Traces, migration: Migration) -> bool:
    """Whether the done operations are the first ones of the migration as this release has it."""
    return traces.done == tuple(range(len(traces.done))) and list(
        traces.titles[: len(migration.operations)]
    ) == _titles(migration, len(traces.done))


def _titles(migration: Migration, count: int) -> Sequence[str]:
    return [title_of(each.index, each.describe) for each in migration.operations[:count]]

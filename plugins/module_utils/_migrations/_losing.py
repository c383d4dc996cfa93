# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What undoing a migration takes away: tables and columns, read from the statements that undo it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN, mask
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import kinds

# What takes rows away, or may: how many is not known.
_NOT_KNOWN = frozenset(
    {
        UNKNOWN,
        "truncate",
        "delete",
        "merge",
        "do block",
        "select",
        "drop schema",
        "drop database",
        "drop materialized view",
    }
)
_PART = r"(?:\"(?:[^\"]|\"\")+\"|\w+)"
_NAME = rf"{_PART}(?:\.{_PART})?"
_DROP_TABLE = re.compile(rf"\s*DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?({_NAME}(?:\s*,\s*{_NAME})*)", re.IGNORECASE)
_ALTER_TABLE = re.compile(rf"\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?({_NAME})\s", re.IGNORECASE)
_DROP_COLUMN = re.compile(rf"\bDROP\s+COLUMN\s+(?:IF\s+EXISTS\s+)?({_PART})", re.IGNORECASE)


@dataclass(frozen=True)
class Drop:
    """A table, or a column of one, that goes. Names as SQL has them; ``table`` is empty where nobody knows."""

    migration: str
    operation: int
    table: str
    column: str = ""


@dataclass(frozen=True)
class Loss:
    """What goes with the drop. ``rows``: those with a value in it, None where they could not be counted.

    :param more: there are more than were counted.
    """

    drop: Drop
    rows: int | None
    more: bool = False

    def __str__(self) -> str:
        drop = self.drop
        where = f"{drop.migration}, operation {drop.operation}"
        if not drop.table:
            return f"{where}: what it takes away is not known"
        what = f"column {drop.column} of {drop.table}" if drop.column else f"table {drop.table}"
        if self.rows is None:
            return f"{where}: {what}, with rows that could not be counted"
        return f"{where}: {what}, with {'more than ' if self.more else ''}{self.rows:,} {_rows(self)}"


def _rows(loss: Loss) -> str:
    many = "row" if loss.rows == 1 and not loss.more else "rows"
    return f"{many} that {'has' if many == 'row' else 'have'} a value in it" if loss.drop.column else many


def drops(migrations: Sequence[Migration]) -> list[Drop]:
    """Return what undoing these migrations takes away, in the order in which it does."""
    return [
        drop for migration in migrations for operation in migration.operations for drop in _of(migration.key, operation)
    ]


def _of(key: str, operation: Operation) -> list[Drop]:
    if operation.noop:
        return []
    if operation.opaque or operation.problem:
        return [Drop(key, operation.index, "")]
    found = []
    for statement in operation.sql:
        text = mask(statement)
        done = kinds(statement)
        tables, altered = _DROP_TABLE.match(text), _ALTER_TABLE.match(text)
        if tables is not None:
            names = re.findall(_NAME, tables[1])
            found += [Drop(key, operation.index, name) for name in names]
        elif altered is not None and "drop column" in done:
            found += [Drop(key, operation.index, altered[1], name) for name in _DROP_COLUMN.findall(text)]
        if _NOT_KNOWN & set(done):
            found.append(Drop(key, operation.index, ""))
    return found

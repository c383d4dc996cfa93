# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows go with what an undoing drops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._losing import Drop, Loss
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows

# Whoever loses more than these does not need to know how many more.
_COUNTED = 100_000


def losses(connection: Any, found: Iterable[Drop]) -> list[Loss]:
    """Return what is lost; what holds nothing is no loss, and what can't be looked at is one."""
    seen = [loss for loss in (_loss(connection, drop) for drop in dict.fromkeys(found)) if loss is not None]
    gone = {loss.drop.table for loss in seen if not loss.drop.column}
    # The columns of a table that goes as a whole are said with it.
    return [loss for loss in seen if not (loss.drop.column and loss.drop.table in gone)]


def _loss(connection: Any, drop: Drop) -> Loss | None:
    if not drop.table:
        return Loss(drop, None)
    # The names come from the statements that will run, as they are quoted there.
    condition = f" WHERE {drop.column} IS NOT NULL" if drop.column else ""
    try:
        if not _is_there(connection, drop):
            return None
        count = rows(
            connection,
            f"SELECT count(*) FROM (SELECT 1 FROM {drop.table}{condition} LIMIT {_COUNTED + 1}) AS counted".replace(
                "%", "%%"
            ),
        )[0][0]
    except dj.Error:
        return Loss(drop, None)
    return Loss(drop, min(count, _COUNTED), count > _COUNTED) if count else None


def _is_there(connection: Any, drop: Drop) -> bool:
    """A table that an earlier step of the same undoing makes or renames is not there yet: it has no rows to lose."""
    if rows(connection, "SELECT to_regclass(%s) IS NULL", (drop.table,))[0][0]:
        return False
    if not drop.column:
        return True
    name = drop.column[1:-1].replace('""', '"') if drop.column.startswith('"') else drop.column.lower()
    query = "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s AND NOT attisdropped"
    return bool(rows(connection, query, (drop.table, name)))

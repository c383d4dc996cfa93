# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed CREATE INDEX CONCURRENTLY leaves: an index that costs each write and serves no query."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._resuming import INVALID, VALID
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows

_STATE = """
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relname = %s AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY (current_schemas(false)))
"""


def index_state(connection: Any, name: str) -> str | None:
    """Return ``valid`` or ``invalid``, None when there is no index of this name."""
    found = rows(connection, _STATE, (name,))
    if not found:
        return None
    return VALID if all(row[0] for row in found) else INVALID


def drop_invalid(connection: Any, name: str) -> bool:
    """Drop the index when it is INVALID, and return whether it was. No transaction may be open."""
    if index_state(connection, name) != INVALID:
        return False
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {connection.ops.quote_name(name)}")
    return True

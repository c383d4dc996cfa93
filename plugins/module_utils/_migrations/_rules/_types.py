# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes of a column's type PostgreSQL makes without touching a row."""

from __future__ import annotations

import re

from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._statements import Action

FREE = "free"  # the old rows are valid as they are
INTEGER = "integer"  # a larger integer: old code can go on, the rows are written anew
COLLATION = "collation"
OTHER = "other"

_CHANGE = re.compile(
    r"\bTYPE (?P<type>.+?)(?P<collate> COLLATE .+?)?(?: USING (?P<value>\S+?) ?::(?P<cast>.+))?\Z", re.DOTALL
)
_INTEGERS = ("SMALLINT", "INTEGER", "BIGINT")
_NAMES = {
    "CHARACTER VARYING": "VARCHAR",
    "DECIMAL": "NUMERIC",
    "INT": "INTEGER",
    "INT2": "SMALLINT",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "SERIAL": "INTEGER",
    "BIGSERIAL": "BIGINT",
    "SMALLSERIAL": "SMALLINT",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
}
_PRECISE = frozenset({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIME", "TIME WITH TIME ZONE", "INTERVAL", "VARBIT"})


def change_of(action: Action, operation: Operation) -> str:
    """Return which kind of change a ``change type`` is; ``other`` for all that is not known to be less."""
    found = _CHANGE.search(action.words)
    old = operation.old_field
    if found is None or (" USING " in action.words and found["value"] is None):
        return OTHER
    if found["cast"] and _read(found["cast"]) != _read(found["type"]):
        return OTHER
    if old is None or operation.kind != "AlterField" or action.target != old.column or not old.db_type:
        return OTHER
    before, after = _read(old.db_type), _read(found["type"])
    if _is_free(before, after):
        # A collation that is named may be the one of before; that is not known.
        return COLLATION if found["collate"] else FREE
    small, large = before[0], after[0]
    if small in _INTEGERS and large in _INTEGERS and _INTEGERS.index(small) < _INTEGERS.index(large):
        return INTEGER
    return OTHER


def _read(text: str) -> tuple[str, tuple[int, ...]]:
    """The name of a type and the numbers in its parentheses."""
    numbers = re.search(r"\(([\d, ]+)\)", text)
    name = " ".join(re.sub(r"\([\d, ]+\)", " ", text).upper().split())
    return _NAMES.get(name, name), tuple(int(each) for each in numbers[1].split(",")) if numbers else ()


def _is_free(before: tuple[str, tuple[int, ...]], after: tuple[str, tuple[int, ...]]) -> bool:
    (old, old_size), (new, new_size) = before, after
    if old == "VARCHAR" and new in {"VARCHAR", "TEXT"}:
        return not new_size or (bool(old_size) and new_size >= old_size)
    if old == new == "NUMERIC":
        same_scale = old_size[1:] == new_size[1:] and len(old_size) == len(new_size) == 2
        return not new_size or (same_scale and new_size[0] >= old_size[0])
    if (old, new) == ("CIDR", "INET"):
        return True
    if old != new or old in {"CHAR", "CHARACTER", "BPCHAR", "BIT"}:
        return False
    if old in _PRECISE:
        return not new_size or (bool(old_size) and new_size >= old_size)
    return old_size == new_size

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known about the migrations of a release before they run: facts, no judgement.

The runner collects these inside the site's own Python, where Django is; everything else works on the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# `expression`: may give each row its own value, and then PostgreSQL writes the whole table anew.
DB_DEFAULTS = ("none", "constant", "expression")


@dataclass(frozen=True)
class Table:
    """A table that was in the database before the run. ``None``: PostgreSQL did not say.

    :param checks: constraints that say of one column that it is not NULL: name, column, whether it is valid.
    """

    name: str
    rows: int | None
    bytes: int | None
    checks: tuple[tuple[str, str, bool], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "bytes": self.bytes}


@dataclass(frozen=True)
class Field:
    """A field of a model as one state of the project has it.

    :param db_default: one of ``DB_DEFAULTS``.
    :param many_to_many: it has a table of its own and no column.
    :param generated: ``""``, ``stored`` or ``virtual``.
    :param column: its column, and ``db_type`` that column's type.
    :param definition: as a migration writes it, and ``nullable`` the same with ``null=True``; empty: not known.
    """

    name: str
    kind: str
    null: bool
    db_default: str = "none"
    unique: bool = False
    primary_key: bool = False
    many_to_many: bool = False
    generated: str = ""
    max_length: int | None = None
    column: str = ""
    db_type: str = ""
    definition: str = ""
    nullable: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation of a migration.

    :param builtin: the class is one of Django's own, not one that is derived from it.
    :param sql: the statements; empty when there are none or when they can't be known.
    :param problem: why the statements can't be known, empty when they are known.
    :param opaque: it runs Python code: no statement tells what it does.
    :param noop: it was written to do nothing (``RunPython.noop``, ``RunSQL.noop``).
    :param elsewhere: the site's routers keep it off this database.
    :param table: the model's table when it was there before the run.
    :param new_table: the model's table is made by this very run: nobody uses it yet.
    :param model: the model that it names.
    :param tables: all tables of before the run that its statements name, as they name them.
    :param required: columns (table, column) that it drops and that no INSERT can leave out as they are now.
    :param default_sql: what its field has as a default in Python, as SQL; empty when it has none that is a constant.
    :param inner: the database operations of ``SeparateDatabaseAndState``.
    :param required_left_behind: a column without default, after its table and a dot, that the new code no longer knows,
        but that stays.
    :param definition: the index or constraint that it adds, as a migration writes it.
    """

    index: int
    kind: str
    builtin: bool
    describe: str
    sql: tuple[str, ...] = ()
    problem: str = ""
    opaque: bool = False
    noop: bool = False
    elsewhere: bool = False
    reversible: bool = True
    table: Table | None = None
    new_table: bool = False
    field: Field | None = None
    old_field: Field | None = None
    inner: tuple[Operation, ...] = ()
    required_left_behind: str = ""
    model: str = ""
    tables: tuple[Table, ...] = ()
    required: tuple[tuple[str, str], ...] = ()
    default_sql: str = ""
    definition: str = ""


@dataclass(frozen=True)
class Migration:
    """A migration that would run, with its operations in the order in which they run.

    :param acknowledged: rules that its own file lets pass, with the reason.
    :param later: its own file says that new code does not need it: ``slipway_phase = "contract"``.
    """

    app: str
    name: str
    atomic: bool
    backwards: bool
    operations: tuple[Operation, ...]
    acknowledged: tuple[tuple[str, str], ...] = ()
    later: bool = False

    @property
    def key(self) -> str:
        """``app.name``, as people and options write it."""
        return f"{self.app}.{self.name}"


@dataclass(frozen=True)
class Applied:
    """A migration that a run has applied or undone.

    :param ms: how long the try took that succeeded.
    :param waited_ms: how long the tries took that did not get a lock, with the pauses after them.
    """

    app: str
    name: str
    ms: int
    tries: int
    waited_ms: int

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def split_key(key: str) -> tuple[str, str] | None:
    """Return app and name of ``app.name``, None when it is no such thing."""
    app, dot, name = key.partition(".")
    return (app, name) if app and dot and name and "." not in name else None

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What going back to an earlier state of a database would lose, in numbers. It is an upper bound and a lower one:
the server's log counts what was written to all its databases, rows count no change of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, quote_name

# How many tables a sentence lists.
_NAMED: Final = 8

TABLES_QUESTION: Final = """
SELECT coalesce(json_agg(json_build_array(n.nspname, c.relname) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend e
    WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
"""


@dataclass(frozen=True)
class TableLoss:
    """A table with another number of rows; None where it does not exist."""

    table: str
    kept: int | None
    live: int | None

    def words(self) -> str:
        if self.live is None:
            return f"{self.table} is not there now and has {self.kept} rows in what comes"
        if self.kept is None:
            return f"{self.table} with {self.live} rows is not in what comes"
        return f"{self.table} {self.live} now, {self.kept} in what comes ({self.kept - self.live:+d})"


@dataclass(frozen=True)
class Loss:
    """What was written since a moment."""

    since: str
    age_s: int
    # None when the log of this server says nothing about it.
    wal_bytes: int | None
    # None when rows could not be counted; then ``note`` says why.
    tables: tuple[TableLoss, ...] | None
    note: str = ""

    def words(self) -> str:
        """One sentence for people."""
        parts = [f"all that was written since {self.since}, {duration(self.age_s)} ago"]
        if self.wal_bytes is not None:
            parts.append(f"at most {size(self.wal_bytes)} of this server's log")
        if self.tables is None:
            parts.append(f"rows were not compared ({self.note})")
        elif not self.tables:
            parts.append("no table has another number of rows (changes within rows are not seen by that)")
        else:
            more = len(self.tables) - _NAMED
            listed = ", ".join(table.words() for table in self.tables[:_NAMED])
            parts.append(f"rows: {listed}" + (f" and {more} more tables" if more > 0 else ""))
        return "; ".join(parts)

    def as_result(self) -> dict[str, object]:
        tables = self.tables
        return {
            "since": self.since,
            "age": self.age_s,
            "wal_bytes": self.wal_bytes,
            "tables": None
            if tables is None
            else [{"table": table.table, "rows_live": table.live, "rows_kept": table.kept} for table in tables],
            "text": self.words(),
        }


def assess(
    *,
    since: str,
    now: datetime,
    wal_bytes: int | None,
    kept: Mapping[str, int] | None,
    live: Mapping[str, int] | None,
    note: str = "",
) -> Loss:
    """Compare what comes with what is live. Pure."""
    tables = None if kept is None or live is None else compare(kept, live)
    return Loss(since, age(since, now), wal_bytes, tables, note)


def compare(kept: Mapping[str, int], live: Mapping[str, int]) -> tuple[TableLoss, ...]:
    """Return the tables that differ, those with most rows to lose first."""
    found = [
        TableLoss(table, kept.get(table), live.get(table))
        for table in sorted({*kept, *live})
        if kept.get(table) != live.get(table)
    ]
    return tuple(sorted(found, key=lambda table: (table.kept or 0) - (table.live or 0)))


def age(since: str, now: datetime) -> int:
    """Return the seconds since a moment that is written as marks and manifests have it."""
    then = datetime.strptime(since, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return max(0, int((now - then).total_seconds()))


def written_between(then: str | None, now: str | None, *, same_server: bool) -> int | None:
    """Return the bytes between two places in the log, or None when they are not of one log."""
    if not same_server or then is None or now is None:
        return None
    between = _place(now) - _place(then)
    return between if between >= 0 else None


def _place(lsn: str) -> int:
    high, _slash, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def table_name(schema: str, name: str) -> str:
    """The key of a table in all counts."""
    return f"{schema}.{name}"


def count_question(tables: Iterable[Sequence[str]]) -> str:
    """Ask for the rows of tables, each a pair of schema and name; the answer has their order."""
    counts = " UNION ALL ".join(
        f"SELECT {place} AS place, (SELECT count(*) FROM ONLY {quote_name(schema)}.{quote_name(name)}) AS rows"
        for place, (schema, name) in enumerate(tables)
    )
    return f"SELECT json_agg(c.rows ORDER BY c.place) FROM ({counts}) c"


def count_rows(database: Database) -> dict[str, int]:
    """Count the rows of all tables of a database.

    :raises SlipwayError: they can't be read.
    """
    tables = database.ask(TABLES_QUESTION)
    if not tables:
        return {}
    counts = database.ask(count_question(tables))
    return {table_name(schema, name): int(rows) for (schema, name), rows in zip(tables, counts)}


def applied_migrations(database: Database) -> list[list[str]]:
    """Return the migrations that Django has applied, as pairs of application and name; none without its table.

    :raises SlipwayError: they can't be read.
    """
    if not database.ask("SELECT to_json(to_regclass('public.django_migrations') IS NOT NULL)"):
        return []
    rows = database.ask(
        "SELECT coalesce(json_agg(json_build_array(app, name) ORDER BY id), '[]') FROM public.django_migrations"
    )
    return [[str(app), str(name)] for app, name in rows]


def duration(seconds: float) -> str:
    """A length of time for people."""
    minutes, hours, days = int(seconds) // 60, int(seconds) // 3600, int(seconds) // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {int(seconds) % 60} s" if minutes else f"{int(seconds)} s"


def size(value: int) -> str:
    """A number of bytes for people."""
    return f"{value / (1 << 20):.1f} MiB" if value >= 1 << 20 else f"{value} bytes"

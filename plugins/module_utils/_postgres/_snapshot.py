# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One moment of a database: held still for a dump, counted, and compared with what a restore gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_name

_ANSWER_LIMIT_S: Final = 60.0
_ATTEMPTS: Final = 5
_UNDEFINED_TABLE: Final = "42P01"
_UNDEFINED_SCHEMA: Final = "3F000"
# What is not defined: only the class of the code says it.
_UNDEFINED: Final = ("42", "3F")
_HASH_RECORD_SINCE: Final = 140000

# Whatever a database or a role sets, a row has the same text before a dump and after a restore.
_FIXED: Final = """
SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET row_security = off
"""

# Tables that hold rows and come with a dump. Those of an extension are made by it; a materialised view is computed
# anew. The hash of these types says the same in another database; that of an enum or a regclass is made of numbers that
# change, and others have none.
_QUESTION: Final = """
WITH ours AS (
  SELECT c.oid, c.relkind, c.relowner, n.nspname, c.relname
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
    AND NOT EXISTS (SELECT FROM pg_depend e
      WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
)
SELECT json_build_object(
  'version_num', current_setting('server_version_num')::int,
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata),
  'sequences', (SELECT coalesce(json_agg(json_build_object(
      'oid', o.oid::bigint, 'schema', nspname, 'name', relname, 'increment', s.seqincrement, 'cycle', s.seqcycle)
      ORDER BY nspname, relname), '[]') FROM ours o JOIN pg_sequence s ON s.seqrelid = o.oid),
  'tables', (SELECT coalesce(json_agg(json_build_object(
      'oid', oid::bigint, 'schema', nspname, 'name', relname, 'owner', pg_get_userbyid(relowner),
      'hashable', NOT EXISTS (SELECT FROM pg_attribute a
        WHERE a.attrelid = ours.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid NOT IN (
          'bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype,
          'numeric'::regtype, 'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype,
          'date'::regtype, 'time'::regtype, 'timetz'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype,
          'interval'::regtype, 'uuid'::regtype, 'inet'::regtype, 'cidr'::regtype, 'macaddr'::regtype,
          'jsonb'::regtype)),
      'migrations', relname = 'django_migrations' AND 3 = (SELECT count(*) FROM pg_attribute a
        WHERE a.attrelid = ours.oid AND a.attname IN ('id', 'app', 'name') AND NOT a.attisdropped))
      ORDER BY nspname, relname), '[]') FROM ours WHERE relkind = 'r')
)
"""

_HOLD: Final = """
SELECT json_build_object(
  'id', pg_export_snapshot(),
  'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)
"""

_SYSTEM: Final = "SELECT to_json(system_identifier::text) FROM pg_control_system()"


class Asked(Protocol):
    """A connection that stays open."""

    def ask(self, sql: str, timeout_s: float) -> Any:
        """Return the JSON document that a query answers with."""

    def order(self, sql: str, timeout_s: float) -> None:
        """Carry out one statement."""


Remaining = Callable[[], float]
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Content:
    """What a database holds, as far as it was counted."""

    tables: list[dict[str, Any]]
    large_objects: int
    django_migrations: list[list[str]]

    @property
    def rows(self) -> int:
        return sum(int(table["rows"]) for table in self.tables)


@dataclass(frozen=True)
class Moment:
    """A moment that is held still: ``id`` gives it to pg_dump as long as the connection is open."""

    id: str
    at: str
    lsn: str | None
    system_identifier: str
    listed: dict[str, Any]
    # Read before a dump reads them: they are of no moment, and go on.
    sequences: list[dict[str, Any]]


def hold(session: Asked, lock_timeout_s: float, remaining: Remaining) -> Moment:
    """Hold the present moment.

    The tables are locked (as a dump locks them) before the moment is chosen. pg_dump alone does it afterwards, and a
    table that is rewritten between the two is empty in its dump.

    :raises SlipwayError: a table was locked by another one for too long, or tables come and go all the time.
    """
    session.order(_FIXED, _ANSWER_LIMIT_S)
    session.order(f"SET lock_timeout = {int(lock_timeout_s * 1000)}", _ANSWER_LIMIT_S)
    system_identifier = _system_identifier(session)
    for _attempt in range(_ATTEMPTS):
        listed = session.ask(_QUESTION, _ANSWER_LIMIT_S)
        session.order("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", _ANSWER_LIMIT_S)
        if _lock(session, listed["tables"], remaining):
            held = session.ask(_HOLD, _ANSWER_LIMIT_S)
            seen = session.ask(_QUESTION, _ANSWER_LIMIT_S)
            if _oids(seen) == _oids(listed):
                sequences = [_sequence(session, row, remaining) for row in seen["sequences"]]
                return Moment(held["id"], held["at"], held["lsn"], system_identifier, seen, sequences)
        session.order("ROLLBACK", _ANSWER_LIMIT_S)
    raise SlipwayError(
        f"Tables were made or dropped at each of {_ATTEMPTS} attempts to hold the database still",
        remedy="Wait until that has ended: a migration may be running",
    )


def _system_identifier(session: Asked) -> str:
    try:
        return str(session.ask(_SYSTEM, _ANSWER_LIMIT_S))
    except SlipwayError:
        # Some providers keep it from their customers.
        return ""


def _lock(session: Asked, tables: list[dict[str, Any]], remaining: Remaining) -> bool:
    """Return False when a table is gone."""
    if not tables:
        return True
    names = ", ".join(f"ONLY {_name(table)}" for table in tables)
    try:
        session.order(f"LOCK TABLE {names} IN ACCESS SHARE MODE", remaining())
    except SlipwayError as error:
        if error.facts.get("sqlstate") in (_UNDEFINED_TABLE, _UNDEFINED_SCHEMA):
            return False
        raise
    return True


def _oids(listed: dict[str, Any]) -> set[int]:
    return {row["oid"] for row in listed["tables"]}


def count(session: Asked, listed: dict[str, Any], fingerprint: str, remaining: Remaining, tell: Tell) -> Content:
    """Count what the connection sees, in its transaction.

    :param fingerprint: ``none`` counts no rows, ``counts`` counts them, ``content`` adds up a hash of each.
    """
    tables = listed["tables"] if fingerprint != "none" else []
    counted = []
    for done, table in enumerate(tables):
        tell(done, len(tables), f"{table['schema']}.{table['name']}")
        counted.append(_counted(session, table, fingerprint, listed["version_num"], remaining))
    return Content(
        tables=counted,
        large_objects=listed["large_objects"],
        django_migrations=_migrations(session, listed["tables"], remaining),
    )


def _counted(
    session: Asked, table: dict[str, Any], fingerprint: str, version_num: int, remaining: Remaining
) -> dict[str, Any]:
    # No column can have this name by chance, and hide the row.
    row, sums = '"the slipway row"', "NULL"
    if fingerprint == "content":
        method, row_hash = "text", f'pg_catalog.hashtextextended(({row})::text COLLATE pg_catalog."C", 0)'
        if table["hashable"] and version_num >= _HASH_RECORD_SINCE:
            method, row_hash = "record", f"pg_catalog.hash_record_extended({row}, 0)"
        sums = f"'{method}:' || coalesce(sum({row_hash}::numeric), 0)"
    question = f"SELECT json_build_object('rows', count(*), 'fingerprint', {sums}) FROM ONLY {_name(table)} AS {row}"
    return {"schema": table["schema"], "name": table["name"], **_answer(session, table, question, remaining)}


def _answer(session: Asked, table: dict[str, Any], question: str, remaining: Remaining) -> Any:
    """Ask, and once more as the table's owner.

    To plan a query, the server looks into functions that indexes call. Such a function may call another one without its
    schema, and is then understood only with the search path that its owner has. Only as the owner: who can put a
    function of his own into that path would otherwise have it called by a superuser.
    """
    try:
        return session.ask(f"SAVEPOINT one;\n{question};\nRELEASE SAVEPOINT one", remaining())
    except SlipwayError as error:
        if str(error.facts.get("sqlstate"))[:2] not in _UNDEFINED:
            raise
    session.order("ROLLBACK TO SAVEPOINT one", _ANSWER_LIMIT_S)
    as_owner = f"SET LOCAL ROLE {quote_name(table['owner'])};\nSET LOCAL search_path TO DEFAULT"
    try:
        return session.ask(f"{as_owner};\n{question};\nROLLBACK TO SAVEPOINT one", remaining())
    except SlipwayError as error:
        name = f"{table['schema']}.{table['name']}"
        raise SlipwayError(
            f"The rows of {name} can't be counted: {error.seen}",
            remedy="Write the schema before the names in the functions that its indexes call: they can't be restored "
            "otherwise. fingerprint: none goes on without counting",
            facts=error.facts,
        ) from error


def _sequence(session: Asked, row: dict[str, Any], remaining: Remaining) -> dict[str, Any]:
    question = f"SELECT json_build_object('last_value', last_value, 'is_called', is_called) FROM {_name(row)}"
    return {"schema": row["schema"], "name": row["name"], **session.ask(question, remaining())}


def _migrations(session: Asked, tables: list[dict[str, Any]], remaining: Remaining) -> list[list[str]]:
    found = sorted((table for table in tables if table["migrations"]), key=lambda table: table["schema"] != "public")
    if not found:
        return []
    question = f"SELECT coalesce(json_agg(json_build_array(app, name) ORDER BY id), '[]') FROM {_name(found[0])}"
    return [[str(app), str(name)] for app, name in session.ask(question, remaining())]


def _name(row: dict[str, Any]) -> str:
    return f"{quote_name(row['schema'])}.{quote_name(row['name'])}"


def differences(session: Asked, manifest: Manifest, remaining: Remaining, tell: Tell) -> list[str]:
    """Compare a restored database with what the backup's manifest says, and return all that differs, in words.

    Compares as deeply as the manifest allows: nothing but names of sequences and large objects when nothing was
    counted.
    """
    session.order(_FIXED, _ANSWER_LIMIT_S)
    session.order("BEGIN READ ONLY", _ANSWER_LIMIT_S)
    listed = session.ask(_QUESTION, _ANSWER_LIMIT_S)
    sequences = [_sequence(session, row, remaining) for row in listed["sequences"]]
    seen = count(session, listed, manifest.fingerprint, remaining, tell)
    session.order("ROLLBACK", _ANSWER_LIMIT_S)
    directions = {(row["schema"], row["name"]): (row["increment"], row["cycle"]) for row in listed["sequences"]}
    return [
        *(_differing_tables(manifest.tables, seen.tables) if manifest.fingerprint != "none" else []),
        *_sequences_behind(manifest.sequences, sequences, directions),
        *_differing_large_objects(manifest.large_objects, seen.large_objects),
    ]


def _by_name(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["schema"], row["name"]): row for row in rows}


def _differing_tables(dumped: list[dict[str, Any]], restored: list[dict[str, Any]]) -> Iterator[str]:
    before, after = _by_name(dumped), _by_name(restored)
    for key in sorted(before.keys() | after.keys()):
        name = ".".join(key)
        if key not in after:
            yield f"table {name} is missing"
        elif key not in before:
            yield f"table {name} is in no manifest"
        elif after[key]["rows"] != before[key]["rows"]:
            yield f"table {name} has {after[key]['rows']} rows and had {before[key]['rows']}"
        elif after[key]["fingerprint"] != before[key]["fingerprint"]:
            yield f"table {name} has as many rows ({after[key]['rows']}) with other content"


def _sequences_behind(
    dumped: list[dict[str, Any]],
    restored: list[dict[str, Any]],
    directions: dict[tuple[str, str], tuple[int, bool]],
) -> Iterator[str]:
    """A sequence is of no moment: the dump reads it later than the manifest says. It may be ahead, never behind."""
    before, after = _by_name(dumped), _by_name(restored)
    for key, row in sorted(before.items()):
        if key not in after:
            yield f"sequence {'.'.join(key)} is missing"
            continue
        increment, cycle = directions[key]
        ahead = (after[key]["last_value"] - row["last_value"]) * (1 if increment > 0 else -1)
        if not cycle and ahead < 0:
            yield f"sequence {'.'.join(key)} is at {after[key]['last_value']} and was at {row['last_value']}"


def _differing_large_objects(dumped: int, restored: int) -> Iterator[str]:
    if dumped != restored:
        yield f"there are {restored} large objects and were {dumped}"

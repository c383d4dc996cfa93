# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeing what each statement does on a copy that nobody else uses: locks, work, rows, time.

At debug1 the server itself tells of the work that it begins; the files of the relations and the counters of the
transaction are a second witness. Asked for on the same session, below Django, so that nothing is seen of the asking.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    BUILD,
    REWRITE,
    SCAN,
    VALIDATE,
    WRITE,
    Lock,
    Statement,
    Work,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    backend_pid,
    error_text,
    execute_raw,
    open_copy,
    rows,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._notices import Ears
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Progress
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import mask, needs_autocommit
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

# What belongs to the runner and to Django's own bookkeeping.
_NOT_OF_THE_MIGRATION = re.compile(
    r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK|SET LOCAL lock_timeout|SET CONSTRAINTS ALL"
    r"|SELECT\b.*\bFROM pg_catalog\.pg_class c\b"
    r"|(?:INSERT INTO|DELETE FROM|SELECT)\b.*\b(?:django_migrations|django_migrate_safe_journal)\b)",
    re.IGNORECASE | re.DOTALL,
)
# DROP and REINDEX ... CONCURRENTLY lock an index in ACCESS EXCLUSIVE mode for a moment, at their very end, when no
# query can use it any more (manual, REINDEX, "Rebuilding Indexes Concurrently", steps 5 and 6).
_CONCURRENTLY = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
_DATA = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b", re.IGNORECASE)

_NOW = """
SELECT json_build_object(
  'locks', (SELECT coalesce(json_agg(json_build_array(relation::bigint, mode)), '[]') FROM pg_locks
    WHERE pid = pg_backend_pid() AND granted AND locktype = 'relation' AND relation >= 16384),
  'used', (SELECT coalesce(json_agg(json_build_array(relid::bigint, seq_scan, n_tup_ins + n_tup_upd + n_tup_del)),
    '[]') FROM pg_stat_xact_user_tables WHERE seq_scan + n_tup_ins + n_tup_upd + n_tup_del > 0))::text
"""
_RELATIONS = """
SELECT c.oid::bigint, c.relname, c.relkind::text, c.relfilenode::bigint, coalesce(i.indrelid, 0)::bigint
FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'm', 'i', 'I', 'S', 'v')
  AND c.relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_')
"""
_FOREIGN_KEY = "SELECT conrelid::bigint FROM pg_constraint WHERE conname = %s AND contype = 'f' ORDER BY oid DESC"

_TABLES = {"r", "p", "m"}
# Whom it stops is let go as soon as it waits; this is for one that is slow to come, on a busy machine.
_HOLD_S = 10.0


@dataclass(frozen=True)
class Entry:
    """A relation in the catalogs. ``table``: of an index the oid of its table."""

    name: str
    kind: str
    file: int
    table: int


@dataclass(frozen=True)
class Moment:
    """What the session holds and has used in its transaction."""

    locks: frozenset[tuple[int, str]] = frozenset()
    scans: Mapping[int, int] = field(default_factory=dict)
    writes: Mapping[int, int] = field(default_factory=dict)


def read_relations(connection: Any) -> dict[int, Entry]:
    """Return all relations by their oids."""
    return {row[0]: Entry(*row[1:]) for row in _raw(connection, _RELATIONS)}


def _raw(connection: Any, query: str, params: tuple[object, ...] | None = None) -> list[tuple[Any, ...]]:
    with connection.connection.cursor() as cursor:
        cursor.execute(query, params)
        return list(cursor.fetchall())


class Tracer:
    """A wrapper around the statements of Django's connection that keeps what was seen of each."""

    def __init__(self, work: Any, progress: Callable[[], Progress], clock: Clock) -> None:
        self._work = work
        self._progress = progress
        self._clock = clock
        self._ears = Ears()
        self._wired: Any = None
        self._inside = False
        self.existing = read_relations(work)
        self.statements: list[Statement] = []

    def take(self) -> list[Statement]:
        """Return what was seen since this was last asked."""
        seen, self.statements = self.statements, []
        return seen

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        text = str(sql)
        # What an inner wrapper asks on the way is none of the migration's.
        if self._inside or self._progress().step is None or _NOT_OF_THE_MIGRATION.match(text):
            return execute(sql, params, many, context)
        self._wire()

        def attempt() -> Any:
            self._inside = True
            try:
                return execute(sql, params, many, context)
            finally:
                self._inside = False

        if needs_autocommit(text) and not self._work.in_atomic_block:
            return self._aside(text, attempt)
        # In a transaction of its own where none is open: with its end the locks are gone.
        own = contextlib.nullcontext() if self._work.in_atomic_block else dj.atomic(self._work.alias)
        with own:
            return self._seen(text, attempt)

    def _wire(self) -> None:
        connection = self._work.connection
        if connection is not None and connection is self._wired:
            return
        self._work.ensure_connection()
        self._wired = self._work.connection
        self._ears.listen(self._wired)
        execute_raw(self._work, "SET client_min_messages = debug1")
        # What parallel workers read does not arrive in the counters.
        execute_raw(self._work, "SET max_parallel_maintenance_workers = 0")
        execute_raw(self._work, "SET max_parallel_workers_per_gather = 0")

    def _seen(self, text: str, attempt: Callable[[], Any]) -> Any:
        before, files = self._moment(), read_relations(self._work)
        self._ears.forget()
        began = self._clock.monotonic()
        try:
            result = attempt()
        except Exception as error:
            self._keep(text, began, error=error_text(error))
            raise
        ms = self._ms(began)
        heard = self._ears.heard()
        after = self._moment()
        taken = self._locks(after.locks - before.locks)
        held = tuple(lock for lock in self._locks(after.locks) if lock.blocking)
        # Statements on data change no catalog, unless a function that they call takes such a lock.
        changed = files if _DATA.match(text) and not held else read_relations(self._work)
        work = [*self._work_of(heard, files, changed)]
        work += self._use_of(before, after, {each.table for each in work})
        self._keep(text, ms=ms, taken=taken, held=held, work=tuple(dict.fromkeys(work)))
        return result

    def _aside(self, text: str, attempt: Callable[[], Any]) -> Any:
        """A statement that can't be in a transaction: another session holds it up until its locks were seen."""
        files = read_relations(self._work)
        helper = _Helper(self._work, self.existing)
        self._ears.forget()
        with helper.watching():
            began = self._clock.monotonic()
            try:
                result = attempt()
            except Exception as error:
                self._keep(text, began, error=error_text(error))
                raise
            ms = self._ms(began)
        heard = self._ears.heard()
        work = self._work_of(heard, files, read_relations(self._work))
        taken = self._locks(helper.seen, indexes=not _CONCURRENTLY.search(text))
        self._keep(text, ms=ms, taken=taken, work=tuple(dict.fromkeys(work)))
        return result

    def _keep(self, text: str, began: float | None = None, *, ms: float = 0.0, error: str = "", **seen: Any) -> None:
        progress = self._progress()
        step = None if progress.deferred else progress.step
        shown = mask(text) if _DATA.match(text) else text
        ms = ms if began is None else self._ms(began)
        index = step.index if step else None
        self.statements.append(Statement(index, " ".join(shown.split()), ms, error=error, **seen))

    def _ms(self, began: float) -> float:
        return (self._clock.monotonic() - began) * 1000

    def _moment(self) -> Moment:
        document = json.loads(_raw(self._work, _NOW)[0][0])
        return Moment(
            frozenset((oid, mode) for oid, mode in document["locks"]),
            {oid: scans for oid, scans, _writes in document["used"]},
            {oid: writes for oid, _scans, writes in document["used"]},
        )

    def _locks(self, locks: Iterable[tuple[int, str]], *, indexes: bool = True) -> tuple[Lock, ...]:
        """Those on what was there before the run; of an index only those that keep others waiting.

        :param indexes: whether those on indexes count at all.
        """
        found = []
        for oid, mode in locks:
            entry = self.existing.get(oid)
            lock = Lock(entry.name, mode) if entry else None
            if entry and lock and (entry.kind in _TABLES or (indexes and lock.blocking)):
                found.append(lock)
        return tuple(sorted(found, key=str))

    def _work_of(
        self, heard: Iterable[tuple[str, str]], before: Mapping[int, Entry], after: Mapping[int, Entry]
    ) -> Iterator[Work]:
        oids = {entry.name: oid for oid, entry in (*before.items(), *after.items())}
        for kind, name in heard:
            oid = self._table_of_key(name) if kind == VALIDATE else oids.get(name)
            if oid in self.existing:
                yield Work(kind, self.existing[oid].name)
        for oid, entry in after.items():
            old = before.get(oid)
            if old is not None and old.file != entry.file and oid in self.existing:
                index_of = self.existing.get(entry.table)
                if entry.table == 0:
                    yield Work(REWRITE, self.existing[oid].name)
                elif index_of is not None:
                    yield Work(BUILD, index_of.name)

    def _table_of_key(self, name: str) -> int | None:
        found = _raw(self._work, _FOREIGN_KEY, (name,))
        return int(found[0][0]) if found else None

    def _use_of(self, before: Moment, after: Moment, worked: set[str]) -> list[Work]:
        found = []
        for oid, scans in after.scans.items():
            entry = self.existing.get(oid)
            if entry and scans > before.scans.get(oid, 0) and entry.name not in worked:
                found.append(Work(SCAN, entry.name))
        for oid, writes in after.writes.items():
            entry = self.existing.get(oid)
            count = writes - before.writes.get(oid, 0)
            if entry and count > 0:
                found.append(Work(WRITE, entry.name, count))
        return found


class _Helper:
    """Holds every table against those who want to block writers, and looks at what the session asks for."""

    def __init__(self, work: Any, existing: Mapping[int, Entry]) -> None:
        self._work = work
        self._existing = existing
        self._pid = backend_pid(work)
        self._ready = threading.Event()
        self._done = threading.Event()
        self.seen: set[tuple[int, str]] = set()
        self.failure: Exception | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="slipway-locks", daemon=True)
        thread.start()
        self._ready.wait(30)
        try:
            yield
        finally:
            self._done.set()
            thread.join(30)
        if self.failure is not None:
            raise SlipwayError(f"the locks of a statement could not be seen: {error_text(self.failure)}")

    def _run(self) -> None:
        try:
            holder = open_copy(self._work, "slipway migrate holder")
            looker = open_copy(self._work, "slipway migrate looker")
            try:
                self._hold(holder)
                self._look_until_done(holder, looker)
            finally:
                holder.close()
                looker.close()
        except Exception as error:  # told by the thread that waits
            self.failure = error
        finally:
            self._ready.set()

    def _hold(self, holder: Any) -> None:
        oids = [oid for oid, entry in self._existing.items() if entry.kind in {"r", "p"}]
        query = (
            "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE oid = ANY (%s::bigint[]::oid[])"
            " AND has_table_privilege(oid, 'UPDATE')"
        )
        names = rows(holder, query, (oids,))[0][0]
        if names:
            execute_raw(holder, "BEGIN")
            execute_raw(holder, f"LOCK TABLE {names} IN ROW EXCLUSIVE MODE")

    def _look_until_done(self, holder: Any, looker: Any) -> None:
        pause = threading.Event()  # never set: it only waits
        holding, waited = True, 0.0
        self._ready.set()
        while not self._done.is_set():
            waiting = self._look(looker)
            if holding and (waiting or waited >= _HOLD_S):
                execute_raw(holder, "ROLLBACK")
                holding = False
            pause.wait(0.001)
            waited += 0.001

    def _look(self, looker: Any) -> bool:
        found = rows(looker, "SELECT relation::bigint, mode, granted FROM pg_locks WHERE pid = %s", (self._pid,))
        self.seen |= {(oid, mode) for oid, mode, _granted in found if oid is not None and oid >= 16384}
        return any(not granted for _oid, _mode, granted in found)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps a statement waiting: seen while it waits, since afterwards nobody knows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import open_copy, rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import head

_BLOCKERS = """
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(backend_type, ''), coalesce(state, ''),
       extract(epoch FROM clock_timestamp() - xact_start)::float, coalesce(query, '')
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY xact_start
"""


_LONG = """
SELECT DISTINCT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(backend_type, ''),
       coalesce(state, ''), extract(epoch FROM clock_timestamp() - xact_start)::float AS age, coalesce(query, '')
FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid() AND datname = current_database()
  AND relation = ANY (ARRAY(SELECT to_regclass(quote_ident(name)) FROM unnest(%s::text[]) AS name))
  AND xact_start < clock_timestamp() - make_interval(secs => %s)
ORDER BY age DESC
"""
_BUILD = """
SELECT phase, CASE WHEN blocks_total > 0 THEN 'blocks' WHEN tuples_total > 0 THEN 'rows' ELSE 'transactions' END,
       CASE WHEN blocks_total > 0 THEN blocks_done WHEN tuples_total > 0 THEN tuples_done ELSE lockers_done END,
       CASE WHEN blocks_total > 0 THEN blocks_total WHEN tuples_total > 0 THEN tuples_total ELSE lockers_total END,
       coalesce(index_relid::regclass::text, ''), current_locker_pid
FROM pg_stat_progress_create_index WHERE pid = %s
"""


@dataclass(frozen=True)
class Blocker:
    """A session that holds a lock which we waited for.

    :param age_s: age of its transaction; None where this role may not see it.
    :param query: the beginning of its last statement, without literals.
    """

    pid: int
    user: str
    application: str
    kind: str
    state: str
    age_s: float | None
    query: str

    def __str__(self) -> str:
        name = self.application or self.kind or "unnamed"
        age = "age not visible to this role" if self.age_s is None else f"in its transaction for {self.age_s:.1f} s"
        state = f", {self.state}" if self.state else ""
        query = f": {self.query}" if self.query else ""
        return f"process {self.pid} ({name}, user {self.user or 'none'}{state}, {age}){query}"


def long_holders(connection: Any, tables: Sequence[str], older_than_s: float) -> list[Blocker]:
    """Return the sessions that hold a lock on one of the tables in a transaction that is older, the oldest first.

    Of other roles' sessions the age is hidden from a role without pg_read_all_stats: those are not found.
    """
    return [_blocker(row) for row in rows(connection, _LONG, (list(tables), older_than_s))]


class Watcher(threading.Thread):
    """Looks from a connection of its own, a few times during each try.

    :param tell: told how far the build of an index is.
    """

    def __init__(self, work: Any, name: str, interval_s: float, tell: Callable[..., None] | None = None) -> None:
        super().__init__(name="slipway-watcher", daemon=True)
        self._tell = tell
        self._work = work
        self._name = name
        self._interval_s = interval_s
        self._active = threading.Event()
        self._pause = threading.Event()  # never set: it only waits
        self._guard = threading.Lock()
        self._pid = 0
        self._seen: dict[int, Blocker] = {}

    def begin(self, pid: int) -> None:
        """A try begins: forget what was seen, look at this process of the server."""
        with self._guard:
            self._pid = pid
            self._seen = {}
        self._active.set()

    def end(self) -> list[Blocker]:
        """The try has ended: return who kept it waiting."""
        self._active.clear()
        with self._guard:
            return list(self._seen.values())

    def run(self) -> None:
        # Blockers are told, nothing depends on them: without this connection the migration goes on all the same.
        try:
            connection = open_copy(self._work, self._name)
            while self._active.wait():
                self._look(connection)
                self._pause.wait(self._interval_s)
        except (dj.Error, SlipwayError):
            return

    def _look(self, connection: Any) -> None:
        with self._guard:
            pid = self._pid
        found = rows(connection, _BLOCKERS, (pid,))
        if self._tell is not None:
            for phase, unit, done, total, index, locker in rows(connection, _BUILD, (pid,)):
                waits = f"for process {locker}" if locker else ""
                self._tell(f"index {index}: {phase}", done, total or None, waits, unit=unit)
        with self._guard:
            if pid == self._pid:
                self._seen.update({row[0]: _blocker(row) for row in found})


def _blocker(row: tuple[Any, ...]) -> Blocker:
    pid, user, application, kind, state, age_s, query = row
    return Blocker(pid, user, application, kind, state, age_s, head(query))

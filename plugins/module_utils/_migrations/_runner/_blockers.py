# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who keeps a statement waiting: seen while it waits, since afterwards nobody knows."""

from __future__ import annotations

import threading
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


class Watcher(threading.Thread):
    """Looks from a connection of its own, a few times during each try."""

    def __init__(self, work: Any, name: str, interval_s: float) -> None:
        super().__init__(name="slipway-watcher", daemon=True)
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
        with self._guard:
            if pid == self._pid:
                self._seen.update({row[0]: _blocker(row) for row in found})


def _blocker(row: tuple[Any, ...]) -> Blocker:
    pid, user, application, kind, state, age_s, query = row
    return Blocker(pid, user, application, kind, state, age_s, head(query))

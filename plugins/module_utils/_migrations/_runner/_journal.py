# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of runs, in the database that they change: it can't be lost without what it tells about.

One row for each thing that happened, never changed. The row that says ``applied`` is written in the transaction
that records the migration, so that both are there or none. Around each operation of a migration that is not
atomic there is a row before and a row after: what stands between the two when a run dies is known exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows

TABLE = "django_migrate_safe_journal"

# The migration as a whole.
STARTED = "started"
APPLIED = "applied"
UNDONE = "undone"
# A person had applied it by hand, and the schema was found to be as it would have made it.
RECORDED = "recorded"
# Given up before its first statement took effect: nothing of it is in the database.
WITHDRAWN = "withdrawn"
# A person said that a half applied migration was put right.
SETTLED = "settled"
# One operation of a migration that is not atomic.
OPERATION_STARTED = "operation started"
OPERATION_DONE = "operation done"
OPERATION_FAILED = "operation failed"
# It failed and surely nothing of it is there.
OPERATION_WITHDRAWN = "operation without effect"
# The index that the first statement of an operation will make, CONCURRENTLY: an INVALID one of this name is ours.
INDEX_BEGUN = "index begun"
# Left for later by a run of phase expand: the release works without it, and owes it.
LEFT = "left for later"
# A command of the site that runs once; its name stands where a migration's would.
ONCE_STARTED = "once started"
ONCE_DONE = "once done"
ONCE_FAILED = "once failed"
# All of the application's handlers of post_migrate have run.
SIGNALS = "signals sent"

_OPEN = (STARTED, OPERATION_STARTED, OPERATION_DONE, OPERATION_FAILED, OPERATION_WITHDRAWN, INDEX_BEGUN)

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {TABLE} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id text NOT NULL,
    release text NOT NULL,
    app text NOT NULL,
    name text NOT NULL,
    event text NOT NULL,
    backwards boolean NOT NULL DEFAULT false,
    operation integer,
    ms integer,
    detail text NOT NULL DEFAULT ''
)
"""
_LAST_RUN_ROWS = f"""
SELECT run_id, app, name, event, backwards, operation, detail, at::text FROM {TABLE} AS journal
WHERE event = ANY (%s) AND id > coalesce((
    SELECT max(id) FROM {TABLE} WHERE app = journal.app AND name = journal.name AND event <> ALL (%s)), 0)
ORDER BY id
"""
_SET = f"""
SELECT app, name FROM {TABLE} AS journal WHERE run_id = %s AND event = 'applied' AND NOT EXISTS (
    SELECT FROM {TABLE} WHERE app = journal.app AND name = journal.name AND event = 'undone' AND id > journal.id)
ORDER BY id
"""
_ONCE = f"""
SELECT event, run_id, at::text, detail FROM {TABLE} WHERE app = '' AND name = %s AND event = ANY (%s)
ORDER BY event = '{ONCE_DONE}' DESC, id DESC LIMIT 1
"""
_SIGNALS_OWED = f"""
SELECT coalesce(max(id) FILTER (WHERE event IN ('applied', 'undone', 'recorded')), 0)
     > coalesce(max(id) FILTER (WHERE event = 'signals sent'), 0) FROM {TABLE}
"""
_OWED = f"""
SELECT DISTINCT ON (app, name) app || '.' || name, release FROM {TABLE} WHERE event = '{LEFT}' ORDER BY app, name, id
"""


@dataclass(frozen=True)
class HalfDone:
    """A migration that is not atomic and whose run ended in its middle.

    :param done: operations that are in the database.
    :param doubtful: the operation during which the run ended; it may be there in part.
    :param titles: what the done operations were called.
    :param index: the index that the doubtful operation was making; empty when it was not, or not only, that.
    """

    app: str
    name: str
    run_id: str
    at: str
    backwards: bool
    done: tuple[int, ...]
    doubtful: int | None
    detail: str
    titles: tuple[str, ...] = ()
    index: str = ""

    @property
    def key(self) -> str:
        return f"{self.app}.{self.name}"

    def __str__(self) -> str:
        way = "undone" if self.backwards else "applied"
        done = f"operations done: {', '.join(map(str, self.done))}" if self.done else "no operation is known to be done"
        doubt = "" if self.doubtful is None else f"; operation {self.doubtful} may be done in part"
        because = f" ({self.detail})" if self.detail else ""
        return f"{self.key} is half {way} since {self.at} (run {self.run_id}): {done}{doubt}{because}"


@dataclass(frozen=True)
class Once:
    """What the journal last knows of a command that runs once."""

    event: str
    run_id: str
    at: str
    detail: str

    @property
    def done(self) -> bool:
        return self.event == ONCE_DONE

    def __str__(self) -> str:
        what = {ONCE_DONE: "run", ONCE_FAILED: f"failed with {self.detail},"}.get(self.event, "begun")
        return f"{what} at {self.at} by {self.run_id}"


class Journal:
    """Reads and writes the journal on the working connection."""

    def __init__(self, connection: Any, run_id: str, release: str) -> None:
        self._connection = connection
        self._run_id = run_id
        self._release = release

    def exists(self) -> bool:
        return bool(rows(self._connection, "SELECT to_regclass(%s) IS NOT NULL", (TABLE,))[0][0])

    def create(self) -> None:
        """Make the table unless it is there."""
        if not self.exists():
            self._execute(_CREATE, ())

    def add(
        self,
        event: str,
        migration: Any = None,
        *,
        backwards: bool = False,
        operation: int | None = None,
        ms: int | None = None,
        detail: str = "",
    ) -> None:
        """Append a row; inside of a transaction it is there when the transaction is."""
        app, name = (migration.app_label, migration.name) if migration else ("", "")
        self._append(event, app, name, backwards, operation, ms, detail)

    def settle(self, half: HalfDone, reason: str) -> None:
        """Note that a person has put a half done migration right."""
        self._append(SETTLED, half.app, half.name, half.backwards, None, None, reason)

    def once(self, name: str) -> Once | None:
        """Return what is known of a command that runs once, None when it was never begun."""
        if not self.exists():
            return None
        found = rows(self._connection, _ONCE, (name, [ONCE_STARTED, ONCE_DONE, ONCE_FAILED]))
        return Once(*found[0]) if found else None

    def note_once(self, event: str, name: str, *, ms: int | None = None, detail: str = "") -> None:
        """Append a row about a command that runs once."""
        self._append(event, "", name, False, None, ms, detail)

    def _append(self, event: str, app: str, name: str, *rest: object) -> None:
        self._execute(
            f"INSERT INTO {TABLE} (run_id, release, event, app, name, backwards, operation, ms, detail)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (self._run_id, self._release, event, app, name, *rest),
        )

    def _execute(self, statement: str, params: tuple[object, ...]) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, params)

    def applied_by_run(self, run_id: str) -> list[tuple[str, str]]:
        """Return what a run has applied and what was not undone since, in the order of applying."""
        found = rows(self._connection, _SET, (run_id,)) if self.exists() else []
        return [(row[0], row[1]) for row in found]

    def owed(self) -> dict[str, str]:
        """Return what earlier releases left for later, by ``app.name``, with the release that did so first."""
        found = rows(self._connection, _OWED) if self.exists() else []
        return {key: release for key, release in found if release != self._release}

    def noted(self) -> frozenset[str]:
        """Return all that was ever left for later, by ``app.name``."""
        found = rows(self._connection, _OWED) if self.exists() else []
        return frozenset(key for key, _row in found)

    def signals_owed(self) -> bool:
        """True when a run ended after a migration and before the handlers of post_migrate had run."""
        return self.exists() and bool(rows(self._connection, _SIGNALS_OWED)[0][0])

    def half_done(self, recorded: Mapping[tuple[str, str], object]) -> list[HalfDone]:
        """Return the migrations that stand half in the database.

        One that Django's own record shows as finished was finished by hand (``migrate --fake``).
        """
        if not self.exists():
            return []
        found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for row in rows(self._connection, _LAST_RUN_ROWS, (list(_OPEN), list(_OPEN))):
            found.setdefault((row[1], row[2]), []).append(row)
        halves = [_half(events) for events in found.values()]
        return [half for half in halves if ((half.app, half.name) in recorded) == half.backwards]


def _half(events: list[tuple[Any, ...]]) -> HalfDone:
    run_id, app, name, _event, backwards, _operation, _detail, at = events[0]
    last = events[-1]
    return HalfDone(
        app=app,
        name=name,
        run_id=run_id,
        at=at,
        backwards=backwards,
        done=tuple(row[5] for row in events if row[3] == OPERATION_DONE),
        doubtful=last[5] if last[3] in {OPERATION_STARTED, OPERATION_FAILED, INDEX_BEGUN} else None,
        detail=last[6],
        titles=tuple(row[6] for row in events if row[3] == OPERATION_DONE),
        index=_index(events),
    )


def _index(events: list[tuple[Any, ...]]) -> str:
    """The index whose build is the last that the doubtful operation is known to have begun."""
    tail = [row for row in events if row[3] != OPERATION_FAILED][-1:]
    return str(tail[0][6]) if tail and tail[0][3] == INDEX_BEGUN else ""

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time for a database, held by a session of its own.

Two advisory locks: the run's, on a connection that does nothing else, so that no failure of the work frees it;
and the work's, on the working connection. Who holds the second without the first is what a killed run left
behind on the server: a statement that has not yet noticed that its client is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import backend_pid, rows
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

# "SLPW". Advisory locks are per database, so the name of the database is not part of the key.
_CLASS = 0x534C5057
_RUN = 1
_WORK = 2
# What a killed run left behind notices it within a second (client_connection_check_interval).
_LEFTOVER_GRACE_S = 10.0

_HOLDER = """
SELECT activity.pid, activity.usename, activity.application_name, activity.client_addr::text,
       extract(epoch FROM clock_timestamp() - activity.backend_start)::float
FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class Holder:
    """The session that holds the lock. ``for_s`` is None where this role may not see it."""

    pid: int
    user: str
    application: str
    address: str
    for_s: float | None

    def __str__(self) -> str:
        since = "" if self.for_s is None else f" for {self.for_s:.0f} s"
        return f"{self.application!r} (user {self.user}, from {self.address}, process {self.pid} of the server){since}"


def holder(connection: Any, key: int = _RUN) -> Holder | None:
    """Return who holds the lock, None when it is free."""
    found = rows(connection, _HOLDER, (_CLASS, key))
    if not found:
        return None
    pid, user, application, address, for_s = found[0]
    return Holder(pid, user or "unknown", application or "", address or "the server itself", for_s)


def take_run(connection: Any, *, clock: Clock, wait_s: float) -> None:
    """Take the run's lock for as long as the connection lives.

    :param wait_s: seconds to wait for another run; 0 refuses at once.
    :raises Refused: another run holds it.
    """
    other = _take(connection, _RUN, clock, wait_s)
    if other is not None:
        waited = f" It was waited for {wait_s:g} s." if wait_s else ""
        raise Refused(
            f"another run works on the migrations of this database: {other}.{waited}",
            untouched="Nothing was changed",
            remedy="Run again when it has ended; a run whose process was killed frees the lock by itself",
            facts={"holder": vars(other)},
        )


def take_work(connection: Any, *, clock: Clock) -> None:
    """Take the work's lock; waits a little for what a killed run may have left behind.

    :raises Refused: a statement of an earlier run still runs.
    """
    other = _take(connection, _WORK, clock, _LEFTOVER_GRACE_S)
    if other is not None:
        raise Refused(
            f"a statement of a run that was killed still runs on the server: {other}",
            untouched="Nothing was changed",
            remedy=f"Wait until it has ended, or end it with SELECT pg_terminate_backend({other.pid})",
            facts={"holder": vars(other)},
        )


def _take(connection: Any, key: int, clock: Clock, wait_s: float) -> Holder | None:
    def attempt() -> Holder | None:
        if rows(connection, "SELECT pg_try_advisory_lock(%s::int, %s::int)", (_CLASS, key))[0][0]:
            return None
        # It may be freed between the two questions: then it is somebody who can't be named.
        return holder(connection, key) or Holder(0, "unknown", "unknown", "unknown", None)

    def judge(other: Holder | None) -> Judgement:
        return Judgement(Verdict.RETRY if other else Verdict.SUCCESS, "")

    return poll(attempt, judge, clock=clock, interval_s=0.2, timeout_s=wait_s).last


def check_run_held(connection: Any) -> None:
    """Refuse to go on when the lock's connection was lost: another run may have begun.

    :raises SlipwayError: the lock is not ours any more.
    """
    try:
        mine = holder(connection)
        lost = mine is None or mine.pid != backend_pid(connection)
    except dj.Error:
        lost = True
    if lost:
        raise SlipwayError(
            "the connection that holds the lock of this run was lost: another run may have begun",
            remedy="Look at the server's log and run again: it continues with what is not applied",
        )


def refuse_pooler(lock: Any, work: Any) -> None:
    """Refuse to work through a pooler that gives each transaction another session of the server.

    Locks and timeouts belong to a session. While ``work`` is inside a transaction, a pooler has given it the
    session that ``lock`` was seen in, or gives ``lock`` another one now.

    :raises Refused: the two connections don't have a session each.
    """
    query = "SELECT pg_backend_pid()"
    before = rows(lock, query)
    with dj.atomic(work.alias):
        inside = rows(work, query)
        after = rows(lock, query)
    if before != after or inside == before:
        raise Refused(
            "the database is reached through a pooler that shares sessions between transactions",
            untouched="Nothing was changed",
            remedy="Give the release's settings an alias that reaches the server directly, and name it in database",
        )

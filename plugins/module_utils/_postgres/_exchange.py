# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two databases exchange the live name in one transaction: at any moment one whole database bears it.

The first rename of the live database takes its lock, and new logins wait from then on. The server then waits, up to
5 s, until nobody is in it; meanwhile another connection ends who is. Whatever dies on the way, the server rolls back.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import comment_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, quote_name, quote_text
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_STEP_LIMIT_S: Final = 30.0
_END_EVERY_S: Final = 0.01
_PROBE_EVERY_S: Final = 0.005
_PROBE_LIMIT_S: Final = 15.0

# Who may be ended by whom, as pg_terminate_backend() itself decides: it fails as a whole for one who may not.
# Processes of the server without a role (autovacuum) are left to the server, unless a superuser asks.
MAY_END: Final = """
(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
OR (a.usesysid IS NOT NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = a.usesysid)
    AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
"""


@dataclass(frozen=True)
class Exchange:
    """Which database leaves the live name, and which one takes it."""

    live: str
    outgoing_oid: int
    # The name and comment that the outgoing one gets.
    outgoing_name: str
    outgoing_comment: str
    incoming: str
    incoming_oid: int
    incoming_comment: str | None

    @property
    def between(self) -> str:
        """The name of the incoming one while both leave theirs; nobody ever sees it."""
        return f"slipway_between_{self.incoming_oid}"


@dataclass(frozen=True)
class Outage:
    """What was measured. ``outage_ms`` is None when the live database did not answer before, or not again."""

    outage_ms: int | None
    ended: int


class Busy(SlipwayError):
    """The server gave up waiting for the live database to be left. It rolled back."""


@dataclass
class _Answers:
    """What a probe of the live name has seen: the last answer of the one, the first of the other."""

    outgoing_oid: int
    last_before: float | None = None
    first_after: float | None = None

    def add(self, oid: int, now: float) -> None:
        if oid == self.outgoing_oid:
            self.last_before = now
        elif self.first_after is None:
            self.first_after = now

    @property
    def outage_ms(self) -> int | None:
        if self.last_before is None or self.first_after is None:
            return None
        return round((self.first_after - self.last_before) * 1000)


class Probe:
    """A client that logs in to the live name again and again, in a thread."""

    def __init__(self, live: Database, answers: _Answers, clock: Clock) -> None:
        self._live = live
        self._answers = answers
        self._clock = clock
        self._stop = threading.Event()
        self._before = threading.Event()
        self._after = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[Probe]:
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(_PROBE_LIMIT_S)

    def wait_for_the_old(self) -> None:
        """Return when the live database has answered once, or does not."""
        self._before.wait(_PROBE_LIMIT_S)

    def wait_for_the_new(self) -> None:
        """Return when the database that came has answered once, or does not."""
        if self._answers.last_before is not None:
            self._after.wait(_PROBE_LIMIT_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            # Refusals are what it is there to see: it ends with the module, whatever it sees.
            with contextlib.suppress(SlipwayError):
                oid = self._live.ask("SELECT oid::bigint FROM pg_database WHERE datname = current_database()")
                self._answers.add(int(oid), self._clock.monotonic())
            # After the first answer, or the first refusal: one who may not log in measures nothing.
            self._before.set()
            if self._answers.first_after is not None:
                self._after.set()
                return
            self._clock.sleep(_PROBE_EVERY_S)


@dataclass
class Ender:
    """Ends the sessions of a database, again and again, in a thread, by a connection of its own."""

    session: Session
    oid: int
    clock: Clock
    ended: set[int] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(_STEP_LIMIT_S)

    def _work(self) -> None:
        # When this connection is lost the rename finds the database in use and says so.
        with contextlib.suppress(SlipwayError):
            while not self._stop.is_set():
                rows = self.session.ask(end_statement(self.oid), _STEP_LIMIT_S)
                self.ended.update(int(pid) for pid in rows)
                self.clock.sleep(_END_EVERY_S)


def end_statement(oid: int) -> str:
    """Return the statement that ends the sessions of a database and answers with whose; not its own, nor the probe's
    in the answer.
    """
    return f"""
    SELECT coalesce(json_agg(e.pid) FILTER (WHERE e.done AND NOT e.ours), '[]') FROM (
      SELECT a.pid, a.application_name LIKE 'slipway %' AS ours, pg_terminate_backend(a.pid) AS done
      FROM pg_stat_activity a WHERE a.datid = {oid} AND a.pid <> pg_backend_pid() AND ({MAY_END})) e
    """


class Exchanger:
    """Carries one exchange out. Each attempt is one transaction."""

    def __init__(self, psql: str, maintenance: Connection, runner: Runner, clock: Clock) -> None:
        self._psql = psql
        self._maintenance = maintenance
        self._runner = runner
        self._clock = clock

    def exchange(self, exchange: Exchange, *, max_wait_s: float) -> Outage:
        """Exchange the two, or leave all as it was.

        :raises Busy: somebody could not be made to leave in time; an attempt later may succeed.
        :raises SlipwayError: the server refused, or the connection was lost: then the catalogue says how it ended.
        """
        answers = _Answers(exchange.outgoing_oid)
        live = Database(self._psql, self._maintenance.to(exchange.live), self._runner)
        with self._session() as session, self._session() as other:
            ender = Ender(other, exchange.outgoing_oid, self._clock)
            with Probe(live, answers, self._clock).running() as probe:
                probe.wait_for_the_old()
                self._transaction(session, ender, exchange, max_wait_s)
                probe.wait_for_the_new()
        return Outage(answers.outage_ms, len(ender.ended))

    def _session(self) -> Session:
        return Session(self._psql, self._maintenance, self._clock)

    def _transaction(self, session: Session, ender: Ender, exchange: Exchange, max_wait_s: float) -> None:
        live, between = quote_name(exchange.live), quote_name(exchange.between)
        old = quote_name(exchange.outgoing_name)
        limit = int(max_wait_s * 1000)
        try:
            self._order(session, "begin", "BEGIN")
            self._order(session, "limits", f"SET LOCAL lock_timeout = {limit}; SET LOCAL statement_timeout = {limit}")
            # Nobody is in this one: it shows that the rights suffice before anybody has to wait.
            self._order(session, "aside", f"ALTER DATABASE {quote_name(exchange.incoming)} RENAME TO {between}")
            with ender.running():
                self._order(session, "out", f"ALTER DATABASE {live} RENAME TO {old}", limit_s=max_wait_s + 5)
            self._order(session, "in", f"ALTER DATABASE {between} RENAME TO {live}")
            self._order(session, "open", f"ALTER DATABASE {live} ALLOW_CONNECTIONS true")
            self._order(session, "freeze", f"ALTER DATABASE {old} ALLOW_CONNECTIONS false")
            comment = comment_statement(exchange.live, exchange.incoming_comment)
            mark = comment_statement(exchange.outgoing_name, exchange.outgoing_comment)
            self._order(session, "comments", f"{comment}; {mark}")
            self._require_planned(session, exchange)
            self._order(session, "commit", "COMMIT")
        except SlipwayError as error:
            raise _told(error) from error

    def _order(self, session: Session, step: str, sql: str, *, limit_s: float = _STEP_LIMIT_S) -> None:
        try:
            session.order(sql, limit_s)
        except SlipwayError as error:
            error.facts["step"] = step
            raise

    def _require_planned(self, session: Session, exchange: Exchange) -> None:
        # Somebody may have made, dropped or renamed databases since they were looked at.
        names = f"{quote_text(exchange.live)}, {quote_text(exchange.outgoing_name)}"
        rows: dict[str, Any] = session.ask(
            f"SELECT json_object_agg(datname, oid::bigint) FROM pg_database WHERE datname IN ({names})",
            _STEP_LIMIT_S,
        )
        expected = {exchange.live: exchange.incoming_oid, exchange.outgoing_name: exchange.outgoing_oid}
        if rows != expected:
            raise SlipwayError(
                f"The databases are not those that were looked at: expected {expected}, found {rows}",
                remedy="Run the task again",
            )


# In use; a time limit; a lock that was not had; a deadlock.
_BUSY_STATES: Final = ("55006", "57014", "55P03", "40P01")


def _told(error: SlipwayError) -> SlipwayError:
    if isinstance(error, Busy) or not (error.facts.get("sqlstate") in _BUSY_STATES or isinstance(error, TimedOut)):
        return error
    return Busy(error.seen, untouched=error.untouched, remedy=error.remedy, facts=error.facts)

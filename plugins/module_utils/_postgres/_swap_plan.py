# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exchange of two databases needs, and all that stands in its way: decided by names and marks alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres import _marks as marks
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Connection,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._exchange import (
    MAY_END,
    Exchange,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._loss import (
    age,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import Mark, Seen
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_text

_DAY_S: Final = 86400
_STATES: Final = ("swapped", "reverted", "dropped")


@dataclass(frozen=True)
class Request:
    """What is wanted. ``connection`` is to a database that is neither of the two: a name is not changed from inside."""

    connection: Connection
    database: str
    state: str
    candidate: str = ""
    accept_data_loss: bool = False
    count_rows: bool = True
    max_wait_s: float = 5.0
    attempts: int = 3
    older_than_days: float = 0.0

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked.

        :raises InvalidOption: a value is not accepted.
        """
        marks.require_name("database", self.database)
        if self.state not in _STATES:
            raise InvalidOption("state", self.state, ", ".join(_STATES))
        if self.state == "swapped":
            marks.require_name("candidate", self.candidate)
            if self.candidate == self.database:
                raise InvalidOption("candidate", self.candidate, "another database than the live one")
        if self.connection.database in (self.database, self.candidate):
            raise InvalidOption(
                "maintenance_database", self.connection.database, "a database that is neither live nor the candidate"
            )
        for option, value, least in [
            ("max_wait", self.max_wait_s, 0.1),
            ("attempts", self.attempts, 1),
            ("older_than", self.older_than_days, 0),
        ]:
            if value < least:
                raise InvalidOption(option, value, f"a number that is at least {least:g}")
        self.connection.validate()


@dataclass(frozen=True)
class Observed:
    """The server, as far as a swap is concerned with it. Lists are of the live database and the candidate alone."""

    user: str
    superuser: bool
    createdb: bool
    standby: bool
    system_identifier: str
    lsn: str | None
    # database and what it is called: gid, slot, subscription.
    prepared: list[Mapping[str, Any]]
    slots: list[Mapping[str, Any]]
    subscriptions: list[Mapping[str, Any]]
    # database, pid, user, application, state, may_end
    sessions: list[Mapping[str, Any]]
    databases: Mapping[str, Seen]


def question(databases: tuple[str, ...]) -> str:
    """Ask for all of it but the databases themselves."""
    names = ", ".join(quote_text(name) for name in databases)
    return f"""
    SELECT json_build_object(
      'user', current_user,
      'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
      'createdb', (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user),
      'standby', pg_is_in_recovery(),
      'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
      'lsn', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END,
      'prepared', (SELECT coalesce(json_agg(json_build_object('database', database, 'name', gid)), '[]')
        FROM pg_prepared_xacts WHERE database IN ({names})),
      'slots', (SELECT coalesce(json_agg(json_build_object('database', database, 'name', slot_name)), '[]')
        FROM pg_replication_slots WHERE database IN ({names})),
      'subscriptions', (SELECT coalesce(json_agg(json_build_object('database', d.datname, 'name', s.subname)), '[]')
        FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname IN ({names})),
      'sessions', (SELECT coalesce(json_agg(json_build_object(
          'database', a.datname, 'pid', a.pid, 'user', a.usename, 'application', a.application_name,
          'state', a.state, 'may_end', {MAY_END}) ORDER BY a.pid), '[]')
        FROM pg_stat_activity a
        WHERE a.datname IN ({names}) AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()))
    """


@dataclass(frozen=True)
class Plan:
    """What has to be done: ``exchange``, ``drop`` or ``none``."""

    action: str
    reason: str
    exchange: Exchange | None = None
    # The database whose contents come, and since when what comes is not what is live.
    incoming: Seen | None = None
    since: str = ""
    since_lsn: str | None = None
    since_system: str = ""
    drop: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.action != "none"


def make_plan(observed: Observed, request: Request, now: datetime) -> Plan:
    """Decide by the names and marks that are there. Pure.

    :raises Refused: there is nothing that could be done.
    """
    if request.state == "dropped":
        return _plan_drop(observed, request, now)
    live = observed.databases.get(request.database)
    if live is None:
        raise Refused(
            f"There is no database {request.database}",
            untouched="Nothing was changed",
            remedy="See its name; those with a mark: " + (_listed(observed) or "none"),
        )
    return (_plan_swap if request.state == "swapped" else _plan_revert)(observed, request, live, now)


def _plan_swap(observed: Observed, request: Request, live: Seen, now: datetime) -> Plan:
    candidate = observed.databases.get(request.candidate)
    old = marks.before(observed.databases, live, marks.OLD)
    if candidate is None and old is not None and old.mark and old.mark.candidate == request.candidate:
        return Plan(
            "none",
            f"{request.database} has been the copy of backup {old.mark.backup} since {old.mark.at}",
            incoming=old,
        )
    if candidate is None:
        raise Refused(
            f"There is no database {request.candidate}",
            untouched="Nothing was changed",
            remedy="Restore a backup with pg_restore and give the name of its target; databases with a mark: "
            + (_listed(observed) or "none"),
        )
    mark = _require_verified(candidate, request)
    outgoing = replace(
        mark,
        phase=marks.OLD,
        database=live.name,
        comment=live.comment,
        candidate=candidate.name,
        replaced_by=candidate.oid,
        at=marks.iso(now),
        lsn=observed.lsn,
        system_identifier=observed.system_identifier,
    )
    exchange = _exchange(live, candidate, marks.OLD, outgoing, now)
    reason = f"{candidate.name} is the verified copy of backup {mark.backup} of {mark.taken_at}"
    return Plan(
        "exchange", reason, exchange, candidate, since=mark.taken_at, since_lsn=mark.lsn,
        since_system=mark.system_identifier,
    )  # fmt: skip


def _plan_revert(observed: Observed, request: Request, live: Seen, now: datetime) -> Plan:
    old = marks.before(observed.databases, live, marks.OLD)
    if old is None or old.mark is None:
        failed = marks.before(observed.databases, live, marks.FAILED)
        if failed is not None and failed.mark is not None:
            return Plan(
                "none", f"{request.database} has been the database from before the swap again since {failed.mark.at}",
                incoming=failed,
            )  # fmt: skip
        raise Refused(
            f"Nothing is known that {request.database} has taken the place of",
            untouched="Nothing was changed",
            remedy="Only a swap can be reverted, and only while the old database is there; databases with a mark: "
            + (_listed(observed) or "none"),
        )
    outgoing = replace(
        old.mark, phase=marks.FAILED, comment=live.comment, replaced_by=old.oid, at=marks.iso(now), lsn=observed.lsn
    )
    exchange = _exchange(live, old, marks.FAILED, outgoing, now)
    reason = f"{old.name} is what {live.name} was before the swap of {old.mark.at}"
    return Plan(
        "exchange", reason, exchange, old, since=old.mark.at, since_lsn=old.mark.lsn,
        since_system=old.mark.system_identifier,
    )  # fmt: skip


def _exchange(live: Seen, incoming: Seen, kind: str, outgoing: Mark, now: datetime) -> Exchange:
    return Exchange(
        live=live.name,
        outgoing_oid=live.oid,
        outgoing_name=marks.derived_name(live.name, kind, marks.stamp(now)),
        outgoing_comment=outgoing.text(),
        incoming=incoming.name,
        incoming_oid=incoming.oid,
        incoming_comment=incoming.mark.comment if incoming.mark else None,
    )


def _require_verified(candidate: Seen, request: Request) -> Mark:
    mark = candidate.mark
    if mark is None:
        seen = f"{candidate.name} bears no mark: it was not made by pg_restore"
    elif mark.database != request.database:
        seen = f"{candidate.name} is a copy of {mark.database} and not of {request.database}"
    elif mark.phase != marks.VERIFIED:
        seen = f"{candidate.name} is in the phase {mark.phase} and not {marks.VERIFIED}"
    else:
        return mark
    raise Refused(seen, untouched="Nothing was changed", remedy="Restore the backup with pg_restore first")


def _plan_drop(observed: Observed, request: Request, now: datetime) -> Plan:
    names = tuple(
        database.name
        for database in observed.databases.values()
        if database.mark is not None
        and database.mark.database == request.database
        and database.mark.phase in (marks.OLD, marks.FAILED)
        and database.name != request.database
        and age(database.mark.at, now) >= request.older_than_days * _DAY_S
    )
    if names:
        return Plan("drop", f"{', '.join(names)} are kept from before a swap", drop=names)
    older = f" for {request.older_than_days:g} days or more" if request.older_than_days else ""
    return Plan("none", f"nothing from before a swap of {request.database} is kept{older}")


def _listed(observed: Observed) -> str:
    return ", ".join(f"{name} ({seen.mark.phase})" for name, seen in observed.databases.items() if seen.mark)


def problems(plan: Plan, observed: Observed, request: Request) -> list[str]:
    """Return all that stands in the way, as sentences that say what to do. Pure."""
    concerned = plan.drop if plan.action == "drop" else (request.database, plan.incoming.name if plan.incoming else "")
    found = [*_problems_of_rights(observed, concerned), *_problems_of_replication(observed, concerned)]
    if plan.action == "drop":
        return found
    return [*found, *_problems_of_state(plan, observed, request), *_problems_of_sessions(observed, request)]


def _problems_of_rights(observed: Observed, concerned: tuple[str, ...]) -> Iterator[str]:
    if observed.standby:
        yield "the server is a standby: ask the primary"
    foreign = [name for name in concerned if name in observed.databases and not observed.databases[name].owned]
    if not observed.superuser and foreign:
        yield (
            f"role {observed.user} does not own {', '.join(foreign)}: run this as the owner with CREATEDB, or as a "
            "superuser"
        )
    if not observed.createdb:
        yield f'role {observed.user} may not rename a database: ALTER ROLE "{observed.user}" CREATEDB'


def _problems_of_replication(observed: Observed, concerned: tuple[str, ...]) -> Iterator[str]:
    # A slot follows the database that leaves and is dropped with it without a word.
    for what, rows, cure in [
        ("prepared transaction", observed.prepared, "COMMIT PREPARED or ROLLBACK PREPARED it"),
        ("logical replication slot", observed.slots, "end that replication and drop the slot"),
        ("subscription", observed.subscriptions, "drop it, and make it again afterwards"),
    ]:
        for row in rows:
            if row["database"] in concerned:
                yield f"{row['database']} has the {what} {row['name']}: {cure}"


def _problems_of_state(plan: Plan, observed: Observed, request: Request) -> Iterator[str]:
    live = observed.databases[request.database]
    if live.template:
        yield f"{live.name} is a template"
    if live.mark is not None:
        yield f"{live.name} bears the mark of a database that is not live ({live.mark.phase}): see its comment"
    if plan.exchange is not None and plan.exchange.outgoing_name in observed.databases:
        yield f"there is a database {plan.exchange.outgoing_name} already: run the task again"


def _problems_of_sessions(observed: Observed, request: Request) -> Iterator[str]:
    inside = [row for row in observed.sessions if row["database"] != request.database]
    if inside:
        yield f"somebody is in the database that is to come: {sessions_in_words(inside)}"
    firm = [row for row in observed.sessions if row["database"] == request.database and not row["may_end"]]
    if firm:
        yield (
            f"role {observed.user} may not end these sessions: {sessions_in_words(firm)}. "
            f'GRANT pg_signal_backend TO "{observed.user}" (sessions of superusers only a superuser can end)'
        )


def sessions_in_words(rows: list[Mapping[str, Any]]) -> str:
    """Whose sessions they are."""
    return ", ".join(
        f"pid {row['pid']} (user {row['user']}, {row['application'] or 'without a name'}, {row['state'] or 'unknown'})"
        for row in rows
    )

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is live, what was interrupted, who follows whom: read off the records and the lease."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._record import (
    INTERRUPTED,
    NEVER_OPENED,
    Lease,
    Record,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import to_text

OPEN = "open"
# Fact of a deployment: the migrations that it was about to apply, kept before the first statement runs.
PLANNED = "planned_migrations"
# The phase of a migration that the code before it can live with; see _migrations/_rules.py.
EXPAND = "expand"
# Kinds that bring a release. Backup, restore, contract and maintenance hold the lease too, and the release that serves
# stays: they are no attempts, and they end no chain of attempts.
_BRINGING = ("deploy", "rollback")
RESTORE = "restore"


@dataclass(frozen=True)
class Observed:
    """The state of a control host. ``records`` are all of them, or those that a plan needs."""

    lease: Lease | None
    records: tuple[Record, ...]
    last_token: int
    now: datetime

    def record(self, deployment: str) -> Record | None:
        """The record of that deployment, or None."""
        return next((record for record in self.records if record.id == deployment), None)

    @property
    def holder(self) -> Lease | None:
        """The lease that was neither given back nor outlived by its deployment, expired or not.

        A deployment is closed by its record; a process killed before it also freed the lease
        leaves a lease that binds nobody.
        """
        if self.lease is None or not self.lease.held:
            return None
        record = self.record(self.lease.id)
        return None if record is not None and record.verdict is not None else self.lease

    @property
    def live(self) -> Lease | None:
        """The holder's lease while it has not run out.

        A clock that was set back makes a lease last longer, never shorter: nobody gets a second
        one by it. A clock that was set forward lets it run out early; then the fencing token
        keeps the first holder's later steps off the hosts.
        """
        holder = self.holder
        return holder if holder is not None and self.now < holder.expires_at else None


def by_token(records: Iterable[Record]) -> list[Record]:
    """Oldest first. The token orders deployments; their ids follow the wall clock, which can go back."""
    return sorted(records, key=lambda record: record.token)


def status(record: Record, lease: Lease | None) -> str:
    """The verdict of a deployment, or what its missing verdict means.

    Without a verdict it is C(open) while it holds the lease. Otherwise it died: before the lease
    was written for it (its token is above that of the lease) or afterwards.
    """
    if record.verdict is not None:
        return record.verdict
    if lease is None:
        return INTERRUPTED
    if record.id == lease.id:
        return OPEN if lease.held else INTERRUPTED
    return NEVER_OPENED if record.token > lease.token else INTERRUPTED


def newest_standing(records: Iterable[Record]) -> Record | None:
    """The deployment whose release serves: the newest that closed whole, or whole but for late errors."""
    return next((record for record in reversed(_bringing(records)) if record.standing), None)


def _bringing(records: Iterable[Record]) -> list[Record]:
    return [record for record in by_token(records) if record.kind in _BRINGING]


def origin_of(record: Record | None) -> dict[str, Any] | None:
    """What a deployment that starts from this one goes back to; None for the first of a site."""
    if record is None:
        return None
    return {
        "release": record.release,
        "version": record.version,
        "commit": record.commit,
        "deployment": record.id,
        "hosts": list(record.hosts),
        "contracted": [],
    }


def planned(record: Record) -> Iterator[tuple[str, str]]:
    """Each migration that a deployment was about to apply, with its phase."""
    found: Any = record.facts.get(PLANNED) or []
    for migration in found:
        yield f"{migration['app']}.{migration['name']}", str(migration.get("phase", ""))


@dataclass(frozen=True)
class Descent:
    """The place of a new deployment in the chain of attempts."""

    attempt: int
    first_attempt: str | None
    origin: dict[str, Any] | None
    # Label of the backup to keep to; None when a new one is as good: no attempt has come near the schema.
    backup_label: str | None = None


def descent(records: Sequence[Record], lease: Lease | None) -> Descent:
    """Say what a deployment that is opened now follows.

    After one that did not end whole it is a further attempt with the same origin; what was never
    opened does not count, for it changed nothing.
    """
    counted = [record for record in _bringing(records) if status(record, lease) != NEVER_OPENED]
    newest = counted[-1] if counted else None
    if newest is None or newest.standing:
        return Descent(1, None, origin_of(newest))
    chain = [record for record in counted if record.first_attempt == newest.first_attempt]
    # As young as possible, and never from after a migration. A restore has taken the migrations back.
    restored = max((r.token for r in records if r.kind == RESTORE and r.standing), default=0)
    near = [record for record in chain if record.facts.get(PLANNED) and record.token > restored]
    contracted = [name for record in near for name, phase in planned(record) if phase != EXPAND]
    origin = newest.origin and {**newest.origin, "contracted": list(dict.fromkeys(contracted))}
    return Descent(newest.attempt + 1, newest.first_attempt, origin, near[0].backup_label if near else None)


def describe_interruption(record: Record, lease: Lease | None, how: str) -> dict[str, Any]:
    """What is known of a deployment that did not end by itself."""
    own = lease if lease is not None and lease.id == record.id else None
    return {
        "id": record.id,
        "how": how,
        "attempt": record.attempt,
        "kind": record.kind,
        "version": record.version,
        "commit": record.commit,
        "release": record.release,
        "hosts": list(record.hosts),
        "actor": record.actor,
        "controller": record.controller,
        "reason": record.reason,
        "started_at": to_text(record.started_at),
        "step": own.step if own is not None else record.step,
        "last_seen": to_text(own.renewed_at) if own is not None else None,
        "expired_at": to_text(own.expires_at) if own is not None else None,
        "facts": record.facts,
    }


@dataclass(frozen=True)
class LostHost:
    """A host that a deployment had to leave behind."""

    host: str
    deployment: str
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"host": self.host, "deployment": self.deployment, "reason": self.reason}


def lost_hosts(records: Iterable[Record]) -> list[LostHost]:
    """Hosts marked lost (fact C(lost): host to reason) by a deployment and not brought back since.

    A host is back when a later deployment that had it among its hosts ended standing and did not
    lose it again.
    """
    lost: dict[str, LostHost] = {}
    for record in by_token(records):
        marked = record.facts.get("lost")
        reasons = marked if isinstance(marked, dict) else {}
        if record.standing:
            lost = {host: entry for host, entry in lost.items() if host not in record.hosts}
        for host, reason in reasons.items():
            lost[host] = LostHost(host, record.id, str(reason))
    return [lost[host] for host in sorted(lost)]

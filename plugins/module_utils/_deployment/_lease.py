# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a site: who may change it now. Pure decisions; the writes are made elsewhere.

Time is wall-clock UTC, because the lease is read by other processes and after a reboot. A clock
that jumps can end a lease early or late; it can't make two: the fencing token does not follow
the clock (see ``Observed.live``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment import _messages
from ansible_collections.slipway.django.plugins.module_utils._deployment._history import (
    OPEN,
    Observed,
    by_token,
    descent,
    describe_interruption,
    newest_standing,
    origin_of,
    status,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import (
    LEASE,
    TOKEN,
    Write,
    journal,
    record_path,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import (
    INTERRUPTED,
    NEVER_OPENED,
    Lease,
    Record,
    Token,
    merge_facts,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import Claim, OpenRequest
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import for_people, to_text

FIRST_STEP = "opened"


@dataclass(frozen=True)
class Plan:
    """What will be written, in order, and what is told.

    :param writes: each must succeed, or the call fails.
    :param settling: made afterwards; readers come to the same conclusion without them.
    """

    changed: bool
    reason: str
    deployment: dict[str, Any]
    writes: tuple[Write, ...] = ()
    settling: tuple[Write, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def public(record: Record, lease: Lease | None) -> dict[str, Any]:
    """The deployment as results show it."""
    own = lease if lease is not None and lease.id == record.id else None
    shown = record.to_json()
    del shown["v"]
    shown["status"] = status(record, lease)
    shown["step"] = own.step if own is not None and record.verdict is None else record.step
    shown["expires_at"] = to_text(own.expires_at) if own is not None and record.verdict is None else None
    return shown


def make_id(now: datetime, commit: str, taken: frozenset[str]) -> str:
    """The id of a new deployment: time and short commit. A second that is taken gives way to the next."""
    moment = now
    while True:
        candidate = f"{moment:%Y%m%dT%H%M%SZ}-{commit[:7]}"
        if candidate not in taken:
            return candidate
        moment += timedelta(seconds=1)


def plan_open(seen: Observed, request: OpenRequest, taken: frozenset[str], command: str | None) -> Plan:
    """Decide whether a deployment may begin, and as what.

    :param taken: ids that can't be used again, those of records and of what a crash left behind.
    :param command: the command that a person would run again; None when it is not known.
    :raises Refused: another deployment holds a live lease.
    """
    _refuse_other_site(seen, request.site)
    live = seen.live
    if live is not None and request.takeover != live.id:
        raise _messages.held(live, seen.now, request.takeover, command)
    seen = _with_record_of_holder(seen)
    states = [(record, status(record, seen.lease)) for record in seen.records if record.verdict is None]
    unborn = [record for record, state in states if state == NEVER_OPENED]
    dead = [record for record, state in states if state != NEVER_OPENED]
    record = _new_record(seen, request, taken, _interruption(seen, live))
    lease = _new_lease(record, seen.now, request.limit_s)
    return Plan(
        changed=True,
        reason=_messages.opened(record),
        deployment=public(record, lease),
        writes=(*_settle_unborn(unborn, seen.now), *_opening_writes(record, lease, seen.now)),
        settling=(
            *(write for old in dead for write in _settle_dead(old, record, seen)),
            *_settle_half_closed(seen, record),
        ),
        before=_view(seen.lease, None),
        after=_view(lease, record),
    )


def _refuse_other_site(seen: Observed, site: str) -> None:
    found = next((record.site for record in reversed(by_token(seen.records))), None)
    if seen.lease is not None:
        found = seen.lease.site
    if found is not None and found != site:
        raise _messages.other_site(site, found)


def _interruption(seen: Observed, live: Lease | None) -> dict[str, Any] | None:
    """What the newest deployment left, when it has no verdict. Older ones were somebody else's finding."""
    counted = [record for record in seen.records if status(record, seen.lease) != NEVER_OPENED]
    newest = max(counted, key=lambda record: record.token, default=None)
    if newest is None or newest.verdict is not None:
        return None
    held = seen.holder is not None and seen.holder.id == newest.id
    how = "lost" if not held else "expired" if live is None else "taken_over"
    return describe_interruption(newest, seen.lease, how)


def _with_record_of_holder(seen: Observed) -> Observed:
    """Somebody may have removed the record of the lease's holder: the lease says enough to go on."""
    holder = seen.holder
    if holder is None or seen.record(holder.id) is not None:
        return seen
    chain = descent(seen.records, None)
    rebuilt = Record(
        id=holder.id,
        token=holder.token,
        attempt=chain.attempt,
        first_attempt=chain.first_attempt or holder.id,
        backup_label=chain.backup_label or holder.id,
        site=holder.site,
        kind=holder.kind,
        version=holder.version,
        commit=holder.id.rpartition("-")[2],
        release=holder.release,
        hosts=(),
        actor=holder.actor,
        controller=holder.controller,
        reason=holder.reason,
        started_at=holder.started_at,
        origin=chain.origin,
    )
    return dataclasses.replace(seen, records=(*seen.records, rebuilt))


def _new_record(
    seen: Observed, request: OpenRequest, taken: frozenset[str], interruption: dict[str, Any] | None
) -> Record:
    chain = descent(seen.records, seen.lease)
    new_id = make_id(seen.now, request.commit, taken)
    return Record(
        id=new_id,
        token=next_token(seen),
        attempt=chain.attempt,
        first_attempt=chain.first_attempt or new_id,
        backup_label=chain.backup_label or new_id,
        site=request.site,
        kind=request.kind,
        version=request.version,
        commit=request.commit,
        release=request.release,
        hosts=request.hosts,
        actor=request.actor,
        controller=request.controller,
        reason=request.reason,
        started_at=seen.now,
        origin=chain.origin,
        interrupted=interruption,
    )


def next_token(seen: Observed) -> int:
    """One above every token that is written anywhere, so that the loss of one file can't lower it."""
    known = [seen.last_token, *(record.token for record in seen.records)]
    return max([*known, 0 if seen.lease is None else seen.lease.token]) + 1


def _new_lease(record: Record, now: datetime, limit_s: int) -> Lease:
    return Lease(
        id=record.id,
        token=record.token,
        site=record.site,
        kind=record.kind,
        version=record.version,
        release=record.release,
        actor=record.actor,
        controller=record.controller,
        reason=record.reason,
        started_at=now,
        step=FIRST_STEP,
        step_since=now,
        renewed_at=now,
        expires_at=now + timedelta(seconds=limit_s),
    )


def _opening_writes(record: Record, lease: Lease, now: datetime) -> tuple[Write, ...]:
    """The token first, so that it is never handed out twice; the lease last: with it the deployment begins."""
    standing = "The lease was not taken: no deployment has begun, and nothing else was changed"
    return (
        Write(TOKEN, Token(record.token, record.id, now).to_json(), standing),
        Write(record_path(record.id), record.to_json(), standing),
        journal(
            record.id,
            now,
            "opening",
            standing,
            token=record.token,
            attempt=record.attempt,
            kind=record.kind,
            version=record.version,
            commit=record.commit,
            release=record.release,
            actor=record.actor,
            controller=record.controller,
            reason=record.reason,
        ),
        Write(
            LEASE,
            lease.to_json(),
            standing,
            f"The lease was taken all the same, until {for_people(lease.expires_at)}; but for it nothing was changed. "
            f"To go on before then, run again with -e takeover={record.id}",
        ),
    )


def _settle_unborn(records: list[Record], now: datetime) -> tuple[Write, ...]:
    return tuple(
        Write(
            record_path(record.id),
            dataclasses.replace(
                record,
                verdict=NEVER_OPENED,
                closed_at=now,
                close_reason="it died before the lease was written for it, and changed nothing",
            ).to_json(),
            "The lease was not taken: no deployment has begun, and nothing else was changed",
        )
        for record in records
    )


def _settle_dead(old: Record, successor: Record, seen: Observed) -> tuple[Write, ...]:
    own = seen.lease if seen.lease is not None and seen.lease.id == old.id else None
    step = own.step if own is not None else old.step
    why = f"it did not close by itself; {successor.id} followed"
    closed = dataclasses.replace(old, verdict=INTERRUPTED, closed_at=seen.now, close_reason=why, step=step)
    standing = f"The lease is held by {successor.id}, and {old.id} counts as interrupted all the same"
    return (
        Write(record_path(old.id), closed.to_json(), standing),
        journal(old.id, seen.now, "interrupted", standing, step=step, followed_by=successor.id),
    )


def _settle_half_closed(seen: Observed, successor: Record) -> tuple[Write, ...]:
    """A deployment killed between its verdict and the return of its lease: its journal may lack the end."""
    lease = seen.lease
    record = None if lease is None or not lease.held else seen.record(lease.id)
    if record is None or record.verdict is None:
        return ()
    standing = f"The lease is held by {successor.id}; {record.id} is closed as {record.verdict} all the same"
    return (journal(record.id, seen.now, "closed", standing, verdict=record.verdict, found_by=successor.id),)


def plan_checkpoint(
    seen: Observed, claim: Claim, step: str, limit_s: int, facts: Mapping[str, Any], *, predicting: bool
) -> Plan:
    """Decide whether a step may begin, and extend the lease by that step's limit.

    An own lease that ran out is extended as long as nobody else took it. A renewed expiry alone
    is no change: it would make every answer a different one.

    :param predicting: in check mode the deployment was never really opened; then it is enough
        that it could have been.
    :raises Refused: the lease is not this deployment's.
    """
    if predicting and seen.record(claim.id) is None:
        return _predicted(seen, claim, f"step {step!r} would begin under the lease that would have been taken")
    record, lease = _own(seen, claim, f"step {step!r} was not begun")
    merged = merge_facts(record.facts, facts)
    new_facts = merged != record.facts
    new_step = step != lease.step
    renewed = dataclasses.replace(
        lease,
        step=step,
        step_since=seen.now if new_step else lease.step_since,
        renewed_at=seen.now,
        expires_at=seen.now + timedelta(seconds=limit_s),
    )
    kept = dataclasses.replace(record, facts=merged)
    standing = (
        f"Step {step!r} was not begun; the lease of {claim.id} runs until {for_people(lease.expires_at)} as before"
    )
    late = f"Step {step!r} was not begun; the lease of {claim.id} was extended to {for_people(renewed.expires_at)}"
    writes = [Write(LEASE, renewed.to_json(), standing, late)]
    if new_facts:
        writes.insert(0, Write(record_path(claim.id), kept.to_json(), standing))
    if new_step or new_facts:
        values: dict[str, Any] = {"facts": sorted(facts)} if new_facts else {}
        writes.append(journal(claim.id, seen.now, "checkpoint", late, step=step, limit_s=limit_s, **values))
    return Plan(
        changed=new_step or new_facts,
        reason=_messages.checkpoint(lease, step, seen.now, new_step=new_step, new_facts=new_facts),
        deployment=public(kept, renewed),
        writes=tuple(writes),
        before=_view(lease, record),
        after=_view(renewed, kept),
    )


def plan_close(
    seen: Observed, claim: Claim, verdict: str, reason: str, facts: Mapping[str, Any], *, predicting: bool
) -> Plan:
    """Decide how a deployment ends. The record says it first, then the lease is given back.

    :raises Refused: it is not this deployment's to end, or it ended with another verdict.
    """
    record = seen.record(claim.id)
    if predicting and record is None:
        return _predicted(seen, claim, f"the deployment would be closed as {verdict}")
    if record is None or record.token != claim.token:
        raise _messages.unknown(claim, seen, "its verdict was not written")
    if record.verdict not in (None, verdict):
        raise _messages.ended_otherwise(record, verdict, seen)
    if record.verdict is None:
        _own(seen, claim, "its verdict was not written")
    lease = seen.lease if seen.lease is not None and seen.lease.id == claim.id else None
    merged = merge_facts(record.facts, facts)
    closed = record
    if record.verdict is None:
        step = record.step if lease is None else lease.step
        closed = dataclasses.replace(record, verdict=verdict, closed_at=seen.now, close_reason=reason, step=step)
    closed = dataclasses.replace(closed, facts=merged)
    freed = None if lease is None else dataclasses.replace(lease, held=False)
    writes = _closing_writes(record, closed, lease, freed, seen.now)
    return Plan(
        changed=bool(writes),
        reason=_messages.closed(closed, already=record.verdict is not None),
        deployment=public(closed, freed),
        writes=writes,
        before=_view(lease, record),
        after=_view(freed, closed),
    )


def _closing_writes(
    record: Record, closed: Record, lease: Lease | None, freed: Lease | None, now: datetime
) -> tuple[Write, ...]:
    writes: list[Write] = []
    late = f"The verdict {closed.verdict} of {record.id} is written; only its journal or its lease is behind"
    if closed != record:
        standing = f"The verdict {closed.verdict} of {record.id} was not written, and its lease was not given back"
        writes.append(Write(record_path(record.id), closed.to_json(), standing, late))
    # A lease that is still held says that an earlier call was killed, perhaps before this line.
    if record.verdict is None or (lease is not None and lease.held):
        writes.append(
            journal(
                record.id, now, "closed", late, verdict=closed.verdict, reason=closed.close_reason, step=closed.step
            )
        )
    if lease is not None and freed is not None and lease.held:
        writes.append(Write(LEASE, freed.to_json(), late))
    return tuple(writes)


def _own(seen: Observed, claim: Claim, left: str) -> tuple[Record, Lease]:
    """The record and the lease, when they are this deployment's.

    :raises Refused: it is not.
    """
    record = seen.record(claim.id)
    if record is None or record.token != claim.token:
        raise _messages.unknown(claim, seen, left)
    if record.verdict is not None:
        raise _messages.ended(record, seen, left)
    if seen.lease is None or seen.lease.id != claim.id or not seen.lease.held:
        raise _messages.taken(record, seen, left)
    return record, seen.lease


def _predicted(seen: Observed, claim: Claim, reason: str) -> Plan:
    live = seen.live
    if live is not None:
        raise _messages.held(live, seen.now, None, None)
    names = [*(item.name for item in dataclasses.fields(Record)), "status", "expires_at"]
    known = {"id": claim.id, "token": claim.token, "status": OPEN}
    return Plan(changed=True, reason=reason, deployment={**dict.fromkeys(names), **known})


def _view(lease: Lease | None, record: Record | None) -> dict[str, Any]:
    """What a difference shows: nothing that changes by itself, such as an expiry."""
    view: dict[str, Any] = {"lease": None}
    if lease is not None and lease.held:
        view["lease"] = {"id": lease.id, "token": lease.token, "step": lease.step, "version": lease.version}
    if record is not None:
        view["deployment"] = {"id": record.id, "verdict": record.verdict or OPEN, "facts": record.facts}
    return view


def summary(seen: Observed) -> dict[str, Any]:
    """What C(deployment_info) says about the lease and the release that serves."""
    lease = seen.holder
    current = newest_standing(seen.records)
    return {
        "lease": None
        if lease is None
        else {
            **{key: value for key, value in lease.to_json().items() if key not in ("v", "held")},
            "live": seen.live is not None,
            "seconds_left": max(0, int((lease.expires_at - seen.now).total_seconds())),
            "clock_went_back": seen.now < lease.renewed_at,
        },
        "current": None if current is None else public(current, seen.lease),
        "origin": origin_of(current),
    }

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people read when a deployment is refused, and why a change was made.

Each refusal names who, since when, why, in which step, until when, and the next command.
"""

from __future__ import annotations

from datetime import datetime

from ansible_collections.slipway.django.plugins.module_utils._deployment._history import Observed
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import INTERRUPTED, Lease, Record
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import Claim, one_line
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import duration, for_people, to_text
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused

_UNTOUCHED = "Nothing was changed"


def _who(actor: str, controller: str) -> str:
    by = f"by {one_line(actor)}" if actor else "by somebody who gave no name"
    return f"{by} from {one_line(controller)}" if controller else by


def _why(reason: str) -> str:
    return f"reason: {one_line(reason)!r}" if reason else "no reason given"


def _begun(lease: Lease) -> str:
    return (
        f"{lease.id} ({lease.kind} of {lease.version}) of site {lease.site}, begun {for_people(lease.started_at)} "
        f"{_who(lease.actor, lease.controller)}, {_why(lease.reason)}"
    )


def _clock(lease: Lease, now: datetime) -> str:
    if now >= lease.renewed_at:
        return ""
    back = duration((lease.renewed_at - now).total_seconds())
    return f" (the clock of this host was set back: it is {back} before that deployment's last checkpoint)"


def rerun(command: str | None, deployment: str) -> str:
    """The command that takes a lease over."""
    return f"run {command or 'the same command with'} -e takeover={deployment}"


def held(lease: Lease, now: datetime, takeover: str | None, command: str | None) -> Refused:
    """Another deployment holds a live lease."""
    left = duration((lease.expires_at - now).total_seconds())
    other = f" takeover={takeover} names another deployment than the one that holds the lease." if takeover else ""
    return Refused(
        f"Another deployment is under way: {_begun(lease)}. It is in step {lease.step!r} since "
        f"{for_people(lease.step_since)}; its lease runs until {for_people(lease.expires_at)}, {left} from now"
        f"{_clock(lease, now)}, and each of its checkpoints extends it.{other}",
        untouched=_UNTOUCHED,
        remedy=f"Wait until it has closed or until {for_people(lease.expires_at)}, then run again. "
        f"If its controller is known to be dead, don't wait: {rerun(command, lease.id)}",
        facts={
            "refused": "held",
            "holder": {
                "id": lease.id,
                "kind": lease.kind,
                "version": lease.version,
                "actor": lease.actor,
                "controller": lease.controller,
                "reason": lease.reason,
                "started_at": to_text(lease.started_at),
                "step": lease.step,
                "step_since": to_text(lease.step_since),
                "expires_at": to_text(lease.expires_at),
            },
            "takeover": lease.id,
        },
    )


def other_site(expected: str, found: str) -> Refused:
    """The directory belongs to another site."""
    return Refused(
        f"This root holds the deployments of site {found!r}, not of {expected!r}",
        untouched=_UNTOUCHED,
        remedy="Correct the options root and site: each site has a root of its own",
        facts={"refused": "other_site", "site": found},
    )


def unknown(claim: Claim, seen: Observed, left: str) -> Refused:
    """The id is well formed, but it is not one of this control host's, or its token is another."""
    record = seen.record(claim.id)
    if record is not None:
        said = f"deployment {claim.id} has token {record.token}, and this run says {claim.token}"
    elif seen.lease is None:
        said = "no deployment was ever opened on this control host"
    else:
        said = f"this control host knows no deployment {claim.id}; the last that was opened here is {seen.lease.id}"
    return Refused(
        f"This run holds no lease: {said}",
        untouched=f"{left[:1].upper()}{left[1:]}, and nothing else was changed",
        remedy="Give every play the same control host (slipway_control_host) and root, and run the whole playbook",
        facts={"refused": "unknown", "id": claim.id, "token": claim.token},
    )


def ended(record: Record, seen: Observed, left: str) -> Refused:
    """The deployment was closed, by itself or by the one that followed."""
    when = "" if record.closed_at is None else f" {for_people(record.closed_at)}"
    if record.verdict == INTERRUPTED:
        return taken(record, seen, left)
    return Refused(
        f"Deployment {record.id} was closed as {record.verdict}{when}, so it holds no lease any more",
        untouched=f"{left[:1].upper()}{left[1:]}, and nothing else was changed",
        remedy="Open a new deployment: run the whole playbook",
        facts={"refused": "closed", "id": record.id, "verdict": record.verdict},
    )


def taken(record: Record, seen: Observed, left: str) -> Refused:
    """The lease ran out or was taken over while this run thought it had it."""
    lease = seen.lease
    by = "it was removed" if lease is None or lease.id == record.id else f"it went to {_begun(lease)}"
    return Refused(
        f"Deployment {record.id} lost its lease: {by}",
        untouched=f"{left[:1].upper()}{left[1:]}, and nothing else was changed. "
        "The hosts refuse this run's token as soon as they have seen the newer one",
        remedy="Let this run end here. The newer deployment finishes or goes back; deployment_info shows how it stands",
        facts={"refused": "taken", "id": record.id, "holder": None if lease is None else lease.id},
    )


def ended_otherwise(record: Record, verdict: str, seen: Observed) -> Refused:
    """A second verdict."""
    if record.verdict == INTERRUPTED:
        return taken(record, seen, f"its verdict {verdict} was not written, it stays interrupted")
    when = "" if record.closed_at is None else f" {for_people(record.closed_at)}"
    return Refused(
        f"Deployment {record.id} was closed as {record.verdict}{when}; it can't become {verdict}",
        untouched=_UNTOUCHED,
        remedy="Close a deployment once; what is known later belongs into facts",
        facts={"refused": "closed", "id": record.id, "verdict": record.verdict},
    )


def opened(record: Record) -> str:
    """Why a deployment could begin, and after what."""
    begun = f"Deployment {record.id} ({record.kind} of {record.version}) is open, token {record.token}"
    goes_back = (
        "there is nothing to go back to yet"
        if record.origin is None
        else (f"the way back is {record.origin['version']} ({record.origin['release']})")
    )
    if record.interrupted is None:
        attempt = "" if record.attempt == 1 else f"attempt {record.attempt} since {record.first_attempt}, "
        return f"{begun}; {attempt}{goes_back}."
    old = record.interrupted
    how = {
        "taken_over": "its lease was taken over on request",
        "expired": f"its lease ran out {old['expired_at']}",
    }.get(str(old["how"]), "it had no lease any more")
    return (
        f"{begun}, attempt {record.attempt}; {goes_back}. {old['id']} ({old['kind']} of {old['version']}, "
        f"{_who(str(old['actor']), str(old['controller']))}) was interrupted in step {str(old['step'])!r}: {how}."
    )


def checkpoint(lease: Lease, step: str, now: datetime, *, new_step: bool, new_facts: bool) -> str:
    """What a checkpoint did."""
    late = ""
    if now >= lease.expires_at:
        past = duration((now - lease.expires_at).total_seconds())
        late = f" The lease had run out {past} ago and nobody had taken it."
    if new_step:
        return f"Step {step!r} begins; before it was {lease.step!r}.{late}"
    what = "its facts were added" if new_facts else "only the lease's expiry is renewed"
    return f"Step {step!r} goes on; {what}.{late}"


def closed(record: Record, *, already: bool) -> str:
    """How a deployment ended."""
    why = f": {record.close_reason}" if record.close_reason else ""
    return f"Deployment {record.id} {'was' if already else 'is'} closed as {record.verdict}{why}."


def stale_token(claim: Claim, seen: int, by: str, since: str) -> Refused:
    """A host was already touched by a newer deployment."""
    return Refused(
        f"This host has seen token {seen} of deployment {by or 'unknown'}{since}; "
        f"{claim.id} has the older token {claim.token}: a newer deployment has begun",
        untouched="Nothing was changed on this host",
        remedy="Let this run end here; deployment_info on the control host shows the newer deployment. If the control "
        f'host was set up anew and counts from 1 again, write {{"token": {seen}, "v": 1}} into control/token there '
        "and run the whole playbook again",
        facts={"refused": "stale_token", "id": claim.id, "token": claim.token, "seen": seen, "by": by},
    )


def twice(claim: Claim, by: str) -> Refused:
    """The same token under two ids: the control host forgot what it had handed out."""
    return Refused(
        f"This host knows token {claim.token} as that of deployment {by}, not of {claim.id}: "
        "it was handed out twice, so the control host has lost its files or there are two control hosts",
        untouched="Nothing was changed on this host",
        remedy="Give every play the same slipway_control_host. If it was set up anew, write "
        f'{{"token": {claim.token}, "v": 1}} into control/token there and run the whole playbook again',
        facts={"refused": "token_twice", "id": claim.id, "token": claim.token, "by": by},
    )

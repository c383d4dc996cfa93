# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fencing token on a host: who has a lower one than the highest seen here is too late.

The lease alone does not keep a paused run off: it may wake up between its checkpoint and its next
step, after somebody else took the lease. Each host therefore remembers the highest token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment import _messages
from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import TOKEN, Write, journal
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import Token
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import Claim
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import for_people


@dataclass(frozen=True)
class HostPlan:
    """What a host will write, in order, and what is told."""

    changed: bool
    reason: str
    writes: tuple[Write, ...]
    before: dict[str, Any]
    after: dict[str, Any]


def plan_host_checkpoint(
    known: Token | None, last_step: str | None, claim: Claim, step: str, now: datetime
) -> HostPlan:
    """Decide whether a deployment may touch this host.

    :param last_step: the step in the last line of this deployment's journal on this host.
    :raises Refused: a newer deployment was here, or the token belongs to another one.
    """
    if known is not None and claim.token < known.token:
        since = "" if known.at is None else f", seen {for_people(known.at)}"
        raise _messages.stale_token(claim, known.token, known.deployment, since)
    if known is not None and claim.token == known.token and known.deployment not in ("", claim.id):
        raise _messages.twice(claim, known.deployment)
    newer = known is None or claim.token > known.token or not known.deployment
    new_step = last_step != step
    standing = f"Step {step!r} was not begun on this host, and nothing else was changed here"
    writes: list[Write] = []
    if newer:
        writes.append(Write(TOKEN, Token(claim.token, claim.id, now).to_json(), standing))
    if new_step:
        writes.append(journal(claim.id, now, "checkpoint", standing, step=step, token=claim.token))
    return HostPlan(
        changed=bool(writes),
        reason=_reason(claim, step, newer=newer, new_step=new_step),
        writes=tuple(writes),
        before={"token": None if known is None else known.token, "step": last_step},
        after={"token": claim.token, "step": step},
    )


def _reason(claim: Claim, step: str, *, newer: bool, new_step: bool) -> str:
    if newer:
        return f"Step {step!r} begins; from now on this host refuses tokens below {claim.token}."
    return f"Step {step!r} begins." if new_step else f"Step {step!r} goes on."

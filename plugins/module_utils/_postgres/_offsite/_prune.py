# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing copies that no rule keeps."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import look
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import MARK, REMOVING
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import Store
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import (
    Deadline,
    Request,
    Result,
    Tools,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import make_plan


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """Remove the copies of this site's database that no rule keeps; in check mode say which.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    store = tools.store
    deadline = Deadline(tools.clock, request.timeout_s)
    catalogue = look(store)
    candidates = [copy.candidate() for copy in catalogue.copies]
    plan = make_plan(candidates, request.rules, database=request.subject, now=tools.clock.utcnow())
    going = {decision.id for decision in plan.removed}
    changed = bool(going or catalogue.removing)
    if not check_mode:
        try:
            for backup_id in [*catalogue.removing, *sorted(going)]:
                deadline.remaining()
                remove(store, backup_id)
        except SlipwayError as error:
            error.untouched = error.untouched or "What is still marked as a copy is whole; the next run goes on"
            raise
    ours = catalogue.of(request.subject)
    left = tuple(copy for copy in ours if copy.id not in going)
    reason = plan.reason
    if catalogue.removing:
        reason += f"; the removal of {', '.join(catalogue.removing)} was interrupted"
    return Result(
        changed=changed,
        reason=reason,
        words=f"{store.in_words()}: {reason}",
        copies=left,
        incomplete=tuple(one for one in catalogue.incomplete if one not in catalogue.removing),
        kept=plan.kept,
        removed=plan.removed,
        before={"copies": sorted([*(copy.id for copy in ours), *catalogue.removing])},
        after={"copies": [copy.id for copy in left]},
    )


def remove(store: Store, backup_id: str) -> None:
    """Remove a copy. Whatever dies on the way, it is whole and there, or it is no copy and the next run goes on."""
    below = f"{backup_id}/"
    store.write(below + REMOVING, b"{}\n")
    store.remove([below + MARK])
    store.remove([name for name in store.names(below) if name != below + REMOVING])
    store.remove([below + REMOVING])

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the site that runs once in the life of a database: a script that moves data, the first superuser."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _journal as events
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    Session,
    error_text,
    open_copy,
    open_work,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import Journal
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._locking import (
    refuse_pooler,
    take_run,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_NOTHING = "Nothing was run"


def run_once(request: Request, clock: Clock) -> dict[str, Any]:
    """Run the command unless the journal says that it is done, and return the result.

    :raises Refused: it was begun before and did not end well, and nobody said that it may be repeated.
    :raises SlipwayError: it failed.
    """
    # The command's own statements are not ours to limit.
    work = open_work(request.database, Session(f"slipway once {request.once}", 0, 0, read_only=False))
    lock = open_copy(work, f"slipway once {request.once}")
    take_run(lock, clock=clock, wait_s=request.busy_timeout_s if request.on_busy == "wait" else 0.0)
    refuse_pooler(lock, work)
    # On the connection of the lock: the command may close the other one.
    journal = Journal(lock, request.run_id, request.release)
    seen = journal.once(request.once)
    result = {"changed": False, "run_id": request.run_id, "name": request.once, "ms": None}
    if seen is not None and seen.done:
        return {**result, "reason": f"{request.once} is done: {seen}"}
    if seen is not None and not request.repeat:
        raise Refused(
            f"{request.once} was begun and did not end: {seen}",
            untouched=_NOTHING,
            remedy="Look at what it has done. When it does no harm to run it again: after_failure: repeat",
            facts={"changed": False},
        )
    result.update(changed=True, reason=f"{request.once} {'is to run again' if seen else 'was never run here'}")
    if not request.check_mode:
        result["ms"] = _run(request, journal, clock)
    return result


def _run(request: Request, journal: Journal, clock: Clock) -> int:
    journal.create()
    journal.note_once(events.ONCE_STARTED, request.once, detail=request.command[0])
    began = clock.monotonic()
    try:
        dj.execute_from_command_line(["manage.py", *request.command])
    except BaseException as error:
        if not (isinstance(error, SystemExit) and not error.code):
            raise _failure(request, journal, error) from error
    ms = round((clock.monotonic() - began) * 1000)
    journal.note_once(events.ONCE_DONE, request.once, ms=ms, detail=request.command[0])
    return ms


def _failure(request: Request, journal: Journal, error: BaseException) -> SlipwayError:
    # A command that meets an error of its own says so on standard error and exits.
    seen = f"status {error.code}" if isinstance(error, SystemExit) else error_text(error)
    noted: dict[str, Any] = {}
    try:
        journal.note_once(events.ONCE_FAILED, request.once, detail=seen)
    except dj.Error as lost:
        noted["journal"] = error_text(lost)
    return SlipwayError(
        f"manage.py {request.command[0]} ended with {seen}",
        untouched="What it has done stays",
        remedy="The end of its output is in stderr. It is refused until it may be repeated: after_failure: repeat",
        facts={"changed": True, **noted},
    )

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the migrations of a plan, and an exact account when one fails."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Applied
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    LOCK_NOT_AVAILABLE,
    QUERY_CANCELED,
    error_text,
    open_copy,
    sqlstate,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._locking import check_run_held
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._observing import invalid_indexes
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._record import is_recorded
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Progress, Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._stepwise import run_stepwise
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._whole import run_whole

_REMEDIES = {
    LOCK_NOT_AVAILABLE: "Python code of this migration had run already, so it was not tried again by itself. Run again",
    QUERY_CANCELED: "The statement took longer than statement_timeout_ms (or concurrent_timeout): give more time, or"
    " split the work",
    "42501": "Give the database role of the release the right that is missing, and run again",
}
_LOST_REMEDY = "Look at the server's log and run again: it continues with what is not applied"
_DEFAULT_REMEDY = "Repair the migration and deploy that version; what is applied is not repeated"


def apply_all(context: Run, plan: Sequence[Any], state: Any) -> Any:
    """Apply the migrations in order and return the state of the project after them."""
    for migration in plan:
        state = _one(context, migration, state, backwards=False)
    return state


def undo_all(context: Run, plan: Sequence[Any], states: Any) -> None:
    """Undo the migrations in order."""
    for migration in plan:
        _one(context, migration, states[migration], backwards=True)


def _one(context: Run, migration: Any, state: Any, *, backwards: bool) -> Any:
    key = f"{migration.app_label}.{migration.name}"
    context.progress = Progress(start=0 if backwards else context.resume.get(key, 0))
    context.tell(f"{key} begins", unit="")
    try:
        check_run_held(context.lock)
        context.wait_for_long_transactions(migration)
        return _ended(context, migration, *_run(context, migration, state, backwards))
    except Exception as error:
        # Code of the site runs here and may raise anything; no failure goes without its account.
        raise _account(context, migration, error, backwards) from error


def _run(context: Run, migration: Any, state: Any, backwards: bool) -> tuple[Any, int]:
    with contextlib.ExitStack() as stack:
        if context.guard is not None and not backwards:
            stack.enter_context(context.guard.over(context.judged(migration)))
        way = run_whole if migration.atomic else run_stepwise
        return way(context, migration, state, backwards=backwards)


def _ended(context: Run, migration: Any, after: Any, ms: int) -> Any:
    progress = context.progress
    waited_ms = round(progress.waited_s * 1000)
    context.applied.append(Applied(migration.app_label, migration.name, ms, progress.tries, waited_ms))
    return after


def _account(context: Run, migration: Any, error: Exception, backwards: bool) -> SlipwayError:
    """Return the failure with what was done before it, what of it stays, and what to do."""
    progress, way = context.progress, "Undone" if backwards else "Applied"
    where = f", {progress.step.title}" if progress.step else ""
    known = error if isinstance(error, SlipwayError) else None
    code = sqlstate(error)
    usual = _LOST_REMEDY if _is_lost(context.work, code) else _REMEDIES.get(code, _DEFAULT_REMEDY)
    recorded, invalid = _look(context, migration)
    before = ", ".join(f"{each.app}.{each.name}" for each in context.applied) or "none"
    return SlipwayError(
        f"{migration.app_label}.{migration.name}{where}: {known.seen if known else error_text(error)}",
        untouched=f"{_what_stays(context, migration, recorded, backwards)}. {way} in this run before it: {before}",
        remedy=_remedy(known, usual, invalid),
        facts={
            **(known.facts if known else {}),
            "sqlstate": code,
            "failed_migration": {"app": migration.app_label, "name": migration.name, **_position(progress)},
            "recorded": recorded,
            "invalid_indexes": list(invalid),
            "blockers": [vars(blocker) for blocker in progress.blockers],
            "changed": bool(context.applied) or bool(recorded) != backwards or not progress.nothing_done,
            "applied": [each.as_dict() for each in context.applied],
            "tries": progress.tries,
            "waited_ms": round(progress.waited_s * 1000),
        },
    )


def _position(progress: Progress) -> dict[str, object]:
    index = progress.step.index if progress.step else None
    return {"operation": index, "operations_done": progress.operations, "nothing_done": progress.nothing_done}


def _is_lost(connection: Any, code: str) -> bool:
    # psycopg 3 knows the reason and may not have noticed the end yet; psycopg2 only knows the end.
    told = code.startswith("08") or code in {"57P01", "57P02", "57P03"}
    return told or connection.connection is None or bool(connection.connection.closed)


def _remedy(known: SlipwayError | None, usual: str, invalid: Sequence[str]) -> str:
    remedy = (known.remedy if known else "") or usual
    if not invalid:
        return remedy
    drops = "; ".join(f'DROP INDEX CONCURRENTLY "{each.split(" on ")[0]}"' for each in invalid)
    return f"{remedy}. INVALID indexes are left ({', '.join(invalid)}), remove them first: {drops}"


def _what_stays(context: Run, migration: Any, recorded: bool | None, backwards: bool) -> str:
    progress = context.progress
    if recorded is not None and recorded != backwards:
        return "The connection was lost at its end, but it is recorded: it has taken effect"
    if progress.step is None and progress.tries == 0:
        return "The migration was not begun"
    if migration.atomic:
        unsure = " as far as can be known: the server did not answer afterwards" if recorded is None else ""
        return f"The migration was rolled back whole{unsure}"
    if progress.nothing_done:
        return "Nothing of the migration has taken effect"
    total = len(migration.operations)
    doubtful = progress.step.index if progress.step else 0
    return (
        f"The migration is not atomic and is half done: {progress.operations} of {total} operations are done,"
        f" operation {doubtful} may be done in part; the next run will refuse to repeat it"
    )


def _look(context: Run, migration: Any) -> tuple[bool | None, tuple[str, ...]]:
    """Ask on a new connection, the old one may be gone: is it recorded, and which indexes are INVALID."""
    with contextlib.suppress(dj.Error, SlipwayError):
        connection = open_copy(context.work, "slipway migrate account")
        try:
            return is_recorded(connection, migration), invalid_indexes(connection)
        finally:
            connection.close()
    return None, ()

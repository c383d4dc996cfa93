# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed backup means: its cause where it is a known one, what is there now, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import size_in_words
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import NoSpace, reserve

_LOCK_NOT_AVAILABLE: Final = "55P03"
# pg_dump sets a statement timeout for the statement that locks its tables.
_LOCK_WAIT: Final = re.compile(r"due to (statement|lock) timeout.*LOCK TABLE", re.DOTALL)
# What pg_dump says, what it means, and what to do.
_CAUSES: Final = (
    (
        re.compile("could not obtain lock on relation"),
        "Somebody waits to change a table while several jobs dump it",
        "Run the task again when that has ended, or with jobs: 1",
    ),
    (
        re.compile("invalid page in block"),
        "The database itself is damaged on its disk: no backup can be taken of what can't be read",
        "Do not deploy. Check the disk, and restore the damaged table from the last good backup",
    ),
    (
        re.compile("server closed the connection"),
        "The server ended the connection in the middle of the dump",
        "See the server's log",
    ),
)


def explained(error: SlipwayError, directory: str, ask_who_blocks: Callable[[], Any]) -> SlipwayError:
    """Return the same error with what is known about it. All that was written has been removed."""
    seen, remedy = error.seen, error.remedy
    facts = dict(error.facts)
    if isinstance(error, NoSpace):
        kept = size_in_words(reserve(directory))
        remedy = f"Make room in {directory}; {kept} are always left free there"
    for mark, cause, cure in _CAUSES:
        if mark.search(error.seen):
            seen, remedy = f"{cause}. {seen}", cure
            break
    if _LOCK_WAIT.search(error.seen) or error.facts.get("sqlstate") == _LOCK_NOT_AVAILABLE:
        blocking = _asked(ask_who_blocks)
        facts["blocking"] = blocking
        held = f"Locks are held by: {_sessions(blocking)}"
        seen = f"A table was locked for longer than lock_wait_timeout. {seen}. {held}"
        remedy = "Wait until that session has ended, or raise lock_wait_timeout"
    untouched = "What was written was removed; earlier backups and the database are as they were"
    return SlipwayError(seen, untouched=untouched, remedy=remedy, facts=facts)


def _asked(ask_who_blocks: Callable[[], Any]) -> Any:
    try:
        return ask_who_blocks()
    except SlipwayError as error:
        return [{"error": error.seen}]


def _sessions(rows: Iterable[Mapping[str, Any]]) -> str:
    words = [
        f"pid {row.get('pid')} ({row.get('application') or row.get('user')}, {row.get('state')} since "
        f"{row.get('since')}, {row.get('table')})"
        for row in rows
        if "error" not in row
    ]
    return ", ".join(words) or "nobody any more"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL says, at debug1, when it begins work that grows with a table.

The texts are not translated, and the same from version 12 to 18. They are no promise: whoever relies on them has a
second witness.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    BUILD,
    REWRITE,
    VALIDATE,
    VERIFY,
)

_WORK = (
    (REWRITE, re.compile(r'rewriting table "(?P<name>.+)"\Z')),
    (VERIFY, re.compile(r'verifying table "(?P<name>.+)"\Z')),
    (BUILD, re.compile(r'building index ".+" on table "(?P<name>.+)"(?: \S.*)?\Z')),
    (VALIDATE, re.compile(r'validating foreign key constraint "(?P<name>.+)"\Z')),
)

Heard = Callable[[str, str], None]


def work_in(message: str) -> tuple[str, str] | None:
    """Return kind of work and name of the table (of a foreign key that of the constraint), None for all else."""
    for kind, pattern in _WORK:
        match = pattern.match(message)
        if match is not None:
            return kind, match["name"]
    return None


class Ears:
    """Listens to a connection of psycopg 3 or psycopg2.

    :param at_once: called with kind and name when the server begins, within the statement.
    """

    def __init__(self, at_once: Heard | None = None) -> None:
        self._at_once = at_once
        self._heard: list[tuple[str, str]] = []

    def listen(self, connection: Any) -> None:
        """Hear what this connection of the driver is told."""
        if hasattr(connection, "add_notice_handler"):
            connection.add_notice_handler(lambda diagnosis: self.append(diagnosis.message_primary or ""))
        else:
            # psycopg2 appends to whatever is there, and would keep the last fifty only.
            connection.notices = self

    def append(self, message: str) -> None:
        """A message of the server has come; psycopg2's begin with their level."""
        found = work_in(re.sub(r"\A(?:DEBUG|LOG|NOTICE|INFO|WARNING):\s+", "", message.strip()))
        if found is None:
            return
        self._heard.append(found)
        if self._at_once is not None:
            self._at_once(*found)

    def heard(self) -> tuple[tuple[str, str], ...]:
        """Return the work that was told of since ``forget``."""
        return tuple(self._heard)

    def forget(self) -> None:
        """The next statement begins."""
        self._heard = []

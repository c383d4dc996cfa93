# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The marks of databases for rehearsals. Only what bears one is ever emptied or dropped.

``rehearsing``: made by a rehearsal, dropped at its end. ``prepared``: made once for all rehearsals of a site whose role
may make none; it is emptied before and after each, and never dropped.
"""

from __future__ import annotations

import json
from typing import Final

TOOL: Final = "slipway.django.django_migrate_safe"
REHEARSING: Final = "rehearsing"
PREPARED: Final = "prepared"


def mark_of(live: str, phase: str) -> str:
    """Return the comment of a database for rehearsals of the live one."""
    return json.dumps({"tool": TOOL, "phase": phase, "database": live}, sort_keys=True)


def is_marked(comment: str | None, live: str, phase: str) -> bool:
    """Whether a comment is this very mark."""
    try:
        document = json.loads(comment or "")
    except ValueError:
        return False
    wanted = {"tool": TOOL, "phase": phase, "database": live}
    return isinstance(document, dict) and {name: document.get(name) for name in wanted} == wanted

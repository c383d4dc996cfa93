# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as they stand in files and as people read them: always UTC, always from the wall clock.

A lease is read by other processes and after a reboot, so its times can't be monotonic.
"""

from __future__ import annotations

from datetime import datetime, timezone

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def to_text(moment: datetime) -> str:
    """Write a time for a file: C(2026-11-21T16:05:28.000000Z); such texts sort as the times do."""
    return moment.astimezone(timezone.utc).strftime(_FORMAT)


def from_text(text: str) -> datetime:
    """Read a time that :func:`to_text` wrote.

    :raises ValueError: it is something else.
    """
    return datetime.strptime(text, _FORMAT).replace(tzinfo=timezone.utc)


def for_people(moment: datetime) -> str:
    """Write a time for a message: C(2026-11-21 16:05:28 UTC)."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Write a duration for a message: C(45 s), C(12 min), C(3 h 20 min), C(4 d 2 h)."""
    whole = round(abs(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"

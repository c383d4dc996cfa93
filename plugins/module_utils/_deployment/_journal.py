# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie, and the writes that a plan asks for.

A plan is a sequence of writes in an order that tells the truth after each of them: whatever
kills the process between two, the next reader understands what it finds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._times import to_text

LEASE = "lease.json"
TOKEN = "token"
DEPLOYMENTS = "deployments"

#: UTC time and short commit. An id becomes part of a path, so nothing else is let through.
ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7,12}")


def record_path(deployment: str) -> str:
    """The record of a deployment, below the directory of the control host."""
    return f"{DEPLOYMENTS}/{deployment}/record.json"


def journal_path(deployment: str) -> str:
    """The journal of a deployment, below the directory of the control host or of a host's site."""
    return f"{DEPLOYMENTS}/{deployment}/journal.jsonl"


@dataclass(frozen=True)
class Write:
    """One file to replace as a whole, or (``append``) one line to add to it.

    :param path: below the directory of the store.
    :param if_it_fails: what then holds, in words for the person who reads the error.
    :param if_in_place: the same for a failure after the new content was in place: the disk did not
        confirm it. Empty when ``if_it_fails`` is true in both cases.
    """

    path: str
    document: Mapping[str, Any]
    if_it_fails: str
    if_in_place: str = ""
    append: bool = False


def journal(deployment: str, at: datetime, event: str, if_it_fails: str, **values: object) -> Write:
    """A line for a deployment's journal."""
    return Write(
        journal_path(deployment),
        {"at": to_text(at), "event": event, "deployment": deployment, **values},
        if_it_fails,
        append=True,
    )


@dataclass(frozen=True)
class JournalContent:
    """What could be read of a journal. A torn line is counted, never hidden."""

    lines: tuple[dict[str, Any], ...]
    torn: int = 0


def parse_journal(data: bytes) -> JournalContent:
    """Read a journal; a process that was killed, or a full disk, can have left a torn line."""
    lines = []
    torn = 0
    for raw in data.split(b"\n"):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw.decode("utf-8"))
        except ValueError:
            value = None
        if isinstance(value, dict):
            lines.append(value)
        else:
            torn += 1
    return JournalContent(tuple(lines), torn)

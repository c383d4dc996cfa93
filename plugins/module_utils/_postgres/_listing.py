# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the backup directory, for people and for checks. Reads only, and no archive."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import complete
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Entry, Manifest, scan

_ID_LENGTH = len("20261121T160528.213Z")


@dataclass(frozen=True)
class Wanted:
    """Which backups are asked for; None asks for all."""

    database: str | None = None
    label: str | None = None
    id: str | None = None

    def holds(self, manifest: Manifest) -> bool:
        return (
            self.database in (None, manifest.database)
            and self.label in (None, manifest.label)
            and self.id in (None, manifest.id)
        )


@dataclass(frozen=True)
class Listing:
    """All that was found, the newest first."""

    directory: str
    backups: list[dict[str, Any]]
    # What looks like a backup and is none; any of them might be one that is asked for.
    damaged: list[dict[str, str]]
    # What a run that works now, or has died, has there.
    leftovers: list[dict[str, str]]

    @property
    def latest(self) -> dict[str, Any] | None:
        """The newest that is complete."""
        return next((backup for backup in self.backups if backup["complete"]), None)

    @property
    def words(self) -> str:
        parts = [_counted(len(self.backups), "backup")]
        if self.backups:
            newest = self.backups[0]
            parts.append(f"the newest is {newest['id']} ({newest['label']}), {_age(newest['age'])} old")
        broken = len(self.damaged) + sum(1 for backup in self.backups if not backup["complete"])
        parts.extend([f"{broken} damaged"] if broken else [])
        parts.extend([_counted(len(self.leftovers), "leftover")] if self.leftovers else [])
        return f"{', '.join(parts)} in {self.directory}"


def look(directory: str, wanted: Wanted, now: datetime) -> Listing:
    """List the directory. One that is not there holds none.

    :param now: aware, in UTC.
    :raises SlipwayError: it can't be read.
    """
    if not os.path.isabs(directory):
        raise InvalidOption("directory", directory, "an absolute path")
    try:
        entries = scan(directory)[::-1]
        found = [_backup(entry, entry.manifest, now) for entry in entries if entry.manifest is not None]
    except OSError as error:
        raise Refused(
            f"The directory {directory} can't be read: {error.strerror}",
            untouched="Nothing was changed",
            remedy="Run the task as the user that takes the backups",
            facts={"directory": directory},
        ) from error
    holding = {entry.name for entry in entries if entry.manifest is not None and wanted.holds(entry.manifest)}
    broken = [entry for entry in entries if entry.manifest is None and wanted.id in (None, entry.name[:_ID_LENGTH])]
    return Listing(
        directory,
        [backup for backup in found if backup["id"] in holding],
        _told(entry for entry in broken if not entry.leftover),
        _told(entry for entry in broken if entry.leftover),
    )


def _backup(entry: Entry, manifest: Manifest, now: datetime) -> dict[str, Any]:
    taken = datetime.strptime(manifest.taken_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return {
        **manifest.summary(entry.path),
        "age": int((now - taken).total_seconds()),
        "pinned": entry.pinned,
        "complete": complete(entry.path, manifest.files),
    }


def _told(entries: Iterable[Entry]) -> list[dict[str, str]]:
    return [{"name": entry.name, "path": entry.path, "problem": entry.problem} for entry in entries]


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _age(seconds: int) -> str:
    for name, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the backup directory. A directory without a manifest is no backup."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import read_json, write_json

MANIFEST: Final = "manifest.json"
ARCHIVE: Final = "database.dump"
PARTIAL: Final = ".partial"
# How far a backup was verified; each level includes those before it.
LEVELS: Final = ("list", "read", "checksum", "schema")
_ID = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z")


@dataclass(frozen=True)
class Manifest:
    """One backup, as it is written beside its archive."""

    id: str
    label: str
    site: str
    database: str
    taken_at: str
    bytes: int
    sha256: str
    levels: list[str]
    server_version: str
    client_version: str
    compression: str
    seconds: Mapping[str, float]
    warnings: list[str] = field(default_factory=list)
    # What belongs to the database and is in no dump of it: a restore has to put it back.
    properties: Mapping[str, Any] = field(default_factory=dict)
    schema: int = 1

    def summary(self, path: str) -> dict[str, object]:
        """The values for results."""
        values = asdict(self)
        return {"path": path, **{name: values[name] for name in SUMMARY}}


SUMMARY: Final = (
    "id", "label", "site", "database", "taken_at", "bytes", "sha256", "levels",
    "server_version", "client_version", "compression", "seconds", "warnings",
)  # fmt: skip


def new_id(now: datetime) -> str:
    """Return the id of a backup that begins now: ids sort by time."""
    return now.strftime("%Y%m%dT%H%M%S.") + f"{now.microsecond // 1000:03d}Z"


def levels_up_to(level: str) -> list[str]:
    """Return the level and those that it includes."""
    return list(LEVELS[: LEVELS.index(level) + 1])


def find_label(directory: str, database: str, label: str) -> Manifest | None:
    """Return the backup of this database with this label, or None.

    :raises SlipwayError: a manifest can't be read: it might be the one.
    """
    found = [m for m in read_all(directory) if m.database == database and m.label == label]
    return found[-1] if found else None


def read_all(directory: str) -> list[Manifest]:
    """Return all backups in the directory, the oldest first.

    :raises SlipwayError: a manifest can't be read.
    """
    names = sorted(name for name in _entries(directory) if _ID.fullmatch(name))
    return [manifest for name in names if (manifest := _read(os.path.join(directory, name))) is not None]


def _read(path: str) -> Manifest | None:
    document = read_json(os.path.join(path, MANIFEST))
    if document is None:
        return None
    try:
        return Manifest(**document)
    except TypeError as error:
        raise SlipwayError(
            f"{path}/{MANIFEST} is not a manifest that is known here: {error}",
            untouched="It was left as it is",
            remedy="It may be of a newer version of this collection; move the directory away if it is of no use",
            facts={"path": path},
        ) from error


def write(manifest: Manifest, path: str) -> None:
    """Write the manifest of the backup at ``path``."""
    write_json(os.path.join(path, MANIFEST), asdict(manifest), mode=0o600)


def remove_leftovers(directory: str) -> list[str]:
    """Remove what runs that died have left. The caller holds the directory's lock: nobody is writing there."""
    removed = []
    for name in sorted(_entries(directory)):
        if name.endswith(PARTIAL) and _ID.fullmatch(name[: -len(PARTIAL)]):
            shutil.rmtree(os.path.join(directory, name))
            removed.append(name)
    return removed


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []

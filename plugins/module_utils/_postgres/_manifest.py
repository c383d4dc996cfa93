# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in the backup directory. A directory without a manifest, or with a damaged one, is no backup."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, write_atomic

MANIFEST: Final = "manifest.json"
DIGEST: Final = "manifest.json.sha256"
PINNED: Final = "pinned"
GLOBALS: Final = "globals.sql"
PARTIAL: Final = ".partial"
DELETING: Final = ".deleting"
LATEST: Final = "latest"
# The archive's file or directory, by its format.
ARCHIVES: Final = {"custom": "database.dump", "directory": "database"}
# How far a backup was verified; each level includes those before it.
LEVELS: Final = ("list", "read", "checksum", "schema", "restore")
FINGERPRINTS: Final = ("none", "counts", "content")
SCHEMA: Final = 2
ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


class DamagedManifest(SlipwayError):
    """A manifest is not what was written. What it described might be the backup that is looked for."""


@dataclass(frozen=True)
class Manifest:
    """One backup, as it is written beside its archive."""

    id: str
    label: str
    site: str
    database: str
    # Times are UTC, as 2026-11-21T16:05:29Z: when the run began, and of which moment the rows are.
    started_at: str
    taken_at: str
    system_identifier: str
    server_version: str
    client_version: str
    format: str
    compression: str
    jobs: int
    # Each with path (below the backup), bytes and sha256.
    files: list[dict[str, Any]]
    levels: list[str]
    # lsn (null on a standby that can't tell) and at.
    snapshot: Mapping[str, Any]
    # Each with schema, name, rows and fingerprint; empty when nothing was counted.
    tables: list[dict[str, Any]]
    # Each with schema, name, last_value and is_called.
    sequences: list[dict[str, Any]]
    large_objects: int
    fingerprint: str
    # What belongs to the database and is in no dump of it: a restore has to put it back.
    properties: Mapping[str, Any]
    # Pairs of application and name, in the order in which they were applied.
    django_migrations: list[list[str]]
    seconds: Mapping[str, float]
    warnings: list[str] = field(default_factory=list)
    encryption: Mapping[str, Any] | None = None
    schema: int = SCHEMA

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(int(file["bytes"]) for file in self.files)

    @property
    def rows(self) -> int | None:
        """All tables together; None when nothing was counted."""
        return None if self.fingerprint == "none" else sum(int(table["rows"]) for table in self.tables)

    @property
    def archive(self) -> str:
        """The name of the archive in the backup's directory."""
        return ARCHIVES[self.format]

    def summary(self, path: str) -> dict[str, object]:
        """The values for results. Properties are not among them: a setting of a database may hold a secret."""
        values = {**asdict(self), "bytes": self.bytes, "rows": self.rows}
        return {"path": path, **{name: values[name] for name in SUMMARY}}


SUMMARY: Final = (
    "id", "label", "site", "database", "started_at", "taken_at", "format", "compression", "jobs", "files", "bytes",
    "rows", "large_objects", "fingerprint", "snapshot", "levels", "server_version", "client_version",
    "system_identifier", "encryption", "seconds", "warnings",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One directory that looks like ours: a backup, a damaged one, or what a dead run has left."""

    name: str
    path: str
    manifest: Manifest | None
    # Why it is no backup; empty when it is one.
    problem: str = ""
    leftover: bool = False
    pinned: str | None = None


def new_id(now: datetime) -> str:
    """Return the id of a backup that begins now: ids sort by time."""
    return now.strftime("%Y%m%dT%H%M%S.") + f"{now.microsecond // 1000:03d}Z"


def require_label(label: str) -> None:
    """Refuse a label that is none.

    :raises InvalidOption: it is empty, a path, or means something else.
    """
    accepted = "letters, digits and . _ + -, beginning with a letter or digit"
    if not _LABEL.fullmatch(label):
        raise InvalidOption("label", label, accepted)
    if label == LATEST or ID.fullmatch(label):
        raise InvalidOption("label", label, f"{accepted}, and neither {LATEST} nor what looks like an id")


def levels_up_to(level: str) -> list[str]:
    """Return the level and those that it includes."""
    return list(LEVELS[: LEVELS.index(level) + 1])


def find_label(directory: str, database: str, label: str) -> Manifest | None:
    """Return the backup of this database with this label, or None.

    :raises SlipwayError: a manifest can't be read: it might be the one.
    """
    found = [m for m in read_all(directory) if m.database == database and m.label == label]
    return found[-1] if found else None


def find(directory: str, database: str, reference: str) -> Manifest | None:
    """Return the backup of this database that is meant, or None.

    :param reference: ``latest``, an id or a label.
    :raises SlipwayError: a manifest can't be read: it might be the one.
    """
    found = [manifest for manifest in read_all(directory) if manifest.database == database]
    if reference != LATEST:
        found = [m for m in found if m.id == reference] or [m for m in found if m.label == reference]
    return found[-1] if found else None


def read_all(directory: str) -> list[Manifest]:
    """Return all backups in the directory, the oldest first.

    :raises SlipwayError: a manifest can't be read.
    """
    names = sorted(name for name in _entries(directory) if ID.fullmatch(name))
    return [manifest for name in names if (manifest := read(os.path.join(directory, name))) is not None]


def scan(directory: str) -> list[Entry]:
    """Return all that looks like ours, the oldest first, whatever its state."""
    return [entry for name in sorted(_entries(directory)) if (entry := _entry(directory, name)) is not None]


def _entry(directory: str, name: str) -> Entry | None:
    path = os.path.join(directory, name)
    for suffix, meaning in ((PARTIAL, "was being written"), (DELETING, "was being removed")):
        if name.endswith(suffix) and ID.fullmatch(name[: -len(suffix)]):
            return Entry(name, path, None, f"it {meaning} by a run that may still work or has died", leftover=True)
    if not ID.fullmatch(name):
        return None
    try:
        manifest = read(path)
    except SlipwayError as error:
        return Entry(name, path, None, error.seen, pinned=pinned(path))
    return Entry(name, path, manifest, "" if manifest else f"it has no {MANIFEST}", pinned=pinned(path))


def read(path: str) -> Manifest | None:
    """Return the manifest of the backup at ``path``, or None when there is none.

    :raises SlipwayError: it can't be read, is damaged or is not one that is known here.
    """
    data = read_sealed(path)
    return None if data is None else parse(data, path)


def read_sealed(path: str) -> bytes | None:
    """Return the manifest's document in the directory ``path``, or None when there is none.

    :raises DamagedManifest: it is not what its digest was made of.
    """
    data = _content(os.path.join(path, MANIFEST))
    if data is None:
        return None
    digests = (_content(os.path.join(path, DIGEST)) or b"").decode("utf-8", "replace").splitlines()
    seen = hashlib.sha256(data).hexdigest()
    if seen not in [line.partition(" ")[0] for line in digests]:
        raise DamagedManifest(
            f"{path}/{MANIFEST} is damaged: {DIGEST} beside it does not have its digest",
            untouched="It was left as it is",
            remedy="Bring an undamaged copy of the directory, or move it away",
            facts={"path": path, "seen_sha256": seen},
        )
    return data


def parse(data: bytes, path: str) -> Manifest:
    """Return the manifest that a document holds.

    :param path: the backup's directory; its last part is the id.
    :raises SlipwayError: it is not one that is known here.
    """
    try:
        document = json.loads(data)
        manifest = Manifest(**document)
        _require_known(manifest, os.path.basename(path))
    except (TypeError, ValueError, KeyError) as error:
        raise SlipwayError(
            f"{path}/{MANIFEST} is not a manifest that is known here: {error}",
            untouched="It was left as it is",
            remedy="It may be of another version of this collection; move the directory away if it is of no use",
            facts={"path": path},
        ) from error
    return manifest


def _require_known(manifest: Manifest, name: str) -> None:
    if manifest.schema != SCHEMA:
        raise ValueError(f"its schema is {manifest.schema!r} and not {SCHEMA}")
    if manifest.id != name:
        raise ValueError(f"it is of the backup {manifest.id!r}")
    if manifest.format not in ARCHIVES or manifest.fingerprint not in FINGERPRINTS:
        raise ValueError(f"format {manifest.format!r} with fingerprint {manifest.fingerprint!r}")
    for file in manifest.files:
        parts = str(file["path"]).split("/")
        # A manifest may come from elsewhere, and its paths are read, written and removed.
        if not all(parts) or not {".", ".."}.isdisjoint(parts) or not isinstance(file["bytes"], int):
            raise ValueError(f"a file is {file['path']!r}")
    if not manifest.files:
        raise ValueError("it has no files")


def write(manifest: Manifest, path: str) -> None:
    """Write the manifest of the backup at ``path`` and its digest. Killed at any moment, the two agree."""
    write_sealed(asdict(manifest), path)


def write_sealed(document: Mapping[str, Any], path: str) -> None:
    """Write a manifest's document into the directory ``path``, with its digest beside it."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    data = text.encode("utf-8")
    # Two files can't be replaced in one step. Both digests are there while the manifest is exchanged.
    old = _content(os.path.join(path, MANIFEST))
    _write_digests(path, [data] if old is None else [old, data])
    write_atomic(os.path.join(path, MANIFEST), data, mode=0o600)
    if old is not None:
        _write_digests(path, [data])


def _write_digests(path: str, documents: list[bytes]) -> None:
    lines = [f"{hashlib.sha256(document).hexdigest()}  {MANIFEST}\n" for document in documents]
    write_atomic(os.path.join(path, DIGEST), "".join(lines).encode(), mode=0o600)


def pinned(path: str) -> str | None:
    """Return why the backup at ``path`` is pinned, or None when it is not."""
    content = _content(os.path.join(path, PINNED))
    return None if content is None else content.decode("utf-8", "replace").strip()


def pin(path: str, reason: str) -> None:
    """Pin the backup: no retention removes it."""
    write_atomic(os.path.join(path, PINNED), f"{reason}\n".encode(), mode=0o600)


def remove(directory: str, backup_id: str) -> None:
    """Remove a backup. Whatever dies on the way, it is whole and there, or gone, or a known leftover."""
    path = os.path.join(directory, backup_id)
    os.rename(path, path + DELETING)
    fsync_directory(directory)
    shutil.rmtree(path + DELETING)


def remove_leftovers(directory: str) -> list[str]:
    """Remove what runs that died have left. The caller holds the directory's lock: nobody is writing there."""
    removed = [entry.name for entry in scan(directory) if entry.leftover]
    for name in removed:
        shutil.rmtree(os.path.join(directory, name))
    return removed


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _entries(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a copy of a backup is, away from the host that took it.

Its objects lie below ``<id>/``, each named as the file, with ``.age`` behind it when it is encrypted; the manifest is
one of them. ``copy.json`` is written last and removed first: without it there is no copy. It is never encrypted, as
retention and lists have to read it where no identity is; it holds names, times, sizes and digests, and nothing of
what the manifest tells about the database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import ID
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Candidate

MARK: Final = "copy.json"
# A copy that is being removed: written before the mark goes, removed last, so that a later run can end it.
REMOVING: Final = "removing.json"
_SCHEMA: Final = 1


@dataclass(frozen=True)
class StoredFile:
    """One file of the backup and the object that holds it.

    :param path: its name below the backup's directory.
    :param sha256: digest of the file.
    :param name: the object's name below the id.
    :param stored_sha256: digest of the object; another one when it is encrypted.
    """

    path: str
    bytes: int
    sha256: str
    name: str
    stored_bytes: int
    stored_sha256: str


@dataclass(frozen=True)
class Copy:
    """One copy, as its mark tells."""

    id: str
    label: str
    site: str
    database: str
    taken_at: str
    levels: tuple[str, ...]
    pinned: str | None
    recipients: tuple[str, ...]
    sent_at: str
    files: tuple[StoredFile, ...]

    @property
    def bytes(self) -> int:
        """All objects together."""
        return sum(file.stored_bytes for file in self.files)

    @property
    def subject(self) -> str:
        """What it is a backup of: a bucket may hold those of several sites."""
        return f"{self.site}/{self.database}"

    def candidate(self) -> Candidate:
        """What retention has to know."""
        return Candidate(self.id, moment(self.taken_at), self.subject, self.label, self.levels, self.pinned)

    def summary(self) -> dict[str, object]:
        """The values for results."""
        values = asdict(self)
        names = ("id", "label", "site", "database", "taken_at", "sent_at", "pinned")
        return {
            **{name: values[name] for name in names},
            "levels": list(self.levels),
            "bytes": self.bytes,
            "encryption": {"method": "age", "recipients": list(self.recipients)} if self.recipients else None,
        }


def moment(text: str) -> datetime:
    """Read a time as manifests have it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def encode(copy: Copy) -> bytes:
    """Return the mark's content. It has a digest of its own: not every storage checks what it keeps."""
    body = {"schema": _SCHEMA, **asdict(copy)}
    return (json.dumps({"copy": body, "sha256": _digest(body)}, indent=2, sort_keys=True) + "\n").encode()


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class DamagedMark(SlipwayError):
    """A mark is not what was written."""


def decode(data: bytes, backup_id: str) -> Copy:
    """Return the copy that a mark describes.

    :raises DamagedMark: it is damaged, of another backup, or not known here.
    """
    try:
        document = json.loads(data)
        body = dict(document["copy"])
        if document["sha256"] != _digest(body):
            raise ValueError("its content does not have its digest")
        if body.pop("schema") != _SCHEMA:
            raise ValueError(f"its schema is not {_SCHEMA}")
        files = tuple(StoredFile(**file) for file in body.pop("files"))
        body.update({name: tuple(body[name]) for name in ("levels", "recipients")})
        copy = Copy(**body, files=files)
        _require_known(copy, backup_id)
    except (TypeError, ValueError, KeyError) as error:
        raise DamagedMark(
            f"{backup_id}/{MARK} is not a mark of a copy that is known here: {error}",
            untouched="It was left as it is",
            remedy="Send the backup again where it is, or remove the copy by hand",
            facts={"id": backup_id},
        ) from error
    return copy


def _require_known(copy: Copy, backup_id: str) -> None:
    if copy.id != backup_id or not ID.fullmatch(copy.id):
        raise ValueError(f"it is of the backup {copy.id!r}")
    moment(copy.taken_at)
    if not copy.files:
        raise ValueError("it has no files")
    for file in copy.files:
        for name in (file.path, file.name):
            parts = name.split("/")
            # It comes from elsewhere, and files are written by these names.
            if not all(parts) or not {".", ".."}.isdisjoint(parts):
                raise ValueError(f"a file is {name!r}")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of configuration on disk: one tar, a manifest and the manifest's digest, in a directory of root's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import require_plain
from ansible_collections.slipway.django.plugins.module_utils._configuration._tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    Entry,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, sha256_file
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged, require_digest, settle
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    DELETING,
    ID,
    MANIFEST,
    PARTIAL,
    read_sealed,
    write_sealed,
)

ARCHIVE: Final = "configuration.tar"
_KIND: Final = "configuration"
_SCHEMA: Final = 1
_TYPES: Final = {FILE: tarfile.REGTYPE, DIRECTORY: tarfile.DIRTYPE, SYMLINK: tarfile.SYMTYPE}
Items = Iterable["tuple[Entry, bytes]"]


@dataclass(frozen=True)
class Manifest:
    """One backup of one host's configuration."""

    id: str
    label: str
    site: str
    host: str
    # UTC, as 2026-11-21T16:05:29Z.
    taken_at: str
    # The paths that were declared, and those of them that were optional and not there.
    paths: list[str]
    absent: list[str]
    bytes: int
    sha256: str
    entries: list[Entry]
    kind: str = _KIND
    schema: int = _SCHEMA

    def summary(self, path: str) -> dict[str, Any]:
        """The values for results: no digest of a file, which may hold nothing but a short secret."""
        names = ("id", "label", "site", "host", "taken_at", "paths", "absent", "bytes", "sha256")
        told = ("path", "kind", "mode", "owner", "group", "bytes")
        return {
            "path": path,
            **{name: getattr(self, name) for name in names},
            "files": [{name: getattr(entry, name) for name in told} for entry in self.entries],
        }


def parse(data: bytes, path: str) -> Manifest:
    """Return the manifest that a document holds.

    :param path: the backup's directory; its last part is the id.
    :raises SlipwayError: it is not one that is known here.
    """
    try:
        document = json.loads(data)
        manifest = Manifest(**{**document, "entries": [Entry(**row) for row in document["entries"]]})
        _require_known(manifest, os.path.basename(path))
    except (TypeError, ValueError, KeyError, InvalidOption) as error:
        raise SlipwayError(
            f"{path}/{MANIFEST} is not a manifest of configuration that is known here: {error}",
            untouched="It was left as it is",
            remedy="It may be of another version of this collection; move the directory away if it is of no use",
            facts={"path": path},
        ) from error
    return manifest


def _require_known(manifest: Manifest, name: str) -> None:
    if (manifest.kind, manifest.schema) != (_KIND, _SCHEMA):
        raise ValueError(f"it is of the kind {manifest.kind!r}, schema {manifest.schema!r}")
    if manifest.id != name:
        raise ValueError(f"it is of the backup {manifest.id!r}")
    for entry in manifest.entries:
        # A directory may come from elsewhere, and its paths are written.
        require_plain("path", entry.path)
        if entry.kind not in _TYPES or (entry.kind != SYMLINK and not 0 <= int(entry.mode, 8) <= 0o7777):
            raise ValueError(f"{entry.path} is a {entry.kind!r} with mode {entry.mode!r}")


def read_all(directory: str) -> list[Manifest]:
    """Return all backups in a directory, the oldest first.

    :raises SlipwayError: a manifest can't be read: it might be the one that is looked for.
    """
    found = []
    for name in sorted(name for name in _names(directory) if ID.fullmatch(name)):
        path = os.path.join(directory, name)
        data = read_sealed(path)
        if data is not None:
            found.append(parse(data, path))
    return found


def require_whole(directory: str, manifest: Manifest, *, untouched: str) -> None:
    """Read the archive and return when it is what was written.

    :raises Damaged: it is not.
    """
    path = os.path.join(directory, manifest.id)
    remedy = f"Bring an undamaged copy of {path}, or name another backup"
    require_digest(os.path.join(path, ARCHIVE), manifest.bytes, manifest.sha256, untouched=untouched, remedy=remedy)


def write(items: Items, path: str) -> tuple[int, str]:
    """Write an archive to a new file, durably. Returns its size and its digest."""
    with open(path, "xb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry, content in items:
                archive.addfile(_member(entry), io.BytesIO(content) if entry.kind == FILE else None)
    # From here on it is the disk that is asked.
    settle(path)
    return os.stat(path).st_size, sha256_file(path)


def _member(entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(_name(entry))
    member.type = _TYPES[entry.kind]
    member.mode = int(entry.mode or "0777", 8)
    member.uid, member.gid, member.uname, member.gname = entry.uid, entry.gid, entry.owner, entry.group
    # A number with all its digits, which GNU tar gives back; a float would lose some.
    seconds, rest = divmod(entry.mtime_ns, 10**9)
    member.pax_headers = {"mtime": f"{seconds}.{rest:09d}"}
    member.size = entry.bytes
    member.linkname = entry.target
    return member


def contents(path: str, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Return the content of each entry, after its digest was found to hold.

    :raises Damaged: the archive does not have one of them as it was written.
    """
    with tarfile.open(path, mode="r:") as archive:
        for entry in entries:
            if entry.kind != FILE:
                yield entry, b""
                continue
            content = _content(archive, entry)
            if hashlib.sha256(content).hexdigest() != entry.sha256:
                raise Damaged(f"{entry.path} in {path} is not what was written", facts={"path": path})
            yield entry, content


def _content(archive: tarfile.TarFile, entry: Entry) -> bytes:
    try:
        stream = archive.extractfile(archive.getmember(_name(entry)))
    except KeyError:
        stream = None
    return b"" if stream is None else stream.read()


def _name(entry: Entry) -> str:
    return entry.path.lstrip("/")


def publish(directory: str, manifest: Manifest, items: Items) -> Manifest:
    """Write a backup under a name that nobody takes for one, read it back, then give it its own by a rename."""
    final = os.path.join(directory, manifest.id)
    partial = final + PARTIAL
    os.mkdir(partial, 0o700)
    try:
        archive = os.path.join(partial, ARCHIVE)
        size, digest = write(items, archive)
        for _entry in contents(archive, manifest.entries):
            pass
        written = replace(manifest, bytes=size, sha256=digest)
        write_sealed(asdict(written), partial)
        fsync_directory(partial)
        os.rename(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    fsync_directory(directory)
    return written


def remove_leftovers(directory: str) -> list[str]:
    """Remove what runs that died have left. The caller holds the directory's lock: nobody is writing there."""
    removed = [name for name in sorted(_names(directory)) if _is_leftover(name)]
    for name in removed:
        shutil.rmtree(os.path.join(directory, name))
    return removed


def _is_leftover(name: str) -> bool:
    return any(name.endswith(suffix) and ID.fullmatch(name[: -len(suffix)]) for suffix in (PARTIAL, DELETING))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []

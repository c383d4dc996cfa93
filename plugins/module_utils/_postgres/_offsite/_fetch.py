# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a backup back: it appears in the directory as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, sha256_file
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged, require_digest
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import DIGEST, MANIFEST, PARTIAL
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import (
    Catalogue,
    find,
    look,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import Copy, StoredFile
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import (
    Deadline,
    Meter,
    Request,
    Result,
    Tools,
)


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """See to it that the backup is in the directory; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    return _Fetching(request, tools).run(check_mode)


class _Fetching:
    """One run."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._tools = tools
        self._directory = str(request.directory)
        self._deadline = Deadline(tools.clock, request.timeout_s)

    def run(self, check_mode: bool) -> Result:
        store = self._tools.store
        catalogue = look(store)
        copy = find(catalogue, self._request.subject, self._request.backup, where=store.in_words())
        path = os.path.join(self._directory, copy.id)
        if os.path.lexists(path):
            self._require_same(copy, path)
            return self._result(copy, catalogue, changed=False, reason=f"{path} is there and undamaged")
        self._require_possible(copy)
        reason = f"{path} is not there"
        if not check_mode:
            self._fetch(copy, path)
        return self._result(copy, catalogue, changed=True, reason=reason)

    def _require_same(self, copy: Copy, path: str) -> None:
        """Refuse a backup that differs from the copy, and one that is damaged."""
        manifest = manifests.read(path)
        theirs = {file.path: file.sha256 for file in copy.files if file.path not in (MANIFEST, DIGEST)}
        ours = {} if manifest is None else {str(file["path"]): str(file["sha256"]) for file in manifest.files}
        if ours != theirs:
            raise Refused(
                f"{path} is there and is not the backup that is in {self._tools.store.in_words(copy.id)}",
                untouched="Nothing was changed",
                remedy=f"Move {path} away if it is of no use, and run it again",
                facts={"path": path, "ours": ours, "theirs": theirs},
            )
        for file in copy.files:
            if file.path in theirs:
                self._deadline.remaining()
                require_digest(
                    os.path.join(path, file.path),
                    file.bytes,
                    file.sha256,
                    untouched="Nothing was changed",
                    remedy=f"Move {path} away, and run it again to bring the undamaged copy",
                )

    def _require_possible(self, copy: Copy) -> None:
        if copy.recipients and self._request.identity is None:
            raise Refused(
                f"The copy {self._tools.store.in_words(copy.id)} is encrypted and no identity is given",
                untouched="Nothing was changed",
                remedy="Give identity: the file with the secret key of one of its recipients",
                facts={"recipients": list(copy.recipients)},
            )
        if copy.recipients:
            self._tools.age()
        place = self._directory
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        plain = sum(file.bytes for file in copy.files)
        wanted = plain + (max(file.stored_bytes for file in copy.files) if copy.recipients else 0)
        free = self._tools.free(place)
        if free < wanted:
            raise Refused(
                f"{free} bytes are free in {place} and {wanted} are wanted for the backup {copy.id}",
                untouched="Nothing was changed",
                remedy="Make room, or fetch it elsewhere",
                facts={"free": free, "wanted": wanted},
            )

    def _fetch(self, copy: Copy, path: str) -> None:
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with self._tools.lock(self._directory):
                manifests.remove_leftovers(self._directory)
                with _partial(path + PARTIAL) as partial:
                    self._fill(copy, partial)
                    os.rename(partial, path)
                fsync_directory(self._directory)
        except SlipwayError as error:
            error.untouched = error.untouched or f"What was fetched was removed; {path} is not there"
            raise
        except OSError as error:
            raise SlipwayError(
                f"The backup {copy.id} can't be written to {self._directory}: {error.strerror or error}",
                untouched=f"What was fetched was removed; {path} is not there",
                remedy="See the disk and the rights of the directory",
                facts={"directory": self._directory, "id": copy.id},
            ) from error

    def _fill(self, copy: Copy, partial: str) -> None:
        meter = Meter(self._tools, self._deadline, "fetching", copy.bytes)
        for file in copy.files:
            self._fetch_one(copy, file, partial, meter)
        if copy.pinned is not None:
            manifests.pin(partial, copy.pinned)
        self._require_manifest(copy, partial)
        for folder, _folders, _files in os.walk(partial):
            fsync_directory(folder)

    def _fetch_one(self, copy: Copy, file: StoredFile, partial: str, meter: Meter) -> None:
        self._deadline.remaining()
        store = self._tools.store
        name = f"{copy.id}/{file.name}"
        target = os.path.join(partial, file.path)
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        fetched = f"{target}.fetched"
        store.fetch(name, fetched, meter)
        _require_stored(fetched, file, store.in_words(name))
        if copy.recipients:
            age, identity = self._tools.age(), str(self._request.identity)
            age.decrypt(fetched, target, identity, timeout_s=self._deadline.remaining())
            os.unlink(fetched)
        else:
            os.rename(fetched, target)
        os.chmod(target, 0o600)
        _fsync(target)
        if sha256_file(target) != file.sha256:
            raise Damaged(
                f"{store.in_words(name)} does not hold the file that was sent",
                remedy="Fetch another copy",
                facts={"name": name, "expected_sha256": file.sha256},
            )

    def _require_manifest(self, copy: Copy, partial: str) -> None:
        """The manifest and the copy must speak of the same files."""
        with open(os.path.join(partial, MANIFEST), "rb") as stream:
            manifest = manifests.parse(stream.read(), os.path.join(self._directory, copy.id))
        ours = {str(file["path"]): str(file["sha256"]) for file in manifest.files}
        theirs = {file.path: file.sha256 for file in copy.files if file.path not in (MANIFEST, DIGEST)}
        if ours != theirs or f"{manifest.site}/{manifest.database}" != copy.subject:
            raise Damaged(
                f"The manifest in {self._tools.store.in_words(copy.id)} does not describe the files beside it",
                remedy="Fetch another copy",
                facts={"id": copy.id, "manifest": ours, "copy": theirs},
            )

    def _result(self, copy: Copy, catalogue: Catalogue, *, changed: bool, reason: str) -> Result:
        path = os.path.join(self._directory, copy.id)
        after: dict[str, object] = {"path": path}
        return Result(
            changed=changed,
            reason=reason,
            words=f"{path} from {self._tools.store.in_words(copy.id)}: {reason}",
            copy=copy.summary(),
            copies=catalogue.of(self._request.subject),
            incomplete=catalogue.incomplete,
            transferred=tuple(file.path for file in copy.files) if changed else (),
            path=path,
            before={} if changed else after,
            after=after,
        )


def _require_stored(path: str, file: StoredFile, place: str) -> None:
    seen = sha256_file(path)
    if seen != file.stored_sha256:
        raise Damaged(
            f"{place} is damaged: expected {file.stored_bytes} bytes with SHA-256 {file.stored_sha256}, found "
            f"{os.stat(path).st_size} bytes with {seen}",
            remedy="Fetch another copy; where the backup still is, state: sent repairs this one",
            facts={"expected_sha256": file.stored_sha256, "seen_sha256": seen},
        )


def _fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _partial(path: str) -> Iterator[str]:
    """A directory that nobody takes for a backup; gone afterwards, unless it was renamed."""
    os.mkdir(path, mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a backup away: files first, each read back by its checksum, the mark last."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import require_digest
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import DIGEST, MANIFEST, Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import Catalogue, look
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import (
    MARK,
    REMOVING,
    Copy,
    StoredFile,
    encode,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._prune import remove
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import (
    Content,
    Head,
    StorageFailed,
    Store,
    content_of,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import (
    Deadline,
    Meter,
    Request,
    Result,
    Tools,
)

# Beside the backup while it is encrypted; not .partial, which the next backup would remove.
COPYING = ".copying"


@dataclass(frozen=True)
class LocalFile:
    """A file of the backup as it lies here."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What has to be sent. ``unmark`` means that what is there must not count while that is done."""

    send: tuple[LocalFile, ...]
    there: tuple[StoredFile, ...]
    mark: bool
    unmark: bool
    reason: str

    @property
    def changed(self) -> bool:
        return bool(self.send) or self.mark


def make_plan(
    files: Sequence[LocalFile], there: Mapping[str, StoredFile], wanted: Copy, found: Copy | None, *, damaged: bool
) -> Plan:
    """Decide by what is there.

    :param there: the files whose objects were found to be what they must be, by path.
    :param wanted: the copy as it would be now; its files and time do not matter.
    :param found: the copy that the mark in the storage describes, or None.
    :param damaged: there is a mark, and it can't be read.
    """
    send = tuple(file for file in files if file.path not in there)
    kept = tuple(there[file.path] for file in files if file.path in there)
    marked = found is not None or damaged
    if found is None:
        state = "the mark of the copy is damaged" if damaged else "there is no copy yet"
        if kept and not damaged:
            state = f"an earlier run was interrupted: {len(kept)} of {len(files)} files are there"
        return Plan(send, kept, True, damaged, state)
    if send:
        old = {file.path: file.sha256 for file in found.files}
        changed = [file.path for file in send if old.get(file.path) != file.sha256]
        words = ", ".join(file.path for file in send)
        if found.recipients != wanted.recipients:
            reason = "the copy is encrypted to others than those that are wanted"
        elif len(changed) == len(send):
            reason = f"{words} changed since the copy was sent"
        else:
            reason = f"the copy is damaged: {words} are missing there or are not what was sent"
        return Plan(send, kept, True, marked, reason)
    told = replace(wanted, sent_at=found.sent_at, files=found.files)
    if told != found or {file.path for file in found.files} != {file.path for file in files}:
        return Plan((), kept, True, False, "what the mark tells about the backup has changed")
    return Plan((), kept, False, False, f"the copy of {found.sent_at} is there")


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """See to it that a whole copy of a backup is in the storage; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    directory = str(request.directory)
    manifest = manifests.find(directory, request.database, request.backup)
    if manifest is None or manifest.site != request.site:
        raise Refused(
            f"There is no backup {request.backup} of {request.subject} in {directory}",
            untouched="Nothing was changed",
            remedy="See its name, the site, the database and the directory",
            facts={"directory": directory, "backup": request.backup},
        )
    with nullcontext() if check_mode else tools.lock(os.path.join(directory, manifest.id)):
        return _Sending(request, tools, manifest).run(check_mode)


class _Sending:
    """One run for one backup."""

    def __init__(self, request: Request, tools: Tools, manifest: Manifest) -> None:
        self._request = request
        self._tools = tools
        self._store: Store = tools.store
        self._manifest = manifest
        self._path = os.path.join(str(request.directory), manifest.id)
        self._deadline = Deadline(tools.clock, request.timeout_s)
        self._below = f"{manifest.id}/"
        if request.recipients:
            self._age = tools.age()

    def run(self, check_mode: bool) -> Result:
        catalogue = look(self._store)
        found = next((copy for copy in catalogue.copies if copy.id == self._manifest.id), None)
        if found is not None:
            self._require_same(found)
        files = self._local()
        wanted = self._wanted(())
        there = self._there(files, catalogue)
        plan = make_plan(files, there, wanted, found, damaged=self._manifest.id in catalogue.damaged)
        self._require_room(plan)
        if check_mode or not plan.changed:
            return self._result(plan, found, found or wanted, catalogue, [])
        try:
            warnings = self._prepare(plan, catalogue)
            stored = [*plan.there, *self._send(plan)]
            # In the order in which they are listed, whatever was there before.
            order = {file.path: place for place, file in enumerate(files)}
            sent = self._wanted(tuple(sorted(stored, key=lambda file: order[file.path])))
            self._finish(sent)
        except SlipwayError as error:
            error.untouched = error.untouched or (
                "No copy is marked as whole that is not; the backup itself is as it was"
            )
            raise
        return self._result(plan, found, sent, catalogue, warnings)

    def _require_same(self, found: Copy) -> None:
        theirs = {file.path: file.sha256 for file in found.files}
        ours = {str(file["path"]): str(file["sha256"]) for file in self._manifest.files}
        same = all(theirs.get(path) == digest for path, digest in ours.items())
        if not same or found.subject != self._request.subject:
            raise Refused(
                f"{self._store.in_words(found.id)} is the copy of another backup with the same id (of {found.subject}, "
                f"taken {found.taken_at})",
                untouched="Nothing was changed",
                remedy="Give this host's backups a prefix of their own",
                facts={"id": found.id, "theirs": theirs, "ours": ours},
            )
        if found.recipients and not self._request.recipients:
            raise Refused(
                f"The copy {self._store.in_words(found.id)} is encrypted, and no recipients are given now",
                untouched="Nothing was changed",
                remedy="Give recipients: a plain copy never takes the place of an encrypted one",
                facts={"id": found.id, "recipients": list(found.recipients)},
            )

    def _local(self) -> list[LocalFile]:
        """The files in the order in which they are sent. A damaged backup is not sent."""
        files = []
        for file in self._manifest.files:
            self._deadline.remaining()
            path, size, sha256 = str(file["path"]), int(file["bytes"]), str(file["sha256"])
            require_digest(
                os.path.join(self._path, path),
                size,
                sha256,
                untouched="Nothing was sent",
                remedy="Send another backup, or bring back an undamaged copy of this one with state: fetched",
            )
            files.append(LocalFile(path, size, sha256))
        for path in (DIGEST, MANIFEST):
            with open(os.path.join(self._path, path), "rb") as stream:
                data = stream.read()
            files.append(LocalFile(path, len(data), hashlib.sha256(data).hexdigest()))
        return files

    def _wanted(self, files: tuple[StoredFile, ...]) -> Copy:
        manifest = self._manifest
        return Copy(
            id=manifest.id,
            label=manifest.label,
            site=manifest.site,
            database=manifest.database,
            taken_at=manifest.taken_at,
            levels=tuple(manifest.levels),
            pinned=manifests.pinned(self._path),
            recipients=tuple(sorted(self._request.recipients)),
            sent_at=self._tools.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
            files=files,
        )

    def _there(self, files: Iterable[LocalFile], catalogue: Catalogue) -> dict[str, StoredFile]:
        if self._manifest.id in catalogue.removing:
            return {}
        found = ((file, self._seen(file)) for file in files)
        return {file.path: stored for file, stored in found if stored is not None}

    def _seen(self, file: LocalFile) -> StoredFile | None:
        """The object of a file, when it is there and is what it must be."""
        self._deadline.remaining()
        name = self._name(file.path)
        head = self._store.head(name)
        if head is None or head.words.get("slipway-of") != file.sha256:
            return None
        if head.words.get("slipway-recipients", "") != self._recipients_digest():
            return None
        words = head.words
        content = Content(head.bytes, words.get("slipway-sha256", ""), words.get("slipway-checksum", ""))
        if not self._holds(name, head, content):
            return None
        return StoredFile(file.path, file.bytes, file.sha256, name[len(self._below) :], head.bytes, content.sha256)

    def _holds(self, name: str, head: Head, content: Content) -> bool:
        if head.bytes != content.bytes:
            return False
        if head.checksum is not None:
            return head.checksum == content.checksum
        # A storage that keeps no checksums is asked for the content.
        return self._store.digest(name) == content.sha256

    def _name(self, path: str) -> str:
        return f"{self._below}{path}{'.age' if self._request.recipients else ''}"

    def _recipients_digest(self) -> str:
        if not self._request.recipients:
            return ""
        return hashlib.sha256("\n".join(sorted(self._request.recipients)).encode()).hexdigest()

    def _require_room(self, plan: Plan) -> None:
        if not self._request.recipients or not plan.send:
            return
        largest = max(file.bytes for file in plan.send)
        free = self._tools.free(self._path)
        if free < largest + (largest >> 10):
            raise Refused(
                f"{free} bytes are free beside {self._path}, and the encrypted form of its largest file takes "
                f"{largest} for a while",
                untouched="Nothing was changed",
                remedy="Make room",
                facts={"free": free, "wanted": largest},
            )

    def _prepare(self, plan: Plan, catalogue: Catalogue) -> list[str]:
        if self._manifest.id in catalogue.removing:
            remove(self._store, self._manifest.id)
        if plan.unmark:
            self._store.remove([self._below + MARK])
        return self._store.end_interrupted(self._below) if plan.send else []

    def _send(self, plan: Plan) -> Iterator[StoredFile]:
        if not plan.send:
            return
        meter = Meter(self._tools, self._deadline, "sending", sum(file.bytes for file in plan.send))
        with self._scratch() as scratch:
            for file in plan.send:
                yield self._send_one(file, scratch, meter)

    @contextmanager
    def _scratch(self) -> Iterator[str]:
        """A directory for what is encrypted, one file at a time."""
        path = self._path + COPYING
        # The lock of this backup is ours.
        shutil.rmtree(path, ignore_errors=True)
        remove_abandoned(str(self._request.directory), self._tools)
        if not self._request.recipients:
            yield path
            return
        os.mkdir(path, mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _send_one(self, file: LocalFile, scratch: str, meter: Meter) -> StoredFile:
        source = os.path.join(self._path, file.path)
        recipients = self._request.recipients
        if recipients:
            encrypted = os.path.join(scratch, "file.age")
            self._age.encrypt(source, encrypted, recipients, timeout_s=self._deadline.remaining())
            source = encrypted
        content = content_of(source, self._store.part_size(os.stat(source).st_size))
        if not recipients and content.sha256 != file.sha256:
            raise StorageFailed(f"{source} changed while it was read", remedy="See who writes there, and run it again")
        name = self._name(file.path)
        words = {"slipway-of": file.sha256, "slipway-sha256": content.sha256, "slipway-checksum": content.checksum}
        if recipients:
            words["slipway-recipients"] = self._recipients_digest()
        self._store.send(name, source, words, meter)
        if recipients:
            os.unlink(source)
        stored = self._seen(file)
        if stored is None or stored.stored_sha256 != content.sha256:
            raise StorageFailed(
                f"{self._store.in_words(name)} was sent and is not what was sent: the storage was asked for its "
                "checksum afterwards",
                remedy="See the storage, and run it again",
                facts={"name": name, "expected_sha256": content.sha256},
            )
        return stored

    def _finish(self, sent: Copy) -> None:
        """Remove what is of no use any more, then make it a copy."""
        known = {self._below + file.name for file in sent.files}
        there = set(self._store.names(self._below))
        if self._below + REMOVING in there or not known <= there:
            raise StorageFailed(
                f"Somebody removes {self._store.in_words(sent.id)} while it is sent",
                remedy="See who removes copies there, and run it again",
                facts={"id": sent.id, "missing": sorted(known - there)},
            )
        self._store.remove(sorted(there - known - {self._below + MARK}))
        mark = encode(sent)
        self._store.write(self._below + MARK, mark)
        if self._store.read(self._below + MARK) != mark:
            self._store.remove([self._below + MARK])
            raise StorageFailed(
                f"{self._store.in_words(self._below + MARK)} is not what was written; it was removed again",
                remedy="See the storage, and run it again",
            )

    def _result(self, plan: Plan, found: Copy | None, now: Copy, catalogue: Catalogue, warnings: list[str]) -> Result:
        place = self._store.in_words(self._manifest.id)
        others = [copy for copy in catalogue.of(self._request.subject) if copy.id != now.id]
        transferred = tuple(file.path for file in plan.send)
        words = f"{place}: {plan.reason}"
        if plan.changed:
            words += f"; {len(transferred)} files to be sent" if now.files == () else f"; {len(transferred)} files sent"
        summary = now.summary()
        if not now.files:
            summary["bytes"] = None
        return Result(
            changed=plan.changed,
            reason=plan.reason,
            words=words,
            copy=summary,
            copies=tuple(sorted([*others, now], key=lambda copy: copy.id)),
            incomplete=tuple(one for one in catalogue.incomplete if one != now.id),
            transferred=transferred,
            path=self._path,
            warnings=tuple(warnings),
            before=_for_diff(found),
            after=_for_diff(now),
        )


def _for_diff(copy: Copy | None) -> dict[str, object]:
    if copy is None:
        return {}
    return {
        "id": copy.id,
        "levels": list(copy.levels),
        "pinned": copy.pinned,
        "recipients": list(copy.recipients),
    }


def remove_abandoned(directory: str, tools: Tools) -> None:
    """Remove what runs that died have left of encrypted files: whoever still works holds the lock of the backup."""
    for name in os.listdir(directory):
        backup = os.path.join(directory, name[: -len(COPYING)])
        if not (name.endswith(COPYING) and manifests.ID.fullmatch(os.path.basename(backup))):
            continue
        with suppress(TimedOut, Refused), tools.lock(backup) if os.path.isdir(backup) else nullcontext():
            shutil.rmtree(backup + COPYING, ignore_errors=True)

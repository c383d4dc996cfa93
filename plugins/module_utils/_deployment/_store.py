# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a control host or of a site's root: read, locked, written as a plan says."""

from __future__ import annotations

import errno
import json
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._history import Observed
from ansible_collections.slipway.django.plugins.module_utils._deployment._journal import (
    DEPLOYMENTS,
    ID,
    LEASE,
    TOKEN,
    JournalContent,
    Write,
    journal_path,
    parse_journal,
    record_path,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import Lease, Record, Token
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import (
    append_line,
    fsync_directory,
    locked,
    read_json,
    write_json,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

CONTROL = "control"
_LOCK = ".lock"
_NOTHING = "Nothing was changed"


def _owner(path: str) -> str:
    """Say whom the nearest existing directory of a path belongs to."""
    try:
        status = os.stat(path)
    except OSError:
        return "its owner is unknown" if path == "/" else _owner(os.path.dirname(path))
    return f"{path} belongs to {_user(status.st_uid)}, mode {stat.S_IMODE(status.st_mode):04o}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _translated(error: OSError, path: str, standing: str) -> SlipwayError:
    facts = {"path": path, "errno": errno.errorcode.get(error.errno or 0, "")}
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        seen, remedy = f"No space is left for {path}", "Make room on that file system, then run again"
    elif error.errno in (errno.EACCES, errno.EPERM):
        me = _user(os.geteuid())
        seen = f"User {me} may not read or write {path}: {_owner(path)}"
        remedy = "Run the task as the site's user (become_user), and let provision set the owners right"
    else:
        seen, remedy = f"{path} can't be read or written: {error.strerror or error}", "Mend it, then run again"
    return SlipwayError(seen, untouched=standing, remedy=remedy, facts=facts)


@contextmanager
def _os_errors(path: str, standing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _translated(error, path, standing) from error


def _end_torn_line(path: str) -> None:
    """End a last line that a full disk or a lost machine cut, so that it costs only itself. Only under the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)


class Store:
    """Files below one directory, changed only under its lock.

    :param root: the site's root, which provision made.
    :param inside: the directory below it that is ours; made when it is missing.
    """

    def __init__(self, root: str, inside: str = "") -> None:
        self.root = root
        self.directory = os.path.join(root, inside) if inside else root

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def require_root(self) -> None:
        """:raises Refused: there is no such root, or it belongs to another user than this process."""
        with _os_errors(self.root, _NOTHING):
            if not os.path.isdir(self.root):
                raise Refused(
                    f"{self.root} is no directory on this host",
                    untouched=_NOTHING,
                    remedy="Correct the option root, or make the host ready with the playbook provision",
                    facts={"path": self.root},
                )
            owner = self.directory if os.path.isdir(self.directory) else self.root
            uid = os.stat(owner).st_uid
        if os.geteuid() == 0 and uid != 0:
            raise Refused(
                f"This runs as root, but {owner} belongs to {_user(uid)}: what root writes there, {_user(uid)} "
                "could not change later",
                untouched=_NOTHING,
                remedy=f"Run the task with become_user: {_user(uid)}",
                facts={"path": owner, "owner": _user(uid)},
            )

    @contextmanager
    def exclusive(self, clock: Clock) -> Iterator[None]:
        """Hold the lock of this store; the directory is made first.

        :raises TimedOut: another process held it all the time.
        """
        with _os_errors(self.directory, _NOTHING):
            self._make_directory(self.directory)
        lock = self.path(_LOCK)
        with ExitStack() as held:
            with _os_errors(lock, _NOTHING):
                held.enter_context(locked(lock, clock=clock))
            yield

    def _make_directory(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self._make_directory(parent)
        try:
            os.mkdir(path, 0o750)
        except FileExistsError:
            # Another run made it between the look and the step.
            if not os.path.isdir(path):
                raise
        fsync_directory(parent)

    def _read(self, name: str) -> Any | None:
        path = self.path(name)
        with _os_errors(path, f"{_NOTHING}: what can't be read is not taken for absent"):
            document = read_json(path)
            if document is None and os.path.lexists(path):
                # Replaced in this moment by another process, or the document null, which is not "no file".
                document = read_json(path)
                return {} if document is None else document
            return document

    def lease(self) -> Lease | None:
        """The lease, or None when none was ever written.

        :raises SlipwayError: it can't be read or understood: then nobody knows whether one is live.
        """
        document = self._read(LEASE)
        return None if document is None else Lease.from_json(document, self.path(LEASE))

    def token(self) -> Token | None:
        """The highest token known here, or None."""
        document = self._read(TOKEN)
        return None if document is None else Token.from_json(document, self.path(TOKEN))

    def record(self, deployment: str) -> Record | None:
        """A deployment's record, or None when it has none (it may have been killed before writing it)."""
        document = self._read(record_path(deployment))
        if document is None:
            return None
        path = self.path(record_path(deployment))
        record = Record.from_json(document, path)
        if record.id != deployment:
            raise SlipwayError(
                f"{path} is the record of {record.id}",
                untouched="It was left as it is, and nothing was changed",
                remedy="Somebody copied or renamed the directory: move it away",
                facts={"path": path},
            )
        return record

    def ids(self) -> list[str]:
        """Deployments that have a directory, with or without a record."""
        path = self.path(DEPLOYMENTS)
        with _os_errors(path, _NOTHING):
            try:
                names = os.listdir(path)
            except FileNotFoundError:
                return []
        return sorted(name for name in names if ID.fullmatch(name))

    def journal(self, deployment: str) -> JournalContent:
        """A deployment's journal; empty when there is none."""
        path = self.path(journal_path(deployment))
        with _os_errors(path, _NOTHING):
            try:
                with open(path, "rb") as stream:
                    return parse_journal(stream.read())
            except FileNotFoundError:
                return JournalContent(())

    def observe(self, clock: Clock, only: str | None = None) -> Observed:
        """Read what a plan needs.

        :param only: read this deployment's record and no other: a step must not fail for an old file.
        """
        wanted = self.ids() if only is None else [only]
        records = [record for record in map(self.record, wanted) if record is not None]
        lease = self.lease()
        if only is not None and lease is not None and lease.id != only:
            records += filter(None, [self.record(lease.id)])
        token = self.token()
        return Observed(lease, tuple(records), 0 if token is None else token.token, clock.utcnow())

    def perform(self, writes: Sequence[Write]) -> None:
        """Make the writes in their order, and read each document back.

        :raises SlipwayError: one failed; it says what then holds. Those before it are made.
        """
        for write in writes:
            path = self.path(write.path)
            try:
                self._make_directory(os.path.dirname(path))
                self._put(path, write)
            except OSError as error:
                in_place = bool(write.if_in_place) and self._read(write.path) == write.document
                raise _translated(error, path, write.if_in_place if in_place else write.if_it_fails) from error
            if not write.append and self._read(write.path) != write.document:
                raise SlipwayError(
                    f"{path} does not hold what was just written to it",
                    untouched=write.if_it_fails,
                    remedy="Look for another process that writes there, and at the file system",
                    facts={"path": path},
                )

    def _put(self, path: str, write: Write) -> None:
        if write.append:
            _end_torn_line(path)
            append_line(path, json.dumps(write.document, sort_keys=True))
        else:
            write_json(path, write.document)

    def sweep(self) -> None:
        """Remove temporary files of processes that were killed. Only under the lock: all of them are debris."""
        for directory in [self.directory, *(self.path(f"{DEPLOYMENTS}/{name}") for name in self.ids())]:
            with _os_errors(directory, _NOTHING):
                for name in os.listdir(directory):
                    if name.startswith((f".{LEASE}.", f".{TOKEN}.", ".record.json.")):
                        os.unlink(os.path.join(directory, name))

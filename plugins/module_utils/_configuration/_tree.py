# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, directories and symbolic links of a host: read and put so that no link leads anywhere else.

The owner of a directory may exchange what lies in it at any moment, and this runs as root. So each directory on the
way is opened by itself, without following a link, and its files are reached by its descriptor.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError

FILE: Final = "file"
DIRECTORY: Final = "directory"
SYMLINK: Final = "symlink"
_KINDS: Final = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK}
_TEMPORARY: Final = ".slipway-restore"
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Unusable(SlipwayError):
    """A path is not what can be backed up or put back."""


@dataclass(frozen=True)
class Entry:
    """One path, as it is on a host or in a backup. ``owner`` and ``group`` are names, or numbers without one."""

    path: str
    kind: str
    # As 0640; empty for a symbolic link, which has none.
    mode: str
    owner: str
    group: str
    uid: int
    gid: int
    mtime_ns: int
    bytes: int = 0
    sha256: str = ""
    target: str = ""

    @property
    def words(self) -> str:
        """What can be told of it: no digest, since a file may hold nothing but a short secret."""
        return " ".join(part for part in (self.kind, self.mode, f"{self.owner}:{self.group}") if part)


@contextmanager
def opened_directory(path: str) -> Iterator[int]:
    """Open a directory without following a link on the way.

    :raises Unusable: a part of the path is a link, or no directory.
    """
    descriptor = os.open("/", _DIRECTORY_FLAGS)
    try:
        for part in [part for part in path.split("/") if part]:
            try:
                inner = os.open(part, _DIRECTORY_FLAGS, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                raise Unusable(f"{part} on the way to {path} is a symbolic link or no directory") from error
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def walk(path: str) -> Iterator[str]:
    """Return the path and all that lies below it, each directory before what is in it."""
    yield path
    if os.path.isdir(path) and not os.path.islink(path):
        for name in sorted(os.listdir(path)):
            yield from walk(os.path.join(path, name))


def read(path: str, limit: int) -> tuple[Entry, bytes]:
    """Return what is at a path, with its content when it is a file.

    :raises Unusable: it is something else, larger than ``limit``, or changed while it was read.
    """
    parent, name = os.path.split(path)
    with opened_directory(parent) as directory:
        seen = os.stat(name, dir_fd=directory, follow_symlinks=False)
        kind = _KINDS.get(stat.S_IFMT(seen.st_mode))
        if kind is None:
            raise Unusable(f"{path} is neither a file nor a directory nor a symbolic link")
        if kind == FILE:
            return _read_file(path, directory, limit)
        target = os.readlink(name, dir_fd=directory) if kind == SYMLINK else ""
        return _entry(path, kind, seen, target=target), b""


def _read_file(path: str, directory: int, limit: int) -> tuple[Entry, bytes]:
    # O_NONBLOCK: it may have become a pipe by now, which nobody writes to.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(os.path.basename(path), flags, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unusable(f"{path} is no file any more")
        if before.st_size > limit:
            raise Unusable(f"{path} has {before.st_size} bytes, and {limit} are left of max_bytes")
        content = stream.read(limit + 1)
        after = os.fstat(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, len(content)):
        raise Unusable(f"{path} changed while it was read")
    return _entry(path, FILE, after, sha256=hashlib.sha256(content).hexdigest()), content


def _entry(path: str, kind: str, seen: os.stat_result, *, sha256: str = "", target: str = "") -> Entry:
    return Entry(
        path=path,
        kind=kind,
        mode="" if kind == SYMLINK else f"{stat.S_IMODE(seen.st_mode):04o}",
        owner=_name_of_user(seen.st_uid),
        group=_name_of_group(seen.st_gid),
        uid=seen.st_uid,
        gid=seen.st_gid,
        mtime_ns=seen.st_mtime_ns,
        bytes=seen.st_size if kind == FILE else 0,
        sha256=sha256,
        target=target,
    )


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def unknown_owners(entry: Entry) -> list[str]:
    """Return the names that this host does not know. Their numbers may be somebody else's here."""
    missing = []
    if _uid(entry) is None:
        missing.append(f"user {entry.owner}")
    if _gid(entry) is None:
        missing.append(f"group {entry.group}")
    return missing


def _uid(entry: Entry) -> int | None:
    if entry.owner == str(entry.uid):
        return entry.uid
    try:
        return pwd.getpwnam(entry.owner).pw_uid
    except KeyError:
        return None


def _gid(entry: Entry) -> int | None:
    if entry.group == str(entry.gid):
        return entry.gid
    try:
        return grp.getgrnam(entry.group).gr_gid
    except KeyError:
        return None


def put(entry: Entry, content: bytes) -> None:
    """Make the path what the entry says. A file or link is there as it was, or as it shall be, whatever dies.

    :raises Unusable: a part of the path is a link, or its owner is not known here.
    """
    uid, gid = _uid(entry), _gid(entry)
    if uid is None or gid is None:
        raise Unusable(f"{entry.path} belongs to {' and '.join(unknown_owners(entry))}, not known on this host")
    parent, name = os.path.split(entry.path)
    with opened_directory(parent) as directory:
        if entry.kind == DIRECTORY:
            _put_directory(entry, name, directory, uid=uid, gid=gid)
        else:
            _put_by_rename(entry, name, directory, content, uid=uid, gid=gid)
        os.fsync(directory)


def _put_directory(entry: Entry, name: str, directory: int, *, uid: int, gid: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=directory)
    descriptor = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, int(entry.mode, 8))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_by_rename(entry: Entry, name: str, directory: int, content: bytes, *, uid: int, gid: int) -> None:
    # One name: what a run that was killed has left, the next one replaces.
    temporary = f".{name[:200]}{_TEMPORARY}"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=directory)
    try:
        if entry.kind == SYMLINK:
            os.symlink(entry.target, temporary, dir_fd=directory)
            os.chown(temporary, uid, gid, dir_fd=directory, follow_symlinks=False)
        else:
            _write(temporary, directory, content, mode=int(entry.mode, 8), owner=(uid, gid))
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(temporary, ns=times, dir_fd=directory, follow_symlinks=False)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _write(name: str, directory: int, content: bytes, *, mode: int, owner: tuple[int, int]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=directory), "wb") as stream:
        stream.write(content)
        stream.flush()
        # In this order: to change the owner takes set-user-id bits away.
        os.fchown(stream.fileno(), *owner)
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def keep_time(entry: Entry) -> None:
    """Give a directory its time back, once all that lies in it was put."""
    parent, name = os.path.split(entry.path)
    with opened_directory(parent) as directory:
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=directory, follow_symlinks=False)

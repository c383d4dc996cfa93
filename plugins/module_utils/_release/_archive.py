# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacking the archive of a commit, so that nothing is written outside of its directory.

C(tarfile)'s own filters came with Python 3.12 and patch releases of older ones: targets may not have them.
"""

from __future__ import annotations

import os
import shutil
import tarfile

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError


def unpack(archive: str, destination: str, commit: str) -> int:
    """Unpack a tar file of C(git archive) into a new directory and return the number of files.

    Files get mode 0644 or, if executable, 0755; directories 0755. Symbolic links are made last, so that no
    file is ever written through one, and must lead to a place inside.

    :raises SlipwayError: the archive is of another commit, or holds something that does not belong there.
    """
    os.mkdir(destination, 0o755)
    with tarfile.open(archive, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        links: list[tarfile.TarInfo] = []
        count = 0
        for member in tar:
            if member.issym():
                links.append(member)
                continue
            _unpack_member(tar, member, _place(destination, member.name))
            count += member.isfile()
        _check_commit(tar, commit)
    for link in links:
        _make_link(destination, link)
    _check_links(destination, links)
    return count + len(links)


def _check_commit(tar: tarfile.TarFile, commit: str) -> None:
    # git-archive(1): the commit's id is stored in a global extended pax header.
    found = tar.pax_headers.get("comment", "")
    if found != commit:
        raise SlipwayError(
            f"the archive says it is of commit {found or 'none'!r}, expected {commit}",
            facts={"commit": commit, "found": found},
        )


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in {"", "."}]


def _place(destination: str, name: str) -> str:
    parts = _parts(name)
    if name.startswith("/") or ".." in parts:
        raise _refusal(name, "its path leads out of the archive")
    return os.path.join(destination, *parts)


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    if member.isdir():
        os.makedirs(path, 0o755, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isfile() else None
    if source is None:
        raise _refusal(member.name, "it is neither a file nor a directory nor a symbolic link")
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    mode = 0o755 if member.mode & 0o100 else 0o644
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        os.fchmod(target.fileno(), mode)
    os.utime(path, (member.mtime, member.mtime))


def _make_link(destination: str, member: tarfile.TarInfo) -> None:
    path = _place(destination, member.name)
    if os.path.isabs(member.linkname):
        raise _refusal(member.name, f"it is a symbolic link to the absolute path {member.linkname!r}")
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    os.symlink(member.linkname, path)


def _check_links(destination: str, links: list[tarfile.TarInfo]) -> None:
    top = os.path.realpath(destination)
    for member in links:
        # realpath and not arithmetic on names: a link in the middle of the path may be a link itself.
        real = os.path.realpath(_place(destination, member.name))
        if real != top and not real.startswith(top + os.sep):
            raise _refusal(member.name, f"it is a symbolic link that leads out of the release, to {member.linkname!r}")


def _refusal(name: str, why: str) -> Refused:
    return Refused(
        f"{name!r} in the archive of the commit is refused: {why}",
        untouched="What runs was not touched",
        remedy="Take it out of the repository",
        facts={"member": name},
    )

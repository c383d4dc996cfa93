# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory trees: walk, tighten, make durable, take away."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from collections.abc import Iterator

_libc = ctypes.CDLL(None, use_errno=True)


def walk_files(top: str) -> Iterator[str]:
    """Paths of all files below a directory, relative to it. Links to directories are not followed.

    An unreadable directory is an error: a list that is not whole must not decide what is removed.
    """
    for directory, _names, files in os.walk(top, onerror=_raise):
        inner = os.path.relpath(directory, top)
        for name in files:
            yield name if inner == "." else os.path.join(inner, name)


def tighten(top: str) -> None:
    """Take from group and others the right to write, in the whole tree."""
    for directory, _names, files in os.walk(top, onerror=_raise):
        for path in [directory, *(os.path.join(directory, name) for name in files)]:
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode) and mode & 0o022:
                os.chmod(path, stat.S_IMODE(mode) & ~0o022)


def sync(path: str) -> None:
    """Write everything of the file system that holds ``path`` to its disk.

    One call for thousands of files. Without it a power cut could leave a release that says it is complete
    and has empty files.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def remove_tree(path: str) -> None:
    """Remove a tree, there or not. A directory without rights for its owner does not stop it.

    :raises OSError: something could not be removed.
    """
    if not os.path.lexists(path):
        return
    for directory, names, _files in os.walk(path):
        for name in names:
            inner = os.path.join(directory, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
    shutil.rmtree(path)


def _raise(error: OSError) -> None:
    raise error

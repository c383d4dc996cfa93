# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a backup: made durable, digested, and found to be what was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, sha256_file


class Damaged(SlipwayError):
    """A file is not what was written."""


def file_row(path: str, size: int, sha256: str) -> dict[str, Any]:
    """A file as the manifest has it."""
    return {"path": path, "bytes": size, "sha256": sha256}


def settle(path: str) -> None:
    """Make a file durable and forget it, so that reading it back asks the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def digested(directory: str, name: str, tell: Callable[[int], None] = lambda _done: None) -> list[dict[str, Any]]:
    """Digest and settle a file, or all files below a directory, as the manifest has them.

    In this order: the digest is of what the program wrote, as the kernel still has it. Who reads the file afterwards
    asks the disk, and sees whether it has kept that.

    :param tell: is told how many bytes are digested.
    """
    whole = os.path.join(directory, name)
    names = [name] if os.path.isfile(whole) else sorted(f"{name}/{entry}" for entry in os.listdir(whole))
    rows = []
    for relative in names:
        path = os.path.join(directory, relative)
        os.chmod(path, 0o600)
        rows.append(file_row(relative, os.stat(path).st_size, sha256_file(path)))
        settle(path)
        tell(sum(row["bytes"] for row in rows))
    if names != [name]:
        fsync_directory(whole)
    return rows


def require_files(directory: str, files: Iterable[Mapping[str, Any]], *, untouched: str, remedy: str) -> None:
    """Read all files of a backup and return when they are the ones that were written.

    :raises Damaged: one is not; the message names it.
    """
    for row in files:
        path = os.path.join(directory, row["path"])
        require_digest(path, row["bytes"], row["sha256"], untouched=untouched, remedy=remedy)


# The last words of pg_dumpall; a key of \restrict may follow them.
_END = b"PostgreSQL database cluster dump complete"
_END_WITHIN = 512


def require_end(path: str) -> None:
    """Return when pg_dumpall has written all: it does not look whether what it writes to its output arrives.

    :raises Damaged: the end is missing.
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END_WITHIN))
        found = _END in stream.read()
    if not found:
        raise Damaged(
            f"The file {path} has {size} bytes and not the end that pg_dumpall writes",
            remedy="See whether the disk is full",
        )


def complete(directory: str, files: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether all files are there in their sizes: what can be known without reading them."""
    try:
        return all(os.stat(os.path.join(directory, row["path"])).st_size == row["bytes"] for row in files)
    except OSError:
        return False


def require_digest(path: str, size: int, sha256: str, *, untouched: str, remedy: str) -> None:
    """Read a file and return when it is the one that was written.

    No program of PostgreSQL does this: `pg_restore` read 56 of 60 flipped zstd archives without a word.

    :raises Damaged: it is not.
    """
    try:
        seen_size = os.stat(path).st_size
        seen = sha256_file(path) if seen_size == size else ""
    except OSError as error:
        raise Damaged(f"The file {path} can't be read: {error.strerror}", untouched=untouched, remedy=remedy) from error
    if seen != sha256:
        raise Damaged(
            f"The file {path} is damaged: expected {size} bytes with SHA-256 {sha256}, found {seen_size} bytes"
            + (f" with {seen}" if seen else ""),
            untouched=untouched,
            remedy=remedy,
            facts={"path": path, "expected_sha256": sha256, "seen_sha256": seen, "seen_bytes": seen_size},
        )

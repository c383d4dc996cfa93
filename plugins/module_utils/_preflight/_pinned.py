# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the dependencies of a release are pinned: the same packages on every host, and on the way back. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged

# What pins a project by itself: each is written by its tool with exact versions and digests.
LOCK_FILES = ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock")
_SHOWN = 10
# PEP 508 up to the version: name, extras. A version with a wildcard pins nothing.
_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(?P<rest>.*)\Z", re.DOTALL)
_EXACT = re.compile(r"===?\s*(?![^\s;,]*\*)[A-Za-z0-9.!+_-]+\s*(;.*)?\Z", re.DOTALL)
_COMMIT = re.compile(r"@[0-9a-f]{40}(?![0-9a-f])")
_HASH_OPTION = re.compile(r"\s--hash[= ]\S+")
_HASH_FRAGMENT = re.compile(r"[#&](?:sha256|sha384|sha512)=[0-9a-f]+")
_INCLUDES = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(?P<path>\S+)\Z")
# Lines that name no package: where packages come from, and how.
_OPTIONS = re.compile(
    r"(-i|-f|--index-url|--extra-index-url|--no-index|--find-links|--no-binary|--only-binary|--prefer-binary|--pre"
    r"|--require-hashes|--trusted-host|--use-feature)\b"
)


@dataclass(frozen=True)
class Requirement:
    """One line of a requirements file that names a package.

    :param pinned: it can only become one thing.
    :param hashed: its content is pinned too.
    """

    line: str
    where: str
    pinned: bool
    hashed: bool


def requirements(path: str, read: Callable[[str], str], seen: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Yield each requirement of a file and of those that it includes.

    :param read: returns the text of a file.
    :raises OSError: a file can't be read.
    """
    if path in seen:
        return
    for number, line in _lines(read(path)):
        include = _INCLUDES.match(line)
        if include:
            inner = os.path.normpath(os.path.join(os.path.dirname(path), include["path"]))
            # Constraints name versions without asking for the package: what they leave open is open.
            if line.startswith(("-r", "--requirement")):
                yield from requirements(inner, read, seen | {path})
        elif not _OPTIONS.match(line):
            yield _requirement(line, f"{path}:{number}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines, without comments: a backslash at the end continues one."""
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        start = start or number
        if raw.endswith("\\"):
            pending += raw[:-1] + " "
            continue
        line = re.sub(r"(^|\s)#.*$", "", pending + raw).strip()
        if line:
            yield start, line
        pending, start = "", 0
    if pending.strip():
        yield start, pending.strip()


def _requirement(line: str, where: str) -> Requirement:
    hashed = bool(_HASH_OPTION.search(line))
    bare = _HASH_OPTION.sub("", line).strip()
    editable = re.match(r"(?:-e|--editable)[\s=]*(?P<what>\S+)", bare)
    target = editable["what"] if editable else bare
    if target.startswith((".", "/", "file:")) or (editable and "://" not in target):
        # A part of the release itself is as pinned as the commit is.
        inside = not target.startswith(("/", "file:")) and ".." not in target.split("/")
        return Requirement(without_secrets(bare), where, inside, inside)
    if "://" in target:
        by_content = bool(_HASH_FRAGMENT.search(target)) or hashed
        pinned = by_content or ("+" in target.split("://")[0] and bool(_COMMIT.search(target)))
        return Requirement(without_secrets(bare), where, pinned, pinned)
    named = _NAMED.match(bare)
    pinned = bool(named and _EXACT.match(named["rest"]))
    return Requirement(bare, where, pinned, hashed)


def without_secrets(text: str) -> str:
    """A URL without user and password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def pinned_row(name: str, exists: Callable[[str], bool], read: Callable[[str], str], *, hashes: bool) -> Row:
    """Judge the requirements file of a release, or its lock file where it installs none.

    :param name: the requirements file as the release names it; empty for none.
    :param hashes: whether each requirement must bear a digest.
    """
    expected = "exact versions" + (" with digests" if hashes else "")
    if not name:
        locks = [lock for lock in LOCK_FILES if exists(lock)]
        return judged(
            "A3", "pinned", bool(locks), ", ".join(locks) or "no requirements and no lock file", "a lock file"
        )
    found = list(requirements(name, read))
    loose = [each for each in found if not each.pinned or (hashes and not each.hashed)]
    if not found:
        return Row("A3", "pinned", Mark.PASSED, f"{name} names no package", expected)
    if not loose:
        return Row("A3", "pinned", Mark.PASSED, f"all {len(found)} of {name}", expected)
    shown = ", ".join(f"{each.line.split(';')[0].strip()[:80]} ({each.where})" for each in loose[:_SHOWN])
    more = f" and {len(loose) - _SHOWN} more" if len(loose) > _SHOWN else ""
    return Row("A3", "pinned", Mark.FAILED, f"{len(loose)} of {len(found)} are not: {shown}{more}", expected)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths are configuration: declared by name or simple pattern, and nothing outside of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption

_MAGIC: Final = frozenset("*?[")


@dataclass(frozen=True)
class Declared:
    """A path, or a pattern for some, with all that lies below. What is optional may be missing."""

    path: str
    optional: bool = False


def validate(paths: Sequence[Declared], directory: str) -> None:
    """Refuse what can't be meant.

    :param directory: where the backups lie: a backup must not hold them.
    :raises InvalidOption: nothing is declared, or a path is not a plain absolute one.
    """
    if not paths:
        raise InvalidOption("paths", [], "at least one path")
    for one in paths:
        require_plain("paths", one.path)
        if "**" in one.path:
            raise InvalidOption("paths", one.path, "a pattern without **: a directory has all that lies below it")
        if covers(one.path, directory) or covers(directory, one.path):
            raise InvalidOption("paths", one.path, f"a path apart from the directory of the backups, {directory}")


def require_plain(option: str, path: str) -> None:
    """Refuse a path that is not absolute and normal.

    :raises InvalidOption: it is not.
    """
    if not os.path.isabs(path) or path != os.path.normpath(path) or path.strip("/") == "":
        raise InvalidOption(option, path, "an absolute path without //, /./ and /../, other than /")


def covers(pattern: str, path: str) -> bool:
    """Return whether a path is what a pattern names, or lies below it."""
    wanted, parts = pattern.split("/"), path.split("/")
    return len(parts) >= len(wanted) and all(map(_fits, parts, wanted))


def covered(patterns: Iterable[str], path: str) -> bool:
    """Return whether any of them does."""
    return any(covers(pattern, path) for pattern in patterns)


def real(pattern: str) -> str:
    """Return the pattern without symbolic links on the way to what it names.

    Below that none is followed: whoever owns a directory there could lead a task of root anywhere.
    """
    parts = pattern.split("/")
    magic = next((place for place, part in enumerate(parts) if _MAGIC & set(part)), len(parts) - 1)
    return os.path.join(os.path.realpath("/".join(parts[:magic]) or "/"), *parts[magic:])


def expand(pattern: str) -> list[str]:
    """Return what is there for a real pattern. Only directories are entered, no links to such."""
    parts = pattern.split("/")[1:]
    found = ["/"]
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        found = [path for parent in found for path in _named(parent, part) if last or _is_directory(path)]
    return found


def _named(parent: str, part: str) -> list[str]:
    if not _MAGIC & set(part):
        path = os.path.join(parent, part)
        return [path] if os.path.lexists(path) else []
    return [os.path.join(parent, name) for name in sorted(os.listdir(parent)) if _fits(name, part)]


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _fits(name: str, part: str) -> bool:
    # As a shell has it: a pattern does not find hidden files unless it says so.
    hidden = name.startswith(".") and not part.startswith(".")
    return name == part or (not hidden and fnmatchcase(name, part))

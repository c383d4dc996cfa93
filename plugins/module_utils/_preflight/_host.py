# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have before a deployment begins: rows of a checklist, read and never touched."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Row, judged

_MIB = 1 << 20


@dataclass(frozen=True)
class Space:
    """What a file system has left for an ordinary user. ``inodes`` is None where it counts none (btrfs)."""

    free_mib: int
    inodes: int | None


@dataclass(frozen=True)
class Wanted:
    """What the host is held against. Sizes in MiB.

    :param variables: names of environment variables that must be set.
    :param given: names of those that are set and not empty.
    """

    root: str
    user: str
    free_mib: int
    free_inodes: int
    directories: Sequence[str]
    units: Sequence[str]
    commands: Sequence[str]
    variables: Sequence[str] = ()
    given: Sequence[str] = ()


class Host(Protocol):
    """The questions that are asked of a host."""

    def space(self, path: str) -> Space | None:
        """What is left for an ordinary user, None when the path does not exist."""

    def user_id(self, name: str) -> int | None:
        """Numeric id of the user, None when there is none."""

    def owner_id(self, path: str) -> int | None:
        """Numeric id of the directory's owner, None when it is no directory."""

    def has_unit(self, name: str) -> bool:
        """Whether systemd's configuration has the unit file."""

    def has_command(self, name: str) -> bool:
        """Whether the command is found."""


class SystemHost:
    """This machine."""

    def space(self, path: str) -> Space | None:
        try:
            status = os.statvfs(path)
        except FileNotFoundError:
            return None
        inodes = status.f_favail if status.f_files else None
        return Space(status.f_bavail * status.f_frsize // _MIB, inodes)

    def user_id(self, name: str) -> int | None:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            return None

    def owner_id(self, path: str) -> int | None:
        return os.stat(path).st_uid if os.path.isdir(path) else None

    def has_unit(self, name: str) -> bool:
        return any(os.path.exists(f"{place}/{name}") for place in ("/etc/systemd/system", "/lib/systemd/system"))

    def has_command(self, name: str) -> bool:
        return shutil.which(name) is not None


def host_rows(host: Host, wanted: Wanted) -> Iterable[Row]:
    """Yield each row, passed or not."""
    user = host.user_id(wanted.user)
    yield judged("A4", "user", user is not None, "exists" if user is not None else "missing", f"user {wanted.user}")
    yield from _space_rows(host.space(wanted.root), wanted)
    for path in wanted.directories:
        owner = host.owner_id(path)
        seen = "no such directory" if owner is None else f"owned by user id {owner}"
        yield judged("A4", "directory", owner is not None and owner == user, seen, f"{path} owned by {wanted.user}")
    for unit in wanted.units:
        present = host.has_unit(unit)
        yield judged("A4", "unit", present, "present" if present else "missing", f"systemd unit {unit}")
    for command in wanted.commands:
        present = host.has_command(command)
        yield judged("A4", "command", present, "present" if present else "missing", f"command {command}")
    yield from variable_rows(wanted.variables, wanted.given)


def _space_rows(space: Space | None, wanted: Wanted) -> Iterable[Row]:
    expected = f"{wanted.free_mib} MiB free at {wanted.root}"
    if space is None:
        yield judged("A4", "disk", False, "no such directory", expected)
        return
    yield judged("A4", "disk", space.free_mib >= wanted.free_mib, f"{space.free_mib} MiB free", expected)
    enough = space.inodes is None or space.inodes >= wanted.free_inodes
    seen = "the file system has no limit" if space.inodes is None else f"{space.inodes} free"
    yield judged("A4", "inodes", enough, seen, f"{wanted.free_inodes} inodes free at {wanted.root}")


def variable_rows(variables: Sequence[str], given: Iterable[str]) -> Iterable[Row]:
    """Judge the variables that must be set: by their names, never by their values."""
    if variables:
        missing = sorted(set(variables) - set(given))
        seen = f"not set or empty: {', '.join(missing)}" if missing else f"all {len(set(variables))} are set"
        yield judged("A2", "variables", not missing, seen, ", ".join(sorted(set(variables))))

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

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused

_MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One line of the checklist."""

    check: str
    passed: bool
    seen: str
    expected: str


@dataclass(frozen=True)
class Wanted:
    """What the host is held against. Sizes in MiB."""

    root: str
    user: str
    free_mib: int
    directories: Sequence[str]
    units: Sequence[str]
    commands: Sequence[str]


class Host(Protocol):
    """The questions that are asked of a host."""

    def free_mib(self, path: str) -> int | None:
        """Free space for an ordinary user, None when the path does not exist."""

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

    def free_mib(self, path: str) -> int | None:
        try:
            status = os.statvfs(path)
        except FileNotFoundError:
            return None
        return status.f_bavail * status.f_frsize // _MIB

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


def checklist(host: Host, wanted: Wanted) -> Iterable[Row]:
    """Yield each row of the checklist, passed or not."""
    user = host.user_id(wanted.user)
    yield Row("user", user is not None, "exists" if user is not None else "missing", f"user {wanted.user}")
    free = host.free_mib(wanted.root)
    seen = "no such directory" if free is None else f"{free} MiB free"
    yield Row(
        "disk", free is not None and free >= wanted.free_mib, seen, f"{wanted.free_mib} MiB free at {wanted.root}"
    )
    for path in wanted.directories:
        owner = host.owner_id(path)
        seen = "no such directory" if owner is None else f"owned by user id {owner}"
        yield Row("directory", owner is not None and owner == user, seen, f"{path} owned by {wanted.user}")
    for unit in wanted.units:
        present = host.has_unit(unit)
        yield Row("unit", present, "present" if present else "missing", f"systemd unit {unit}")
    for command in wanted.commands:
        present = host.has_command(command)
        yield Row("command", present, "present" if present else "missing", f"command {command}")


def check_host(host: Host, wanted: Wanted) -> list[Row]:
    """Return all rows when each has passed.

    :raises Refused: naming every row that has not.
    """
    rows = list(checklist(host, wanted))
    failed = [row for row in rows if not row.passed]
    if failed:
        raise Refused(
            "; ".join(f"{row.check}: expected {row.expected}, seen: {row.seen}" for row in failed),
            untouched="Nothing was changed on this host",
            remedy="Run the provision playbook, or correct the host, and try again",
            facts={"rows": [vars(row) for row in rows]},
        )
    return rows

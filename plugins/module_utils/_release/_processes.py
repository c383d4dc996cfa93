# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases processes still run from, whatever systemd knows about them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.slipway.django.plugins.module_utils._release._layout import is_release_name

T = TypeVar("T")

_RELEASE_VARIABLE = re.compile(rb"(?:\A|\0)SLIPWAY_RELEASE=([0-9a-f]{12}-[0-9a-f]{8})(?:\0|\Z)")
_UID = re.compile(r"^Uid:\s+(\d+)", re.MULTILINE)
# Not readable by their own user (prctl PR_SET_DUMPABLE), part of each login, and never part of a release.
_OF_A_LOGIN = frozenset({"sshd", "sshd-session", "(sd-pam)", "systemd", "sudo", "su", "ssh-agent", "gpg-agent"})


@dataclass(frozen=True)
class Running:
    """Releases with a process that runs from them, by the process; ``unknown`` is one that can't be looked at."""

    releases: Mapping[str, str]
    unknown: str | None = None

    def reason(self, name: str) -> str | None:
        """Why a release counts as in use; None when it is not."""
        if name in self.releases:
            return f"{self.releases[name]} runs from it"
        if self.unknown is not None:
            return f"{self.unknown} can't be looked at and may run from it"
        return None


def running_releases(releases: str, *, proc: str = "/proc", uid: int | None = None) -> Running:
    """Look at every process: its directory, its program, its environment.

    The environment (C(SLIPWAY_RELEASE)) is what finds a process that went to another directory: the program of a
    virtual environment is a link to the system's Python and tells nothing.

    :param uid: whose processes must be readable; those of other users are read where that is allowed.
    """
    owner = os.geteuid() if uid is None else uid
    top = os.path.realpath(releases) + os.sep
    found: dict[str, str] = {}
    unknown: str | None = None
    for pid in sorted(filter(str.isdigit, os.listdir(proc)), key=int):
        if pid == "1":
            continue  # the system's own start, which not even root may look at everywhere
        directory = os.path.join(proc, pid)
        names, whole = _releases_of(directory, top)
        for name in names:
            found.setdefault(name, _title(directory, pid))
        if not whole and _is_hidden(directory, owner):
            unknown = unknown or _title(directory, pid)
    return Running(found, unknown)


def _releases_of(directory: str, top: str) -> tuple[set[str], bool]:
    """The releases that one process uses, and whether all of it could be seen."""
    links = [
        _seen(lambda: os.readlink(os.path.join(directory, "cwd"))),
        _seen(lambda: os.readlink(os.path.join(directory, "exe"))),
    ]
    environment = _seen(lambda: _read(os.path.join(directory, "environ")))
    names = {link[len(top) :].split(os.sep, 1)[0] for link in links if link and link.startswith(top)}
    match = _RELEASE_VARIABLE.search(environment or b"")
    if match:
        names.add(match.group(1).decode())
    return {name for name in names if is_release_name(name)}, None not in (*links, environment)


def _seen(look: Callable[[], T]) -> T | None:
    """What was looked at; None when it may not be looked at or is gone."""
    try:
        return look()
    except OSError:
        return None


def _is_hidden(directory: str, owner: int) -> bool:
    """True for a process of ``owner`` that is there and is no part of a login."""
    status = _seen(lambda: _read(os.path.join(directory, "status")))
    if status is None:
        return False  # it has ended
    text = status.decode(errors="replace")
    match = _UID.search(text)
    has_memory = "VmSize:" in text  # the kernel's own threads and zombies have none
    return match is not None and int(match.group(1)) == owner and has_memory and _name(directory) not in _OF_A_LOGIN


def _name(directory: str) -> str:
    return (_seen(lambda: _read(os.path.join(directory, "comm"))) or b"").decode(errors="replace").strip()


def _title(directory: str, pid: str) -> str:
    return f"process {pid} ({_name(directory) or 'unknown'})"


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()

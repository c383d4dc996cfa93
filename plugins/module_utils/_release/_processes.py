# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases processes still run from, whatever systemd knows about them, and what is left of a dead build."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.slipway.django.plugins.module_utils._release._layout import is_release_name

T = TypeVar("T")

# In the environment of every process of a build: the directory that it builds.
BUILD_VARIABLE = "SLIPWAY_BUILD"

# Handed to each process of a release: <root>/releases/<name>/static.
_STATIC_VARIABLE = re.compile(rb"(?:\A|\0)SLIPWAY_STATIC_ROOT=([^\0]+)")
_BUILD_VARIABLE = re.compile(rb"(?:\A|\0)SLIPWAY_BUILD=([^\0]*)")
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

    The environment (C(SLIPWAY_STATIC_ROOT)) is what finds a process that went to another directory: the program of a
    virtual environment is a link to the system's Python and tells nothing.

    :param uid: whose processes must be readable; those of other users are read where that is allowed.
    """
    owner = os.geteuid() if uid is None else uid
    top = os.path.realpath(releases) + os.sep
    found: dict[str, str] = {}
    unknown: str | None = None
    for pid in _pids(proc):
        directory = os.path.join(proc, pid)
        names, whole = _releases_of(directory, top)
        for name in names:
            found.setdefault(name, _title(directory, pid))
        if not whole and _is_hidden(directory, owner):
            unknown = unknown or _title(directory, pid)
    return Running(found, unknown)


def end_builders(path: str, *, proc: str = "/proc") -> list[str]:
    """Kill what is left of a build whose module was killed: workers that wait for their parent for ever.

    Only for who holds the lock of the builds: then no build is alive. Returns what was killed.
    """
    killed: list[str] = []
    for pid in _pids(proc):
        directory = os.path.join(proc, pid)
        match = _BUILD_VARIABLE.search(_environment(directory) or b"")
        if match and match.group(1).decode(errors="replace") == path:
            killed.append(_title(directory, pid))
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    return killed


def _pids(proc: str) -> Iterator[str]:
    """All processes but the system's first one, which not even root may look at everywhere."""
    yield from (pid for pid in sorted(filter(str.isdigit, os.listdir(proc)), key=int) if pid != "1")


def _releases_of(directory: str, top: str) -> tuple[set[str], bool]:
    """The releases that one process uses, and whether all of it could be seen."""
    links = [
        _seen(lambda: os.readlink(os.path.join(directory, "cwd"))),
        _seen(lambda: os.readlink(os.path.join(directory, "exe"))),
    ]
    environment = _environment(directory)
    if _BUILD_VARIABLE.search(environment or b""):
        return set(), True
    match = _STATIC_VARIABLE.search(environment or b"")
    handed = os.path.realpath(os.fsdecode(match.group(1))) if match else None
    paths = (path for path in (*links, handed) if path is not None and path.startswith(top))
    # Of a directory that was removed the kernel says "<path> (deleted)".
    names = {path[len(top) :].split(os.sep, 1)[0].split(" ", 1)[0] for path in paths}
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


def _environment(directory: str) -> bytes | None:
    return _seen(lambda: _read(os.path.join(directory, "environ")))


def _name(directory: str) -> str:
    return (_seen(lambda: _read(os.path.join(directory, "comm"))) or b"").decode(errors="replace").strip()


def _title(directory: str, pid: str) -> str:
    return f"process {pid} ({_name(directory) or 'unknown'})"


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()

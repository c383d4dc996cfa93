# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two drivers of nginx share: its processes, and the file with its upstream groups."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import split_address
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Process,
    Server,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError

# The largest weight that we give. nginx itself has no limit; the shares are fine enough.
LARGEST_WEIGHT = 256

# --- the file ------------------------------------------------------------------------------------------------------

_BEGIN = re.compile(r"\s*upstream\s+([^\s{;]+)\s*\{\s*(?:#.*)?")
_END = re.compile(r"\s*\}\s*(?:#.*)?")
_SERVER = re.compile(r"(\s*)server\s+([^\s;]+)((?:\s+[^\s;]+)*)\s*;\s*(?:#\s*(.*?))?\s*")
# Behind the sign: the name, what it was told when that is not ready, and the weight that it has by itself when it was
# given another one.
_NOTE = re.compile(r"([A-Za-z0-9_.:-]+)(?:\s+(drain|maint))?(?:\s+of\s+(\d+))?")


@dataclass(frozen=True)
class Line:
    """One ``server`` line of an upstream group."""

    indent: str
    address: str
    # The other parameters as they stand, without weight and down.
    parameters: tuple[str, ...]
    name: str
    admin: Admin
    weight: int
    own_weight: int

    @property
    def backup(self) -> bool:
        return "backup" in self.parameters

    def __str__(self) -> str:
        words = [
            self.address,
            *([f"weight={self.weight}"] if self.weight != 1 else []),
            *self.parameters,
            *([] if self.admin is Admin.READY else ["down"]),
        ]
        note = [
            self.name,
            *([] if self.admin is Admin.READY else [self.admin.value]),
            *([f"of {self.own_weight}"] if self.own_weight != self.weight else []),
        ]
        return f"{self.indent}server {' '.join(words)}; # {' '.join(note)}"


def parse_groups(text: str, path: str) -> dict[str, list[Line]]:
    """Return the servers of each upstream group of a file.

    :raises BalancerError: a line looks like a server of a group and is not understood.
    """
    groups: dict[str, list[Line]] = {}
    for group, line in _within_groups(text):
        servers = groups.setdefault(group, [])
        if line.lstrip().startswith("server"):
            servers.append(_parse_line(line, path))
    for name, servers in groups.items():
        names = [server.name for server in servers]
        if len(set(names)) != len(names):
            raise _not_understood(path, f"two servers of upstream {name} bear the same name: {', '.join(names)}")
    return groups


def _within_groups(text: str) -> Iterator[tuple[str, str]]:
    group = ""
    for line in text.splitlines():
        begin = _BEGIN.fullmatch(line)
        if begin:
            group = begin[1]
            yield group, ""
        elif group and _END.fullmatch(line):
            group = ""
        elif group:
            yield group, line


def _parse_line(line: str, path: str) -> Line:
    found = _SERVER.fullmatch(line)
    if not found:
        raise _not_understood(path, line.strip())
    indent, address, words, note = found[1], found[2], found[3].split(), found[4] or found[2]
    named = _NOTE.fullmatch(note)
    if not named:
        raise _not_understood(path, line.strip())
    down = "down" in words
    told = Admin(named[2]) if named[2] else (Admin.MAINT if down else Admin.READY)
    if down != (told is not Admin.READY):
        raise _not_understood(path, f"{line.strip()} (the line and what stands behind # say different things)")
    weight = next((int(word[7:]) for word in words if re.fullmatch(r"weight=\d+", word)), 1)
    parameters = tuple(word for word in words if word != "down" and not word.startswith("weight="))
    own = int(named[3]) if named[3] else weight
    return Line(indent, address, parameters, named[1], told, weight, own)


def replace_group(text: str, group: str, lines: Mapping[str, Line]) -> str:
    """Return the file with these servers of one group written anew, all else as it was."""
    out = []
    current = ""
    for line in text.splitlines():
        begin = _BEGIN.fullmatch(line)
        if begin:
            current = begin[1]
        elif _END.fullmatch(line):
            current = ""
        elif current == group and line.lstrip().startswith("server"):
            old = _parse_line(line, group)
            new = lines.get(old.name, old)
            out.append(line if new == old else str(new))
            continue
        out.append(line)
    return "\n".join(out) + "\n"


def without_notes(text: str) -> str:
    """What nginx reads of a file: two files that are equal in this need no reload."""
    bare = (re.sub(r"\s*#.*", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in bare if line)


def read_groups(path: str) -> tuple[str, dict[str, list[Line]]]:
    """Return the text of the file and its groups.

    :raises Refused: it can't be read.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise Refused(
            f"The file of nginx's upstream groups, {path}, can't be read: {error.strerror}",
            untouched="Nothing was changed",
            remedy="Name the file that nginx includes, and let the user that runs this task read it",
            facts={"file": path},
        ) from error
    return text, parse_groups(text, path)


def group_of(groups: Mapping[str, list[Line]], pool: str, path: str) -> list[Line]:
    """Return the servers of a pool.

    :raises InvalidOption: it is unknown.
    """
    if pool not in groups:
        raise InvalidOption("pool", pool, f"an upstream group of {path}: {', '.join(sorted(groups)) or 'it has none'}")
    for line in groups[pool]:
        split_address(line.address, option=f"the address of {line.name} in {path}")
    return groups[pool]


def _not_understood(path: str, what: str) -> BalancerError:
    return BalancerError(
        f"{path} is not understood: {what[:300]}",
        untouched="Nothing was changed",
        remedy="One server a line, its name behind #, as: server 192.0.2.1:8001 weight=100; # app1-blue",
        facts={"file": path, "line": what[:300]},
    )


# --- the servers ---------------------------------------------------------------------------------------------------


def build_server(line: Line, check: Check, sessions: int) -> Server:
    """Put together what is known of one server. nginx itself makes no checks: ours count."""
    well = {Admin.READY: "UP", Admin.DRAIN: "DRAIN", Admin.MAINT: "MAINT"}[line.admin]
    return Server(
        name=line.name,
        address=line.address,
        admin=line.admin,
        status=well if check.passed or line.admin is Admin.MAINT else "DOWN",
        check=check,
        weight=line.weight,
        configured_weight=line.own_weight,
        sessions=sessions,
        queued=0,
        backup=line.backup,
    )


def told(line: Line, admin: Admin | None, weight: int | None) -> Line:
    """The line as it is after an order."""
    return replace(line, admin=admin or line.admin, weight=weight or line.weight)


# --- its processes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worker:
    """One worker of nginx."""

    pid: int
    started: int
    # It finishes what it has, by the configuration from before the last reload.
    old: bool


class Processes:
    """nginx as this host runs it: the master that its pid file names, and its workers."""

    def __init__(self, pid_file: str, *, proc: str = "/proc") -> None:
        self._pid_file = pid_file
        self._proc = proc

    def master(self) -> Process:
        """Return the master.

        :raises BalancerUnreachable: nginx does not run.
        """
        try:
            with open(self._pid_file, encoding="ascii") as stream:
                pid = int(stream.read().strip() or "0")
        except PermissionError as error:
            raise BalancerError(
                f"{self._pid_file} can't be read: {error.strerror}", remedy="Name another pid_file, or run as its owner"
            ) from error
        except (OSError, ValueError) as error:
            raise self._away(f"its file {self._pid_file} names no process") from error
        found = self._stat(pid)
        if found is None or not self._title(pid).startswith("nginx: master"):
            raise self._away(f"process {pid} of {self._pid_file} is no nginx")
        return Process(pid, found[1])

    def workers(self, master: Process) -> tuple[Worker, ...]:
        """Return its workers, the old ones too."""
        found = []
        for name in self._children(master.pid):
            stat = self._stat(int(name))
            if stat is None or stat[0] != master.pid:
                continue
            title = self._title(int(name))
            if title.startswith("nginx: worker"):
                found.append(Worker(int(name), stat[1], "is shutting down" in title))
        return tuple(sorted(found, key=lambda worker: worker.pid))

    def _children(self, pid: int) -> list[str]:
        try:
            with open(f"{self._proc}/{pid}/task/{pid}/children", encoding="ascii") as stream:
                return stream.read().split()
        except OSError:
            # A kernel without that file (CONFIG_PROC_CHILDREN): each process is asked for its parent.
            return [name for name in os.listdir(self._proc) if name.isdigit()]

    def user(self, pid: int) -> tuple[int, tuple[int, ...]] | None:
        """Return the user of a process and all of its groups, None of one that is gone."""
        try:
            with open(f"{self._proc}/{pid}/status", encoding="utf-8", errors="replace") as stream:
                lines = [line.partition(":") for line in stream]
        except OSError:
            return None
        keys = {"Uid", "Gid", "Groups"}
        values = {key: [int(word) for word in rest.split()] for key, _colon, rest in lines if key in keys}
        # Real, effective, saved, file system: files are looked at with the last one.
        return values["Uid"][3], (values["Gid"][3], *values["Groups"])

    def _stat(self, pid: int) -> tuple[int, int] | None:
        """Parent and start time of a live process, None of one that is gone."""
        try:
            with open(f"{self._proc}/{pid}/stat", encoding="utf-8", errors="replace") as stream:
                # The name stands in brackets and may hold anything.
                words = stream.read().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return None if not words or words[0] in "ZX" else (int(words[1]), int(words[19]))

    def _title(self, pid: int) -> str:
        try:
            with open(f"{self._proc}/{pid}/cmdline", encoding="utf-8", errors="replace") as stream:
                return stream.read().replace("\0", " ").strip()
        except OSError:
            return ""

    def _away(self, why: str) -> SlipwayError:
        return BalancerUnreachable(
            f"nginx does not run: {why}",
            remedy="Start it (systemctl start nginx), or name its pid_file",
            facts={"pid_file": self._pid_file},
        )

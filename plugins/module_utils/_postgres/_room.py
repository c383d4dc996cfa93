# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room where the server keeps its data: a full volume there stops the live database, not only what is tried beside it.

SQL tells where the data lie and not how much room is left, so it is known only for a server of this host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._files import size_in_words
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Source

# A restored database with its indexes is about as large as the one that was dumped.
SPACE_FACTOR: Final = 1.2
# An empty database, and what an empty table or index takes in its files and the catalogs.
_EMPTY_DATABASE: Final = 32 << 20
_EMPTY_RELATION: Final = 16 << 10


@dataclass(frozen=True)
class Volume:
    """A file system and the bytes that are free on it."""

    device: int
    free: int


Look = Callable[[str], Volume]


def look(path: str) -> Volume:
    """Return the volume of a path.

    :raises OSError: this user may not look.
    """
    volume = os.statvfs(path)
    return Volume(os.stat(path).st_dev, volume.f_bavail * volume.f_frsize)


@dataclass(frozen=True)
class Measured:
    """The volume of a path of the server; without one why it can't be known."""

    path: str
    volume: Volume | None
    unknown: str = ""

    @property
    def free(self) -> int | None:
        return None if self.volume is None else self.volume.free


def measure(connection: Connection, path: str | None, user: str, look: Look = look) -> Measured:
    """Look how much room is left where a server has a path."""
    host = connection.host
    if host is not None and not host.startswith("/"):
        return Measured(path or "", None, f"the server is reached by network ({host})")
    if path is None:
        return Measured("", None, f"role {user} may not ask where its data lie (pg_read_all_settings)")
    try:
        return Measured(path, look(path))
    except OSError as error:
        return Measured(path, None, f"{path} can't be looked at ({error.strerror})")


@dataclass(frozen=True)
class Need:
    """Bytes that will be written below a measured path."""

    at: Measured
    bytes: int


@dataclass(frozen=True)
class Room:
    """Sentences of what is missing, and for people what is known."""

    problems: tuple[str, ...] = ()
    words: str = ""


def throw_away_needs(
    source: Source, levels: Iterable[str], connection: Connection, look: Look = look
) -> tuple[list[Need], str]:
    """Return what trying a backup on its server needs, and the level it is for; nothing for lower levels."""
    highest = next((level for level in ("restore", "schema") if level in levels), "")
    if not highest:
        return [], ""
    data = measure(connection, source.data_directory, source.user, look)
    if highest == "schema":
        return [Need(data, _EMPTY_DATABASE + source.relations * _EMPTY_RELATION)], highest
    # Tables that name a tablespace of their own lie there again.
    elsewhere = [
        Need(measure(connection, row["path"], source.user, look), int(row["bytes"] * SPACE_FACTOR))
        for row in source.elsewhere
    ]
    rest = max(0, source.size - sum(int(row["bytes"]) for row in source.elsewhere))
    return [Need(data, int(rest * SPACE_FACTOR)), *elsewhere], highest


def room(needs: Sequence[Need], level: str, archive: tuple[int, int] | None = None) -> Room:
    """Hold what is needed against what is free, volume by volume. Pure.

    :param archive: the volume of the backups and what the archive may take of it, when one is written: it stays while
        it is tried.
    """
    unknown = [need.at.unknown for need in needs if need.at.volume is None]
    problems, told = [], [f"not known: {why}" for why in dict.fromkeys(unknown)]
    for device in dict.fromkeys(need.at.volume.device for need in needs if need.at.volume is not None):
        here = [need for need in needs if need.at.volume is not None and need.at.volume.device == device]
        beside = archive[1] if archive is not None and archive[0] == device else 0
        wanted = sum(need.bytes for need in here) + beside
        free = here[0].at.free or 0
        words = f"{size_in_words(free)} are free in {here[0].at.path} and {size_in_words(wanted)} are wanted"
        told.append(words)
        if free < wanted:
            also = f", {size_in_words(beside)} of it for the archive on the same volume" if beside else ""
            remedy = "make room, or say verify: checksum"
            problems.append(f"{words} to try the backup there (level {level}){also}: {remedy}")
    return Room(tuple(problems), "; ".join(told))

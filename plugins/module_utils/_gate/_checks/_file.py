# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: one is there and young enough, its file system has room; a folder has no more entries than it may."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import duration, filled, needed, whole
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_MIB = 1 << 20


@dataclass(frozen=True)
class _Seen:
    """What one look has found. ``entries``: 0 where nobody asked."""

    free_mib: int
    percent: float
    age_s: float
    entries: int

    def numbers(self) -> dict[str, float | int | str | None]:
        """For the evidence."""
        return {"free_mib": self.free_mib, "free_percent": round(self.percent, 1), "age_s": round(self.age_s)}


@dataclass(frozen=True)
class FileCheck:
    """One check of a path of this host.

    :param matching: a pattern of the shell for the names of the entries that are counted.
    """

    common: Common
    path: str
    min_free_percent: float | None
    min_free_mib: int | None
    max_age_s: float | None
    max_entries: int | None
    matching: str
    clock: Clock = field(repr=False)

    instrument = False

    def where(self) -> str:
        return self.path

    def expected(self) -> str:
        parts = ["that it is there"]
        if self.min_free_percent is not None:
            parts.append(f"{self.min_free_percent:g} % free")
        if self.min_free_mib is not None:
            parts.append(f"{self.min_free_mib} MiB free")
        if self.max_age_s is not None:
            parts.append(f"written at most {self.max_age_s:g} s ago")
        if self.max_entries is not None:
            parts.append(f"at most {self.max_entries} of {self.matching} in it")
        return ", ".join(parts)

    def facts(self) -> dict[str, object]:
        return {"path": self.path}

    def look(self, watch: Watch) -> Sample:
        watch.stage = "looking at the file"
        try:
            age_s = self.clock.utcnow().timestamp() - os.stat(self.path).st_mtime
            room = os.statvfs(self.path)
            entries = None if self.max_entries is None else fnmatch.filter(os.listdir(self.path), self.matching)
        except FileNotFoundError:
            return self._bad("absent", "it is not there", watch, {})
        except NotADirectoryError:
            return self._bad("no_folder", "it is no folder", watch, {})
        # What root alone may use is no room for the site.
        usable = room.f_bavail + room.f_blocks - room.f_bfree
        seen = _Seen(
            room.f_bavail * room.f_frsize // _MIB,
            100.0 * room.f_bavail / usable if usable else 0.0,
            age_s,
            0 if entries is None else len(entries),
        )
        fault = self._fault(seen)
        if fault is not None:
            return self._bad(*fault, watch, seen.numbers())
        text = f"{seen.free_mib} MiB ({seen.percent:.1f} %) free"
        return Sample(State.GOOD, "ok", text, watch.elapsed_s(), numbers=seen.numbers())

    def _fault(self, seen: _Seen) -> tuple[str, str] | None:
        if self.min_free_percent is not None and seen.percent < self.min_free_percent:
            return "room", f"{seen.percent:.1f} % free (expected {self.min_free_percent:g} or more)"
        if self.min_free_mib is not None and seen.free_mib < self.min_free_mib:
            return "room", f"{seen.free_mib} MiB free (expected {self.min_free_mib} or more)"
        if self.max_age_s is not None and seen.age_s > self.max_age_s:
            return "old", f"written {seen.age_s:.0f} s ago (expected {self.max_age_s:g} or less)"
        if self.max_entries is not None and seen.entries > self.max_entries:
            return "entries", f"{seen.entries} of {self.matching} in it (expected {self.max_entries} or fewer)"
        return None

    def _bad(self, code: str, text: str, watch: Watch, numbers: Mapping[str, float | int | str | None]) -> Sample:
        return Sample(State.BAD, code, text, watch.elapsed_s(), action=self.common.action, numbers=numbers)


def read_file(common: Common, params: Mapping[str, Any], clock: Clock) -> FileCheck:
    """Read the options of a check of kind C(file)."""
    path = common.path
    percent, mib, age = params["min_free_percent"], params["min_free_mib"], params["max_age"]
    entries = params["max_entries"]
    if percent is not None and not 0 < percent < 100:
        raise InvalidOption(f"{path}.min_free_percent", percent, "a number between 0 and 100")
    return FileCheck(
        common,
        needed(path, params, "path"),
        percent,
        None if mib is None else whole(f"{path}.min_free_mib", mib, least=1),
        None if age is None else duration(f"{path}.max_age", age),
        None if entries is None else whole(f"{path}.max_entries", entries, least=0),
        filled(f"{path}.matching", params["matching"]) or "*",
        clock,
    )

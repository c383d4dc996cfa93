# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: one is there and young enough, and its file system has room."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import duration, needed, whole
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_MIB = 1 << 20


@dataclass(frozen=True)
class FileCheck:
    """One check of a path of this host."""

    common: Common
    path: str
    min_free_percent: float | None
    min_free_mib: int | None
    max_age_s: float | None
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
        return ", ".join(parts)

    def facts(self) -> dict[str, object]:
        return {"path": self.path}

    def look(self, watch: Watch) -> Sample:
        watch.stage = "looking at the file"
        try:
            age_s = self.clock.utcnow().timestamp() - os.stat(self.path).st_mtime
            room = os.statvfs(self.path)
        except FileNotFoundError:
            return self._bad("absent", "it is not there", watch, {})
        # What root alone may use is no room for the site.
        free_mib = room.f_bavail * room.f_frsize // _MIB
        usable = room.f_bavail + room.f_blocks - room.f_bfree
        percent = 100.0 * room.f_bavail / usable if usable else 0.0
        numbers: dict[str, float | int | str | None] = {
            "free_mib": free_mib,
            "free_percent": round(percent, 1),
            "age_s": round(age_s),
        }
        if self.min_free_percent is not None and percent < self.min_free_percent:
            text = f"{percent:.1f} % free (expected {self.min_free_percent:g} or more)"
            return self._bad("room", text, watch, numbers)
        if self.min_free_mib is not None and free_mib < self.min_free_mib:
            text = f"{free_mib} MiB free (expected {self.min_free_mib} or more)"
            return self._bad("room", text, watch, numbers)
        if self.max_age_s is not None and age_s > self.max_age_s:
            text = f"written {age_s:.0f} s ago (expected {self.max_age_s:g} or less)"
            return self._bad("old", text, watch, numbers)
        text = f"{free_mib} MiB ({percent:.1f} %) free"
        return Sample(State.GOOD, "ok", text, watch.elapsed_s(), numbers=numbers)

    def _bad(self, code: str, text: str, watch: Watch, numbers: Mapping[str, float | int | str | None]) -> Sample:
        return Sample(State.BAD, code, text, watch.elapsed_s(), action=self.common.action, numbers=numbers)


def read_file(common: Common, params: Mapping[str, Any], clock: Clock) -> FileCheck:
    """Read the options of a check of kind C(file)."""
    path = common.path
    percent, mib, age = params["min_free_percent"], params["min_free_mib"], params["max_age"]
    if percent is not None and not 0 < percent < 100:
        raise InvalidOption(f"{path}.min_free_percent", percent, "a number between 0 and 100")
    return FileCheck(
        common,
        needed(path, params, "path"),
        percent,
        None if mib is None else whole(f"{path}.min_free_mib", mib, least=1),
        None if age is None else duration(f"{path}.max_age", age),
        clock,
    )

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long module is: a small file that it writes while it works, and that another reads meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

# A reader looks every few seconds; writing more often would be work for nobody.
_INTERVAL_S = 1.0
# Beyond any database; infinity and what is no number fall out by it.
_MOST = 1 << 62


@dataclass(frozen=True)
class Step:
    """How far the work is. ``total`` is None where nobody knows it; ``unit`` is what both count."""

    phase: str
    done: int = 0
    total: int | None = None
    unit: str = ""
    text: str = ""


class Progress:
    """Tells how far the work is, at most once a second within a phase; says nothing when ``path`` is None.

    It never stops the work that it tells about: a file that can't be written is not written. The file names this
    process, or the one that it works for, for whoever has to end it.
    """

    def __init__(self, path: str | None, clock: Clock, pid: int | None = None) -> None:
        self._path = path
        self._clock = clock
        self._pid = pid or os.getpid()
        self._phase: str | None = None
        self._next = 0.0
        self.tell("begins", unit="")

    def tell(self, phase: str, done: int = 0, total: int | None = None, text: str = "", *, unit: str = "bytes") -> None:
        """Write the step, unless one of the same phase was written within the last second."""
        now = self._clock.monotonic()
        if self._path is None or (phase == self._phase and now < self._next):
            return
        self._phase, self._next = phase, now + _INTERVAL_S
        with contextlib.suppress(OSError):
            step = asdict(Step(phase, done, total, unit, text))
            _replace(self._path, json.dumps({**step, "pid": self._pid}).encode("utf-8"))


def _replace(path: str, data: bytes) -> None:
    # As write_atomic, without fsync: after a crash of the machine nobody asks how far the work was.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def parse(text: str) -> Step | None:
    """Return what a progress file says, or None when it says nothing that is understood.

    A reader shows what it can: a file that is not there yet, or of another version, is no failure.
    """
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, Mapping) or not isinstance(document.get("phase"), str):
        return None
    total = document.get("total")
    return Step(
        phase=document["phase"],
        done=_number(document.get("done")) or 0,
        total=_number(total),
        unit=str(document.get("unit") or ""),
        text=str(document.get("text") or ""),
    )


def pid_of(text: str) -> int | None:
    """Return the process that wrote a progress file, or None when it does not say."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return (_number(document.get("pid")) or None) if isinstance(document, Mapping) else None


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST:
        return None
    return int(value)


def in_words(step: Step, elapsed_s: float, begun_at: int = 0) -> str:
    """Return one line for people: phase, how much of how much, percent, what is left by the pace so far.

    :param elapsed_s: seconds since this phase was first seen.
    :param begun_at: what was done at that time.
    """
    parts = [step.phase]
    if step.total:
        share = min(1.0, step.done / step.total)
        parts.append(f"{_amount(step.done, step.unit)} of {_amount(step.total, step.unit)} ({share:.0%})")
        left = _left(step.done - begun_at, step.total - step.done, elapsed_s)
        parts.extend([left] if left else [])
    elif step.done:
        parts.append(_amount(step.done, step.unit))
    parts.extend([step.text] if step.text else [])
    return ", ".join(parts)


def _left(done: int, remaining: int, elapsed_s: float) -> str:
    # The pace of the first seconds says nothing.
    if done <= 0 or remaining <= 0 or elapsed_s < 3:
        return ""
    seconds = round(elapsed_s * remaining / done)
    if seconds < 60:
        return f"about {seconds} s left"
    return f"about {round(seconds / 60)} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


def _amount(value: int, unit: str) -> str:
    if unit != "bytes":
        return f"{value} {unit}".rstrip()
    for name, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return f"{value} bytes"

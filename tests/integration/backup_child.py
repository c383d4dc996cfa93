# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup in a process of its own, which kills itself at a chosen line of its work.

The product has no hook for this: the interpreter itself counts the lines of the product's files that are run within a
phase. The first run counts them, the others die before one of them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import SystemDumper
from ansible_collections.slipway.django.plugins.module_utils._postgres._backup import run
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection, bin_directories
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

# The phases that are told, by the names of the steps of a backup.
STEPS = {
    "lock": "lock",
    "count": "count",
    "dump": "dump",
    "sync": "fsync",
    "manifest": "manifest",
    "publish": "rename",
    "retention": "retention",
}


def step_of(phase: str) -> str:
    return "verify" if phase.startswith("verify") else STEPS[phase]


@dataclass
class Counting:
    """Is told the phases, and counts the lines that are run in each."""

    step: str = ""
    lines: Counter[str] = field(default_factory=Counter)

    def tell(self, phase: str, done: int = 0, total: int | None = None, text: str = "", *, unit: str = "bytes") -> None:
        self.step = step_of(phase)

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        name = frame.f_code.co_filename
        if "/module_utils/_postgres/" not in name and "/module_utils/_files" not in name:
            return None
        if event == "line" and self.step:
            self.lines[self.step] += 1
            self.reached(self.lines[self.step])
        return self.trace

    def reached(self, line: int) -> None:
        """Called before each line."""


@dataclass
class Killing(Counting):
    """Dies before one line of one step."""

    at: str = ""
    line: int = 0

    def reached(self, line: int) -> None:
        if self.step == self.at and line >= self.line:
            os.kill(os.getpid(), signal.SIGKILL)


def backup(
    options: dict[str, Any],
    *,
    check_mode: bool = False,
    state: str = "present",
    progress: Counting | None = None,
    bins: list[str] | None = None,
) -> Result:
    """Run as the module does."""
    values = dict(options)
    connection = Connection(**values.pop("connection"))
    rules = Rules(**values.pop("rules", {}))
    clock = SystemClock()
    tools = Tools(
        runner=SystemRunner(),
        clock=clock,
        dumper=SystemDumper(clock),
        lock=lambda: directory_lock(values["directory"], clock, timeout_s=5),
        progress=progress or Counting(),
        bin_directories=(lambda: bins) if bins else bin_directories,
    )
    return run(Request(connection=connection, rules=rules, **values), tools, check_mode=check_mode, state=state)


def main() -> None:
    """Take the options and the place from the first argument; print how many lines each step has run."""
    document = json.loads(sys.argv[1])
    place = document["kill"]
    progress = Killing(at=place[0], line=place[1]) if place else Counting()
    sys.settrace(progress.trace)
    try:
        backup(document["options"], progress=progress)
    except SlipwayError as error:
        sys.settrace(None)
        sys.exit(error.message)
    sys.settrace(None)
    print(json.dumps(progress.lines))


if __name__ == "__main__":
    main()

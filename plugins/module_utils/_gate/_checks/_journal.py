# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of systemd: how many lines of units hold what nobody wants to read there, such as a password.

The lines themselves are counted and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import duration, needed
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner
from ansible_collections.slipway.django.plugins.module_utils._release._slots import parse_show

# journalctl(1), --grep: "exit status 1" stands for no line as well as for a failure, which also says why.
_FOUND, _NONE = 0, 1
_NOTHING = "0"


@dataclass(frozen=True)
class JournalCheck:
    """One count of lines.

    :param pattern: a regular expression of PCRE, as ``journalctl --grep`` takes it.
    """

    common: Common
    units: tuple[str, ...]
    pattern: str
    limits: Limits
    window_s: float
    runner: Runner

    instrument = True

    def where(self) -> str:
        return ", ".join(self.units)

    def expected(self) -> str:
        return f"lines with the pattern: {self.limits.describe()}"

    def facts(self) -> dict[str, object]:
        return {"units": list(self.units), "pattern": self.pattern, "window_s": self.window_s}

    def look(self, watch: Watch) -> Sample:
        watch.stage = "reading the journal"
        self._refuse_unknown_units(watch)
        since_s = round(watch.moment.window_s(self.window_s))
        units = [f"--unit={unit}" for unit in self.units]
        argv = ["journalctl", "--no-pager", "--output=cat", f"--since=-{since_s}s", *units]
        done = self.runner.run([*argv, "--case-sensitive=yes", f"--grep={self.pattern}"], timeout_s=watch.program_s())
        return judge(str(count(done)), self.limits, watch, f"lines with the pattern in {since_s} s")

    def _refuse_unknown_units(self, watch: Watch) -> None:
        # Of a unit that does not exist the journal has no line: a slip would be green for ever.
        argv = ["systemctl", "show", "--property=Id,LoadState", "--", *self.units]
        done = self.runner.run(argv, timeout_s=watch.program_s())
        unknown = without_unit(self.units, parse_show(done.stdout) if done.returncode == 0 else [])
        if unknown:
            raise NotUnderstood("not_loaded", f"systemd has no {', '.join(unknown)}", local=True)


def without_unit(units: Sequence[str], shown: Sequence[Mapping[str, str]]) -> list[str]:
    """Those of the units that systemd has not loaded. Pure."""
    loaded = {unit.get("Id") for unit in shown if unit.get("LoadState") == "loaded"}
    return [unit for unit in units if unit not in loaded]


def count(done: Completed) -> int:
    """How many lines journalctl has found.

    :raises NotUnderstood: the user may not read the journal, the pattern is none, or journalctl failed.
    """
    said = done.stderr.strip().lower()
    # "Hint: You are currently not seeing messages from other users": what it can't see it does not count.
    if said or done.returncode not in (_FOUND, _NONE):
        if "pattern" in said:
            raise NotUnderstood("pattern", "journalctl does not understand the pattern", local=True)
        if "not seeing messages" in said or "permission" in said:
            raise NotUnderstood("not_allowed", "the user may not read the whole journal", local=True)
        raise NotUnderstood("journal", f"journalctl could not read it (status {done.returncode})", local=True)
    return sum(1 for line in done.stdout.splitlines() if line != "-- No entries --")


def read_journal(common: Common, params: Mapping[str, Any], runner: Runner) -> JournalCheck:
    """Read the options of a check of kind C(journal)."""
    path = common.path
    return JournalCheck(
        common,
        tuple(needed(path, params, "units")),
        needed(path, params, "pattern"),
        read_limits(common, params, default_equals=_NOTHING),
        duration(f"{path}.window", params["window"]),
        runner,
    )

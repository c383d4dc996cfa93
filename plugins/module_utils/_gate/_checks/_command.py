# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the team: its status and, when asked for, what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._program import Program, read_program
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import filled
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class CommandCheck:
    """One check by a program."""

    common: Common
    program: Program
    return_codes: tuple[int, ...]
    text: str | None
    limits: Limits

    instrument = False

    def where(self) -> str:
        return self.program.argv[0]

    def expected(self) -> str:
        parts = [f"status {' or '.join(map(str, self.return_codes))}"]
        if self.text is not None:
            parts.append("the given text")
        if self.limits.asked:
            parts.append(self.limits.describe())
        return ", ".join(parts)

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        done = self.program.run(watch)
        if done.returncode not in self.return_codes:
            text = f"it ended with status {done.returncode}"
            return Sample(State.BAD, "status", text, watch.elapsed_s(), action=self.common.action)
        if self.text is not None and self.text not in done.stdout:
            text = "it did not print the given text"
            return Sample(State.BAD, "text", text, watch.elapsed_s(), action=self.common.action)
        if self.limits.asked:
            return judge(done.stdout.strip(), self.limits, watch, "what it printed")
        return Sample(State.GOOD, "ok", f"status {done.returncode}", watch.elapsed_s())


def read_command(common: Common, params: Mapping[str, Any], runner: Runner) -> CommandCheck:
    """Read the options of a check of kind C(command)."""
    return CommandCheck(
        common,
        read_program(common, params, runner),
        tuple(params["return_codes"]),
        filled(f"{common.path}.text", params["text"]),
        read_limits(common, params),
    )

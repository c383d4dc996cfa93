# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a check starts: where, with which environment. What they say is not repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed, words
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner
from ansible_collections.slipway.django.plugins.module_utils._release._environment import read_environment


@dataclass(frozen=True)
class Program:
    """A program with its place."""

    argv: tuple[str, ...]
    directory: str | None
    runner: Runner
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run(self, watch: Watch, *more: str) -> Completed:
        """Run it to its end, or to the look's."""
        watch.stage = f"running {self.argv[0]}"
        return self.runner.run(
            [*self.argv, *more], timeout_s=watch.program_s(), env=self.environment, cwd=self.directory
        )


def read_program(common: Common, params: Mapping[str, Any], runner: Runner) -> Program:
    """Read C(command), C(directory) and C(environment_file)."""
    path, file = common.path, params["environment_file"]
    argv = words(f"{path}.command", needed(path, params, "command"))
    environment: Mapping[str, str] = {}
    if file is not None:
        try:
            environment = read_environment(file)
        except SlipwayError as error:
            raise InvalidOption(f"{path}.environment_file", file, "an environment file of a release") from error
    return Program(argv, params["directory"], runner, environment)

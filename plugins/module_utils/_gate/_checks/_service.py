# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's units: so many run, none has failed, none was restarted since the gate began, nor too often before.

A unit that has failed, or that systemd had to start again, is doomed: waiting does not mend it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed, whole
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._slots import parse_show

_PROPERTIES = "Id,LoadState,ActiveState,SubState,NRestarts,Result"


@dataclass(frozen=True)
class ServiceCheck:
    """One check of units.

    :param running: exactly so many of them are active.
    :param max_restarts: how often systemd may have restarted them, together, since they were started; None: any number.
    """

    common: Common
    units: tuple[str, ...]
    running: int
    max_restarts: int | None
    runner: Runner

    instrument = False

    def where(self) -> str:
        return ", ".join(self.units)

    def expected(self) -> str:
        wanted = f"{self.running} active, none failed or restarted"
        return wanted if self.max_restarts is None else f"{wanted}, at most {self.max_restarts} restarts before"

    def facts(self) -> dict[str, object]:
        return {"units": list(self.units)}

    def look(self, watch: Watch) -> Sample:
        watch.stage = "asking systemd"
        argv = ["systemctl", "show", f"--property={_PROPERTIES}", "--", *self.units]
        done = self.runner.run(argv, timeout_s=watch.program_s())
        units = list(parse_show(done.stdout)) if done.returncode == 0 else []
        if len(units) != len(self.units):
            raise NotUnderstood("systemd", "systemd does not answer for these units", local=True)
        restarts = sum(int(unit.get("NRestarts") or 0) for unit in units)
        code, text, doomed = judge_units(units, self.running, restarts, watch.moment.first_value)
        # A look of a second does not see a loop of ten: the counter does. An explicit start sets it back.
        if code == "ok" and self.max_restarts is not None and restarts > self.max_restarts:
            code, text = "restarts", f"restarted {restarts} times (expected at most {self.max_restarts})"
        state = State.GOOD if code == "ok" else State.BAD
        action = self.common.action
        return Sample(state, code, text, watch.elapsed_s(), action=action, doomed=doomed, value=float(restarts))


def judge_units(
    units: Sequence[Mapping[str, str]], running: int, restarts: int, before: float | None
) -> tuple[str, str, bool]:
    """Code, words, and whether waiting can't help.

    :param before: how often they had been restarted at the first look.
    """
    unknown = [unit["Id"] for unit in units if unit.get("LoadState") != "loaded"]
    if unknown:
        return "not_loaded", f"systemd has no {', '.join(unknown)}", False
    failed = [unit["Id"] for unit in units if unit.get("ActiveState") == "failed"]
    if failed:
        return "service_failed", f"{', '.join(failed)} has failed", True
    if before is not None and restarts > before:
        return "service_restarted", f"restarted {restarts - before:g} times since the gate began", True
    active = [unit["Id"] for unit in units if unit.get("ActiveState") == "active"]
    if len(active) != running:
        return "running", f"{len(active)} active (expected {running})", False
    return "ok", f"{len(active)} active", False


def read_service(common: Common, params: Mapping[str, Any], runner: Runner) -> ServiceCheck:
    """Read the options of a check of kind C(service)."""
    units = tuple(needed(common.path, params, "units"))
    running = params["running"]
    wanted = len(units) if running is None else whole(f"{common.path}.running", running, least=0)
    most = params["max_restarts"]
    limit = None if most is None else whole(f"{common.path}.max_restarts", most, least=0)
    return ServiceCheck(common, units, wanted, limit, runner)

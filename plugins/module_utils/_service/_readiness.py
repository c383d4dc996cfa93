# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service that was started is ready, still starting, or lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._polling import Judgement, Verdict
from ansible_collections.slipway.django.plugins.module_utils._release._layout import LISTENING
from ansible_collections.slipway.django.plugins.module_utils._service._options import Wanted
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Unit

# A process that can't import its code ends within the first seconds: it must have outlived them.
_STEADY_S = {"web": 1.0, "asgi": 1.0, "worker": 5.0, "beat": 5.0}


@dataclass(frozen=True)
class Moment:
    """One look at a starting service.

    :param restarts: how often systemd had restarted it at the first look.
    :param directory: where its main process runs, None when that is not to be seen.
    :param release: the release that this directory belongs to.
    :param now_s: the clock at this look, comparable with the unit's own times.
    """

    unit: Unit
    restarts: int
    directory: str | None
    release: str | None
    listeners: Sequence[Listener]
    now_s: float


def judge(wanted: Wanted, slot: str, moment: Moment) -> Judgement:
    """Judge all but the ready command."""
    unit = moment.unit
    lost = _lost(wanted, slot, moment)
    if lost:
        return Judgement(Verdict.DOOMED, lost)
    if not unit.running:
        return Judgement(Verdict.RETRY, f"{unit.name} is {unit.describe()}")
    if moment.release is None:
        where = moment.directory or "a directory that can't be seen"
        return Judgement(Verdict.RETRY, f"process {unit.pid} of {unit.name} runs in {where}, outside of every release")
    if wanted.kind in LISTENING and not moment.listeners:
        return Judgement(Verdict.RETRY, f"{unit.name} runs, but port {wanted.port(slot)} is not open")
    steady_s = 0.0 if wanted.ready_command else _STEADY_S[wanted.kind]
    if moment.now_s - unit.active_since_s < steady_s:
        return Judgement(Verdict.RETRY, f"{unit.name} has run for less than {steady_s:g} s")
    return Judgement(Verdict.SUCCESS, f"{unit.name} runs {wanted.release}")


def _lost(wanted: Wanted, slot: str, moment: Moment) -> str:
    """Why waiting can't help; empty when it may."""
    unit = moment.unit
    ended = _ended(unit, moment.restarts)
    if ended:
        return ended
    if moment.release is not None and moment.release != wanted.release:
        return f"{unit.name} runs release {moment.release}, expected {wanted.release}"
    strangers = [listener for listener in moment.listeners if listener.pid and listener.unit != unit.name]
    if strangers:
        return f"port {wanted.port(slot)} of slot {slot} is taken by {strangers[0].describe()}"
    return ""


def _ended(unit: Unit, restarts: int) -> str:
    if unit.load != "loaded":
        return f"systemd can't use {unit.name}: it is {unit.load}"
    if unit.active == "failed" or unit.restarting:
        return f"{unit.name} failed ({unit.ending()})"
    if unit.restarts > restarts:
        return f"{unit.name} failed and was restarted {unit.restarts} times"
    if unit.active == "inactive" and not unit.job:
        return f"{unit.name} ended by itself ({unit.ending()})"
    return ""

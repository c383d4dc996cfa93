# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots of a host: observe, plan, apply, verify."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Doomed, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._files import replace_symlink
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import (
    KINDS,
    LISTENING,
    SLOTS,
    is_release_name,
)
from ansible_collections.slipway.django.plugins.module_utils._release._slots import read_links
from ansible_collections.slipway.django.plugins.module_utils._service._options import Wanted
from ansible_collections.slipway.django.plugins.module_utils._service._plan import (
    Action,
    Plan,
    Seen,
    make_plan,
    picture,
)
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener, Processes
from ansible_collections.slipway.django.plugins.module_utils._service._readiness import Moment, judge
from ansible_collections.slipway.django.plugins.module_utils._service._ready_command import ReadyCommand
from ansible_collections.slipway.django.plugins.module_utils._service._slots import Service, Slot
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Systemd, Unit

_INTERVAL_S = 0.2
# Each ready command imports the site anew.
_READY_INTERVAL_S = 1.0


@dataclass(frozen=True)
class Host:
    """This host, by what it is asked and told through."""

    systemd: Systemd
    processes: Processes
    runner: Runner
    clock: Clock


def run(wanted: Wanted, host: Host) -> dict[str, Any]:
    """Bring the host to the wanted state and return what the module returns.

    :raises Refused: it would break a rule; nothing was changed.
    :raises Doomed, TimedOut: it was tried; the message says what was seen and how things were left.
    """
    plan = make_plan(wanted, observe(wanted, host))
    if not wanted.predicting:
        _apply(wanted, plan, host)
    return _result(wanted, plan, host)


# -- observe ---------------------------------------------------------------------------------------------------------


def observe(wanted: Wanted, host: Host) -> Seen:
    """Look at both slots, the units of all kinds in them, and who listens on their ports."""
    links = read_links(wanted.layout)
    units = host.systemd.show([wanted.unit(slot, kind) for slot in SLOTS for kind in KINDS])
    first, second = (_slot(wanted, host, slot, links[slot], units) for slot in SLOTS)
    listeners: dict[str, tuple[Listener, ...]] = {}
    if wanted.kind in LISTENING and wanted.state == "started":
        listeners = {slot: host.processes.listeners(wanted.ports[slot]) for slot in SLOTS}
    whole = bool(wanted.release) and os.path.isfile(wanted.paths.manifest)
    return Seen((first, second), whole, listeners)


def _slot(wanted: Wanted, host: Host, slot: str, release: str | None, units: Mapping[str, Unit]) -> Slot:
    path = os.path.join(wanted.layout.slots, slot)
    services = {}
    for kind in KINDS:
        unit = units[wanted.unit(slot, kind)]
        services[kind] = Service(unit, _release_of(wanted, _directory(unit, host)))
    return Slot(slot, release, os.lstat(path).st_mtime if release is not None else 0.0, services)


def _directory(unit: Unit, host: Host) -> str | None:
    return host.processes.working_directory(unit.pid) if unit.pid and unit.running else None


def _release_of(wanted: Wanted, directory: str | None) -> str | None:
    """The release that a directory belongs to. The kernel names directories without links."""
    top = os.path.realpath(wanted.layout.releases) + os.sep
    if directory is None or not directory.startswith(top):
        return None
    name = directory[len(top) :].split(os.sep, 1)[0]
    return name if is_release_name(name) else None


# -- apply -----------------------------------------------------------------------------------------------------------


def _apply(wanted: Wanted, plan: Plan, host: Host) -> None:
    begun: list[Action] = []
    try:
        for action in plan.actions:
            begun.append(action)
            _act(wanted, action, host)
        if wanted.state == "started":
            _wait_until_ready(wanted, plan, host)
        else:
            _verify(wanted, plan, host)
    except SlipwayError as error:
        if Action("start", plan.slot) in begun:
            error.untouched = "; ".join([*filter(None, [error.untouched]), _end_failed_start(wanted, plan, host)])
        raise


def _end_failed_start(wanted: Wanted, plan: Plan, host: Host) -> str:
    """Stop what was started in vain, so that its slot is free for the next attempt. Tell how things are left."""
    name, other = wanted.unit(plan.slot), wanted.unit(plan.other)
    try:
        _stop(wanted, plan.slot, host)
        left = f"{name} was stopped again"
    except SlipwayError as error:
        left = f"{name} could not be stopped again: {error.seen.rstrip('.')}"
    if Action("stop", plan.other) in plan.actions:
        return f"{left}; {other} had been stopped before"
    return f"{left}; slot {plan.other} was not touched"


def _act(wanted: Wanted, action: Action, host: Host) -> None:
    unit = wanted.unit(action.slot)
    if action.verb == "link":
        _link(wanted, action.slot)
    elif action.verb == "stop":
        _stop(wanted, action.slot, host)
    elif action.verb == "reset":
        host.systemd.reset_failed(unit)
    elif action.verb == "start":
        host.systemd.start(unit)
    elif action.verb == "enable":
        host.systemd.enable(unit)
    else:
        host.systemd.disable(unit)


def _link(wanted: Wanted, slot: str) -> None:
    path = os.path.join(wanted.layout.slots, slot)
    try:
        replace_symlink(path, os.path.join("..", "releases", wanted.release))
    except OSError as error:
        raise SlipwayError(
            f"{path} could not be linked to {wanted.release}: {error.strerror}",
            untouched="No service was started or stopped",
            remedy="Provision the host, so that its directories are there",
            facts={"path": path},
        ) from error


def _stop(wanted: Wanted, slot: str, host: Host) -> None:
    """Stop, and wait until nothing of it is left. How long its processes may take is for the unit to say."""
    name = wanted.unit(slot)
    if wanted.stop_signal:
        host.systemd.kill(name, wanted.stop_signal)
    host.systemd.stop(name)
    outcome = poll(
        lambda: host.systemd.show([name])[name],
        lambda unit: Judgement(Verdict.SUCCESS if unit.at_rest else Verdict.RETRY, unit.describe()),
        clock=host.clock,
        interval_s=_INTERVAL_S,
        timeout_s=wanted.stop_timeout_s,
    )
    if outcome.timed_out:
        raise TimedOut(
            f"{name} is still {outcome.reason}, process {outcome.last.pid}, {wanted.stop_timeout_s:g} s after its stop",
            untouched="systemd goes on stopping it",
            remedy=f"Give it a longer stop_timeout than the unit's TimeoutStopSec, or see `systemctl status {name}`",
            facts={"unit": name, "active_state": outcome.last.active, "pid": outcome.last.pid},
        )


def _wait_until_ready(wanted: Wanted, plan: Plan, host: Host) -> None:
    name, deadline = wanted.unit(plan.slot), host.clock.monotonic() + wanted.timeout_s
    ready = ReadyCommand(wanted, plan.slot, host.runner) if wanted.ready_command else None
    first: list[int] = []

    def look() -> Judgement:
        unit = host.systemd.show([name])[name]
        first.append(unit.restarts)
        judgement = judge(wanted, plan.slot, _moment(wanted, plan.slot, host, unit, first[0]))
        if ready is None or judgement.verdict is not Verdict.SUCCESS:
            return judgement
        return ready.judge(deadline - host.clock.monotonic())

    outcome = poll(
        look,
        lambda judgement: judgement,
        clock=host.clock,
        interval_s=_READY_INTERVAL_S if ready else _INTERVAL_S,
        timeout_s=wanted.timeout_s,
    )
    _raise_unless_ready(wanted, name, outcome.verdict, outcome.reason)


def _moment(wanted: Wanted, slot: str, host: Host, unit: Unit, restarts: int) -> Moment:
    directory = _directory(unit, host)
    port = wanted.port(slot)
    return Moment(
        unit=unit,
        restarts=restarts,
        directory=directory,
        release=_release_of(wanted, directory),
        listeners=() if port is None else host.processes.listeners(port, unit.pid),
        now_s=host.clock.monotonic(),
    )


def _raise_unless_ready(wanted: Wanted, name: str, verdict: Verdict, reason: str) -> None:
    if verdict is Verdict.SUCCESS:
        return
    remedy = f"Read `journalctl -u {name}` on this host"
    facts = {"unit": name, "release": wanted.release, "reason": reason}
    if verdict is Verdict.DOOMED:
        raise Doomed(f"Release {wanted.release} did not start: {reason}", remedy=remedy, facts=facts)
    raise TimedOut(
        f"Release {wanted.release} is not ready after {wanted.timeout_s:g} s: {reason}", remedy=remedy, facts=facts
    )


# -- verify ----------------------------------------------------------------------------------------------------------


def _verify(wanted: Wanted, plan: Plan, host: Host) -> None:
    """Read everything once more: an order that systemd took is no state."""
    seen = picture(wanted, observe(wanted, host))
    expected = dict(plan.after)
    wrong = [slot for slot in SLOTS if seen[slot] != expected[slot]]
    if wrong:
        slot = wrong[0]
        raise SlipwayError(
            f"After all orders {wanted.unit(slot)} is {seen[slot]}, expected {expected[slot]}",
            remedy=f"See `systemctl status {wanted.unit(slot)}` on this host; does its file have an [Install] section?",
            facts={"seen": seen, "expected": expected},
        )


# -- result ----------------------------------------------------------------------------------------------------------


def _result(wanted: Wanted, plan: Plan, host: Host) -> dict[str, Any]:
    name = wanted.unit(plan.slot)
    unit = host.systemd.show([name])[name]
    facts = {
        "slot": plan.slot,
        "other": plan.other,
        "unit": name,
        "release": plan.release,
        "port": wanted.port(plan.slot),
        "pid": unit.pid or None,
    }
    return {
        **facts,
        "changed": plan.changed,
        "reason": plan.reason,
        "msg": plan.reason,
        "diff": {"before": plan.before, "after": plan.after},
        "deployment_log": {"event": f"service.{wanted.state}", "kind": wanted.kind, "reason": plan.reason, **facts},
    }

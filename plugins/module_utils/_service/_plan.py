# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that a host is as it is wanted. Pure: an observation in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._service._options import Wanted
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener
from ansible_collections.slipway.django.plugins.module_utils._service._slots import Choice, Slot, choose_slot

# Two schedulers would send each task twice: its kind never runs in both slots.
_ALONE = ("beat",)
_WORDS = {
    "link": "linked to the release",
    "reset": "its failure forgotten",
    "start": "started",
    "stop": "stopped",
    "enable": "enabled",
    "disable": "disabled",
}


@dataclass(frozen=True)
class Seen:
    """A host as it was observed. ``listeners``: who listens on each slot's port, by slot; only for web."""

    slots: tuple[Slot, Slot]
    release_is_whole: bool
    listeners: Mapping[str, Sequence[Listener]]

    def slot(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name == name)

    def other(self, name: str) -> Slot:
        return next(slot for slot in self.slots if slot.name != name)


@dataclass(frozen=True)
class Action:
    """One order: ``link``, ``reset``, ``start``, ``stop``, ``enable`` or ``disable`` in a slot."""

    verb: str
    slot: str


@dataclass(frozen=True)
class Plan:
    """The orders in their sequence, and why."""

    slot: str
    other: str
    release: str | None
    actions: tuple[Action, ...]
    reason: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    @property
    def starts(self) -> bool:
        """Whether the slot's unit is started by this plan."""
        return Action("start", self.slot) in self.actions


def make_plan(wanted: Wanted, seen: Seen) -> Plan:
    """Plan what the call asks for.

    :raises Refused: it would break a rule; nothing was changed.
    """
    return _PLANNERS[wanted.state](wanted, seen)


# -- started ---------------------------------------------------------------------------------------------------------


def _plan_started(wanted: Wanted, seen: Seen) -> Plan:
    if not seen.release_is_whole and not wanted.predicting:
        raise Refused(
            f"Release {wanted.release} is not whole on this host: {wanted.paths.manifest} is missing",
            untouched="Nothing was changed",
            remedy="Stage it first",
            facts={"release": wanted.release},
        )
    choice = choose_slot(wanted.release, wanted.kind, seen.slots)
    _refuse_unknown_unit(wanted, choice.slot)
    _refuse_another_release_in(wanted, choice.slot)
    starting = _start_actions(wanted, choice.slot)
    if starting:
        _refuse_a_port_that_is_taken(wanted, seen, choice.slot)
    actions = [*_end_the_other_scheduler(wanted, choice.other), *starting]
    notes = [] if seen.release_is_whole else [f"{wanted.release} is not on this host yet"]
    return _plan(wanted, seen, choice, actions, notes=notes)


def _start_actions(wanted: Wanted, slot: Slot) -> list[Action]:
    unit = slot.services[wanted.kind].unit
    if unit.running or (unit.active == "activating" and not unit.restarting):
        return []
    actions = [] if slot.release == wanted.release else [Action("link", slot.name)]
    if unit.restarting:
        actions.append(Action("stop", slot.name))
    elif unit.active == "failed":
        actions.append(Action("reset", slot.name))
    return [*actions, Action("start", slot.name)]


def _end_the_other_scheduler(wanted: Wanted, other: Slot) -> list[Action]:
    alone = wanted.kind in _ALONE and not other.services[wanted.kind].unit.at_rest
    return [Action("stop", other.name)] if alone else []


def _refuse_unknown_unit(wanted: Wanted, slot: Slot) -> None:
    unit = slot.services[wanted.kind].unit
    if unit.load != "loaded":
        raise Refused(
            f"systemd can't use {unit.name}: it is {unit.load}",
            untouched="Nothing was changed",
            remedy=f"Provision the host, so that {wanted.site}-{wanted.kind}@.service is there",
            facts={"unit": unit.name, "load_state": unit.load},
        )


def _refuse_another_release_in(wanted: Wanted, slot: Slot) -> None:
    for service in slot.services.values():
        if service.release is not None and service.release != wanted.release:
            raise Refused(
                f"{service.unit.name} runs release {service.release}, though slot {slot.name} names {slot.release}",
                untouched="Nothing was changed",
                remedy="Stop it first (state: stopped): somebody moved the slot's link while it ran",
                facts={"unit": service.unit.name, "runs": service.release, "slot": slot.release},
            )


def _refuse_a_port_that_is_taken(wanted: Wanted, seen: Seen, slot: Slot) -> None:
    unit = slot.services[wanted.kind].unit
    strangers = [listener for listener in seen.listeners.get(slot.name, ()) if listener.unit != unit.name]
    if strangers:
        port = wanted.port(slot.name)
        raise Refused(
            f"Port {port} of slot {slot.name} is taken by {strangers[0].describe()}",
            untouched="Nothing was changed",
            remedy=f"End it, or give {wanted.site} other ports",
            facts={"port": port, "pid": strangers[0].pid, "held_by": strangers[0].unit or strangers[0].command},
        )


# -- live ------------------------------------------------------------------------------------------------------------


def _plan_live(wanted: Wanted, seen: Seen) -> Plan:
    choice = choose_slot(wanted.release, wanted.kind, seen.slots)
    service = choice.slot.services[wanted.kind]
    _refuse_unknown_unit(wanted, choice.slot)
    runs = service.unit.running and service.release == wanted.release
    if not runs and not wanted.predicting:
        raise Refused(
            f"{service.unit.name} does not run release {wanted.release}: it is {service.unit.describe()}"
            + (f" and runs {service.release}" if service.release else ""),
            untouched="Nothing was changed",
            remedy="Start the release first (state: started)",
            facts={"unit": service.unit.name, "active_state": service.unit.active, "runs": service.release},
        )
    # Enabled first: whoever dies in between leaves two that start at boot, never none.
    actions = [] if service.unit.enabled else [Action("enable", choice.slot.name)]
    actions += _end_actions(wanted, choice.other)
    notes = [] if runs else [f"{wanted.release} does not run here yet"]
    return _plan(wanted, seen, choice, actions, notes=notes)


def _end_actions(wanted: Wanted, slot: Slot) -> list[Action]:
    unit = slot.services[wanted.kind].unit
    # Disabled first: whoever dies in between leaves one that runs, but does not come back at boot.
    actions = [Action("disable", slot.name)] if unit.file_state.startswith("enabled") else []
    return actions if unit.at_rest else [*actions, Action("stop", slot.name)]


# -- stopped ---------------------------------------------------------------------------------------------------------


def _plan_stopped(wanted: Wanted, seen: Seen) -> Plan:
    slot = seen.slot(wanted.slot)
    _refuse_unknown_unit(wanted, slot)
    choice = Choice(slot, seen.other(wanted.slot), f"slot {slot.name} holds {slot.release or 'no release'}")
    return _plan(wanted, seen, choice, _end_actions(wanted, slot))


# -- all -------------------------------------------------------------------------------------------------------------


def _plan(wanted: Wanted, seen: Seen, choice: Choice, actions: Sequence[Action], *, notes: Sequence[str] = ()) -> Plan:
    before = picture(wanted, seen)
    done = [f"{wanted.kind} in {action.slot} {_WORDS[action.verb]}" for action in actions]
    return Plan(
        slot=choice.slot.name,
        other=choice.other.name,
        release=wanted.release or choice.slot.release,
        actions=tuple(actions),
        reason="; ".join([*notes, choice.reason, *(done or [f"{wanted.kind} is {wanted.state} already"])]),
        before=before,
        after=predict(before, actions, wanted.release),
    )


def picture(wanted: Wanted, seen: Seen) -> dict[str, dict[str, object]]:
    """What of the host this call may change, for people to compare."""
    return {
        slot.name: {
            "release": slot.release,
            "enabled": slot.services[wanted.kind].unit.enabled,
            "running": not slot.services[wanted.kind].unit.at_rest,
        }
        for slot in seen.slots
    }


def predict(
    before: Mapping[str, Mapping[str, object]], actions: Sequence[Action], release: str
) -> dict[str, dict[str, object]]:
    """The picture after the actions."""
    effects: dict[str, dict[str, object]] = {
        "link": {"release": release},
        "start": {"running": True},
        "stop": {"running": False},
        "enable": {"enabled": True},
        "disable": {"enabled": False},
    }
    after = {slot: dict(values) for slot, values in before.items()}
    for action in actions:
        after[action.slot].update(effects.get(action.verb, {}))
    return after


_PLANNERS = {"started": _plan_started, "live": _plan_live, "stopped": _plan_stopped}

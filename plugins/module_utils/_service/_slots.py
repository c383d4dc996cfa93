# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two slots of a host, and which of them a release gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Unit


@dataclass(frozen=True)
class Service:
    """The unit of one kind in one slot. ``release``: what its main process runs from, when that is known."""

    unit: Unit
    release: str | None


@dataclass(frozen=True)
class Slot:
    """One slot: the release that its link names, since when, and its services by kind."""

    name: str
    release: str | None
    linked_at: float
    services: Mapping[str, Service]

    @property
    def in_use(self) -> tuple[str, ...]:
        """The kinds of which something runs, or is about to. Its link is not to be moved meanwhile."""
        return tuple(kind for kind, service in self.services.items() if not service.unit.at_rest)

    @property
    def enabled(self) -> tuple[str, ...]:
        """The kinds that are started at boot."""
        return tuple(kind for kind, service in self.services.items() if service.unit.enabled)


@dataclass(frozen=True)
class Choice:
    """A slot for a release, and why it."""

    slot: Slot
    other: Slot
    reason: str


def choose_slot(release: str, kind: str, slots: Sequence[Slot]) -> Choice:
    """Choose the slot of a release.

    A slot that holds it already is taken. Else one of which nothing runs: the idle one, which is not
    enabled. When that does not tell them apart: an empty one, then the one that was linked longer ago,
    so that the other keeps the release to go back to.

    :raises Refused: something runs in both slots, each with another release.
    """
    first, second = slots
    holding = [slot for slot in slots if slot.release == release]
    if holding:
        slot = min(holding, key=lambda one: _at_home(one, kind))
        reason = f"slot {slot.name} holds {release}"
    else:
        free = [slot for slot in slots if not slot.in_use]
        if not free:
            raise _both_in_use(release, slots)
        slot = min(free, key=_idleness)
        reason = _why_free(slot, free)
    return Choice(slot, second if slot is first else first, reason)


def _at_home(slot: Slot, kind: str) -> tuple[object, ...]:
    """Smaller for the slot where this kind runs, then where it is enabled, then any kind."""
    return (kind not in slot.in_use, kind not in slot.enabled, not slot.in_use, not slot.enabled, slot.name)


def _idleness(slot: Slot) -> tuple[object, ...]:
    # The live slot of a host is the one whose web unit is enabled: it is taken last.
    return ("web" in slot.enabled, bool(slot.enabled), slot.release is not None, slot.linked_at, slot.name)


def _why_free(slot: Slot, free: Sequence[Slot]) -> str:
    if len(free) == 1:
        return f"slot {slot.name} is the one of which nothing runs"
    other = next(one for one in free if one is not slot)
    if _idleness(slot)[:2] != _idleness(other)[:2]:
        return f"slot {slot.name} is the idle one, {other.name} is enabled"
    state = "both slots are enabled and stopped" if slot.enabled else "neither slot is enabled"
    if slot.release is None:
        return f"{state}, {slot.name} is empty"
    return f"{state}, {slot.name} was linked longer ago"


def _both_in_use(release: str, slots: Sequence[Slot]) -> Refused:
    running = [slot.services[kind].unit.name for slot in slots for kind in slot.in_use]
    held = " and ".join(f"{slot.name} ({slot.release}: {', '.join(slot.in_use)})" for slot in slots)
    return Refused(
        f"No slot is free for {release}: something runs in {held}",
        untouched="Nothing was changed",
        remedy="Stop the services of the slot that has no traffic (state: stopped, slot, kind), "
        "or go back to the release of the live slot first",
        facts={"release": release, "in_use": running},
    )

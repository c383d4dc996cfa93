# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the slots hold and what systemd says about them: the only truth about what is live on a host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import (
    KINDS,
    SLOTS,
    Layout,
    is_release_name,
)

_PROPERTIES = ("Id", "UnitFileState", "ActiveState")
_AT_REST = ("inactive", "failed")
_DEADLINE_S = 30.0


@dataclass(frozen=True)
class Slot:
    """One slot: the release that it links to, whether its web unit is enabled, the kinds that are not at rest."""

    release: str | None
    enabled: bool
    running: tuple[str, ...]


@dataclass(frozen=True)
class Live:
    """Which slot is live. ``slot`` is None, and ``reason`` says why, when none or both are enabled."""

    slot: str | None
    release: str | None
    reason: str


def read_links(layout: Layout) -> dict[str, str | None]:
    """The release that each slot links to, None for an empty slot.

    :raises SlipwayError: a slot is no link to a release of this root.
    """
    return {slot: _read_link(layout, slot) for slot in SLOTS}


def _read_link(layout: Layout, slot: str) -> str | None:
    path = os.path.join(layout.slots, slot)
    try:
        target = os.readlink(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _strange(path, f"is no symbolic link ({error.strerror})") from error
    directory, name = os.path.split(os.path.normpath(os.path.join(layout.slots, target)))
    if directory != os.path.normpath(layout.releases) or not is_release_name(name):
        raise _strange(path, f"leads to {target!r}")
    return name


def _strange(path: str, what: str) -> SlipwayError:
    return SlipwayError(
        f"{path} {what}, expected a symbolic link to ../releases/<release>",
        untouched="Nothing was changed",
        remedy="Find out who made it; an empty slot is one without that file",
        facts={"path": path},
    )


def read_units(runner: Runner, site: str) -> dict[tuple[str, str], Mapping[str, str]]:
    """The properties of each unit of the site, by slot and kind. Needs no rights.

    :raises SlipwayError: systemd gave no answer, or one for other units.
    """
    units = {(slot, kind): f"{site}-{kind}@{slot}.service" for slot in SLOTS for kind in KINDS}
    argv = ["systemctl", "show", f"--property={','.join(_PROPERTIES)}", "--", *units.values()]
    done = runner.run(argv, timeout_s=_DEADLINE_S).check(
        remedy="Which slot is live is known to systemd alone: run this on a host of the site",
        untouched="Nothing was changed",
    )
    shown = {properties.get("Id", ""): properties for properties in parse_show(done.stdout)}
    missing = [unit for unit in units.values() if unit not in shown]
    if missing:
        raise SlipwayError(
            f"systemctl show gave nothing for {', '.join(missing)}",
            untouched="Nothing was changed",
            facts={"units": missing},
        )
    return {key: shown[unit] for key, unit in units.items()}


def parse_show(text: str) -> list[dict[str, str]]:
    """Read the output of C(systemctl show) for several units: C(Name=value) lines, an empty line between units.

    :raises SlipwayError: a line of another form.
    """
    units: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        properties: dict[str, str] = {}
        for line in filter(None, block.split("\n")):
            name, separator, value = line.partition("=")
            if not separator:
                raise SlipwayError(f"systemctl show said {line!r}, expected Name=value")
            properties[name] = value
        if properties:
            units.append(properties)
    return units


def slots_of(links: Mapping[str, str | None], units: Mapping[tuple[str, str], Mapping[str, str]]) -> dict[str, Slot]:
    """Put links and units together."""
    return {slot: _slot(links[slot], {kind: units[slot, kind] for kind in KINDS}) for slot in SLOTS}


def _slot(release: str | None, units: Mapping[str, Mapping[str, str]]) -> Slot:
    return Slot(
        release=release,
        # "enabled-runtime" is forgotten at the next boot: not what makes a slot live.
        enabled=units["web"].get("UnitFileState") == "enabled",
        # What starts, stops or waits for its restart may run in a moment.
        running=tuple(kind for kind in KINDS if units[kind].get("ActiveState") not in _AT_REST),
    )


def live_of(slots: Mapping[str, Slot]) -> Live:
    """Which slot is live: the one whose web unit is enabled."""
    enabled = [slot for slot, state in slots.items() if state.enabled]
    if not enabled:
        return Live(None, None, "no web unit is enabled: nothing is live here")
    if len(enabled) > 1:
        return Live(
            None,
            None,
            "the web units of both slots are enabled: a switch was cut short; the deployment's next run finishes it",
        )
    release = slots[enabled[0]].release
    if release is None:
        return Live(None, None, f"the web unit of slot {enabled[0]} is enabled, but the slot is empty")
    return Live(enabled[0], release, f"slot {enabled[0]} is live")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of service_slot, checked before anything is looked at."""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._release._layout import (
    LISTENING,
    SLOTS,
    Layout,
    ReleasePaths,
    checked_name,
    checked_root,
)

_SITE = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")


@dataclass(frozen=True)
class Wanted:
    """What one call asks for.

    ``predicting``: nothing is changed, and what earlier steps would have done is missing.
    """

    state: str
    site: str
    kind: str
    layout: Layout
    release: str
    slot: str
    ports: Mapping[str, int]
    timeout_s: float
    stop_timeout_s: float
    stop_signal: str | None
    ready_command: tuple[str, ...]
    user: str
    predicting: bool

    def unit(self, slot: str, kind: str | None = None) -> str:
        """The name of a unit in a slot."""
        return f"{self.site}-{kind or self.kind}@{slot}.service"

    def port(self, slot: str) -> int | None:
        """The port of a slot; None for a kind that has none."""
        return self.ports[slot] if self.kind in LISTENING else None

    @property
    def paths(self) -> ReleasePaths:
        return self.layout.release(self.release)


def read_wanted(params: Mapping[str, Any], *, predicting: bool) -> Wanted:
    """Read and check the options of the module.

    :raises InvalidOption: a value can't be used.
    """
    site, state = params["site"], params["state"]
    if not _SITE.match(site):
        raise InvalidOption("site", site, "a small letter, then small letters, digits or _, at most 31 characters")
    return Wanted(
        state=state,
        site=site,
        kind=params["kind"],
        layout=Layout(checked_root("root", params["root"] or f"/srv/{site}")),
        release="" if state == "stopped" else checked_name(params["release"]),
        slot=params["slot"] if state == "stopped" else "",
        ports=_read_ports(params["ports"], params["kind"]),
        timeout_s=_seconds("timeout", params["timeout"]),
        stop_timeout_s=_seconds("stop_timeout", params["stop_timeout"]),
        stop_signal=_read_signal(params["stop_signal"]),
        ready_command=_read_command(params["ready_command"]),
        user=params["user"] or site,
        predicting=predicting,
    )


def _read_ports(ports: Mapping[str, Any], kind: str) -> dict[str, int]:
    accepted = "a port from 1 to 65535 for each of " + " and ".join(SLOTS) + ", not the same"
    if kind not in LISTENING and not ports:
        return {}
    try:
        read = {slot: int(ports[slot]) for slot in SLOTS}
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidOption("ports", dict(ports), accepted) from error
    if len(set(read.values())) < len(SLOTS) or not all(0 < port < 65536 for port in read.values()):
        raise InvalidOption("ports", dict(ports), accepted)
    return read


def _seconds(option: str, value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        raise InvalidOption(option, value, "more than 0 seconds")
    return value


def _read_signal(name: str | None) -> str | None:
    if not name:
        return None
    if name not in signal.Signals.__members__:
        raise InvalidOption("stop_signal", name, "the name of a signal such as SIGKILL")
    return name


def _read_command(words: list[str]) -> tuple[str, ...]:
    if words and not words[0].strip():
        raise InvalidOption("ready_command", words, "a program and its arguments")
    return tuple(words)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP: a connection is accepted. That a port is open says little: prefer a check that is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._network import connect
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed, port


@dataclass(frozen=True)
class TcpCheck:
    """One check by connecting."""

    common: Common
    address: str
    port: int

    instrument = False

    def where(self) -> str:
        return place(self.address, self.port)

    def expected(self) -> str:
        return "a connection"

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        connect(self.address, self.port, watch)
        return Sample(State.GOOD, "ok", "connected", watch.elapsed_s())


def place(address: str, number: int) -> str:
    """An address in words."""
    if address.startswith("/"):
        return address
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


def read_tcp(common: Common, params: Mapping[str, Any]) -> TcpCheck:
    """Read the options of a check of kind C(tcp)."""
    address = needed(common.path, params, "address")
    if not address.startswith("/") and params["port"] is None:
        raise InvalidOption(f"{common.path}.port", None, "a port")
    return TcpCheck(common, address, port(f"{common.path}.port", params["port"], 1))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: the certificate is valid for its name, and will be for so many days."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._tcp import place
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._network import connect, start_tls, tls_context
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import host, needed, number, port
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_DAY_S = 86400.0


@dataclass(frozen=True)
class TlsCheck:
    """One check of a certificate."""

    common: Common
    address: str
    port: int
    name: str
    min_days: float
    clock: Clock = field(repr=False)
    context: ssl.SSLContext = field(repr=False)

    instrument = False

    def where(self) -> str:
        at = place(self.address, self.port)
        return at if self.name == self.address else f"{at} as {self.name}"

    def expected(self) -> str:
        return f"a valid certificate for {self.name} with {self.min_days:g} days left"

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        connection = start_tls(connect(self.address, self.port, watch), self.context, self.name, watch)
        certificate = connection.getpeercert() or {}
        ends_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        days = (ends_s - self.clock.utcnow().timestamp()) / _DAY_S
        text = f"{days:.1f} days left"
        if days >= self.min_days:
            return Sample(State.GOOD, "ok", text, watch.elapsed_s(), value=round(days, 3))
        text = f"{text} (expected {self.min_days:g} or more)"
        action = self.common.action
        return Sample(State.BAD, "expires", text, watch.elapsed_s(), action=action, value=round(days, 3))


def read_tls(common: Common, params: Mapping[str, Any], clock: Clock) -> TlsCheck:
    """Read the options of a check of kind C(tls)."""
    path = common.path
    if not params["validate_certs"]:
        raise InvalidOption(
            f"{path}.validate_certs", False, "true: of a certificate that nobody verifies nothing is known"
        )
    address = needed(path, params, "address")
    name = urlsplit(f"//{host(f'{path}.host', params['host']) or address}").hostname or ""
    return TlsCheck(
        common,
        address,
        port(f"{path}.port", params["port"], 443),
        name,
        number(f"{path}.min_days", params["min_days"], least=0.0, unit="days "),
        clock,
        tls_context(f"{path}.ca_path", params["ca_path"], verify=True),
    )

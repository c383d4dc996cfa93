# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that must be reachable and certificates that must last, seen from this host. Standard library alone."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._preflight._deadline import all_within
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged

_DAY_S = 86_400


@dataclass(frozen=True)
class Address:
    """Where something listens."""

    host: str
    port: int

    @property
    def text(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Certificate:
    """A certificate that is asked for.

    :param name: the name that it must be for, sent to the server.
    :param at: where the server is asked.
    :param days: days that must be left.
    :param authorities: file of the authorities; empty: those of the system.
    """

    name: str
    at: Address
    days: int
    authorities: str


def read_address(option: str, text: str) -> Address:
    """Read C(host:port), C([::1]:port) too.

    :raises InvalidOption: it is something else.
    """
    host, port = text.rpartition(":")[::2]
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise InvalidOption(option, text, "host:port such as db1:5432")
    return Address(host, int(port))


def read_certificate(option: str, wanted: Mapping[str, Any]) -> Certificate:
    """Read one entry of the option C(certificates).

    :raises InvalidOption: it can't be asked for.
    """
    name, port, days = wanted["name"], wanted["port"], wanted["days"]
    if not name.strip():
        raise InvalidOption(f"{option}.name", name, "the name of the site")
    if not 0 < port < 65_536:
        raise InvalidOption(f"{option}.port", port, "a port")
    if days < 0:
        raise InvalidOption(f"{option}.days", days, "0 or more")
    return Certificate(name, Address(wanted["address"] or name, port), days, wanted["ca_path"] or "")


def reach_rows(addresses: Sequence[Address], seconds: float) -> list[Row]:
    """Connect to each address, all at once."""
    answers = all_within([lambda at=at: _connect(at, seconds) for at in addresses], seconds)  # type: ignore[misc]
    return [
        judged(
            "A4",
            f"reach {at.text}",
            answer is None,
            "it takes connections" if answer is None else _words(answer),
            f"{at.text} takes connections",
        )
        for at, answer in zip(addresses, answers)
    ]


def _connect(at: Address, seconds: float) -> None:
    socket.create_connection((at.host, at.port), timeout=seconds).close()


def certificate_rows(certificates: Sequence[Certificate], seconds: float, now: datetime) -> list[Row]:
    """Ask for each certificate, all at once, and look at its name and the days that it has left."""
    looks = [lambda wanted=wanted: _expiry(wanted, seconds) for wanted in certificates]
    answers = all_within(looks, seconds)
    return [certificate_row(wanted, answer, now) for wanted, answer in zip(certificates, answers)]


def certificate_row(wanted: Certificate, answer: float | Exception, now: datetime) -> Row:
    """Judge one answer: seconds since 1970 at which the certificate ends, or why there is none."""
    check = f"certificate {wanted.name}"
    expected = f"a certificate of {wanted.name} at {wanted.at.text} that lasts {wanted.days} days or more"
    if isinstance(answer, ssl.SSLCertVerificationError):
        return Row(
            "A4", check, Mark.FAILED, f"not accepted: {answer.verify_message or 'verification failed'}", expected
        )
    if isinstance(answer, Exception):
        return Row("A4", check, Mark.UNKNOWN, _words(answer), expected)
    left = math.floor((answer - now.timestamp()) / _DAY_S)
    return judged("A4", check, left >= wanted.days, f"{left} days left", expected)


def _expiry(wanted: Certificate, seconds: float) -> float:
    context = ssl.create_default_context(cafile=wanted.authorities or None)
    plain = socket.create_connection((wanted.at.host, wanted.at.port), timeout=seconds)
    with context.wrap_socket(plain, server_hostname=wanted.name) as wrapped:
        ends = (wrapped.getpeercert() or {}).get("notAfter")
    if not isinstance(ends, str):
        raise ssl.SSLError("the server showed no certificate")
    return float(ssl.cert_time_to_seconds(ends))


def _words(error: Exception) -> str:
    # Until Python 3.9 these are two classes.
    if isinstance(error, (socket.timeout, TimeoutError)):
        return str(error)
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__

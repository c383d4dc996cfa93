# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a balancer, as a visitor would, whether it lets visitors in.

The balancer answers a request with the header C(X-Maintenance-Probe) by itself, whoever sends it: with the maintenance
page, or with nothing at all. So an operator's address asks like anybody else, and no request reaches the site.
"""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Failure
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Exchange, Request, ask_all
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_LIMIT_S = 5.0
_PORTS = {"http": 80, "https": 443}
_STATES = {"on": True, "off": False}


def read_probe(url: str, host: str) -> Request:
    """Return the request that asks.

    :raises InvalidOption: the URL can't be asked.
    """
    accepted = "an http:// or https:// URL with a host, without user and password"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidOption("probe_url", url, f"{accepted} ({error})") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
        raise InvalidOption("probe_url", "…@…" if parts.username is not None else url, accepted)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    name = host or parts.netloc
    return Request(
        method="GET",
        hostname=parts.hostname,
        port=port or _PORTS[parts.scheme],
        target=parts.path or "/",
        headers=(("Host", name), ("X-Maintenance-Probe", "1"), ("Connection", "close")),
        tls=tls,
        server_hostname=urlsplit(f"//{name}").hostname if tls else None,
    )


def ask(request: Request, clock: Clock) -> bool:
    """Return whether visitors get the maintenance page.

    :raises SlipwayError: nothing answers, or something that is not prepared for it.
    """
    (outcome,) = ask_all([request], [_LIMIT_S], clock)
    return judge(outcome)


def judge(outcome: Exchange) -> bool:
    """Read the answer. Pure."""
    if isinstance(outcome, Failure):
        raise SlipwayError(
            f"The balancer gave no answer to a visitor's request: {outcome.text}",
            untouched="Nothing was changed",
            remedy="See that it runs, and that probe_url reaches it from its own host",
            facts={"probe": outcome.code},
        )
    said = outcome.header("X-Maintenance")
    if said not in _STATES:
        raise Refused(
            f"What answers at probe_url knows no maintenance: status {outcome.status}, no header X-Maintenance",
            untouched="Nothing was changed",
            remedy="Prepare the balancer (playbook provision, or the lines of role maintenance in its configuration)",
            facts={"status": outcome.status},
        )
    closed = _STATES[said]
    retry_after = outcome.header("Retry-After") or ""
    if closed and (outcome.status != 503 or not retry_after.isdigit()):
        raise SlipwayError(
            f"The maintenance page came with status {outcome.status} and Retry-After {retry_after!r}, "
            "expected 503 and seconds",
            remedy="See the balancer's configuration; another page may be in its place",
            facts={"status": outcome.status},
        )
    return closed

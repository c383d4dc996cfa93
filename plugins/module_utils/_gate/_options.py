# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a gate, checked before its first sample."""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Request
from ansible_collections.slipway.django.plugins.module_utils._gate._model import GateVerdict, Rule

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
# What http.client would refuse in a request line, and what would end it.
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]|[^\x00-\x7f]")
_NOT_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
_AGENT = "slipway-health-gate"


@dataclass(frozen=True)
class HttpCheck:
    """One check by HTTP requests."""

    name: str
    url: str
    host: str
    request: Request
    expectation: Expectation
    timeout_s: float
    tls_verified: bool | None

    kind = "http"


@dataclass(frozen=True)
class Gate:
    """All that a gate was asked."""

    checks: tuple[HttpCheck, ...]
    rule: Rule
    interval_s: float
    deadline_s: float
    initial_delay_s: float
    fail_on: frozenset[GateVerdict]


def read_gate(params: Mapping[str, Any]) -> Gate:
    """Read and check the options of the module.

    :raises InvalidOption: a value can't be used, or no run of the gate could ever pass.
    """
    checks = tuple(_read_check(f"checks[{index}]", check) for index, check in enumerate(params["checks"]))
    if not checks:
        raise InvalidOption("checks", [], "at least one check: a gate without any passes nothing")
    _refuse_same_names(checks)
    gate = Gate(
        checks,
        _read_rule(params),
        _number("interval", params["interval"], least=0.05),
        _number("deadline", params["deadline"], least=0.1),
        _number("initial_delay", params["initial_delay"], least=0.0),
        frozenset(GateVerdict(word) for word in params["fail_on"]),
    )
    _refuse_too_little_time(gate)
    return gate


def _read_rule(params: Mapping[str, Any]) -> Rule:
    successes, allowed, wrong = params["successes"], params["failures_allowed"], params["wrong_release_limit"]
    if successes < 1:
        raise InvalidOption("successes", successes, "1 or more")
    if allowed is not None and allowed < 0:
        raise InvalidOption("failures_allowed", allowed, "0 or more")
    if wrong < 0:
        raise InvalidOption("wrong_release_limit", wrong, "0 (never) or more")
    return Rule(successes, allowed, wrong)


def _number(option: str, value: float, *, least: float) -> float:
    if not math.isfinite(value) or value < least:
        raise InvalidOption(option, value, f"{least:g} seconds or more")
    return value


def _refuse_same_names(checks: Sequence[HttpCheck]) -> None:
    seen: set[str] = set()
    for index, check in enumerate(checks):
        if check.name in seen:
            raise InvalidOption(f"checks[{index}].name", check.name, "a name that no other check has")
        seen.add(check.name)


def _refuse_too_little_time(gate: Gate) -> None:
    needed = gate.initial_delay_s + (gate.rule.successes - 1) * gate.interval_s
    if needed > gate.deadline_s:
        successes = gate.rule.successes
        accepted = f"{needed:g} seconds or more: {successes} samples every {gate.interval_s:g} s"
        raise InvalidOption("deadline", gate.deadline_s, f"{accepted} after {gate.initial_delay_s:g} s")
    # A server that hangs is seen to be bad only when one sample had its whole time.
    longest = max(check.timeout_s for check in gate.checks)
    if gate.initial_delay_s + longest > gate.deadline_s:
        accepted = f"initial_delay and the longest timeout ({longest:g} s) or more"
        raise InvalidOption("deadline", gate.deadline_s, accepted)


def _read_check(path: str, check: Mapping[str, Any]) -> HttpCheck:
    if not check["name"].strip():
        raise InvalidOption(f"{path}.name", check["name"], "a name that is not empty")
    url = _read_url(f"{path}.url", check["url"])
    host = _read_host(f"{path}.host", check["host"]) or url.netloc
    tls = _read_tls(path, check) if url.scheme == "https" else None
    headers = (
        ("Host", host),
        ("User-Agent", _AGENT),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
        *_read_headers(path, check),
    )
    request = Request(
        method=check["method"],
        hostname=url.hostname or "",
        port=url.port or _PORTS[url.scheme],
        target=(url.path or "/") + (f"?{url.query}" if url.query else ""),
        headers=headers,
        tls=tls,
        server_hostname=(urlsplit(f"//{host}").hostname if tls else None),
    )
    return HttpCheck(
        name=check["name"],
        url=check["url"],
        host=host,
        request=request,
        expectation=_read_expectation(path, check),
        timeout_s=_number(f"{path}.timeout", check["timeout"], least=0.05),
        tls_verified=check["validate_certs"] if tls else None,
    )


def _read_url(option: str, text: str) -> SplitResult:
    accepted = "an http:// or https:// URL with a host"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise InvalidOption(option, text, f"{accepted} ({error})") from error
    if url.username is not None or url.password is not None:
        # The value is not repeated: it holds a password.
        raise InvalidOption(option, "…@…", "a URL without user and password: give them in secret_headers")
    if url.scheme not in _PORTS or not url.hostname or port == 0:
        raise InvalidOption(option, text, accepted)
    if _NOT_IN_URL.search(text):
        raise InvalidOption(option, text, f"{accepted}, quoted: no spaces, control or non-ASCII characters")
    return url


def _read_host(option: str, host: str | None) -> str | None:
    if host is None:
        return None
    if not _HOST.fullmatch(host):
        raise InvalidOption(option, host, "a host name, with :port if need be")
    return host


def _read_headers(path: str, check: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers: dict[str, tuple[str, str]] = {}
    for option in ("headers", "secret_headers"):
        for name, value in check[option].items():
            where = f"{path}.{option}"
            if not _TOKEN.fullmatch(name):
                raise InvalidOption(where, name, "a header's name")
            if name.lower() == "host":
                raise InvalidOption(where, name, "no Host: it is given by the option host")
            if name.lower() in headers:
                raise InvalidOption(where, name, "each header once")
            if _NOT_IN_VALUE.search(str(value)) or not _latin(str(value)):
                raise InvalidOption(where, name, "a header whose value is one line of Latin-1 characters")
            headers[name.lower()] = (name, str(value))
    return list(headers.values())


def _latin(text: str) -> bool:
    return all(ord(letter) < 256 for letter in text)


def _read_expectation(path: str, check: Mapping[str, Any]) -> Expectation:
    for number in check["status"]:
        if not 100 <= number <= 599:
            raise InvalidOption(f"{path}.status", number, "numbers from 100 to 599")
    if not check["status"]:
        raise InvalidOption(f"{path}.status", [], "at least one status")
    for option in ("release", "text"):
        # An empty value is a variable that was not set, and would switch the check off.
        if check[option] is not None and not check[option].strip():
            raise InvalidOption(f"{path}.{option}", check[option], "a value that is not empty, or no such option")
    if not _TOKEN.fullmatch(check["release_header"]):
        raise InvalidOption(f"{path}.release_header", check["release_header"], "a header's name")
    if check["method"] == "HEAD" and (check["json"] or check["text"] is not None):
        raise InvalidOption(f"{path}.method", "HEAD", "GET, since json or text look at the body")
    return Expectation(
        status=tuple(check["status"]),
        release=check["release"],
        release_header=check["release_header"],
        json=dict(check["json"]),
        text=check["text"],
    )


def _read_tls(path: str, check: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=check["ca_path"])
    except (OSError, ssl.SSLError) as error:
        accepted = f"a readable file of PEM certificates ({error.strerror or type(error).__name__})"
        raise InvalidOption(f"{path}.ca_path", check["ca_path"], accepted) from error
    if not check["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

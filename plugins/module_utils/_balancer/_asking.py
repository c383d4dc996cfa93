# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own questions by HTTP: to servers whose balancer makes no checks, and through the balancer."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Check
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation, judge
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer, Exchange, Request, ask_all
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

_PORTS = {"http": 80, "https": 443}
_AGENT = "slipway-balancer"


def split_address(text: str, *, option: str = "address") -> tuple[str, int]:
    """Return host and port of ``192.0.2.1:8001`` or ``[::1]:8001``.

    :raises InvalidOption: it is neither.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
        raise InvalidOption(option, text, "a host and a port, such as 192.0.2.1:8001")
    return host.strip("[]"), int(port)


def _headers(host: str) -> tuple[tuple[str, str], ...]:
    return (("Host", host), ("User-Agent", _AGENT), ("Accept-Encoding", "identity"), ("Connection", "close"))


@dataclass(frozen=True)
class Health:
    """How a server is asked whether it is well. Without a path: whether it takes a connection."""

    path: str | None = None
    # Host header; None: the server's own address.
    host: str | None = None
    status: int = 200
    timeout_s: float = 3.0

    def validate(self, option: str) -> None:
        """Refuse what can't be sent.

        :raises InvalidOption: a value is out of its range.
        """
        if self.path is not None and not re.fullmatch(r"/[!-~]*", self.path):
            raise InvalidOption(f"{option}.path", self.path, "a path that begins with /, without spaces")
        if self.host is not None and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", self.host):
            raise InvalidOption(f"{option}.host", self.host, "a host name, with :port if need be")
        if not 100 <= self.status <= 599:
            raise InvalidOption(f"{option}.status", self.status, "a number from 100 to 599")
        if self.timeout_s < 0.05:
            raise InvalidOption(f"{option}.timeout", self.timeout_s, "0.05 seconds or more")

    def ask(self, addresses: Mapping[str, str], clock: Clock) -> dict[str, Check]:
        """Ask all servers at once. Takes no longer than the timeout.

        :param addresses: host:port by the server's name.
        """
        if self.path is None:
            return {name: self._connect(address) for name, address in addresses.items()}
        requests = [self._request(address, self.path) for address in addresses.values()]
        outcomes = ask_all(requests, [self.timeout_s] * len(requests), clock)
        samples = [_judged(outcome, Expectation(status=(self.status,))) for outcome in outcomes]
        return {
            name: Check(configured=True, passed=sample.state is State.GOOD, text=f"GET {self.path}: {sample.text}")
            for name, sample in zip(addresses, samples)
        }

    def _request(self, address: str, path: str) -> Request:
        host, port = split_address(address)
        return Request("GET", host, port, path, _headers(self.host or address))

    def _connect(self, address: str) -> Check:
        try:
            with socket.create_connection(split_address(address), timeout=self.timeout_s):
                return Check(configured=True, passed=True, text="connected")
        except OSError as error:
            return Check(configured=True, passed=False, text=error.strerror or str(error))


def _judged(outcome: Exchange, expectation: Expectation) -> Sample:
    if isinstance(outcome, Answer):
        return judge(outcome, expectation)
    state = State.ERROR if outcome.local else State.BAD
    return Sample(state, outcome.code, outcome.text, outcome.elapsed_s)


class Checks:
    """The health of servers, asked again only when the last answers are of an earlier second."""

    def __init__(self, health: Health, clock: Clock, *, every_s: float = 1.0) -> None:
        self._health = health
        self._clock = clock
        self._every_s = every_s
        self._asked: dict[str, tuple[float, Check]] = {}

    def of(self, addresses: Mapping[str, str]) -> dict[str, Check]:
        """Return the check of each server, by its name."""
        now = self._clock.monotonic()
        stale = {
            name: address
            for name, address in addresses.items()
            if name not in self._asked or now - self._asked[name][0] >= self._every_s
        }
        if stale:
            answers = self._health.ask(stale, self._clock)
            self._asked.update({name: (now, check) for name, check in answers.items()})
        return {name: self._asked[name][1] for name in addresses}

    def forget(self) -> None:
        """Ask all of them anew the next time."""
        self._asked.clear()


@dataclass(frozen=True)
class Through:
    """A request through the balancer that one server must answer."""

    url: str
    request: Request
    expectation: Expectation
    server_header: str
    timeout_s: float = 5.0

    def ask(self, clock: Clock) -> Passage:
        """Send one request. What it says is for the caller to judge."""
        outcome = ask_all([self.request], [self.timeout_s], clock)[0]
        sample = _judged(outcome, self.expectation)
        by = outcome.header(self.server_header) if isinstance(outcome, Answer) else None
        return Passage(by or "", sample.state is State.GOOD, sample.text, sample.release_is_wrong)


@dataclass(frozen=True)
class Passage:
    """One answer that came through the balancer: by whom, and whether it is as expected."""

    by: str
    good: bool
    text: str
    # Another release than the expected one has answered.
    wrong: bool = False


def read_through(values: Mapping[str, object]) -> Through:
    """Read the option ``through``.

    :raises InvalidOption: its URL can't be used.
    """
    text, release, host = str(values["url"]), values.get("release"), values.get("host")
    url = urlsplit(text)
    if url.username is not None:
        raise InvalidOption("through.url", "…@…", "a URL without user and password")
    if url.scheme not in _PORTS or not url.hostname or not re.fullmatch(r"[!-~]+", text):
        raise InvalidOption("through.url", text, "an http:// or https:// URL with a host")
    if release is not None and not str(release).strip():
        raise InvalidOption("through.release", release, "a release, or no such option")
    tls = ssl.create_default_context() if url.scheme == "https" else None
    name = str(host or url.netloc)
    return Through(
        url=text,
        request=Request(
            method="GET",
            hostname=url.hostname,
            port=url.port or _PORTS[url.scheme],
            target=(url.path or "/") + (f"?{url.query}" if url.query else ""),
            headers=_headers(name),
            tls=tls,
            server_hostname=urlsplit(f"//{name}").hostname if tls else None,
        ),
        expectation=Expectation(
            status=(int(str(values["status"])),),
            release=None if release is None else str(release),
            release_header=str(values["release_header"]),
        ),
        server_header=str(values["server_header"]),
    )

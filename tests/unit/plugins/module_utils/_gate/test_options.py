# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate that could not work is refused before its first sample, naming option, value and what is accepted."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._http import HttpCheck
from ansible_collections.slipway.django.plugins.module_utils._gate._model import GateVerdict, Rule
from ansible_collections.slipway.django.plugins.module_utils._gate._options import Gate, World, read_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._spec import check_spec
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner

WORLD = World(FakeClock(), FakeRunner())
# What Ansible hands over: each option, those that were not given with their defaults.
DEFAULTS: dict[str, Any] = {option: given.get("default") for option, given in check_spec().items()}
CHECK: dict[str, Any] = {**DEFAULTS, "name": "app1", "url": "http://app1:8002/health/ready", "timeout": 5.0}
GATE: dict[str, Any] = {
    "successes": 3,
    "failures_allowed": None,
    "wrong_release_limit": 3,
    "interval": 1.0,
    "initial_delay": 0.0,
    "deadline": 60.0,
    "duration": 0.0,
    "since": None,
    "fail_on": ["rollback", "hold"],
}


def params(check: dict[str, Any] | None = None, **gate: Any) -> dict[str, Any]:
    return {**GATE, "checks": [{**CHECK, **(check or {})}], **gate}


def read(check: dict[str, Any] | None = None, **gate: Any) -> Gate:
    return read_gate(params(check, **gate), WORLD)


def read_http_check(check: dict[str, Any] | None = None) -> HttpCheck:
    (found,) = read(check).checks
    assert isinstance(found, HttpCheck)
    return found


def test_the_defaults_make_a_gate() -> None:
    gate = read()
    assert gate.rule == Rule(3, None, 3)
    assert gate.fail_on == {GateVerdict.ROLLBACK, GateVerdict.HOLD}
    request = read_http_check().request
    assert (request.hostname, request.port, request.target) == ("app1", 8002, "/health/ready")
    assert dict(request.headers) == {
        "Host": "app1:8002",
        "User-Agent": "slipway-health-gate",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


@pytest.mark.parametrize(
    ("url", "port", "target", "host"),
    [
        ("http://app1", 80, "/", "app1"),
        ("http://[::1]:8001/x?y=1#z", 8001, "/x?y=1", "[::1]:8001"),
        ("https://shop.example.com/", 443, "/", "shop.example.com"),
    ],
)
def test_addresses(url: str, port: int, target: str, host: str) -> None:
    request = read_http_check({"url": url}).request
    assert (request.port, request.target, dict(request.headers)["Host"]) == (port, target, host)


def test_with_tls_the_host_is_asked_for_and_verified() -> None:
    check = read_http_check({"url": "https://10.0.0.1:8443/", "host": "shop.example.com:8443"})
    assert check.request.server_hostname == "shop.example.com"
    assert check.tls_verified is True
    assert check.request.tls is not None
    assert check.request.tls.check_hostname


def test_without_verification_the_result_says_so() -> None:
    assert read_http_check({"url": "https://h/", "validate_certs": False}).tls_verified is False
    assert read_http_check({"url": "http://h/"}).tls_verified is None


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"checks": []}, "checks: [] is not accepted, expected at least one check"),
    ({}, {"checks": [CHECK, CHECK]}, "checks[1].name: 'app1' is not accepted, expected a name that no other check has"),
    ({"name": " "}, {}, "checks[0].name: ' ' is not accepted"),
    ({"url": "ftp://h/"}, {}, "checks[0].url: 'ftp://h/' is not accepted, expected an http:// or https:// URL"),
    ({"url": "http:///x"}, {}, "checks[0].url: 'http:///x' is not accepted"),
    ({"url": "http://h:99999/"}, {}, "checks[0].url: 'http://h:99999/' is not accepted"),
    ({"url": "http://h:0/"}, {}, "checks[0].url: 'http://h:0/' is not accepted"),
    ({"url": "http://h/a b"}, {}, "checks[0].url: 'http://h/a b' is not accepted"),
    ({"url": "http://h/ä"}, {}, "checks[0].url: 'http://h/ä' is not accepted"),
    ({"host": "a b"}, {}, "checks[0].host: 'a b' is not accepted, expected a host name"),
    ({"host": ""}, {}, "checks[0].host: '' is not accepted"),
    ({"host": "a\r\nX: y"}, {}, "checks[0].host: 'a\\r\\nX: y' is not accepted"),
    ({"headers": {"a b": "x"}}, {}, "checks[0].headers: 'a b' is not accepted, expected a header's name"),
    ({"headers": {"Host": "x"}}, {}, "checks[0].headers: 'Host' is not accepted, expected no Host"),
    ({"headers": {"A": "x"}, "secret_headers": {"a": "y"}}, {}, "checks[0].secret_headers: 'a' is not accepted"),
    ({"status": []}, {}, "checks[0].status: [] is not accepted"),
    ({"status": [20]}, {}, "checks[0].status: 20 is not accepted, expected numbers from 100 to 599"),
    ({"release": ""}, {}, "checks[0].release: '' is not accepted, expected a value that is not empty"),
    ({"text": ""}, {}, "checks[0].text: '' is not accepted"),
    ({"release_header": "X Y"}, {}, "checks[0].release_header: 'X Y' is not accepted"),
    ({"method": "HEAD", "text": "x"}, {}, "checks[0].method: 'HEAD' is not accepted, expected GET"),
    ({"method": "HEAD", "json": {"a": 1}}, {}, "checks[0].method: 'HEAD' is not accepted, expected GET"),
    ({"timeout": 0.0}, {}, "checks[0].timeout: 0.0 is not accepted, expected 0.05 seconds or more"),
    ({"timeout": float("nan")}, {}, "checks[0].timeout: nan is not accepted"),
    ({"url": "https://h/", "ca_path": "/no/such"}, {}, "checks[0].ca_path: '/no/such' is not accepted"),
    ({}, {"successes": 0}, "successes: 0 is not accepted, expected 1 or more"),
    ({}, {"failures_allowed": -1}, "failures_allowed: -1 is not accepted, expected 0 or more"),
    ({}, {"wrong_release_limit": -1}, "wrong_release_limit: -1 is not accepted"),
    ({}, {"interval": 0.0}, "interval: 0.0 is not accepted, expected 0.05 seconds or more"),
    ({}, {"deadline": float("inf")}, "deadline: inf is not accepted"),
    ({}, {"initial_delay": -1.0}, "initial_delay: -1.0 is not accepted"),
    (
        {},
        {"successes": 30, "interval": 10.0},
        "deadline: 60.0 is not accepted, expected 290 seconds or more: 30 samples every 10 s after 0 s",
    ),
    ({}, {"deadline": 4.0}, "deadline: 4.0 is not accepted, expected initial_delay and the longest timeout (5 s)"),
    ({}, {"duration": 61.0}, "duration: 61.0 is not accepted, expected the deadline (60 s) or less"),
    ({}, {"since": "2026-11-21T16:05:28"}, "since: '2026-11-21T16:05:28' is not accepted, expected a time in UTC"),
    ({}, {"since": "yesterday"}, "since: 'yesterday' is not accepted, expected a time in UTC such as 2026-"),
    ({"successes": 0}, {}, "checks[0].successes: 0 is not accepted, expected 1 or more"),
    ({"failures_allowed": -1}, {}, "checks[0].failures_allowed: -1 is not accepted"),
    (
        {"after": "login"},
        {},
        "checks[0].after: 'login' is not accepted, expected the name of a check of kind http above",
    ),
    ({"csrf": True}, {}, "checks[0].csrf: True is not accepted, expected a check with the option after"),
    (
        {"body": {"a": 1}},
        {},
        "checks[0].method: 'GET' is not accepted, expected POST, PUT, PATCH or DELETE with a body",
    ),
    ({"redirect": "("}, {}, "checks[0].redirect: '(' is not accepted, expected a regular expression"),
    ({"response_headers": {"a b": "x"}}, {}, "checks[0].response_headers: 'a b' is not accepted"),
    ({"max_latency": 0.0}, {}, "checks[0].max_latency: 0.0 is not accepted, expected 0.001 seconds or more"),
    ({"within": 0}, {}, "checks[0].within: 0 is not accepted, expected 1 or more"),
    ({"value_of": "count"}, {}, "checks[0].value_of: 'count' is not accepted, expected value_of together with equals"),
    ({"max": 1.0}, {}, "checks[0].value_of: None is not accepted, expected value_of together with equals"),
    ({"max": float("nan"), "value_of": "n"}, {}, "checks[0].max: nan is not accepted, expected a finite number"),
    (
        {"address": "h"},
        {},
        "checks[0].address: '…' is not accepted, expected no such option with kind http; it is one of",
    ),
    ({"password": "SECRET"}, {}, "checks[0].password: '…' is not accepted, expected no such option with kind http"),
]


@pytest.mark.parametrize(("check", "gate", "message"), REFUSED)
def test_refused(check: dict[str, Any], gate: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read(check, **gate)
    assert message in refusal.value.message
    assert "Nothing was changed." in refusal.value.message


@pytest.mark.parametrize(
    "check",
    [
        {"url": "http://user:SECRET@h/"},
        {"url": "http://SECRET@h/"},
        {"secret_headers": {"Authorization": "SECRET\r\nX: y"}},
        {"secret_headers": {"Authorization": "SECRET€"}},
        {"password": "SECRET"},
        {"method": "GET", "secret_body": {"password": "SECRET"}},
    ],
)
def test_a_secret_is_not_repeated_in_the_refusal(check: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read(check)
    assert "SECRET" not in refusal.value.message
    assert "SECRET" not in str(refusal.value.facts)


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    with pytest.raises(InvalidOption, match=r"expected a readable file of PEM certificates"):
        read({"url": "https://h/", "ca_path": str(empty)})


@pytest.mark.parametrize(
    ("text", "microsecond"), [("2026-11-21T16:05:28Z", 0), ("2026-11-21T16:05:28.250000Z", 250_000)]
)
def test_the_release_went_live_at_a_time_of_a_record_or_of_a_person(text: str, microsecond: int) -> None:
    assert read(since=text).since == datetime(2026, 11, 21, 16, 5, 28, microsecond, tzinfo=timezone.utc)

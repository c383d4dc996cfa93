# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._preflight._deadline import all_within
from ansible_collections.slipway.django.plugins.module_utils._preflight._network import (
    Address,
    Certificate,
    certificate_row,
    certificate_rows,
    reach_rows,
    read_address,
    read_certificate,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
SHOP = Certificate("shop.example", Address("127.0.0.1", 443), 14, "")


@pytest.fixture
def listener() -> Iterator[Address]:
    """It takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


def test_what_listens_is_reached_and_what_does_not_is_not(listener: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        closed = Address("127.0.0.1", other.getsockname()[1])
    good, bad = reach_rows([listener, closed], 2)

    assert good.mark is Mark.PASSED
    assert (bad.mark, bad.seen) == (Mark.FAILED, "Connection refused")


@pytest.mark.parametrize(
    ("days", "mark", "seen"), [(15, Mark.PASSED, "15 days left"), (13.99, Mark.FAILED, "13 days left")]
)
def test_the_days_that_are_left_are_counted_down(days: float, mark: Mark, seen: str) -> None:
    row = certificate_row(SHOP, (NOW + timedelta(days=days)).timestamp(), NOW)
    assert (row.mark, row.seen) == (mark, seen)


def test_a_certificate_that_is_not_accepted_fails_and_silence_could_not_be_checked() -> None:
    refused = ssl.SSLCertVerificationError(1, "x")
    refused.verify_message = "certificate has expired"

    assert certificate_row(SHOP, refused, NOW).seen == "not accepted: certificate has expired"
    assert certificate_row(SHOP, refused, NOW).mark is Mark.FAILED
    assert certificate_row(SHOP, ConnectionRefusedError(111, "Connection refused"), NOW).mark is Mark.UNKNOWN


def test_a_server_that_says_nothing_does_not_hold_it(listener: Address) -> None:
    began = time.monotonic()
    rows = certificate_rows([Certificate("a", listener, 1, ""), Certificate("b", listener, 1, "")], 0.3, NOW)

    assert time.monotonic() - began < 2
    assert [row.mark for row in rows] == [Mark.UNKNOWN, Mark.UNKNOWN]


def test_all_looks_are_made_at_once_within_one_deadline() -> None:
    waiting = threading.Event()

    def hang() -> str:
        waiting.wait(30)
        return "late"

    def fail() -> str:
        raise ValueError("broken")

    began = time.monotonic()
    slow, good, bad = all_within([hang, lambda: "seen", fail], 0.2)
    waiting.set()

    assert time.monotonic() - began < 2
    assert good == "seen"
    assert isinstance(slow, TimeoutError)
    assert str(slow) == "no answer within 0.2 s"
    assert isinstance(bad, ValueError)


@pytest.mark.parametrize(("text", "host", "port"), [("db1:5432", "db1", 5432), ("[::1]:80", "::1", 80)])
def test_addresses(text: str, host: str, port: int) -> None:
    assert read_address("reach[0]", text) == Address(host, port)


@pytest.mark.parametrize("text", ["db1", "db1:", ":80", "db1:0", "db1:70000", "db1:http"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"reach\[0\]"):
        read_address("reach[0]", text)


@pytest.mark.parametrize("wrong", [{"name": " "}, {"port": 0}, {"days": -1}])
def test_a_certificate_that_can_not_be_asked_for_is_refused(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"name": "shop.example", "address": None, "port": 443, "days": 14, "ca_path": None}
    assert read_certificate("certificates[0]", good) == Certificate(
        "shop.example", Address("shop.example", 443), 14, ""
    )
    with pytest.raises(InvalidOption, match=rf"certificates\[0\]\.{next(iter(wrong))}"):
        read_certificate("certificates[0]", {**good, **wrong})

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import (
    Checks,
    Health,
    read_through,
    split_address,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Check
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


class Site(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path says, for one host."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")) if self.headers["Host"] == "shop.example.com" else 421)
        self.send_header("X-Release", "v2")
        self.send_header("X-Served-By", "a")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    with contextlib.closing(server.socket):
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_is_asked_by_its_page(address: str) -> None:
    health = Health("/204", "shop.example.com", 204)
    checks = health.ask({"a": address, "gone": "127.0.0.1:1"}, SystemClock())
    assert checks["a"] == Check(configured=True, passed=True, text="GET /204: status 204")
    assert checks["gone"] == Check(configured=True, passed=False, text="GET /204: the connection was refused")
    assert Health("/503", "shop.example.com").ask({"a": address}, SystemClock())["a"].text == (
        "GET /503: status 503 (expected 200)"
    )
    assert not Health("/200").ask({"a": address}, SystemClock())["a"].passed


def test_without_a_page_a_connection_is_enough(address: str) -> None:
    checks = Health().ask({"a": address, "gone": "127.0.0.1:1"}, SystemClock())
    assert checks["a"] == Check(configured=True, passed=True, text="connected")
    assert checks["gone"] == Check(configured=True, passed=False, text="Connection refused")


def test_the_same_is_not_asked_twice_within_a_moment() -> None:
    asked: list[list[str]] = []

    class Counting(Health):
        def ask(self, addresses: object, clock: object) -> dict[str, Check]:
            assert isinstance(addresses, dict)
            asked.append(list(addresses))
            return {name: Check(configured=True, passed=True, text="") for name in addresses}

    clock = FakeClock()
    checks = Checks(Counting(), clock, every_s=0.5)
    checks.of({"a": "x:1"})
    clock.advance(0.4)
    checks.of({"a": "x:1", "b": "x:2"})
    clock.advance(0.2)
    checks.of({"a": "x:1", "b": "x:2"})
    assert asked == [["a"], ["b"], ["a"]]


def through(**values: object) -> dict[str, object]:
    return {
        "url": "http://127.0.0.1/",
        "host": None,
        "status": 200,
        "release": None,
        "release_header": "X-Release",
        "server_header": "X-Served-By",
        **values,
    }


@pytest.mark.parametrize(
    ("status", "release", "good", "wrong"),
    [(200, "v2", True, False), (200, None, True, False), (200, "v3", False, True), (503, "v2", False, False)],
)
def test_a_request_through_the_balancer(address: str, status: int, release: str, good: bool, wrong: bool) -> None:
    values = through(url=f"http://{address}/{status}", host="shop.example.com", release=release)
    passage = read_through(values).ask(SystemClock())
    assert (passage.by, passage.good, passage.wrong) == ("a", good, wrong)


def test_no_answer_is_nobody() -> None:
    passage = read_through(through(url="http://127.0.0.1:1/")).ask(SystemClock())
    assert (passage.by, passage.good) == ("", False)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "ftp://x/"}, "through.url: 'ftp://x/' is not accepted, expected an http"),
        ({"url": "http:///x"}, "through.url"),
        ({"url": "http://x/a b"}, "through.url"),
        ({"release": " "}, "through.release: ' ' is not accepted, expected a release, or no such option"),
    ],
)
def test_a_request_that_can_not_be_sent(values: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_through(through(**values))
    assert words in caught.value.message


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidOption) as caught:
        read_through(through(url="http://me:mark-of-a-secret@x/"))
    assert "mark-of-a-secret" not in caught.value.message
    assert read_through(through(url="https://x/")).request.port == 443


@pytest.mark.parametrize(("text", "address"), [("192.0.2.1:80", ("192.0.2.1", 80)), ("[::1]:8001", ("::1", 8001))])
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", "x", "x:", ":80", "x:0", "x:65536", "unix:/run/x", "x:http"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"expected a host and a port, such as 192\.0\.2\.1:8001"):
        split_address(text)


@pytest.mark.parametrize(
    ("health", "option"),
    [
        (Health("health"), "x.path"),
        (Health("/a b"), "x.path"),
        (Health("/", "a b"), "x.host"),
        (Health("/", status=99), "x.status"),
        (Health("/", timeout_s=0), "x.timeout"),
    ],
)
def test_options_that_can_not_be_sent(health: Health, option: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        health.validate("x")
    assert caught.value.option == option

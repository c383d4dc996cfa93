# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Failure
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer
from ansible_collections.slipway.django.plugins.module_utils._maintenance._probe import judge, read_probe

ON = (("X-Maintenance", "on"), ("Retry-After", "300"))


def answer(status: int, *headers: tuple[str, str]) -> Answer:
    return Answer(status, headers, b"", False, 0.01)


def test_the_balancer_says_what_visitors_get() -> None:
    assert judge(answer(503, *ON)) is True
    assert judge(answer(204, ("x-maintenance", "off"))) is False


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (answer(200), "knows no maintenance: status 200.*Prepare the balancer"),
        # The site's own, or that of a balancer without servers.
        (answer(503, ("Retry-After", "300")), "knows no maintenance: status 503"),
        (answer(200, *ON), "came with status 200 and Retry-After '300', expected 503 and seconds"),
        (answer(503, ("X-Maintenance", "on")), "Retry-After '', expected 503"),
        (
            Failure("refused", "the connection was refused", False, 0.1),
            "no answer to a visitor's request: the connection",
        ),
    ],
)
def test_anything_else_is_a_failure(outcome: Answer | Failure, message: str) -> None:
    with pytest.raises(SlipwayError, match=message):
        judge(outcome)


def test_the_request_asks_as_a_visitor_of_the_site() -> None:
    request = read_probe("http://127.0.0.1:8080/x", "shop.example")

    assert (request.hostname, request.port, request.target, request.tls) == ("127.0.0.1", 8080, "/x", None)
    assert dict(request.headers)["Host"] == "shop.example"
    assert "X-Maintenance-Probe" in dict(request.headers)


def test_by_tls_the_name_is_that_of_the_site() -> None:
    request = read_probe("https://127.0.0.1/", "shop.example:443")

    assert (request.port, request.server_hostname) == (443, "shop.example")
    assert request.tls is not None


@pytest.mark.parametrize("url", ["", "127.0.0.1", "ftp://127.0.0.1/", "http:///x", "http://127.0.0.1:port/"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"probe_url: .* expected an http:// or https:// URL"):
        read_probe(url, "")


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidOption) as caught:
        read_probe("http://ada:lovelace@127.0.0.1/", "")

    assert "lovelace" not in caught.value.message

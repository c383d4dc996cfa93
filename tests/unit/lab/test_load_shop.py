# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json

import pytest
from shopload import shop
from shopload.response import Response


def answer(body: bytes, *, release: str = "r1", cookies: tuple[str, ...] = ()) -> Response:
    return Response(200, {"x-release": release}, cookies, body, keep=True)


def html(text: str = "", release: str = "r1") -> bytes:
    return f'<meta name="release" content="{release}">{text}</html>\n'.encode()


def test_the_head_of_a_request() -> None:
    request = shop.order("L-1-1", 1, "token")

    lines = request.head("shop.example", close=True).decode().split("\r\n")

    assert lines[:2] == ["POST /api/orders HTTP/1.1", "Host: shop.example"]
    assert f"Content-Length: {len(request.body)}" in lines
    assert "Authorization: Bearer token" in lines
    assert lines[-3:] == ["Connection: close", "", ""]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (html(), None),
        (html()[:-9], "the page has no end"),
        (html(release="r2"), "the page and its header tell different releases"),
        (b"<p></html>", "the page and its header tell different releases"),
    ],
)
def test_a_page_must_be_whole_and_of_one_release(body: bytes, wrong: str | None) -> None:
    assert shop.page("/").check(answer(body)) == wrong


def test_a_page_must_hold_what_only_it_holds() -> None:
    request = shop.page("/account/", "sessionid=1", b"load")

    assert request.check(answer(html("load"))) is None
    assert request.check(answer(html("login"))) == "the page does not hold load"


def test_an_orders_answer_bears_its_reference() -> None:
    request = shop.order("L-1-1", 1, "token")

    assert request.check(answer(b'{"reference": "L-1-1"}')) is None
    assert request.check(answer(b'{"reference": "L-1-2"}')) == "other reference than was sent"
    assert request.check(answer(b"[1]")) == "not a JSON object"
    assert request.check(answer(b"<html>")) == "not JSON"


def test_an_uploads_answer_bears_its_digest() -> None:
    request = shop.upload(7, "token")
    right = {"sha256": hashlib.sha256(request.body).hexdigest(), "length": len(request.body)}

    assert len(request.body) == shop.UPLOAD_BYTES
    assert request.body != shop.upload(8, "token").body
    assert request.check(answer(json.dumps(right).encode())) is None
    assert request.check(answer(json.dumps(right | {"sha256": "0"}).encode())) == "other sha256 than was sent"


def test_static_names_are_taken_from_pages_and_asked_for_in_turn() -> None:
    names = shop.StaticNames()
    assert names.pick() is None

    names.learn(answer(html('<link href="/static/a.1.css"><a href="/orders/">'), release="r1"))
    names.learn(answer(html('<link href="/static/a.1.css"><img src="/static/b.2.svg">'), release="r2"))

    assert names.release_of == {"/static/a.1.css": "r1", "/static/b.2.svg": "r2"}
    assert {names.pick(), names.pick()} == set(names.release_of)


def test_a_static_file_is_always_the_same() -> None:
    names = shop.StaticNames()
    request = names.request("/static/a.1.css")

    assert request.check(answer(b"a")) is None
    assert request.check(answer(b"a")) is None
    assert request.check(answer(b"b")) == "the content is not that of before"


def test_cookies_are_found() -> None:
    cookies = ("csrftoken=abc; Path=/; SameSite=Lax", "sessionid=xyz")

    assert shop.cookie(answer(b"", cookies=cookies), "csrftoken") == "abc"
    assert shop.cookie(answer(b"", cookies=cookies), "sessionid") == "xyz"
    assert shop.cookie(answer(b"", cookies=cookies), "other") is None


def test_a_login_without_a_session_is_wrong() -> None:
    request = shop.login("abc", "load", "p&ss")

    assert request.wanted == 302
    assert request.body == b"csrfmiddlewaretoken=abc&username=load&password=p%26ss"
    assert request.check(answer(b"", cookies=("sessionid=1",))) is None
    assert request.check(answer(b"")) == "no session"

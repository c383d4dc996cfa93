# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a good answer has."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation, judge
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Answer
from ansible_collections.slipway.django.plugins.module_utils._gate._model import State
from hypothesis import given
from hypothesis import strategies as st


def answer(
    status: int = 200,
    release: str | None = None,
    body: bytes = b"",
    *,
    header: str = "X-Release",
    truncated: bool = False,
) -> Answer:
    headers = () if release is None else ((header, release),)
    return Answer(status, headers, body, truncated, 0.004)


GOOD = [
    (answer(), Expectation()),
    (answer(204), Expectation(status=(200, 204))),
    (answer(release="r2"), Expectation(release="r2")),
    (answer(release="r2", header="x-release"), Expectation(release="r2")),
    (answer(release="r2", header="X-Version"), Expectation(release="r2", release_header="X-Version")),
    (answer(body=b'{"status": "ok", "more": 1}'), Expectation(json={"status": "ok"})),
    (answer(body=b'{"checks": {"db": "ok"}}'), Expectation(json={"checks": {"db": "ok"}})),
    (answer(body="Grüße".encode()), Expectation(text="Grü")),
    (answer(body=b"x" * 10, truncated=True), Expectation(text="xx")),
    (answer(body=b"", truncated=True), Expectation()),
]


@pytest.mark.parametrize(("outcome", "expectation"), GOOD)
def test_good(outcome: Answer, expectation: Expectation) -> None:
    sample = judge(outcome, expectation)
    assert (sample.state, sample.code, sample.text) == (State.GOOD, "ok", f"status {outcome.status}")
    assert sample.elapsed_s == 0.004


BAD = [
    (answer(503), Expectation(), "status", "status 503 (expected 200)"),
    (answer(302), Expectation(), "status", "status 302 (expected 200; redirects are not followed)"),
    (answer(500), Expectation(status=(401, 403)), "status", "status 500 (expected 401 or 403)"),
    (answer(), Expectation(release="r2"), "release_missing", "no header X-Release (expected release r2)"),
    (
        answer(release="r1"),
        Expectation(release="r2"),
        "wrong_release",
        "release r1 answered with status 200 (expected r2)",
    ),
    (
        answer(503, "r1"),
        Expectation(release="r2"),
        "wrong_release",
        "release r1 answered with status 503 (expected r2)",
    ),
    (answer(503, "r2"), Expectation(release="r2"), "status", "status 503 (expected 200)"),
    (answer(body=b"<html>"), Expectation(json={"a": 1}), "not_json", "the body is not JSON"),
    (answer(body=b"\xff\xfe"), Expectation(json={"a": 1}), "not_json", "the body is not JSON"),
    (answer(body=b"[]"), Expectation(json={"a": 1}), "not_json", "the body is a JSON list (expected an object)"),
    (answer(body=b"{}"), Expectation(json={"a": 1}), "json", "the JSON has no a (expected 1)"),
    (answer(body=b'{"a": 1}'), Expectation(json={"a": "1"}), "json", 'the JSON has a: 1 (expected "1")'),
    (answer(body=b'{"a": true}'), Expectation(json={"a": 1}), "json", "the JSON has a: true (expected 1)"),
    (
        answer(body=b'{"a": 1}', truncated=True),
        Expectation(json={"a": 1}),
        "too_long",
        "the body is too long to be read whole",
    ),
    (answer(body=b"abc"), Expectation(text="x"), "text", "the body does not hold the given text"),
    (
        answer(body=b"abc", truncated=True),
        Expectation(text="x"),
        "too_long",
        "the text is not in the part of the body that was read",
    ),
]


@pytest.mark.parametrize(("outcome", "expectation", "code", "text"), BAD)
def test_bad(outcome: Answer, expectation: Expectation, code: str, text: str) -> None:
    sample = judge(outcome, expectation)
    assert (sample.state, sample.code, sample.text) == (State.BAD, code, text)
    assert sample.release_is_wrong == (code == "wrong_release")


def test_what_a_server_sends_is_made_harmless_and_short() -> None:
    sample = judge(answer(release="\x1b[31m" + "x" * 200), Expectation(release="r2"))
    assert sample.release == "?[31m" + "x" * 75 + "…"
    assert "\x1b" not in sample.text


@given(status=st.integers(100, 599), body=st.binary(max_size=200))
def test_a_body_never_shows_in_a_sample(status: int, body: bytes) -> None:
    marked = b"SECRET" + body
    sample = judge(answer(status, body=marked), Expectation(json={"status": "ok"}, text="x"))
    assert "SECRET" not in sample.text


def test_the_expectation_in_words() -> None:
    expectation = Expectation((200, 204), "r2", "X-Release", {"status": "ok"}, "Basket")
    assert expectation.describe() == 'status 200 or 204, release r2 in X-Release, JSON status: "ok", the given text'

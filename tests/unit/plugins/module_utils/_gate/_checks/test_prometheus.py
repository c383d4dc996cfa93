# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus answers, and what a check makes of it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._prometheus import (
    PrometheusCheck,
    read_value,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Moment, Rule
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import DEFAULTS, read
from hypothesis import given
from hypothesis import strategies as st


def rung(**given: object) -> dict[str, object]:
    """A row of the ladder as Ansible hands it over."""
    empty = dict.fromkeys(("above", "below", "times_baseline", "below_baseline"))
    return {"from": 0, "action": "rollback", **empty, **given}


RATE: dict[str, Any] = {
    "kind": "prometheus",
    "url": "http://prometheus:9090/graph/",
    "bad": "sum(increase(e[$window]))",
    "total": "sum(increase(t[$window]))",
    "thresholds": [rung(above=0.05)],
}
VALUE: dict[str, Any] = {"kind": "prometheus", "url": "http://prometheus:9090", "query": "up", "min": 1.0}


def answer(result: object, kind: str = "vector") -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (answer([]), None),
        (answer([{"metric": {}, "value": [1.5, "0.25"]}]), 0.25),
        (answer([{"metric": {}, "value": [1.5, "NaN"]}]), None),
        (answer([{"metric": {}, "value": [1.5, "1e-05"]}]), 1e-05),
        (answer([1.5, "3"], "scalar"), 3.0),
    ],
)
def test_one_number_or_no_data(body: bytes, value: float | None) -> None:
    assert read_value(200, body) == value


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (200, answer([{"value": [1, "1"]}, {"value": [1, "2"]}]), "several_series", "2 series (expected one: use sum)"),
        (200, answer([{"value": [1, "+Inf"]}]), "infinite", "infinity"),
        (200, answer([], "matrix"), "query", "no instant value"),
        (400, b'{"status": "error", "errorType": "bad_data", "error": "SECRET"}', "query", "the error bad_data"),
        (503, b"SECRET", "not_prometheus", "status 503 without JSON"),
        (200, b"[]", "not_prometheus", "status 200: no answer of Prometheus"),
        (200, b'{"status": "success"}', "not_prometheus", "without a number"),
        (200, answer([{"value": [1, "x"]}]), "not_prometheus", "without a number"),
    ],
)
def test_what_is_no_measurement_is_no_number(status: int, body: bytes, code: str, words: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read_value(status, body)
    assert caught.value.code == code
    assert words in caught.value.text
    assert "SECRET" not in caught.value.text


documents = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(st.binary(max_size=60) | documents.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_it_is_a_number_nothing_or_not_understood(body: bytes) -> None:
    with suppress(NotUnderstood):
        assert read_value(200, body) is None


def check(options: dict[str, Any]) -> PrometheusCheck:
    (found,) = read(options).checks
    assert isinstance(found, PrometheusCheck)
    return found


def test_a_rate_is_judged_by_one_sample_and_asked_below_the_path_of_the_server() -> None:
    found = check(RATE)
    assert found.common.rule == Rule(1, 0, 3)
    assert found.request.target == "/graph/api/v1/query"
    assert found.instrument


@pytest.mark.parametrize(("age_s", "window"), [(None, "300s"), (1000.0, "300s"), (42.4, "42s"), (0.0, "1s")])
def test_the_window_does_not_reach_back_before_the_release(age_s: float | None, window: str) -> None:
    assert f"{Moment(age_s).window_s(300.0):.0f}s" == window


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": "up"}, "checks[0].query: 'up' is not accepted, expected either query, or bad and total"),
        ({"total": None}, "checks[0].query: None is not accepted, expected either query, or bad and total"),
        ({"thresholds": []}, "checks[0].thresholds: [] is not accepted, expected thresholds, equals, min or max"),
        ({"min": 1.0}, "expected above and times_baseline with bad and total"),
        ({"window": "5 minutes"}, "checks[0].window: '5 minutes' is not accepted, expected seconds, or a number with"),
        ({"min_total": 0}, "checks[0].min_total: 0 is not accepted, expected 1 or more"),
        ({"confidence": 1.0}, "checks[0].confidence: 1.0 is not accepted, expected a number between 0 and 1"),
        ({"baseline": {"bad": 2}}, "checks[0].baseline: ['bad'] is not accepted, expected value, or bad and total"),
        ({"baseline": {"bad": 2, "total": 1}}, "expected value, or bad and total with bad not above total"),
        ({"baseline": {"value": "SECRET"}}, "checks[0].baseline: ['value'] is not accepted, expected numbers"),
        ({"thresholds": [rung(**{"from": "soon", "above": 1.0})]}, "checks[0].thresholds[0].from: 'soon' is not"),
        ({"thresholds": [rung(below_baseline=0.5)]}, "'equals, min, below or below_baseline' is not accepted"),
    ],
)
def test_half_a_question_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read({**RATE, **changes})
    assert message in refusal.value.message


def test_all_options_that_are_not_given_have_their_defaults() -> None:
    assert check(VALUE).window_s == 300.0
    assert DEFAULTS["min_total"] == 1

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shopload import figures
from shopload.failures import Failure
from shopload.figures import Figures, Record

seconds = st.floats(0, 100, allow_nan=False)


def record(kind: str = "page", *, intended: float = 0.0, latency: float = 0.01, **more: object) -> Record:
    return Record(kind, intended, intended, intended + latency, **more)  # type: ignore[arg-type]


@given(st.lists(seconds, min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)

    value = figures.percentile(ordered, share)

    assert value in ordered
    assert value is not None
    assert sum(other <= value for other in ordered) >= math.floor(share * len(ordered))
    assert sum(other < value for other in ordered) <= share * len(ordered)


def test_percentiles_of_a_hundred() -> None:
    values = [index / 1000 for index in range(1, 101)]

    assert figures.spread(values) == {"count": 100, "p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


def test_nothing_has_no_percentile() -> None:
    assert figures.spread([]) == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}


def test_latency_counts_from_the_intended_start() -> None:
    assert Record("page", intended=1.0, started=4.0, finished=4.5).latency == 3.5


def test_failures_are_counted_by_kind_and_class_and_kept_out_of_the_latencies() -> None:
    counted = Figures()
    counted.add(record(latency=0.01, release="a", served_by="app1-blue"))
    counted.add(record(latency=9.0, failure=Failure.TRUNCATED, cut=True))
    counted.add(record("order", latency=9.0, failure=Failure.STATUS_5XX))

    assert (counted.sent, counted.failed, counted.cut) == (3, 2, 1)
    assert counted.by_class() == {"5xx": 1, "truncated": 1}
    assert dict(counted.failures) == {"page": {"truncated": 1}, "order": {"5xx": 1}}
    assert counted.latencies()["quick"] == {"count": 1, "p50": 10.0, "p95": 10.0, "p99": 10.0, "max": 10.0}
    assert dict(counted.answers) == {"a": {"app1-blue": 1}}


def test_slow_kinds_have_their_own_latencies_only() -> None:
    counted = Figures()
    counted.add(record("slow", latency=5.0))
    counted.add(record("page", latency=0.02))

    latencies = counted.latencies()

    assert latencies["quick"] == {"count": 1, "p50": 20.0, "p95": 20.0, "p99": 20.0, "max": 20.0}
    assert set(latencies["by_kind"]) == {"page", "slow"}  # type: ignore[call-overload]


def test_the_timeline_has_a_row_for_each_second_of_intended_starts() -> None:
    counted = Figures()
    counted.add(record(intended=0.2, latency=2.0, release="a"))
    counted.add(record(intended=1.1, latency=0.0301, release="b"))
    counted.add(record(intended=1.2, failure=Failure.RESET))

    assert counted.timeline() == [
        {"second": 0, "sent": 1, "failed": 0, "max_ms": 2000, "releases": {"a": 1}},
        {"second": 1, "sent": 2, "failed": 1, "max_ms": 31, "releases": {"b": 1}},
    ]


def test_the_recent_p99_forgets() -> None:
    counted = Figures()
    counted.add(record(latency=0.5))

    assert counted.recent_p99() == 0.5
    assert counted.recent_p99() is None


def test_a_failure_is_written_with_its_time_of_day() -> None:
    failed = record("order", intended=1.0, latency=0.5, failure=Failure.EOF_REUSED, reused=True, reference="L-1-1")

    assert failed.as_failure(epoch=1_795_283_968.25) == {
        "at": "2026-11-21T17:59:29.750Z",
        "intended_s": 1.0,
        "latency_ms": 500.0,
        "kind": "order",
        "failure": "eof_before_answer_reused",
        "cut": False,
        "reused": True,
        "status": None,
        "release": None,
        "served_by": None,
        "detail": "",
        "reference": "L-1-1",
    }


def test_a_generator_that_kept_up_says_so() -> None:
    judged = figures.judge_generator([0.001] * 1200, wanted_rate=120, elapsed=10, skipped=0)

    assert judged.kept_up
    assert judged.achieved_rate == 120


@pytest.mark.parametrize(
    ("lags", "elapsed", "skipped", "why_not"),
    [
        ([0.001] * 1200, 10, 3, "3 requests were not sent: too many were under way"),
        ([0.001] * 1180 + [0.2] * 20, 10, 0, "20 of 1200 requests were begun more than 50 ms late"),
        ([0.001] * 1000, 10, 0, "100.0 requests a second were begun, 120 were wanted"),
        ([], 0, 0, "0.0 requests a second were begun, 120 were wanted"),
    ],
)
def test_a_generator_that_did_not_keep_up_says_why(
    lags: list[float], elapsed: float, skipped: int, why_not: str
) -> None:
    judged = figures.judge_generator(lags, wanted_rate=120, elapsed=elapsed, skipped=skipped)

    assert not judged.kept_up
    assert judged.why_not == why_not

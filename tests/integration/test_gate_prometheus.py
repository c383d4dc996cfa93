# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus: each release that is broken on purpose gets its verdict. tests/proof does it twenty times."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.gate_servers import gate
from ansible_collections.slipway.django.tests.integration.gate_world import (
    BROKEN,
    HEALTHY,
    LOW_TRAFFIC,
    PROMETHEUS,
    Judged,
    Prometheus,
    Watching,
    judge_together,
    prometheus,
)

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs the package prometheus")
# A scrape may lie a second back, and a look at seven releases on a busy machine takes its time.
MARGIN_S = 2.0


@pytest.fixture(scope="module", name="measured")
def _measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with prometheus(tmp_path_factory.mktemp("prometheus"), port) as started:
        yield started


@pytest.mark.long
def test_each_release_gets_its_verdict(measured: Prometheus) -> None:
    watching = Watching()
    wanted = {**{name: verdict for name, (_behaviour, verdict) in BROKEN.items()}, HEALTHY.name: "pass"}
    behaviours = [behaviour for behaviour, _verdict in BROKEN.values()]
    judged = {
        found.behaviour.name: found
        for found in judge_together([*behaviours, HEALTHY, LOW_TRAFFIC], measured, watching, 7)
    }
    low = judged.pop(LOW_TRAFFIC.name)
    assert low.verdict in ("pass", "hold"), low
    assert {name: found.verdict for name, found in judged.items()} == wanted, judged
    assert [found for found in judged.values() if is_late(found, watching)] == []


def is_late(found: Judged, watching: Watching) -> bool:
    late_s = found.late_s(watching)
    return late_s is not None and late_s > 2 * watching.interval_s + MARGIN_S


def one_look(measured: Prometheus, **options: Any) -> tuple[str, dict[str, Any]]:
    run = gate({"kind": "prometheus", "url": measured.url, **options}, deadline=1.5, interval=5, fail_on=[])
    (check,) = run.succeeded()["checks"]
    return check["verdict"], check


@pytest.mark.parametrize(
    ("options", "verdict", "code"),
    [
        ({"query": "vector(3)", "max": 3}, "pass", None),
        ({"query": "vector(4)", "max": 3}, "rollback", "threshold"),
        ({"query": "vector(4)", "max": 3, "action": "hold"}, "hold", "threshold"),
        ({"query": "vector(4)", "thresholds": [{"above": 3, "action": "notify"}]}, "pass", "threshold"),
        (
            {"query": "vector(6)", "baseline": {"value": 4}, "thresholds": [{"times_baseline": 1.2}]},
            "rollback",
            "threshold",
        ),
        ({"query": "absent_series", "max": 3}, "hold", "no_data"),
        ({"query": "vector(0) / vector(0)", "max": 3}, "hold", "no_data"),
        ({"query": "vector(1) / vector(0)", "max": 3}, "hold", "infinite"),
        ({"query": "sum(", "max": 3}, "hold", "query"),
        ({"bad": "vector(0)", "total": "vector(59)", "max": 0.05}, "pass", None),
        ({"bad": "absent_series", "total": "vector(59)", "max": 0.05}, "pass", None),
        ({"bad": "vector(0)", "total": "vector(58)", "max": 0.05}, "hold", "not_shown"),
        ({"bad": "vector(0)", "total": "vector(59)", "max": 0.05, "min_total": 60}, "hold", "too_few"),
        ({"bad": "vector(4)", "total": "vector(15)", "max": 0.05}, "rollback", "threshold"),
        ({"bad": "vector(0)", "total": "vector(0)", "max": 0.05}, "hold", "no_traffic"),
        ({"bad": "vector(0)", "total": "absent_series", "max": 0.05}, "hold", "no_traffic"),
    ],
)
def test_what_prometheus_says(measured: Prometheus, options: dict[str, Any], verdict: str, code: str | None) -> None:
    seen, check = one_look(measured, **options)
    assert seen == verdict, check
    assert (check["last_fault"] or {"code": None})["code"] == code

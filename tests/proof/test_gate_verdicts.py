# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/gate-verdicts.md, which it writes: every broken release gets its verdict."""

from __future__ import annotations

import socket
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.gate_world import (
    BROKEN,
    HEALTHY,
    LOW_TRAFFIC,
    PROMETHEUS,
    Behaviour,
    Judged,
    Watching,
    judge_together,
    prometheus,
)
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="needs the package prometheus")
PAGE = CHECKOUT / "docs" / "proof" / "gate-verdicts.md"
RUNS, HEALTHY_RUNS = 20, 50
# So many releases live at the same time: each has its traffic, its gate, and its place in Prometheus.
TOGETHER = 10
WATCHING = Watching(interval_s=5.0, duration_s=25.0, deadline_s=90.0)
# Prometheus measures every second, and ten gates and their traffic share the machine.
MARGIN_S = 2.0
TEMPLATE = """# Every broken release gets its verdict

Written by `make proof` (`tests/proof/test_gate_verdicts.py`); `tests/integration/test_gate_prometheus.py` repeats a
part of it.

**{verdict}.**

Each release is a server with traffic that comes at random moments, measured by a real Prometheus every second. From its
birth on a gate asks its health endpoint, its error rate and its share of slow requests, every {interval:g} s; it lasts
{duration:g} s at least and {deadline:g} s at most. The ladder is that of the runbooks with seconds in place of minutes:
above 5 % at once and above 2 % from 20 s on is a rollback, so is what Fisher's test finds worse than the baseline of
20 in 4000. Each run has its own random numbers.

| release | requests a second | runs | verdicts | after the evidence in s: median, longest |
| --- | ---: | ---: | --- | ---: |
{rows}

The evidence is there when the release's own counts, which the gate knows only as of the last scrape, show the verdict:
a bound beyond the threshold, or all of them within. At a rate near the threshold chance takes it away again: then the
last time counts at which it came. Promised are two intervals. A release that is well passes at the earliest when the
gate has lasted its least time.

{circumstances}
"""


def in_words(judged: list[Judged]) -> str:
    """One row of the table."""
    behaviour = judged[0].behaviour
    verdicts = ", ".join(
        f"{count} {verdict}" for verdict, count in sorted(Counter(one.verdict for one in judged).items())
    )
    late = sorted(max(0.0, seconds) for one in judged if (seconds := one.late_s(WATCHING)) is not None)
    times = f"{late[len(late) // 2]:.1f}, {late[-1]:.1f}" if late and judged[0].verdict != "hold" else ""
    return f"| {behaviour.name} | {behaviour.per_s:g} | {len(judged)} | {verdicts} | {times} |"


def wrong(judged: list[Judged], allowed: tuple[str, ...]) -> list[str]:
    """What is not as promised."""
    found = [f"{one.behaviour.name}: {one.verdict}, {one.reason}" for one in judged if one.verdict not in allowed]
    for one in judged:
        late_s = one.late_s(WATCHING)
        if one.verdict != "hold" and late_s is not None and late_s > 2 * WATCHING.interval_s + MARGIN_S:
            found.append(f"{one.behaviour.name}: {one.verdict} {late_s:.1f} s after the evidence")
    return found


@pytest.mark.timeout(3600)
def test_every_release_gets_its_verdict(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    campaign: list[tuple[Behaviour, int, tuple[str, ...]]] = [
        (behaviour, RUNS, (verdict,)) for behaviour, verdict in BROKEN.values()
    ]
    campaign += [(HEALTHY, RUNS, ("pass",)), (LOW_TRAFFIC, HEALTHY_RUNS, ("pass", "hold"))]
    rows, broken = [], []
    with prometheus(tmp_path, port) as measured:
        for number, (behaviour, runs, allowed) in enumerate(campaign):
            judged: list[Judged] = []
            while len(judged) < runs:
                several: list[Behaviour] = [behaviour] * min(TOGETHER, runs - len(judged))
                judged += judge_together(several, measured, WATCHING, 1000 * number + len(judged))
            rows.append(in_words(judged))
            broken += wrong(judged, allowed)
    PAGE.write_text(
        TEMPLATE.format(
            verdict="All held" if not broken else "NOT as promised: " + "; ".join(broken),
            interval=WATCHING.interval_s,
            duration=WATCHING.duration_s,
            deadline=WATCHING.deadline_s,
            rows="\n".join(rows),
            circumstances=proof.machine_in_words(),
        ),
        encoding="utf-8",
    )
    assert broken == []

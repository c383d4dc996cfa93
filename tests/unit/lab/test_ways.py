# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the benchmark zero_loss."""

from __future__ import annotations

from ansible_collections.slipway.django.tests.unit.lab.test_demo_and_rounds import figures
from slipway_lab import proof, ways
from slipway_lab.ways import OURS, Trial

SEEN = proof.Circumstances("2026-11-22", "abc", {"HAProxy": "2.6.12"}, "2 cores", 0.5)
LOSING = figures(
    failed=13,
    failed_by_class={"5xx": 4, "eof_before_answer_reused": 9},
    latency_ms={"quick": {"p50": 6, "p95": 20.5, "p99": 2000, "max": 3000}},
)


def test_each_way_has_a_row_with_what_it_lost_in_each_round() -> None:
    page = ways.render(SEEN, [Trial(OURS.name, figures()), Trial("other", LOSING)] * 2)

    assert "2 rounds, all ways in turn" in page
    assert f"| `{OURS.name}` | 24000 | 0, 0 | 0 | 3600 | 0 | 60 | 200 | none |" in page
    assert "| `other` | 24000 | 13, 13 | 0 | 3600 | 0 | 2000 | 3000 | 8 5xx, 18 eof_before_answer_reused |" in page
    assert "weaker" not in page


def test_a_load_that_was_too_weak_is_told() -> None:
    weak = figures(generator={"achieved_rate": 60.0, "kept_up": False, "why_not": "60 a second"})

    assert f"The load was weaker than meant: {OURS.name}: 60 a second." in ways.render(SEEN, [Trial(OURS.name, weak)])

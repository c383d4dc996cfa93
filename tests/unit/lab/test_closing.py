# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement of a site that was closed and opened, and its page: from answers to words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.unit.lab.test_demo_and_rounds import figures, run
from shopload.orders import Comparison
from slipway_lab import closing, proof
from slipway_lab.closing import Answer, Closing

# The load begins at 1000, the site is closed at 1010.2 and opened at 1020.1.
CLOSED, OPENED = 1010.2, 1020.1


def answer(who: str, begun: float) -> Answer:
    if who in {"operator", "health check"} or not CLOSED <= begun < OPENED:
        return Answer(who, begun, begun + 0.01, 401 if who == "sender" else 200)
    kind = "application/json" if who == "program" else "text/html"
    return Answer(who, begun, begun + 0.01, 503, "30", kind)


def timeline() -> list[dict[str, int]]:
    def failed(second: int) -> int:
        return 60 if second in (10, 20) else 120 if 10 < second < 20 else 0

    return [{"second": second, "sent": 120, "failed": failed(second)} for second in range(30)]


FAILED = {"status": 503, "detail": "status 503, wanted 200, Retry-After 30"}
WHOLE = Closing(
    on=run(),
    off=run(),
    closed_at=CLOSED,
    opened_at=OPENED,
    answers=tuple(
        answer(who, 1000 + tenth / 10)
        for who in ("visitor", "sender", "program", "operator", "health check")
        for tenth in range(300)
    ),
    figures=figures(failed=1200, timeline=timeline()),
    started_at=1000.0,
    failures=(FAILED,),
)


def with_answer(who: str, begun: float, **changed: Any) -> Closing:
    """The same with one answer more."""
    return replace(WHOLE, answers=(*WHOLE.answers, replace(answer(who, begun), **changed)))


def with_row(second: int, failed: int) -> Closing:
    rows = [{**row, "failed": failed} if row["second"] == second else row for row in timeline()]
    return replace(WHOLE, figures=figures(failed=1200, timeline=rows))


def test_a_window_that_is_as_promised_has_no_shortfall() -> None:
    assert closing.shortfalls(WHOLE) == []
    assert max(WHOLE.edges) < 0.2


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (replace(WHOLE, on=run(2)), "ended with status 2"),
        (with_answer("visitor", 1015.0, status=200), "visitor: 1 of 301 answers were other than they must be"),
        (with_answer("visitor", 1015.0, retry_after=None), "visitor: 1 of 301"),
        (with_answer("program", 1015.0, type="text/html"), "program: 1 of 301"),
        (with_answer("sender", 1015.0, status=405), "sender: 1 of 301"),
        (with_answer("visitor", 1005.0, status=503), "visitor: 1 of 301"),
        (with_answer("visitor", 1010.3, status=0), "visitor: 1 of 301"),
        (with_answer("operator", 1015.0, status=503), "operator: 1 of 301 answers were not 200"),
        (with_answer("health check", 1010.2, status=503), "health check: 1 of 301 answers were not 200"),
        (replace(WHOLE, answers=()), "health check: 0 of 0 answers"),
        (replace(WHOLE, closed_at=CLOSED - 1.5), "the visitor's window is +1.50 s and"),
        (replace(WHOLE, failures=({"status": None, "detail": "reset"},)), "got neither the site nor the page"),
        (replace(WHOLE, failures=({"status": 503, "detail": "no server"},)), "got neither the site nor the page"),
        (with_row(15, 119), "1 requests of the load reached the site in second 15, while it was closed"),
        (with_row(5, 1), "1 requests of the load failed in second 5, while it was open"),
        (replace(WHOLE, figures=figures(cut=1, timeline=timeline())), "1 answers were cut"),
        (
            replace(WHOLE, figures=figures(timeline=timeline(), orders=Comparison("r", 9, 8, lost=("L-1",)))),
            "1 orders are lost",
        ),
    ],
)
def test_each_shortfall_is_named(seen: Closing, words: str) -> None:
    assert words in "; ".join(closing.shortfalls(seen))


def test_the_page_of_the_proof_does_not_hide_one() -> None:
    seen = proof.Circumstances("2026-11-22", "abc", {"HAProxy": "2.6.12"}, "2 cores", 0.5)

    assert "Held in all of 1 windows" in proof.render_maintenance(seen, [WHOLE])
    broken = proof.render_maintenance(seen, [with_answer("visitor", 1015.0, status=200)])
    assert "NOT as promised: window 1: visitor: 1 of 301" in broken

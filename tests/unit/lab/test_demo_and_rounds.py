# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's and the rounds' judgement, and their pages: from figures to words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from shopload.orders import Comparison
from slipway_lab import demo, proof, rounds
from slipway_lab.project import Line, Run
from slipway_lab.traffic import Figures

HOSTS = ("app1", "app2", "app3")


SOCKETS = {
    "closed": {"1012": 24},
    "opened": {"old": 24, "new": 12},
    "open": {"old": 12},
    "refused": {},
    "mute": 0,
    "wanted": 12,
    "longest_gap_ms": 31.5,
}


# A deployment without its way back.
ONCE = {**SOCKETS, "closed": {"1012": 12}, "opened": {"old": 12, "new": 12}, "open": {"new": 12}}


def figures(*, orders: Comparison | None = None, **changed: Any) -> Figures:
    document: dict[str, Any] = {
        "sent": 12_000,
        "failed": 0,
        "cut": 0,
        "elapsed_s": 100.2,
        "failed_by_kind": {},
        "failed_by_class": {},
        "latency_ms": {"quick": {"p50": 6, "p95": 20.5, "p99": 60, "max": 200}},
        "answers": {release: {f"{host}-blue": 2000 for host in HOSTS} for release in ("old", "new")},
        "sockets": SOCKETS,
        "generator": {"achieved_rate": 120.0, "kept_up": True, "why_not": ""},
    }
    return Figures({**document, **changed}, orders or Comparison("r", accepted=1800, found=1800, lost=()))


def run(rc: int = 0) -> Run:
    lines = (Line(1.0, "PLAY [Open] ***"), Line(2.0, "PLAY [Prune] ***"), Line(2.1, "PLAY RECAP ***"))
    return Run(("ansible-playbook", "deploy.yml"), rc, lines, 90.0, None)


ROUND = rounds.Round(
    old="old",
    new="new",
    forward=run(),
    back=run(),
    applied=("shop.0002_order_channel",),
    between={host: ["new"] for host in HOSTS},
    after={host: ["old"] for host in HOSTS},
    figures=figures(),
    confirmed=1800,
)
STORY = demo.Story(
    steps={"six servers": 12.3},
    before=dict.fromkeys(HOSTS, "v1 old"),
    after=dict.fromkeys(HOSTS, "v2 new"),
    wanted="v2 new",
    applied=("shop.0002_order_channel",),
    deployment=run(),
    figures=figures(sockets=ONCE),
    confirmed=1800,
)


def test_a_round_without_a_loss_has_no_shortfall() -> None:
    assert rounds.shortfalls(ROUND) == []
    assert ROUND.conclusive


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"forward": run(2)}, "deploy.yml ended with status 2"),
        ({"applied": ()}, "applied no migration"),
        ({"confirmed": 1799}, "1 orders were confirmed by no worker"),
        ({"between": {**ROUND.between, "app2": ["old"]}}, "after the deployment app2 answers with ['old']"),
        ({"after": {**ROUND.after, "app3": ["new", "old"]}}, "after the way back app3 answers with ['new', 'old']"),
        ({"figures": figures(failed=1, failed_by_kind={"page": {"reset": 1}})}, "1 requests failed"),
        ({"figures": figures(cut=1)}, "1 answers were cut"),
        (
            {"figures": figures(sockets={**SOCKETS, "closed": {"1006": 1, "1012": 23}})},
            "WebSockets closed: {'1006': 1, '1012': 23}, expected {'1012': 24}",
        ),
        ({"figures": figures(sockets={**SOCKETS, "opened": {"old": 36}})}, "WebSockets opened: {'old': 36}"),
        ({"figures": figures(sockets={**SOCKETS, "mute": 2})}, "WebSockets mute: 2, expected 0"),
        ({"figures": figures(orders=Comparison("r", 9, 8, lost=("L-1",)))}, "1 accepted orders are lost"),
        ({"figures": figures(orders=Comparison("r", 9, 9, (), {"L-1": 2}))}, "1 orders are doubled"),
        ({"figures": figures(orders=Comparison("r", 0, 0, ()))}, "no order was accepted"),
        ({"figures": figures(answers={"old": {"app1-blue": 9}, "new": {}})}, "app2, app3 never answered with old"),
    ],
)
def test_each_shortfall_is_named(changed: dict[str, Any], words: str) -> None:
    assert words in "\n".join(rounds.shortfalls(replace(ROUND, **changed)))


def test_a_weak_load_proves_nothing_but_a_loss_under_it_counts() -> None:
    weak = {"achieved_rate": 70.0, "kept_up": False, "why_not": "late"}
    assert not replace(ROUND, figures=figures(generator=weak)).conclusive
    assert replace(ROUND, figures=figures(generator=weak, failed=1)).conclusive


def test_the_demo_keeps_its_promises() -> None:
    assert demo.broken_promises(STORY) == []
    assert "All as promised." in demo.render(STORY)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"figures": None}, "there was no load"),
        ({"figures": figures(failed=2)}, "2 requests failed"),
        ({"figures": figures(sockets={**ONCE, "closed": {"1006": 12}})}, "WebSockets closed: {'1006': 12}"),
        (
            {"figures": figures(generator={"achieved_rate": 90.0, "kept_up": True, "why_not": ""})},
            "too weak for its zeros to count: 90 requests a second; 100 a second were promised",
        ),
        (
            {"figures": figures(generator={"achieved_rate": 119.0, "kept_up": False, "why_not": "900 were late"})},
            "119 requests a second; 900 were late",
        ),
        ({"figures": figures(orders=Comparison("r", 299, 299, ()))}, "299 orders were accepted, 300 were promised"),
        ({"confirmed": 3}, "1797 orders were confirmed by no worker"),
        ({"applied": ()}, "v2 has applied no migration"),
        ({"after": {"app1": "v1 old"}}, "app1 answers with v1 old"),
    ],
)
def test_the_demo_says_what_it_did_not_keep(changed: dict[str, Any], words: str) -> None:
    broken = replace(STORY, **changed)
    assert words in "\n".join(demo.broken_promises(broken))
    assert "NOT AS PROMISED" in demo.render(broken)


def test_the_demo_shows_hosts_figures_and_times() -> None:
    text = demo.render(STORY)
    assert "app1    v1 old                       v2 new" in text
    assert "requests sent      12000 in 100 s, 120 a second" in text
    assert "WebSockets         12 open, 12 closed with 1012, back after 31.5 ms at most" in text
    assert "orders accepted    1800; found 1800, lost 0, doubled 0" in text
    assert "six servers                                 12.3" in text
    assert "  Open                                       1.0" in text
    assert "  Prune" not in text


def test_unknown_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["up"], {}) == 2
    assert "usage: demo [down]" in capsys.readouterr().err


def test_the_page_of_the_proof_shows_each_round_and_the_control() -> None:
    seen = proof.Circumstances("2026-11-21", "0123456789ab", {"HAProxy": "2.6.12"}, "2 cores", 0.5)
    control = figures(failed=76, failed_by_class={"reset": 70, "5xx": 6})
    page = proof.render_zero_loss(seen, "haproxy", [ROUND, ROUND], control)
    assert (
        "Nothing was lost with HAProxy: 4 rolling replacements of the fleet in a row, 2 deployments of v2 over v1"
        in page
    )
    assert "24000 requests" in page
    assert (
        "| 2 | 90 | 90 | 12000 | 120 | 0 | 0 | 6 | 60 | 1800 | 0 | 0 | 1800 | 2000 2000 2000 | 2000 2000 2000 |" in page
    )
    assert "**76 of 12000 requests failed** (70 reset, 6 5xx)" in page
    assert "2026-11-21, commit 0123456789ab. HAProxy 2.6.12." in page


def test_the_page_of_the_proof_does_not_hide_a_loss() -> None:
    seen = proof.Circumstances("2026-11-21", "0123456789ab", {}, "2 cores", 0.5)
    page = proof.render_zero_loss(seen, "haproxy", [ROUND, replace(ROUND, confirmed=1)], figures())
    assert "NOT as promised: round 2: 1799 orders were confirmed by no worker" in page
    assert "Nothing was lost" not in page

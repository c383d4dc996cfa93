#!/usr/bin/env python3
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/gates-statistics.md: why a gate judges a rate by exact bounds, in figures and by simulation.

tools/gate_statistics.py          writes the page
tools/gate_statistics.py --check  says whether it is as this program would write it
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

from ansible_collections.slipway.django.plugins.module_utils._gate._statistics import (
    at_least,
    lower_bound,
    needed_without_error,
    upper_bound,
)

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gates-statistics.md"
SAMPLES = (5, 15, 30, 60, 150, 300)
LIMITS = (0.05, 0.02, 0.01, 0.005, 0.001)
THRESHOLD, CONFIDENCE = 0.05, 0.95
# What the simulation does: windows of a minute, looked at every ten seconds, five minutes long, as a canary is watched.
WINDOW_S, INTERVAL_S, PHASE_S, PHASES = 60, 10, 300, 2000
RATES = (0.005, 0.01, 0.05, 0.10, 0.20)

TEMPLATE = """# Why exact bounds

Written by `tools/gate_statistics.py`.

A site with little traffic shows a gate few requests. One error in 15 requests is 6.7 %, above a threshold of 5 %; yet
a site that errs once in 200 shows as much in one of 14 such samples. A gate that compares the bare share with a
threshold brings healthy releases back; one that waits for more errors lets sick ones go. The exact bounds of Clopper
and Pearson say what a sample can show, and no more.

## One look

A rate is *above* {threshold:.0%} when its lower bound ({confidence:.0%}, one-sided) is. `errors`: the least number
that makes it so, beside the number of which the bare share is above. Then the chance that a release which errs in 0.5 %
of its requests is called bad, and the chance that one which errs in 20 % is.

| requests | errors: bare, exact | 0.5 %, called bad: bare, exact | 20 %, called bad: bare, exact |
| ---: | ---: | ---: | ---: |
{looks}

A rate is *below* a limit when its upper bound is. Without any error this takes

| below | {limits} |
| --- | {rules} |
| requests | {needed} |

So "below 0.1 %" can't be shown by a gate of some minutes on most sites, and no rung of the ladder asks for it.
Between the two bounds nothing is shown: the gate holds, and says how many requests it has seen.

## Many looks

A window of {window} s, looked at every {interval} s for {phase} s, {phases} phases with {per_window} requests a window;
errors are independent. Share of the phases that end in a rollback (above {threshold:.0%}):

| true rate | share above 5 % once | 3 looks in a row | 6 looks in a row | lower bound above 5 % |
| ---: | ---: | ---: | ---: | ---: |
{phases_table}

Looks in a row are weak where windows overlap: the same error is counted up to six times. Errors of real sites come in
clusters. That makes the bare rules worse, and the exact bound too sure; the thresholds of the ladder lie well above the
rate of a healthy site for that reason.

## Against a baseline

Where a rate was measured before the deployment, or is measured on other servers at the same time, Fisher's exact test
says how often chance alone would put so many of all errors on the side of the new release. A rung
`times_baseline: 1.2` is exceeded when that is less than once in a hundred *and* the rate is more than 1.2 times as
high: the first alone would find differences that matter to nobody once there are many requests, the second alone would
take a single error for harm. It needs no error in the baseline. Tests on ranks, such as that of Mann and Whitney, find
little in counts of which most are zero.
"""


def looks() -> str:
    """What one sample can show. Exact, no simulation."""
    rows = []
    for total in SAMPLES:
        bare = next(bad for bad in range(total + 1) if bad / total > THRESHOLD)
        exact = next(bad for bad in range(total + 1) if lower_bound(bad, total, CONFIDENCE) > THRESHOLD)
        chances = [f"{at_least(bad, total, rate):.2%}" for rate in (0.005, 0.2) for bad in (bare, exact)]
        healthy, sick = ", ".join(chances[:2]), ", ".join(chances[2:])
        rows.append(f"| {total} | {bare}, {exact} | {healthy} | {sick} |")
    return "\n".join(rows)


def in_a_row(times: int) -> Callable[[list[tuple[int, int]]], bool]:
    """The rule that so many looks in a row see a share above the threshold."""

    def rule(phase: list[tuple[int, int]]) -> bool:
        run = 0
        for bad, total in phase:
            run = run + 1 if total and bad / total > THRESHOLD else 0
            if run >= times:
                return True
        return False

    return rule


def exact(phase: list[tuple[int, int]]) -> bool:
    """The rule of the gate."""
    return any(lower_bound(bad, total, CONFIDENCE) > THRESHOLD for bad, total in phase)


def simulate(rate: float, per_window: int, source: random.Random) -> list[tuple[int, int]]:
    """One phase: at each look the bad and all requests of the last window."""
    requests = []
    moment = 0.0
    while (moment := moment + source.expovariate(per_window / WINDOW_S)) < PHASE_S + WINDOW_S:
        requests.append((moment, source.random() < rate))
    phase = []
    for look in range(WINDOW_S, PHASE_S + WINDOW_S + 1, INTERVAL_S):
        seen = [bad for at, bad in requests if look - WINDOW_S < at <= look]
        phase.append((sum(seen), len(seen)))
    return phase


def phases_table(per_window: int) -> str:
    """The share of phases that each rule brings back."""
    rules = (in_a_row(1), in_a_row(3), in_a_row(6), exact)
    rows = []
    for rate in RATES:
        source = random.Random(f"{rate}")
        phases = [simulate(rate, per_window, source) for _turn in range(PHASES)]
        shares = [sum(map(rule, phases)) / PHASES for rule in rules]
        rows.append(f"| {rate:.1%} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    return "\n".join(rows)


def page() -> str:
    """The whole page."""
    for limit in LIMITS:
        assert upper_bound(0, needed_without_error(limit, CONFIDENCE), CONFIDENCE) < limit
    per_window = 15
    return TEMPLATE.format(
        threshold=THRESHOLD,
        confidence=CONFIDENCE,
        looks=looks(),
        limits=" | ".join(f"{limit:.1%}" for limit in LIMITS),
        rules=" | ".join("---:" for _limit in LIMITS),
        needed=" | ".join(str(needed_without_error(limit, CONFIDENCE)) for limit in LIMITS),
        window=WINDOW_S,
        interval=INTERVAL_S,
        phase=PHASE_S,
        phases=PHASES,
        per_window=per_window,
        phases_table=phases_table(per_window),
    )


def main() -> None:
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{PAGE} is not as {sys.argv[0]} writes it: run it without --check")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

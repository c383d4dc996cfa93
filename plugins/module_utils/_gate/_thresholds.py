# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ladder: thresholds that a number is held against, and that grow stricter as the release grows older. Pure.

A rung counts from its age on and stays: at half an hour the rungs of the first minute still hold. The gravest of those
that are exceeded decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action
from ansible_collections.slipway.django.plugins.module_utils._gate._statistics import (
    fisher_worse,
    lower_bound,
    upper_bound,
)

# Fisher's test is made at each look again: one chance in a hundred, not in twenty.
_ALPHA = 0.01


@dataclass(frozen=True)
class Rung:
    """One threshold. One of ``above``, ``below``, ``times_baseline``, ``below_baseline`` is set.

    :param from_s: age of the release from which on it counts.
    :param times_baseline: exceeded by more than so many times what was measured before.
    :param below_baseline: exceeded by less than so many times what was measured before.
    """

    from_s: float
    action: Action
    above: float | None = None
    below: float | None = None
    times_baseline: float | None = None
    below_baseline: float | None = None

    @property
    def needs_baseline(self) -> bool:
        """True when it says nothing by itself."""
        return self.times_baseline is not None or self.below_baseline is not None

    def bounds(self, baseline: float) -> tuple[float | None, float | None]:
        """The number that a value must not be above, and the one that it must not be below.

        :param baseline: what was measured before; of no meaning to a rung that needs none.
        """
        above = self.above if self.times_baseline is None else self.times_baseline * baseline
        below = self.below if self.below_baseline is None else self.below_baseline * baseline
        return above, below

    def describe(self) -> str:
        """In words, for messages."""
        if self.above is not None:
            limit = f"above {self.above:g}"
        elif self.below is not None:
            limit = f"below {self.below:g}"
        elif self.below_baseline is not None:
            limit = f"below {self.below_baseline:g} times the baseline"
        else:
            limit = f"above {self.times_baseline:g} times the baseline"
        return f"{self.action.value} {limit}" + (f" from {self.from_s:g} s on" if self.from_s else "")


@dataclass(frozen=True)
class Counts:
    """A rate with its sample size."""

    bad: int
    total: int

    @property
    def rate(self) -> float:
        return self.bad / self.total if self.total else 0.0


@dataclass(frozen=True)
class Finding:
    """What a number says when it is held against its rungs.

    :param action: what the gravest exceeded rung asks for, None when none is.
    :param undecided: neither below nor above a rung can be shown.
    """

    action: Action | None
    undecided: bool
    code: str
    text: str
    numbers: dict[str, float | int | str | None] = field(default_factory=dict)


def active(rungs: Sequence[Rung], age_s: float | None) -> list[Rung]:
    """The rungs that count at this age, the gravest first. Of an unknown age: those that always count."""
    age = age_s or 0.0
    return sorted((rung for rung in rungs if rung.from_s <= age), key=lambda rung: -rung.action.severity)


def judge_value(value: float, rungs: Sequence[Rung], age_s: float | None, baseline: float | None) -> Finding:
    """Hold one number against the rungs of its age."""
    for rung in active(rungs, age_s):
        if rung.needs_baseline and baseline is None:
            return without_baseline(rung)
        above, below = rung.bounds(baseline or 0.0)
        if (above is not None and value > above) or (below is not None and value < below):
            numbers: dict[str, float | int | str | None] = {
                "value": value,
                "threshold": below if above is None else above,
            }
            if rung.needs_baseline:
                numbers["baseline"] = baseline
            return Finding(rung.action, False, "threshold", f"{value:g} is {_than(rung, baseline)}", numbers)
    return Finding(None, False, "ok", f"{value:g}", {"value": value})


def _than(rung: Rung, baseline: float | None) -> str:
    if rung.times_baseline is not None:
        return f"above {rung.times_baseline:g} times the baseline of {baseline:g}"
    if rung.below_baseline is not None:
        return f"below {rung.below_baseline:g} times the baseline of {baseline:g}"
    return f"above {rung.above:g}" if rung.above is not None else f"below {rung.below:g}"


def without_baseline(rung: Rung) -> Finding:
    """What a rung that needs a baseline says when there is none: nobody knows; people are told where that will do."""
    text = f"no baseline was taken, which '{rung.describe()}' needs"
    if rung.action is Action.NOTIFY:
        return Finding(Action.NOTIFY, False, "no_baseline", text)
    return Finding(None, True, "no_baseline", text)


def judge_counts(
    counts: Counts, rungs: Sequence[Rung], age_s: float | None, baseline: Counts | None, confidence: float
) -> Finding:
    """Hold a rate against the rungs of its age by what its sample size can show.

    A rung is exceeded when the exact lower bound of the rate is above it, and kept when the upper bound is below.
    Between the two nothing is shown: undecided. A rung of a baseline is exceeded when Fisher's test says that chance
    does not explain the difference and the rate is that many times as high; otherwise it is kept.
    """
    low, high = (bound(counts.bad, counts.total, confidence) for bound in (lower_bound, upper_bound))
    seen = f"{counts.bad} of {counts.total} ({counts.rate:.2%}, {confidence:.0%} bounds {low:.2%} to {high:.2%})"
    numbers: dict[str, float | int | str | None] = {
        "bad": counts.bad,
        "total": counts.total,
        "rate": round(counts.rate, 6),
        "lower": round(low, 6),
        "upper": round(high, 6),
    }
    open_rung: Finding | None = None
    for rung in active(rungs, age_s):
        found = _judge_rung(counts, rung, (low, high), baseline, seen)
        if found is None:
            continue
        finding = Finding(found.action, found.undecided, found.code, found.text, {**numbers, **found.numbers})
        # Telling people is no way round a graver rung that is not kept yet.
        if not finding.undecided and not (open_rung and finding.action is Action.NOTIFY):
            return finding
        open_rung = open_rung or finding
    return open_rung or Finding(None, False, "ok", seen, numbers)


def _judge_rung(
    counts: Counts, rung: Rung, bounds: tuple[float, float], baseline: Counts | None, seen: str
) -> Finding | None:
    """What one rung says; None when it is kept."""
    if rung.times_baseline is not None:
        return _judge_by_baseline(counts, rung, baseline, seen)
    limit = rung.above if rung.above is not None else 0.0
    low, high = bounds
    if low > limit:
        text = f"{seen} is above {limit:.2%}"
        return Finding(rung.action, False, "threshold", text, {"threshold": limit})
    if high > limit and rung.action is not Action.NOTIFY:
        text = f"{seen} is neither shown to be above {limit:.2%} nor below it"
        return Finding(None, True, "not_shown", text, {"threshold": limit})
    return None


def _judge_by_baseline(counts: Counts, rung: Rung, baseline: Counts | None, seen: str) -> Finding | None:
    if baseline is None or baseline.total == 0:
        return without_baseline(rung)
    times = rung.times_baseline or 1.0
    chance = fisher_worse(counts.bad, counts.total, baseline.bad, baseline.total)
    if chance >= _ALPHA or counts.rate <= times * baseline.rate:
        return None
    text = (
        f"{seen} is worse than the baseline of {baseline.bad} of {baseline.total} ({baseline.rate:.2%}), p {chance:.2g}"
    )
    numbers: dict[str, float | int | str | None] = {
        "baseline_bad": baseline.bad,
        "baseline_total": baseline.total,
        "p_value": round(chance, 6),
    }
    return Finding(rung.action, False, "worse_than_baseline", text, numbers)

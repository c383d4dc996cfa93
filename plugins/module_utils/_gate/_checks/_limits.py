# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a number, or a text, that a check has read must be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import duration, printable
from ansible_collections.slipway.django.plugins.module_utils._gate._thresholds import (
    Counts,
    Finding,
    Rung,
    judge_value,
)

# The forms of a rung, and the numbers that each takes.
_RUNGS: dict[str, tuple[Callable[[float], bool], str]] = {
    "above": (lambda _limit: True, "a finite number"),
    "below": (lambda _limit: True, "a finite number"),
    "times_baseline": (lambda limit: limit >= 1, "a finite number, 1 or more"),
    "below_baseline": (lambda limit: 0 < limit <= 1, "a number above 0, 1 at most"),
}


@dataclass(frozen=True)
class Limits:
    """Limits of one check.

    :param equals: the text that the value must be; None: any.
    :param baseline: what the value was before the deployment.
    :param baseline_counts: the same for a rate.
    """

    action: Action
    equals: str | None = None
    rungs: tuple[Rung, ...] = ()
    baseline: float | None = None
    baseline_counts: Counts | None = None

    @property
    def asked(self) -> bool:
        """True when there is any limit."""
        return self.equals is not None or bool(self.rungs)

    def describe(self) -> str:
        """In words, for messages."""
        parts = [] if self.equals is None else [printable(self.equals)]
        return ", ".join(parts + [f"no {rung.describe()}" for rung in self.rungs]) or "any value"


def read_limits(common: Common, params: Mapping[str, Any], *, default_equals: str | None = None) -> Limits:
    """Read C(equals), C(min), C(max), C(thresholds) and C(baseline)."""
    rungs = [_plain_rung(common, word, params[option]) for option, word in (("min", "below"), ("max", "above"))]
    found = [rung for rung in rungs if rung is not None]
    found += [read_rung(f"{common.path}.thresholds[{n}]", row) for n, row in enumerate(params["thresholds"])]
    equals = None if params["equals"] is None else str(params["equals"])
    if equals is None and not found:
        equals = default_equals
    value, counts = _read_baseline(f"{common.path}.baseline", params["baseline"])
    return Limits(common.action, equals, tuple(found), value, counts)


def _plain_rung(common: Common, word: str, limit: float | None) -> Rung | None:
    if limit is None:
        return None
    if not math.isfinite(limit):
        raise InvalidOption(f"{common.path}.{'min' if word == 'below' else 'max'}", limit, "a finite number")
    if word == "below":
        return Rung(0.0, common.action, below=limit)
    return Rung(0.0, common.action, above=limit)


def read_rung(path: str, row: Mapping[str, Any]) -> Rung:
    """Read one row of C(thresholds)."""
    given = [option for option in _RUNGS if row[option] is not None]
    if len(given) != 1:
        raise InvalidOption(path, ", ".join(given) or "nothing", f"one of {', '.join(_RUNGS)}")
    limit = row[given[0]]
    well, accepted = _RUNGS[given[0]]
    if not math.isfinite(limit) or not well(limit):
        raise InvalidOption(f"{path}.{given[0]}", limit, accepted)
    rung = Rung(duration(f"{path}.from", row["from"]), Action(row["action"]))
    return Rung(rung.from_s, rung.action, **{given[0]: limit})


def _read_baseline(option: str, given: Mapping[str, Any] | None) -> tuple[float | None, Counts | None]:
    if not given:
        return None, None
    names = set(given)
    try:
        if names == {"value"}:
            return float(given["value"]), None
        if names == {"bad", "total"}:
            counts = Counts(int(given["bad"]), int(given["total"]))
            if 0 <= counts.bad <= counts.total:
                return counts.rate, counts
    except (TypeError, ValueError) as error:
        raise InvalidOption(option, sorted(names), "numbers") from error
    raise InvalidOption(option, sorted(names), "value, or bad and total with bad not above total")


def judge(value: str | float, limits: Limits, watch: Watch, name: str = "value") -> Sample:
    """Hold what was read against its limits."""
    if limits.equals is not None and not _same(value, limits.equals):
        seen = printable(str(value))
        text = f"{name} is {seen} (expected {printable(limits.equals)})"
        return Sample(State.BAD, "value", text, watch.elapsed_s(), action=limits.action, value=_number(value))
    if not limits.rungs:
        shown = printable(str(value)) if isinstance(value, str) else f"{value:g}"
        return Sample(State.GOOD, "ok", f"{name} is {shown}", watch.elapsed_s(), value=_number(value))
    as_number = _number(value)
    if as_number is None:
        text = f"{name} is {printable(str(value))} (expected a number)"
        return Sample(State.BAD, "not_a_number", text, watch.elapsed_s(), action=limits.action)
    finding = judge_value(as_number, limits.rungs, watch.moment.age_s, limits.baseline)
    return sample_of(finding, watch, name, as_number)


def sample_of(finding: Finding, watch: Watch, name: str, value: float | None) -> Sample:
    """Turn a finding into a sample."""
    text = f"{name}: {finding.text}"
    if finding.action is not None:
        return Sample(
            State.BAD,
            finding.code,
            text,
            watch.elapsed_s(),
            action=finding.action,
            value=value,
            numbers=finding.numbers,
        )
    state = State.NO_DATA if finding.undecided else State.GOOD
    return Sample(state, finding.code, text, watch.elapsed_s(), value=value, numbers=finding.numbers)


def _same(value: str | float, wanted: str) -> bool:
    if str(value) == wanted:
        return True
    left, right = _number(value), _number(wanted)
    return left is not None and left == right


def _number(value: str | float) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def worst(samples: Sequence[Sample]) -> Sample:
    """The gravest of several findings of one look."""
    order = {State.GOOD: 0, State.NO_DATA: 1, State.ERROR: 2, State.BAD: 3}
    return max(samples, key=lambda sample: (order[sample.state], sample.action.severity))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counting: what was sent, what became of it, how long it took, and whether the generator kept up."""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .failures import Failure

# These take their time by their nature; among the others they would only hide the figures.
LONG_KINDS = frozenset({"slow", "upload"})
LATE = 0.05
MAX_LATE_SHARE = 0.01
MIN_RATE_SHARE = 0.98


@dataclass(frozen=True)
class Record:
    """One request. Times are seconds since the run began; latency counts from ``intended``."""

    kind: str
    intended: float
    started: float
    finished: float
    reused: bool = False
    status: int | None = None
    release: str | None = None
    served_by: str | None = None
    failure: Failure | None = None
    cut: bool = False
    detail: str = ""
    reference: str | None = None

    @property
    def latency(self) -> float:
        return self.finished - self.intended

    def as_failure(self, epoch: float) -> dict[str, object]:
        """Return the line for the file of failures. ``epoch`` is the time of day when the run began."""
        return {
            "at": timestamp(epoch + self.finished),
            "intended_s": round(self.intended, 3),
            "latency_ms": milliseconds(self.latency),
            "kind": self.kind,
            "failure": self.failure.value if self.failure else None,
            "cut": self.cut,
            "reused": self.reused,
            "status": self.status,
            "release": self.release,
            "served_by": self.served_by,
            "detail": self.detail,
            "reference": self.reference,
        }


def timestamp(epoch: float) -> str:
    """Return a time of day, UTC, with milliseconds."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch))
    return f"{whole}.{int(epoch % 1 * 1000):03d}Z"


def milliseconds(seconds: float) -> float:
    """Return milliseconds, to a tenth."""
    return round(seconds * 1000, 1)


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of sorted values: one of them, never a guess between two."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return count, p50, p95, p99 and the maximum, in milliseconds."""
    ordered = sorted(values)
    figures = {name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    figures["max"] = ordered[-1] if ordered else None
    return {"count": len(ordered)} | {
        name: None if value is None else milliseconds(value) for name, value in figures.items()
    }


class Figures:
    """All that is counted in one run."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed = 0
        self.cut = 0
        self.orders_accepted = 0
        self.sent_by_kind: Counter[str] = Counter()
        self.failures: dict[str, Counter[str]] = defaultdict(Counter)
        self.answers: dict[str, Counter[str]] = defaultdict(Counter)
        self.static_files: Counter[str] = Counter()
        self.lags = array("d")
        self.seconds: dict[int, Counter[str]] = defaultdict(Counter)
        self._latencies: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._recent = array("d")

    def started_late_by(self, lag: float) -> None:
        """Count how much after its due time a request was begun: the generator's own fault."""
        self.lags.append(lag)

    def add(self, record: Record) -> None:
        """Count one finished request. Latencies are those of answered requests: failed ones are counted apart."""
        self.sent += 1
        self.sent_by_kind[record.kind] += 1
        second = self.seconds[int(record.intended)]
        second["sent"] += 1
        if record.failure is not None:
            self.failed += 1
            self.cut += record.cut
            self.failures[record.kind][record.failure.value] += 1
            second["failed"] += 1
            return
        self._latencies[record.kind].append(record.latency)
        if record.release is not None:
            self.answers[record.release][record.served_by or "unknown"] += 1
            second[f"release {record.release}"] += 1
        if record.kind not in LONG_KINDS:
            self._recent.append(record.latency)
            second["max_ms"] = max(second["max_ms"], math.ceil(record.latency * 1000))

    def by_class(self) -> dict[str, int]:
        """Return the failures by class, over all kinds."""
        total: Counter[str] = Counter()
        for counted in self.failures.values():
            total.update(counted)
        return dict(sorted(total.items()))

    def recent_p99(self) -> float | None:
        """Return the p99 since the last call, of the kinds that are quick."""
        value = percentile(sorted(self._recent), 0.99)
        self._recent = array("d")
        return value

    def latencies(self) -> dict[str, object]:
        """Return the spread over the quick kinds, and of each kind."""
        quick = [value for kind, values in self._latencies.items() if kind not in LONG_KINDS for value in values]
        return {
            "quick": spread(quick),
            "by_kind": {kind: spread(values) for kind, values in sorted(self._latencies.items())},
        }

    def timeline(self) -> list[dict[str, object]]:
        """Return one row for each second of intended starts."""
        return [timeline_row(second, counted) for second, counted in sorted(self.seconds.items())]


def timeline_row(second: int, counted: Mapping[str, int]) -> dict[str, object]:
    """Return a second's counts with its releases in an object of their own."""
    releases = {name.partition(" ")[2]: count for name, count in counted.items() if name.startswith("release ")}
    return {
        "second": second,
        "sent": counted.get("sent", 0),
        "failed": counted.get("failed", 0),
        "max_ms": counted.get("max_ms", 0),
        "releases": dict(sorted(releases.items())),
    }


@dataclass(frozen=True)
class KeepingUp:
    """Whether the load was what it was meant to be, with the reason when it was not."""

    achieved_rate: float
    late: int
    max_lag: float
    skipped: int
    why_not: str

    @property
    def kept_up(self) -> bool:
        return not self.why_not


def judge_generator(lags: Sequence[float], wanted_rate: float, elapsed: float, skipped: int) -> KeepingUp:
    """Compare what was started with what was due.

    :param lags: of each started arrival, seconds after its due time.
    :param elapsed: seconds during which arrivals were due.
    :param skipped: arrivals not started, as too many requests were under way.
    """
    late = sum(lag > LATE for lag in lags)
    rate = len(lags) / elapsed if elapsed > 0 else 0.0
    reasons = []
    if skipped:
        reasons.append(f"{skipped} requests were not sent: too many were under way")
    if late > MAX_LATE_SHARE * len(lags):
        reasons.append(f"{late} of {len(lags)} requests were begun more than {milliseconds(LATE):g} ms late")
    if rate < MIN_RATE_SHARE * wanted_rate:
        reasons.append(f"{rate:.1f} requests a second were begun, {wanted_rate:g} were wanted")
    return KeepingUp(rate, late, max(lags, default=0.0), skipped, "; ".join(reasons))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate knows: samples of its checks, and verdicts on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class State(Enum):
    """What one sample says.

    An error is never folded into bad: a broken probe says nothing about the release.
    """

    GOOD = "good"
    BAD = "bad"
    NO_DATA = "no_data"
    ERROR = "error"


class GateVerdict(Enum):
    """The answer of a check and of a gate. ``HOLD`` is not enough data or a broken probe: never a pass."""

    PASS = "pass"
    HOLD = "hold"
    ROLLBACK = "rollback"

    @property
    def severity(self) -> int:
        """Larger is worse."""
        return list(GateVerdict).index(self)


class Action(Enum):
    """What a bad sample asks for, the mildest first. ``NOTIFY``: people are told, the gate may pass."""

    NOTIFY = "notify"
    HOLD = "hold"
    ROLLBACK = "rollback"

    @property
    def severity(self) -> int:
        """Larger is worse."""
        return list(Action).index(self)


@dataclass(frozen=True)
class Session:
    """What a login gave to the checks after it. Nothing of it is ever shown."""

    cookies: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Sample:
    """One look at one check.

    :param code: a word for machines: ``ok``, ``status``, ``wrong_release``, ``refused``, ``timeout`` and others.
    :param text: the same in words. Never holds a header's value or a body.
    :param elapsed_s: from the start of the look to its end.
    :param status: of an HTTP answer that arrived whole.
    :param release: the release that said it answered.
    :param release_is_wrong: another release than the expected one answered, whatever else was wrong.
    :param action: what it asks for when it is bad.
    :param doomed: waiting can't make it well.
    :param value: the number that was judged, where there is one.
    :param numbers: what it was judged by: counts, bounds, the threshold.
    :param figures: what a later gate can be given as its baseline, where ``numbers`` are not enough.
    :param session: what the checks after this one are given.
    """

    state: State
    code: str
    text: str
    elapsed_s: float
    status: int | None = None
    release: str | None = None
    release_is_wrong: bool = False
    action: Action = Action.ROLLBACK
    doomed: bool = False
    value: float | None = None
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    figures: Mapping[str, object] = field(default_factory=dict, repr=False)
    session: Session = field(default_factory=Session, repr=False)

    @property
    def evaluated(self) -> bool:
        """True when the sample says something about the application."""
        return self.state in (State.GOOD, State.BAD)

    @property
    def notice(self) -> bool:
        """True when it is bad, and people are only to be told."""
        return self.state is State.BAD and self.action is Action.NOTIFY

    @property
    def lets_pass(self) -> bool:
        """True when it counts for a pass."""
        return self.state is State.GOOD or self.notice


@dataclass(frozen=True)
class Moment:
    """What a check is told of the time of its look.

    :param age_s: seconds since the release went live, None when nobody said when that was.
    :param session: what the check before it gave.
    :param first_value: the number that the first sample of this check bore.
    """

    age_s: float | None = None
    session: Session = field(default_factory=Session, repr=False)
    first_value: float | None = None

    def window_s(self, longest_s: float) -> float:
        """Seconds to look back: what was before the release is not its own. At least one."""
        return max(1.0, longest_s if self.age_s is None else min(longest_s, self.age_s))


@dataclass(frozen=True)
class Rule:
    """What a check's samples must show.

    :param successes: good samples in a row that make it pass.
    :param failures_allowed: bad samples that are borne; None: any number, until the gate's deadline.
    :param wrong_release_limit: answers of another release that end the gate at once; 0: never.
    """

    successes: int
    failures_allowed: int | None
    wrong_release_limit: int


@dataclass(frozen=True)
class Decision:
    """A verdict with its reason. ``settled``: no further sample can change it."""

    verdict: GateVerdict
    settled: bool
    code: str
    reason: str

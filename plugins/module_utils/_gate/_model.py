# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate knows: samples of its checks, and verdicts on them."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Sample:
    """One look at one check.

    :param code: a word for machines: ``ok``, ``status``, ``wrong_release``, ``refused``, ``timeout`` and others.
    :param text: the same in words. Never holds a header's value or a body.
    :param elapsed_s: from the start of the look to its end.
    :param status: of an HTTP answer that arrived whole.
    :param release: the release that said it answered.
    :param release_is_wrong: another release than the expected one answered, whatever else was wrong.
    """

    state: State
    code: str
    text: str
    elapsed_s: float
    status: int | None = None
    release: str | None = None
    release_is_wrong: bool = False

    @property
    def evaluated(self) -> bool:
        """True when the sample says something about the application."""
        return self.state in (State.GOOD, State.BAD)


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

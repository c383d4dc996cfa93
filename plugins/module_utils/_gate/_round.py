# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round: all checks are looked at, at the same time, but for those that need what another one brings."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Attempt, Failure, Outcome, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Moment, Sample, Session, State
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock


class Round:
    """Looks once at each check. Returns at the latest a moment after the largest limit, whatever the servers do.

    :param left_s: what is left of the gate's time.
    :param moments: what each check is told; the session of the check before it is added.
    """

    def __init__(self, checks: Sequence[Check], moments: Sequence[Moment], left_s: float, clock: Clock) -> None:
        self._checks = checks
        self._moments = moments
        self._clock = clock
        self._end = clock.monotonic() + left_s
        self._ended: queue.SimpleQueue[Attempt[Sample]] = queue.SimpleQueue()
        self._running: dict[int, Attempt[Sample]] = {}
        self._samples: dict[int, Sample] = {}

    def take(self) -> list[Sample]:
        """Return the samples in the order of the checks."""
        for index, check in enumerate(self._checks):
            if check.common.after is None:
                self._start(index, Session())
        while self._running:
            self._wait()
        return [self._samples[index] for index in range(len(self._checks))]

    def _start(self, index: int, session: Session) -> None:
        check = self._checks[index]
        moment = replace(self._moments[index], session=session)
        left_s = max(0.001, self._end - self._clock.monotonic())
        watch = Watch(min(check.common.timeout_s, left_s), self._clock, moment)
        attempt = Attempt(index, check.look, watch, self._ended)
        self._running[index] = attempt
        attempt.start()

    def _wait(self) -> None:
        nearest = min(attempt.watch.deadline for attempt in self._running.values())
        try:
            attempt = self._ended.get(timeout=max(0.0, nearest - self._clock.monotonic()))
        except queue.Empty:
            now = self._clock.monotonic()
            late = [running for running in self._running.values() if running.watch.deadline <= now]
            for attempt in late:
                self._keep(attempt, attempt.end())
            return
        # One that was cut off before has its sample already.
        if self._running.get(attempt.index) is attempt and attempt.outcome is not None:
            self._keep(attempt, attempt.outcome)

    def _keep(self, attempt: Attempt[Sample], outcome: Outcome) -> None:
        index = attempt.index
        del self._running[index]
        check = self._checks[index]
        cut = attempt.watch.limit_s < check.common.timeout_s
        sample = outcome if isinstance(outcome, Sample) else _sample_of(check, outcome, cut)
        self._samples[index] = sample
        for follower, other in enumerate(self._checks):
            if other.common.after == check.common.name:
                self._follow(follower, check.common.name, sample)

    def _follow(self, index: int, before: str, sample: Sample) -> None:
        if sample.state is State.GOOD:
            self._start(index, sample.session)
            return
        text = f"not asked, since check {before} was not good"
        self._samples[index] = Sample(State.NO_DATA, "not_asked", text, 0.0)
        name = self._checks[index].common.name
        for follower, other in enumerate(self._checks):
            if other.common.after == name:
                self._follow(follower, name, self._samples[index])


def _sample_of(check: Check, failure: Failure, cut: bool) -> Sample:
    """What a look that failed says of the application.

    :param cut: it had less time than its timeout, because the gate ended: that it gave no answer says nothing.
    """
    if cut and failure.code == "timeout":
        text = f"{failure.text}, ended by the gate's deadline"
        return Sample(State.NO_DATA, "cut_by_deadline", text, failure.elapsed_s)
    # Of a measuring instrument that is away the application can't be blamed.
    state = State.ERROR if failure.local or check.instrument else State.BAD
    return Sample(state, failure.code, failure.text, failure.elapsed_s, action=check.common.action)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds: at the same time, in the order of logins, and never longer than allowed. Threads, but hardly any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import RESOLVING, NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._model import (
    Action,
    Moment,
    Rule,
    Sample,
    Session,
    State,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._round import Round
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock

GOOD = Sample(State.GOOD, "ok", "well", 0.0, session=Session({"sessionid": "1"}))
BAD = Sample(State.BAD, "status", "status 500", 0.0)


@dataclass(frozen=True)
class Puppet:
    """A check that does what it is told."""

    common: Common
    act: Callable[[Watch], Sample]
    instrument: bool = False

    def where(self) -> str:
        return "here"

    def expected(self) -> str:
        return "well"

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        return self.act(watch)


def puppet(
    name: str,
    act: Callable[[Watch], Sample] | Sample,
    *,
    after: str | None = None,
    timeout_s: float = 5.0,
    **more: bool,
) -> Puppet:
    common = Common(name, "http", "checks[0]", timeout_s, Rule(1, None, 0), Action.ROLLBACK, after)
    if isinstance(act, Sample):
        sample = act
        return Puppet(common, lambda _watch: sample, **more)
    return Puppet(common, act, **more)


def take(*checks: Puppet, left_s: float = 5.0) -> list[Sample]:
    return Round(checks, [Moment()] * len(checks), left_s, SystemClock()).take()


def raising(error: Exception) -> Callable[[Watch], Sample]:
    def act(_watch: Watch) -> Sample:
        raise error

    return act


def test_all_are_asked_at_the_same_time() -> None:
    together = threading.Barrier(5, timeout=5)

    def act(_watch: Watch) -> Sample:
        together.wait()
        return GOOD

    assert [sample.code for sample in take(*(puppet(str(n), act) for n in range(5)))] == ["ok"] * 5


def test_a_login_comes_before_what_uses_it_and_gives_it_its_session() -> None:
    seen: list[Session] = []

    def act(watch: Watch) -> Sample:
        seen.append(watch.moment.session)
        return GOOD

    take(puppet("login", GOOD), puppet("account", act, after="login"))
    assert [session.cookies for session in seen] == [{"sessionid": "1"}]


def test_after_a_login_that_failed_nothing_is_asked() -> None:
    samples = take(
        puppet("login", BAD), puppet("account", GOOD, after="login"), puppet("basket", GOOD, after="account")
    )
    assert [(sample.state, sample.code) for sample in samples] == [
        (State.BAD, "status"),
        (State.NO_DATA, "not_asked"),
        (State.NO_DATA, "not_asked"),
    ]
    assert samples[1].text == "not asked, since check login was not good"


def hanging(stage: str) -> Callable[[Watch], Sample]:
    def act(watch: Watch) -> Sample:
        watch.stage = stage
        time.sleep(0.5)
        return GOOD

    return act


def test_one_that_hangs_holds_nobody_up() -> None:
    began = time.monotonic()
    samples = take(puppet("a", hanging("reading"), timeout_s=0.05), puppet("b", GOOD))
    assert time.monotonic() - began < 0.4
    assert [(sample.state, sample.code) for sample in samples] == [(State.BAD, "timeout"), (State.GOOD, "ok")]
    assert samples[0].text == "no whole answer within 0.05 s (while reading)"


def test_one_that_the_gates_own_end_has_cut_off_says_nothing() -> None:
    (sample,) = take(puppet("a", hanging("reading"), timeout_s=5.0), left_s=0.05)
    assert (sample.state, sample.code) == (State.NO_DATA, "cut_by_deadline")


def test_a_name_that_is_not_resolved_in_time_is_an_error_of_the_probe() -> None:
    (sample,) = take(puppet("a", hanging(RESOLVING), timeout_s=0.05))
    assert (sample.state, sample.code) == (State.ERROR, "resolve")


def test_of_an_instrument_that_is_away_the_application_is_not_blamed() -> None:
    refused = raising(ConnectionRefusedError(111, "refused"))
    samples = take(puppet("a", refused), puppet("b", refused, instrument=True))
    assert [sample.state for sample in samples] == [State.BAD, State.ERROR]


def test_what_was_not_understood_keeps_its_words() -> None:
    samples = take(
        puppet("a", raising(NotUnderstood("x", "words"))),
        puppet("b", raising(NotUnderstood("y", "others", local=True))),
    )
    assert [(sample.state, sample.code, sample.text) for sample in samples] == [
        (State.BAD, "x", "words"),
        (State.ERROR, "y", "others"),
    ]


def test_a_fault_of_ours_is_an_error_and_shows_no_more_than_its_kind() -> None:
    (sample,) = take(puppet("a", raising(RuntimeError("SECRET"))))
    assert (sample.state, sample.text) == (State.ERROR, "the probe failed with RuntimeError")

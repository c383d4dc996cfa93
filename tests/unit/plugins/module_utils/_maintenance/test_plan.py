# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._maintenance._plan import (
    Memory,
    Observed,
    Request,
    State,
    Window,
    make_plan,
    parse_moment,
    read_window,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 22, 22, 0, 7, 125000, tzinfo=timezone.utc)
BEFORE = NOW - timedelta(hours=2)
LATER = Window(NOW + timedelta(hours=1), NOW + timedelta(hours=2))
LONGER = Window(LATER.begins, LATER.ends + timedelta(hours=1))
ON = Memory(State.ON, BEFORE, "ada", "a new server")
ANNOUNCED = Memory(State.ANNOUNCED, BEFORE, "ada", "a new server", LATER)
OFF = Memory(State.OFF, BEFORE)


def seen(memory: Memory, *, kept: bool | None = None, closed: bool | None = None) -> Observed:
    """A balancer that does what it is told, but for what is said."""
    is_on = memory.state is State.ON
    return Observed(memory, is_on if kept is None else kept, is_on if closed is None else closed)


texts = st.text(max_size=20)
moments = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1), timezones=st.just(timezone.utc)
)  # fmt: skip
windows = st.builds(lambda begins, hours: Window(begins, begins + timedelta(hours=hours)), moments, st.integers(1, 99))
memories = st.one_of(
    st.just(Memory()),
    st.builds(Memory, st.sampled_from([State.OFF, State.ON]), moments, texts, texts, st.none() | windows),
    st.builds(Memory, st.just(State.ANNOUNCED), moments, texts, texts, windows),
)
observations = st.builds(Observed, memories, st.sampled_from([True, False, None]), st.booleans())
switches = st.builds(Request, st.sampled_from([State.ON, State.OFF]), texts, texts)


# --- the plan ---


@given(observations, switches)
def test_what_was_planned_is_not_planned_again(observed: Observed, request: Request) -> None:
    plan = make_plan(observed, request, NOW)
    after = Observed(plan.memory, plan.closed, plan.closed) if plan.changed else observed

    assert not make_plan(after, request, NOW).changed


@given(observations, switches.map(lambda r: Request(r.state, "", r.reason)))
def test_without_an_owner_it_is_as_asked_in_the_end(observed: Observed, request: Request) -> None:
    plan = make_plan(observed, request, NOW)

    assert plan.closed is (request.state is State.ON)
    assert plan.memory.state is request.state
    assert plan.reason


@pytest.mark.parametrize(
    ("observed", "request_", "changed", "reason"),
    [
        (seen(Memory()), Request(State.ON, "bob"), True, "It is switched on"),
        (seen(OFF), Request(State.OFF), False, "It is off already"),
        (seen(Memory()), Request(State.OFF), False, "It is off already"),
        (
            seen(ON),
            Request(State.ON, "bob"),
            False,
            "It is on already, since 2026-11-22 20:00:07 UTC, by ada: a new server",
        ),
        (
            seen(ON),
            Request(State.OFF, "ada"),
            True,
            "It is switched off; it was on since 2026-11-22 20:00:07 UTC, by ada: a new server",
        ),
        (
            seen(ON),
            Request(State.OFF, "bob"),
            False,
            "It stays on, since 2026-11-22 20:00:07 UTC, by ada: a new server",
        ),
        (seen(ANNOUNCED), Request(State.OFF), True, f"What was announced for {LATER} is withdrawn"),
        (seen(ANNOUNCED), Request(State.ON), True, f"It is switched on, announced for {LATER}"),
        # Somebody has removed what a restarted balancer would read, or it runs with something else than that.
        (seen(ON, kept=False), Request(State.ON), True, "at a restart of the balancer it would be forgotten"),
        (seen(ON, closed=False), Request(State.ON), True, "but visitors get the site"),
        (seen(OFF, closed=True), Request(State.OFF), True, "but visitors get the maintenance page"),
    ],
)
def test_a_plan_says_why(observed: Observed, request_: Request, changed: bool, reason: str) -> None:
    plan = make_plan(observed, request_, NOW)

    assert (plan.changed, reason in plan.reason) == (changed, True), plan.reason


def test_a_switch_that_is_not_understood_is_written_anew() -> None:
    plan = make_plan(Observed(OFF, None, False), Request(State.OFF), NOW)

    assert plan.changed
    assert "what is written for it is not understood" in plan.reason


def test_who_has_switched_it_on_stays_its_owner() -> None:
    plan = make_plan(seen(ON, kept=False), Request(State.ON, "bob", "another reason"), NOW)

    assert plan.memory == ON


def test_an_announcement_is_repeated_only_when_it_says_something_new() -> None:
    same = Request(State.ANNOUNCED, "bob", "a new server", LATER)

    assert not make_plan(seen(ANNOUNCED), same, NOW).changed
    moved = make_plan(seen(ANNOUNCED), Request(State.ANNOUNCED, "bob", "a new server", LONGER), NOW)
    assert (moved.changed, moved.memory.window, moved.closed) == (True, LONGER, False)
    assert moved.reason == f"It is announced for {LONGER} instead of {LATER}"


def test_what_has_begun_can_not_be_announced() -> None:
    with pytest.raises(
        Refused, match=r"Maintenance is on, since 2026-11-22 20:00:07 UTC, by ada.* Nothing was changed"
    ):
        make_plan(seen(ON), Request(State.ANNOUNCED, window=LATER), NOW)


# --- bad input ---


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(State.ON, window=LATER), "only an announcement has a window"),
        (Request(State.OFF, window=LATER), "only an announcement has a window"),
        (Request(State.ANNOUNCED), "an announcement says when"),
        (
            Request(State.ANNOUNCED, window=Window(LATER.ends, LATER.begins)),
            "expected a time after 2026-11-23T00:00:07",
        ),
        (Request(State.ANNOUNCED, window=Window(BEFORE, NOW)), "expected a time to come; now is 2026-11-22T22:00:07"),
    ],
)
def test_a_request_that_can_not_be_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(InvalidOption, match=f"window_.*{message}.*Nothing was changed"):
        request_.validate(NOW)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-11-22 22:00", "2026-11-22T22:00", "2026-13-22T22:00Z", "22:00Z"]
)
def test_a_time_without_a_zone_or_a_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"window_from: .* expected a time in UTC such as"):
        parse_moment("window_from", text)


def test_a_time_is_read_with_and_without_seconds() -> None:
    whole = datetime(2026, 11, 22, 22, 0, tzinfo=timezone.utc)

    assert parse_moment("window_from", "2026-11-22T22:00Z") == whole
    assert parse_moment("window_from", "2026-11-22T22:00:09Z") == whole + timedelta(seconds=9)


def test_half_a_window_is_refused() -> None:
    assert read_window("", "") is None
    with pytest.raises(InvalidOption, match="window_until: ''"):
        read_window("2026-11-22T22:00Z", "")


# --- what is kept ---


@given(memories)
def test_a_memory_is_read_as_it_was_written(memory: Memory) -> None:
    assert Memory.from_json(json.loads(json.dumps(memory.to_json()))) == memory


@pytest.mark.parametrize(
    "document", [{}, {"state": "perhaps"}, {"state": "on", "window": "soon"}, {"state": "on", "since": 7}]
)
def test_another_document_is_no_memory(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Memory.from_json(document)

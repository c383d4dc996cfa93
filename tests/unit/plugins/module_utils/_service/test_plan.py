# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done in which state, in which order, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._release._layout import KINDS
from ansible_collections.slipway.django.plugins.module_utils._service._options import Wanted, read_wanted
from ansible_collections.slipway.django.plugins.module_utils._service._plan import (
    Plan,
    Seen,
    make_plan,
    predict,
)
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener
from ansible_collections.slipway.django.plugins.module_utils._service._slots import Service, Slot
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_slots import (
    LAST,
    NEW,
    OLD,
    blue,
    both,
    green,
    unit,
)
from hypothesis import given
from hypothesis import strategies as st

PARAMS: dict[str, Any] = {
    "state": "started",
    "site": "shop",
    "root": None,
    "kind": "web",
    "release": NEW,
    "slot": "green",
    "ports": {"blue": 8001, "green": 8002},
    "timeout": 60.0,
    "stop_timeout": 60.0,
    "stop_signal": None,
    "ready_command": [],
    "user": None,
}


def wanted(state: str = "started", *, predicting: bool = False, **changes: Any) -> Wanted:
    return read_wanted({**PARAMS, "state": state, **changes}, predicting=predicting)


def seen(first: Slot, second: Slot, *, whole: bool = True, **listeners: tuple[Listener, ...]) -> Seen:
    return Seen((first, second), whole, listeners)


def orders(plan: Plan) -> list[str]:
    return [f"{action.verb} {action.slot}" for action in plan.actions]


LIVE_BLUE = blue(LAST, enabled=("web",), web="running")

STARTED = [
    ("beside the live one", LIVE_BLUE, green(None), ["link green", "start green"]),
    ("over an older one", LIVE_BLUE, green(OLD), ["link green", "start green"]),
    ("on the way back", LIVE_BLUE, green(NEW), ["start green"]),
    ("it runs already", LIVE_BLUE, green(NEW, web="running"), []),
    ("it is starting already", LIVE_BLUE, green(NEW, web="starting"), []),
    ("it failed before", LIVE_BLUE, green(NEW, web="failed"), ["reset green", "start green"]),
    ("the older one failed before", LIVE_BLUE, green(OLD, web="failed"), ["link green", "reset green", "start green"]),
    ("it crashes again and again", LIVE_BLUE, green(NEW, web="crashing"), ["stop green", "start green"]),
    ("it is just being stopped", LIVE_BLUE, green(NEW, web="stopping"), ["start green"]),
]


@pytest.mark.parametrize(("title", "first", "second", "expected"), STARTED, ids=[case[0] for case in STARTED])
def test_started(title: str, first: Slot, second: Slot, expected: list[str]) -> None:
    plan = make_plan(wanted(), seen(first, second))
    assert orders(plan) == expected, title
    assert (plan.slot, plan.other, plan.release) == ("green", "blue", NEW)
    assert plan.changed == bool(expected)


def test_a_plan_says_why_and_shows_before_and_after() -> None:
    plan = make_plan(wanted(), seen(LIVE_BLUE, green(OLD)))
    assert plan.reason == (
        "slot green is the one of which nothing runs; web in green linked to the release; web in green started"
    )
    assert plan.before == {
        "blue": {"release": LAST, "enabled": True, "running": True},
        "green": {"release": OLD, "enabled": False, "running": False},
    }
    assert plan.after == {
        "blue": {"release": LAST, "enabled": True, "running": True},
        "green": {"release": NEW, "enabled": False, "running": True},
    }


def test_nothing_to_do_says_so() -> None:
    plan = make_plan(wanted(), seen(LIVE_BLUE, green(NEW, web="running")))
    assert plan.reason == f"slot green holds {NEW}; web is started already"
    assert plan.before == plan.after


def test_of_the_scheduler_never_two_run() -> None:
    first = blue(LAST, enabled=("beat",), beat="running")
    assert orders(make_plan(wanted(kind="beat"), seen(first, green(NEW)))) == ["stop blue", "start green"]
    twice = seen(first, green(NEW, beat="running"))
    assert orders(make_plan(wanted(kind="beat"), twice)) == ["stop blue"]


def test_workers_run_beside_each_other() -> None:
    first = blue(LAST, enabled=("worker",), worker="running")
    assert orders(make_plan(wanted(kind="worker"), seen(first, green(NEW)))) == ["start green"]


LIVE = [
    (
        "the switch",
        LIVE_BLUE,
        green(NEW, web="running"),
        ["enable green", "disable blue", "stop blue"],
    ),
    ("already", blue(LAST), green(NEW, enabled=("web",), web="running"), []),
    (
        "cut short after enabling",
        LIVE_BLUE,
        green(NEW, enabled=("web",), web="running"),
        ["disable blue", "stop blue"],
    ),
    (
        "cut short before stopping",
        blue(LAST, web="running"),
        green(NEW, enabled=("web",), web="running"),
        ["stop blue"],
    ),
    (
        "the other is just being stopped",
        blue(LAST, web="stopping"),
        green(NEW, enabled=("web",), web="running"),
        ["stop blue"],
    ),
    (
        "the other has crashed",
        blue(LAST, enabled=("web",), web="failed"),
        green(NEW, web="running"),
        ["enable green", "disable blue"],
    ),
    ("the first deployment", blue(None), green(NEW, web="running"), ["enable green"]),
    (
        "the other runs a worker, which is not asked about",
        blue(LAST, enabled=("worker",), worker="running"),
        green(NEW, enabled=("web",), web="running"),
        [],
    ),
]


@pytest.mark.parametrize(("title", "first", "second", "expected"), LIVE, ids=[case[0] for case in LIVE])
def test_live(title: str, first: Slot, second: Slot, expected: list[str]) -> None:
    plan = make_plan(wanted("live"), seen(first, second))
    assert orders(plan) == expected, title
    assert plan.slot == "green"


def test_what_does_not_run_does_not_become_live() -> None:
    with pytest.raises(Refused) as refusal:
        make_plan(wanted("live"), seen(LIVE_BLUE, green(NEW, web="failed")))
    assert refusal.value.message == (
        f"shop-web@green.service does not run release {NEW}: it is failed (failed). Nothing was changed. "
        "Start the release first (state: started)."
    )


def test_what_runs_another_release_does_not_become_live() -> None:
    slot = green(NEW, web="running")
    moved = replace(slot, services={**slot.services, "web": Service(slot.services["web"].unit, OLD)})
    with pytest.raises(Refused, match=f"it is active .running. and runs {OLD}"):
        make_plan(wanted("live"), seen(LIVE_BLUE, moved))


STOPPED = [
    ("it serves", blue(LAST), green(NEW, enabled=("web",), web="running"), ["disable green", "stop green"]),
    ("it runs only", blue(LAST), green(NEW, web="running"), ["stop green"]),
    ("it is enabled only", blue(LAST), green(NEW, enabled=("web",)), ["disable green"]),
    ("it crashes", blue(LAST), green(NEW, web="crashing"), ["stop green"]),
    ("nothing", blue(LAST), green(NEW), []),
    ("an empty slot", blue(LAST), green(None), []),
    ("another kind runs", blue(LAST), green(NEW, worker="running"), []),
]


@pytest.mark.parametrize(("title", "first", "second", "expected"), STOPPED, ids=[case[0] for case in STOPPED])
def test_stopped(title: str, first: Slot, second: Slot, expected: list[str]) -> None:
    plan = make_plan(wanted("stopped"), seen(first, second))
    assert orders(plan) == expected, title
    assert (plan.slot, plan.other, plan.release) == ("green", "blue", second.release)


def test_a_unit_that_is_enabled_until_the_next_boot_is_disabled_too() -> None:
    slot = green(NEW)
    runtime = Service(unit("shop-web@green.service", file_state="enabled-runtime"), None)
    there = replace(slot, services={**slot.services, "web": runtime})
    assert orders(make_plan(wanted("stopped"), seen(blue(LAST), there))) == ["disable green"]
    runs = unit("shop-web@green.service", "running", file_state="enabled-runtime")
    running = replace(there, services={**slot.services, "web": Service(runs, NEW)})
    assert orders(make_plan(wanted("live"), seen(blue(LAST), running))) == ["enable green"]


def test_a_release_that_is_not_whole_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        make_plan(wanted(), seen(LIVE_BLUE, green(NEW), whole=False))
    assert refusal.value.message == (
        f"Release {NEW} is not whole on this host: /srv/shop/releases/{NEW}/release.json is missing. "
        "Nothing was changed. Stage it first."
    )


def test_a_prediction_does_without_what_earlier_steps_would_have_done() -> None:
    there = seen(LIVE_BLUE, green(OLD), whole=False)
    plan = make_plan(wanted(predicting=True), there)
    assert orders(plan) == ["link green", "start green"]
    assert plan.reason.startswith(f"{NEW} is not on this host yet; ")
    plan = make_plan(wanted("live", predicting=True), there)
    assert orders(plan) == ["enable green", "disable blue", "stop blue"]
    assert plan.reason.startswith(f"{NEW} does not run here yet; ")


@pytest.mark.parametrize("state", ["started", "live", "stopped"])
@pytest.mark.parametrize("load", ["not-found", "masked", "bad-setting"])
def test_a_unit_that_systemd_can_not_use_is_refused(state: str, load: str) -> None:
    slot = green(NEW)
    bad = replace(slot, services={**slot.services, "web": Service(unit("shop-web@green.service", load=load), None)})
    with pytest.raises(
        Refused, match=f"systemd can't use shop-web@green.service: it is {load}.*shop-web@.service is there"
    ):
        make_plan(wanted(state), seen(LIVE_BLUE, bad))


def test_a_process_of_another_release_in_the_slot_is_refused() -> None:
    slot = green(NEW, web="running")
    moved = replace(slot, services={**slot.services, "web": Service(slot.services["web"].unit, OLD)})
    with pytest.raises(Refused) as refusal:
        make_plan(wanted(), seen(LIVE_BLUE, moved))
    assert refusal.value.message.startswith(
        f"shop-web@green.service runs release {OLD}, though slot green names {NEW}. Nothing was changed."
    )


def test_a_port_that_somebody_else_has_is_refused_before_anything_is_done() -> None:
    stranger = Listener(4711, "python3", "other.service")
    with pytest.raises(Refused) as refusal:
        make_plan(wanted(), seen(LIVE_BLUE, green(OLD), green=(stranger,)))
    assert refusal.value.message == (
        "Port 8002 of slot green is taken by process 4711 (python3) of other.service. Nothing was changed. "
        "End it, or give shop other ports."
    )
    own = Listener(100, "gunicorn", "shop-web@green.service")
    assert not make_plan(wanted(), seen(LIVE_BLUE, green(NEW, web="running"), green=(own,))).changed
    # The port of the other slot is not this slot's business.
    assert make_plan(wanted(), seen(LIVE_BLUE, green(OLD), blue=(stranger,))).changed


def after(plan: Plan, there: Seen, kind: str) -> Seen:
    """The host after the plan, if every order succeeds."""
    first, second = (_after(plan, slot, kind) for slot in there.slots)
    return replace(there, slots=(first, second))


def _after(plan: Plan, slot: Slot, kind: str) -> Slot:
    picture = plan.after[slot.name]
    old = slot.services[kind]
    if {action.verb for action in plan.actions if action.slot == slot.name} & {"start", "stop"}:
        state, release = ("running", picture["release"]) if picture["running"] else ("rest", None)
        now = Service(unit(old.unit.name, state, enabled=bool(picture["enabled"])), release)
    else:
        file_state = "enabled" if picture["enabled"] else "disabled"
        now = Service(replace(old.unit, file_state=file_state), old.release)
    return replace(slot, release=picture["release"], services={**slot.services, kind: now})


@given(pair=both, kind=st.sampled_from(KINDS), state=st.sampled_from(["started", "live", "stopped"]))
def test_whatever_is_there(pair: tuple[Slot, Slot], kind: str, state: str) -> None:
    there = seen(*pair)
    call = wanted(state, kind=kind)
    try:
        plan = make_plan(call, there)
    except Refused:
        return
    by_name = {slot.name: slot for slot in pair}
    for action in plan.actions:
        slot = by_name[action.slot]
        if action.verb == "link":
            assert not slot.in_use, "a slot in use was to be linked anew"
        if action.verb in ("start", "enable", "link", "reset"):
            assert action.slot == plan.slot
        if action.verb in ("stop", "disable") and state == "started" and kind != "beat":
            assert action.slot == plan.slot, "a start touched the other slot"
    assert plan.after == predict(plan.before, plan.actions, NEW)
    if state == "live":
        assert plan.after[plan.slot]["enabled"]
        assert plan.after[plan.other] == {**plan.before[plan.other], "enabled": False, "running": False}
    if state == "stopped":
        assert plan.after[plan.slot] == {**plan.before[plan.slot], "enabled": False, "running": False}
    if state == "started":
        assert plan.after[plan.slot]["running"]
        assert plan.after[plan.slot]["release"] == NEW


@given(pair=both, kind=st.sampled_from(KINDS), state=st.sampled_from(["started", "live", "stopped"]))
def test_a_second_run_changes_nothing(pair: tuple[Slot, Slot], kind: str, state: str) -> None:
    there, call = seen(*pair), wanted(state, kind=kind)
    try:
        plan = make_plan(call, there)
    except Refused:
        return
    assert make_plan(call, after(plan, there, kind)).actions == ()

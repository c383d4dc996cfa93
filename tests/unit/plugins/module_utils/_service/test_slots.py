# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which slot a release gets: for every state of two slots, and the cases one by one."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._release._layout import KINDS
from ansible_collections.slipway.django.plugins.module_utils._service._slots import (
    Service,
    Slot,
    choose_slot,
)
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Unit
from hypothesis import given
from hypothesis import strategies as st

OLD, LAST, NEW = "aaaaaaaaaaaa-00000001", "bbbbbbbbbbbb-00000002", "cccccccccccc-00000003"
RUNNING = {"active": "active", "sub": "running", "pid": 100}
STATES: dict[str, dict[str, object]] = {
    "rest": {"active": "inactive", "sub": "dead", "pid": 0},
    "failed": {"active": "failed", "sub": "failed", "pid": 0},
    "running": RUNNING,
    "starting": {"active": "activating", "sub": "start", "pid": 100},
    "crashing": {"active": "activating", "sub": "auto-restart", "pid": 0},
    "stopping": {"active": "deactivating", "sub": "stop-sigterm", "pid": 100},
}


def unit(name: str, state: str = "rest", *, enabled: bool = False, **changes: object) -> Unit:
    values: dict[str, object] = {
        "name": name,
        "load": "loaded",
        "file_state": "enabled" if enabled else "disabled",
        "result": "success",
        "exit_code": 0,
        "exit_status": 0,
        "restarts": 0,
        "job": False,
        "active_since_s": 0.0,
        **STATES[state],
        **changes,
    }
    return Unit(**values)  # type: ignore[arg-type]


def slot(
    name: str, release: str | None, *, linked_at: float = 0.0, enabled: tuple[str, ...] = (), **states: str
) -> Slot:
    """A slot whose kinds are in the given states, those not given at rest."""
    services = {}
    for kind in KINDS:
        state = states.get(kind, "rest")
        runs = release if state == "running" else None
        services[kind] = Service(unit(f"shop-{kind}@{name}.service", state, enabled=kind in enabled), runs)
    return Slot(name, release, linked_at if release else 0.0, services)


def blue(release: str | None, *, linked_at: float = 0.0, enabled: tuple[str, ...] = (), **states: str) -> Slot:
    return slot("blue", release, linked_at=linked_at, enabled=enabled, **states)


def green(release: str | None, *, linked_at: float = 0.0, enabled: tuple[str, ...] = (), **states: str) -> Slot:
    return slot("green", release, linked_at=linked_at, enabled=enabled, **states)


CASES = [
    ("the first deployment", blue(None), green(None), "blue", "neither slot is enabled, blue is empty"),
    (
        "the second deployment",
        blue(LAST, enabled=("web",), web="running"),
        green(None),
        "green",
        "slot green is the one of which nothing runs",
    ),
    (
        "the way back",
        blue(LAST, enabled=("web",), web="running"),
        green(NEW, web="rest"),
        "green",
        f"slot green holds {NEW}",
    ),
    (
        "workers are ahead of web",
        blue(LAST, enabled=("web",), web="running"),
        green(NEW, enabled=("worker",), worker="running"),
        "green",
        f"slot green holds {NEW}",
    ),
    (
        "the live one has crashed",
        blue(LAST, enabled=("web",), web="failed"),
        green(OLD),
        "green",
        "slot green is the idle one, blue is enabled",
    ),
    (
        "the live one was stopped first, without overlap",
        blue(LAST, linked_at=20.0),
        green(OLD, linked_at=10.0),
        "green",
        "neither slot is enabled, green was linked longer ago",
    ),
    (
        "both enabled after a switch that was cut short",
        blue(LAST, linked_at=20.0, enabled=("web",)),
        green(OLD, linked_at=30.0, enabled=("web",)),
        "blue",
        "both slots are enabled and stopped, blue was linked longer ago",
    ),
    (
        "only a worker is enabled in one, web in the other",
        blue(LAST, enabled=("web",)),
        green(OLD, enabled=("worker",)),
        "green",
        "slot green is the idle one, blue is enabled",
    ),
    (
        "it is in both, and runs in one",
        blue(NEW),
        green(NEW, enabled=("web",), web="running"),
        "green",
        f"slot green holds {NEW}",
    ),
]


@pytest.mark.parametrize(
    ("first", "second", "chosen", "reason"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_cases(first: Slot, second: Slot, chosen: str, reason: str) -> None:
    choice = choose_slot(NEW, "web", (first, second))
    assert (choice.slot.name, choice.reason) == (chosen, reason)


def test_when_something_runs_in_both_it_is_refused_and_said_what() -> None:
    with pytest.raises(Refused) as refusal:
        choose_slot(NEW, "web", (blue(LAST, enabled=("web",), web="running"), green(OLD, worker="crashing")))
    assert refusal.value.message == (
        f"No slot is free for {NEW}: something runs in blue ({LAST}: web) and green ({OLD}: worker). "
        "Nothing was changed. "
        "Stop the services of the slot that has no traffic (state: stopped, slot, kind), "
        "or go back to the release of the live slot first."
    )
    assert refusal.value.facts["in_use"] == ["shop-web@blue.service", "shop-worker@green.service"]


@st.composite
def slots(draw: st.DrawFn, name: str) -> Slot:
    """A slot in any state."""
    return slot(
        name,
        draw(st.sampled_from([None, OLD, LAST, NEW])),
        linked_at=draw(st.floats(1, 9)),
        enabled=tuple(draw(st.sets(st.sampled_from(KINDS)))),
        **{kind: draw(st.sampled_from(sorted(STATES))) for kind in KINDS},
    )


both = st.tuples(slots("blue"), slots("green"))


@given(pair=both, kind=st.sampled_from(KINDS))
def test_a_slot_in_use_is_never_given_to_another_release(pair: tuple[Slot, Slot], kind: str) -> None:
    try:
        choice = choose_slot(NEW, kind, pair)
    except Refused:
        assert all(one.in_use and one.release != NEW for one in pair)
        return
    assert choice.slot.release == NEW or not choice.slot.in_use
    assert {choice.slot.name, choice.other.name} == {"blue", "green"}
    assert choice.reason


@given(pair=both, kind=st.sampled_from(KINDS))
def test_a_release_stays_where_it_is(pair: tuple[Slot, Slot], kind: str) -> None:
    holding = {one.name for one in pair if one.release == NEW}
    if holding:
        assert choose_slot(NEW, kind, pair).slot.name in holding


@given(pair=both)
def test_the_live_slot_is_taken_last(pair: tuple[Slot, Slot]) -> None:
    free = [one for one in pair if not one.in_use]
    if free and all(one.release != NEW for one in pair):
        chosen = choose_slot(NEW, "web", pair).slot
        assert "web" not in chosen.enabled or all("web" in one.enabled for one in free)


@given(pair=both, kind=st.sampled_from(KINDS))
def test_the_choice_does_not_depend_on_the_order(pair: tuple[Slot, Slot], kind: str) -> None:
    try:
        choice = choose_slot(NEW, kind, pair)
    except Refused:
        return
    assert choose_slot(NEW, kind, (pair[1], pair[0])).slot == choice.slot

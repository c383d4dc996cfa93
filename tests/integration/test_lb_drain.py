# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_drain against a real HAProxy. What it claims is proved by HAProxy's own word and by requests."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration import balancer_modules
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.balancer_worlds import Held, two_haproxies, world_of
from ansible_collections.slipway.django.tests.integration.lab_haproxy import (
    HAPROXY,
    Application,
    Haproxy,
    running,
    wait_until,
)

pytestmark = [
    pytest.mark.skipif(shutil.which(HAPROXY) is None, reason="needs the package haproxy"),
    pytest.mark.timeout(300),
]
READY, DRAIN, MAINT = (0, 100), (8, 100), (1, 100)


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Iterator[tuple[Haproxy, dict[str, Application]]]:
    with running(tmp_path) as lab:
        yield lab


@pytest.fixture(name="haproxy")
def _haproxy(lab: tuple[Haproxy, dict[str, Application]]) -> Haproxy:
    return lab[0]


@pytest.fixture(name="applications")
def _applications(lab: tuple[Haproxy, dict[str, Application]]) -> dict[str, Application]:
    return lab[1]


def drain(
    haproxy: Haproxy, state: str, server: str | list[str] = "a", *, check: bool = False, **options: Any
) -> ModuleRun:
    wanted = {"socket": haproxy.socket, "pool": "shop", "server": server, "state": state, "timeout": 30}
    return run_module("lb_drain", {**wanted, "state_file": str(haproxy.state), **options}, check=check)


class Background:
    """A call in a thread, with its result."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._value: Any = None
        self._error: BaseException | None = None
        # A daemon: a test that fails must not be kept from ending by what it had started.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except (AssertionError, OSError, http.client.HTTPException) as error:
            self._error = error

    def result(self) -> Any:
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._value


def held_request_to_a(haproxy: Haproxy, applications: dict[str, Application]) -> Background:
    """Open a request on server a that ends when it is let go."""
    before = applications["a"].requests
    haproxy.command("set server shop/b state maint")
    haproxy.command("set server shop/c state maint")
    request = Background(lambda: haproxy.get("/held"))
    wait_until("the request is at a", lambda: applications["a"].requests > before)
    for name in "bc":
        haproxy.command(f"set server shop/{name} state ready")
    haproxy.wait_status(b="UP", c="UP")
    return request


# --- idempotence: check, apply, check, apply -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "state", "end"),
    [
        ("ready", "maintenance", MAINT),
        pytest.param("ready", "drained", DRAIN, marks=pytest.mark.long),
        pytest.param("drain", "maintenance", MAINT, marks=pytest.mark.long),
        pytest.param("maint", "drained", DRAIN, marks=pytest.mark.long),
        ("maint", "ready", READY),
        pytest.param("drain", "ready", READY, marks=pytest.mark.long),
    ],
)
def test_check_apply_check_apply(haproxy: Haproxy, start: str, state: str, end: tuple[int, int]) -> None:
    haproxy.command(f"set server shop/a state {start}")
    before = haproxy.told()

    predicted = drain(haproxy, state, check=True).succeeded()
    assert predicted["changed"]
    assert haproxy.told() == before
    assert haproxy.state.read_text() == ""

    applied = drain(haproxy, state).succeeded()
    assert applied["changed"]
    assert haproxy.told() == {**before, "a": end}
    assert applied["diff"] == predicted["diff"]
    assert {**applied, "msg": 0}.keys() == {**predicted, "msg": 0}.keys()
    saved = haproxy.state.read_text()
    assert f" a 127.0.0.1 {2 if state != 'maintenance' else 0} {end[0]} 100 100 " in saved

    assert not drain(haproxy, state, check=True).succeeded()["changed"]
    again = drain(haproxy, state).succeeded()
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert haproxy.told() == {**before, "a": end}
    assert haproxy.state.read_text() == saved


def test_the_weight_comes_back_with_ready(haproxy: Haproxy) -> None:
    haproxy.command("set server shop/a state drain")
    haproxy.command("set server shop/a weight 0")
    assert drain(haproxy, "ready").succeeded()["changed"]
    assert haproxy.told()["a"] == READY
    haproxy.command("set server shop/a weight 0")
    result = drain(haproxy, "ready").succeeded()
    assert result["changed"]
    assert result["diff"]["before"] == {"a": {"state": "ready", "weight": 0}}
    assert haproxy.told()["a"] == READY


# --- no request is lost --------------------------------------------------------------------------------------------


def test_the_last_request_ends_before_the_server_is_out(haproxy: Haproxy, applications: dict[str, Application]) -> None:
    request = held_request_to_a(haproxy, applications)
    seen_out: list[float] = []

    def watch() -> None:
        while not seen_out:
            if haproxy.told()["a"] == MAINT:
                seen_out.append(time.monotonic())
            time.sleep(0.005)

    watcher = Background(watch)
    run = Background(lambda: drain(haproxy, "maintenance"))
    wait_until("a is told to drain", lambda: haproxy.told()["a"] == DRAIN, seconds=30)
    time.sleep(0.5)
    applications["a"].let_go.set()
    result = run.result().succeeded()
    watcher.result()
    assert request.result() == (200, str(applications["a"].port))
    assert result["sessions"] == {"first": 1, "last": 0, "max": 1}
    # Three intervals of 0.1 s without a session. Half a second is the most on a machine that has time, which the unit
    # tests hold by a clock of their own.
    assert 0.28 < seen_out[0] - applications["a"].last_end < 5


def test_nothing_reaches_a_server_that_is_out(haproxy: Haproxy, applications: dict[str, Application]) -> None:
    drain(haproxy, "drained").succeeded()
    before = applications["a"].requests
    assert {haproxy.get()[0] for _ in range(20)} == {200}
    assert applications["a"].requests == before


def test_under_load_a_server_is_replaced_without_a_failure(
    haproxy: Haproxy, applications: dict[str, Application]
) -> None:
    stop = threading.Event()
    answers: list[list[int]] = [[] for _ in range(4)]

    def load(mine: list[int]) -> None:
        while not stop.is_set():
            mine.append(haproxy.get()[0])
            time.sleep(0.03)

    loads = [Background(lambda mine=mine: load(mine)) for mine in answers]  # type: ignore[misc]
    try:
        drain(haproxy, "maintenance").succeeded()
        # As SIGKILL would end it: nothing can be in flight any more.
        applications["a"].stop()
        time.sleep(0.5)
        assert drain(haproxy, "ready", timeout=2).failed
        applications["a"] = Application(applications["a"].port)
        drain(haproxy, "ready").succeeded()
        time.sleep(0.3)
    finally:
        stop.set()
    for background in loads:
        background.result()
    statuses = [status for mine in answers for status in mine]
    assert len(statuses) > 100
    assert set(statuses) == {200}
    assert applications["a"].requests > 0


# --- the deadline --------------------------------------------------------------------------------------------------


def test_at_the_deadline_the_server_is_readmitted(haproxy: Haproxy, applications: dict[str, Application]) -> None:
    request = held_request_to_a(haproxy, applications)
    run = drain(haproxy, "maintenance", timeout=1)
    assert run.failed
    assert run.msg.startswith("Still open on a after 1 s: 1 sessions (request of 127.0.0.1:")
    assert " s) (1 at first, 1 at most). As it was before: a (" in run.msg
    assert haproxy.told()["a"] == READY
    assert f" a 127.0.0.1 2 {READY[0]} " in haproxy.state.read_text()
    assert not run.result["changed"]
    applications["a"].let_go.set()
    assert request.result()[0] == 200


def test_at_the_deadline_sessions_are_left_behind_and_may_end(
    haproxy: Haproxy, applications: dict[str, Application]
) -> None:
    request = held_request_to_a(haproxy, applications)
    result = drain(haproxy, "maintenance", timeout=1, on_timeout="cut").succeeded()
    assert result["cut"] == 1
    assert " still open and left to be cut: 1 sessions (request of 127.0.0.1:" in result["msg"]
    assert haproxy.told()["a"] == MAINT
    applications["a"].let_go.set()
    assert request.result()[0] == 200


def test_a_websocket_is_told_from_a_request(tmp_path: Path) -> None:
    with world_of("haproxy", tmp_path) as world, socket.socket() as client:
        for name in "bc":
            # By force: on a machine with much to do the one that stays may just have missed a check.
            out = {"pool": "shop", "server": [name], "state": "maintenance", "force": True}
            balancer_modules.drain({**world.options(), **out})
        client.connect(("127.0.0.1", world.front))
        client.sendall(
            b"GET /socket HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b" 101 " in client.recv(1000)
        options = {**world.options(), "pool": "shop", "server": ["a"], "state": "maintenance", "force": True}
        result = balancer_modules.drain({**options, "timeout": 1, "on_timeout": "cut"})
        host, port = client.getsockname()
        (left,) = result["running"]
        assert (left["kind"], left["source"], left["server"]) == ("WebSocket", f"{host}:{port}", "a")
        assert f"still open and left to be cut: 1 sessions (WebSocket of {host}:{port} for " in result["msg"]


def test_several_processes_are_told_the_same(tmp_path: Path) -> None:
    with two_haproxies(tmp_path) as worlds:
        both = [world.haproxy.socket for world in worlds.values()]
        options = {"socket": both, "pool": "shop", "server": ["a"], "record_file": str(tmp_path / "record")}
        held = Held(worlds["lb2"], "a")
        with pytest.raises(SlipwayError, match="Still open on a after 1 s: 1 sessions"):
            balancer_modules.drain({**options, "state": "maintenance", "timeout": 1})
        assert [world.told()["a"] for world in worlds.values()] == ["ready", "ready"]
        held.let_go()
        balancer_modules.drain({**options, "state": "maintenance"})
        assert [world.told()["a"] for world in worlds.values()] == ["maint", "maint"]
        # One of them was told something else by hand: it is told once more.
        worlds["lb2"].haproxy.command("set server shop/a state ready")
        seen = balancer_modules.info({"socket": both, "pool": ["shop"], "record_file": str(tmp_path / "record")})
        assert not seen["pools"]["shop"]["out"]["a"]["kept"]
        assert balancer_modules.drain({**options, "state": "maintenance"})["changed"]
        assert [world.told()["a"] for world in worlds.values()] == ["maint", "maint"]
        assert not balancer_modules.drain({**options, "state": "maintenance"})["changed"]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_healthy": "3"}, "Without a 2 healthy servers would be left in pool shop, and min_healthy asks for 3"),
        ({"min_healthy": "75%"}, "and min_healthy asks for 3"),
        ({"server": ["a", "b", "c"]}, "Without a, b, c 0 healthy servers would be left"),
        ({"server": ["d"]}, "server: 'd' is not accepted, expected a server of the pool shop: a, b, c, dead."),
        ({"pool": "shopp"}, "pool: 'shopp' is not accepted, expected a backend of this HAProxy: shop."),
        ({"socket": "/nowhere/admin.sock"}, "HAProxy gave no answer on /nowhere/admin.sock to 'show cli level'"),
        ({"state_file": "/nowhere/state"}, "The state file /nowhere/state can't be written"),
        ({"server": ["a;disable frontend web"]}, "expected a name of letters, digits and the characters _ . : -"),
    ],
)
def test_refused_before_anything_is_changed(haproxy: Haproxy, options: dict[str, Any], message: str) -> None:
    before = haproxy.told()
    run = drain(haproxy, "maintenance", **options)
    assert run.failed
    assert message in run.msg
    assert haproxy.told() == before
    assert haproxy.state.read_text() == ""


@pytest.mark.parametrize("check", [True, False])
def test_missing_rights_are_noticed_first(haproxy: Haproxy, check: bool) -> None:
    run = drain(haproxy, "maintenance", server="nobody", socket=haproxy.user_socket, check=check)
    assert run.failed
    assert "This socket of HAProxy gives the level 'user', and changing servers needs 'admin'" in run.msg


def test_the_last_server_goes_only_by_force(haproxy: Haproxy) -> None:
    for name in "bc":
        haproxy.command(f"set server shop/{name} state maint")
    assert drain(haproxy, "maintenance").failed
    # Idle slots do not count: one of one server is 100 %.
    assert drain(haproxy, "maintenance", min_healthy="1%").failed
    assert haproxy.told()["a"] == READY
    assert drain(haproxy, "maintenance", force=True).succeeded()["changed"]
    assert haproxy.told()["a"] == MAINT


def test_a_dead_server_can_always_be_taken_out(haproxy: Haproxy) -> None:
    assert drain(haproxy, "maintenance", server="dead", min_healthy="100%").succeeded()["changed"]
    assert haproxy.told()["dead"] == MAINT


def test_by_tcp(haproxy: Haproxy) -> None:
    drain(haproxy, "maintenance", socket=f"127.0.0.1:{haproxy.tcp}").succeeded()
    assert haproxy.told()["a"] == MAINT


# --- coming back ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", "fall 1 rise 1"])
def test_a_dead_server_never_comes_back(tmp_path: Path, options: str) -> None:
    with running(tmp_path, a=options) as (haproxy, applications):
        drain(haproxy, "maintenance").succeeded()
        applications["a"].stop()
        admin_states = set()
        stop = threading.Event()

        def watch() -> None:
            while not stop.is_set():
                admin_states.add(haproxy.told()["a"])
                time.sleep(0.002)

        watcher = Background(watch)
        try:
            run = drain(haproxy, "ready", timeout=2)
        finally:
            stop.set()
        watcher.result()
        assert run.failed
        assert "a is DOWN (L4CON Connection refused); expected DRAIN with a passed check." in run.msg
        assert "As it was before: a (maint, MAINT)" in run.msg
        assert haproxy.told()["a"] == MAINT
        # Out of traffic all the time. Both bits at once are HAProxy taking the one for the other.
        assert all(admin & (MAINT[0] | DRAIN[0]) for admin, _weight in admin_states), admin_states


def test_haproxy_believes_without_looking_which_is_why_we_do_not(tmp_path: Path) -> None:
    # The fact behind the way back: out of maintenance a dead server counts as well until its checks have failed.
    with running(tmp_path, a="fall 1") as (haproxy, applications):
        haproxy.command("set server shop/a state maint")
        applications["a"].stop()
        haproxy.command("set server shop/a state drain")
        assert haproxy.statuses()["a"] == "DRAIN"
        haproxy.command("set server shop/a state maint")
        haproxy.command("set server shop/a state ready")
        assert haproxy.statuses()["a"] == "UP"


def test_a_red_server_is_readmitted_when_it_turns_green(haproxy: Haproxy, applications: dict[str, Application]) -> None:
    drain(haproxy, "maintenance").succeeded()
    applications["a"].healthy = False
    run = Background(lambda: drain(haproxy, "ready"))
    wait_until("its checks have begun", lambda: haproxy.told()["a"] == DRAIN, seconds=30)
    haproxy.wait_status(a="DOWN")
    applications["a"].healthy = True
    assert run.result().succeeded()["changed"]
    assert haproxy.statuses()["a"] == "UP"


# --- HAProxy itself goes away --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", pytest.param("kill", marks=pytest.mark.long), "reload"])
@pytest.mark.parametrize(
    ("state", "end"), [("maintenance", MAINT), pytest.param("drained", DRAIN, marks=pytest.mark.long)]
)
def test_what_was_ordered_survives(haproxy: Haproxy, how: str, state: str, end: tuple[int, int]) -> None:
    drain(haproxy, state).succeeded()
    again(haproxy, how)
    assert haproxy.told() == {"a": end, "b": READY, "c": READY, "dead": READY}
    assert not drain(haproxy, state).succeeded()["changed"]
    assert drain(haproxy, "ready").succeeded()["changed"]
    again(haproxy, how)
    assert haproxy.told()["a"] == READY
    assert haproxy.statuses()["a"] == "UP"


def again(haproxy: Haproxy, how: str) -> None:
    if how == "reload":
        haproxy.reload()
    else:
        haproxy.restart(signal.SIGKILL if how == "kill" else signal.SIGTERM)


def test_a_slot_that_is_disabled_in_the_configuration_survives_too(tmp_path: Path) -> None:
    # The idle slot's line says `disabled`; what was ordered since counts for more.
    with running(tmp_path) as (haproxy, _applications):
        haproxy.options["a"] = "disabled"
        haproxy.restart()
        assert haproxy.told()["a"] == MAINT
        drain(haproxy, "ready").succeeded()
        haproxy.restart()
        assert haproxy.told()["a"] == READY


def test_the_trap_a_changed_port_is_not_taken_from_the_configuration(haproxy: Haproxy) -> None:
    # The fact that the module's notes warn of, and the way out that they give.
    drain(haproxy, "drained", server="dead").succeeded()
    old, haproxy.ports["a"] = haproxy.ports["a"], haproxy.ports["b"]
    haproxy.restart()
    assert f"127.0.0.1:{old}," in haproxy.command("show stat shop 4 -1")
    haproxy.state.write_text(
        "".join(line for line in haproxy.state.read_text().splitlines(keepends=True) if " shop 1 a " not in line)
    )
    haproxy.restart()
    assert f"127.0.0.1:{old}," not in haproxy.command("show stat shop 4 -1")
    assert haproxy.told()["dead"] == DRAIN


@pytest.mark.parametrize(
    ("how", "state_file", "told"),
    [
        ("restart", True, DRAIN),
        pytest.param("restart", False, READY, marks=pytest.mark.long),
        ("kill", False, READY),
        pytest.param("reload", True, DRAIN, marks=pytest.mark.long),
    ],
)
def test_haproxy_comes_anew_while_sessions_end(
    haproxy: Haproxy, applications: dict[str, Application], how: str, state_file: bool, told: tuple[int, int]
) -> None:
    haproxy.state_file = state_file
    request = held_request_to_a(haproxy, applications)
    run = Background(lambda: drain(haproxy, "maintenance"))
    wait_until("a is told to drain", lambda: haproxy.told()["a"] == DRAIN and haproxy.state.read_text(), seconds=30)
    time.sleep(0.3)
    again(haproxy, how)
    failed: ModuleRun = run.result()
    assert failed.failed
    assert "restarted or reloaded meanwhile" in failed.msg or "It answered when this task began" in failed.msg
    # A process that begins without a state takes every server for half well until it has looked.
    serving = failed.msg.partition("In pool shop now serving: ")[2].partition("; not serving: ")[0]
    assert [part.split(" ")[0] for part in serving.split(", ")][:3] == (["b", "c"] if state_file else ["a", "b", "c"])
    assert "Run the same task again: it goes on from the state that is there." in failed.msg
    assert haproxy.told()["a"] == told
    applications["a"].let_go.set()
    if how == "reload":
        assert request.result()[0] == 200
    else:
        with pytest.raises((OSError, http.client.HTTPException)):  # it died with HAProxy
            request.result()
    assert drain(haproxy, "maintenance").succeeded()["changed"]
    assert haproxy.told()["a"] == MAINT


def test_haproxy_stays_away(haproxy: Haproxy, applications: dict[str, Application]) -> None:
    held_request_to_a(haproxy, applications)
    run = Background(lambda: drain(haproxy, "maintenance"))
    wait_until("a is told to drain", lambda: haproxy.told()["a"] == DRAIN, seconds=30)
    haproxy.stop(signal.SIGKILL)
    failed: ModuleRun = run.result()
    assert failed.failed
    assert "What the servers are told now can't be read; told last: a: drain." in failed.msg
    assert failed.result["changed"]


def test_two_drains_at_once_never_both_see_two(haproxy: Haproxy) -> None:
    haproxy.command("set server shop/c state maint")
    runs = [Background(lambda name=name: drain(haproxy, "maintenance", server=name)) for name in "ab"]  # type: ignore[misc]
    assert sorted(run.result().failed for run in runs) == [False, True]
    assert sorted(haproxy.told()[name] for name in "ab") == [READY, MAINT]

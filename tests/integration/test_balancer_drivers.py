# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of the drivers: what lb_drain and lb_info promise, each on each real balancer.

Most of it runs the modules in this process: hundreds of runs of Ansible would show no more. ``test_as_a_task`` runs
them as a task does.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration import balancer_modules, lab_s3
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.balancer_worlds import (
    DRAIN,
    MAINT,
    NGINX,
    READY,
    WORLDS,
    AlbWorld,
    Background,
    Held,
    World,
    world_of,
)
from ansible_collections.slipway.django.tests.integration.lab_haproxy import HAPROXY, wait_until

pytestmark = [
    pytest.mark.skipif(shutil.which(HAPROXY) is None, reason="needs the package haproxy"),
    pytest.mark.skipif(shutil.which(NGINX) is None, reason="needs the package nginx"),
    pytest.mark.timeout(300),
]


@pytest.fixture(name="moto", scope="session")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with lab_s3.running(tmp_path_factory.mktemp("moto") / "log") as AlbWorld.storage:
        yield


# What `make test` asks every driver. The rest it asks nginx_flag alone, since test_lb_drain.py asks HAProxy much of the
# same; `make proof` asks all of them everything (tests/proof/test_balancers.py sets this variable).
EVERYTHING = "BALANCERS_EVERYTHING" in os.environ
OF_EVERY_DRIVER = {
    "test_out_and_back_check_apply_check_apply",
    "test_nothing_reaches_one_that_is_out_and_all_reach_one_that_is_back",
    "test_the_last_request_ends_before_the_server_is_out",
    "test_at_the_deadline_it_is_put_back",
    "test_refused_before_anything_is_changed",
    "test_without_rights",
    "test_it_comes_anew_while_sessions_end",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        whole = EVERYTHING or metafunc.function.__name__ in OF_EVERY_DRIVER
        drivers = [driver for driver in WORLDS if whole or driver == "nginx_flag"]
        metafunc.parametrize("world", drivers, indirect=True)


@pytest.fixture(name="world")
def _world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == AlbWorld.driver:
        request.getfixturevalue("moto")
    with world_of(request.param, tmp_path) as world:
        yield world


@dataclass
class Contract:
    """The modules on one balancer."""

    world: World

    def drain(self, state: str, *servers: str, check: bool = False, **options: Any) -> dict[str, Any]:
        """lb_drain; raises what the module would fail with."""
        wanted = {**self.world.options(), "pool": "shop", "server": list(servers or "a"), "state": state}
        return balancer_modules.drain({"timeout": 30, **self.world.quick, **wanted, **options}, check=check)

    def info(self, **options: Any) -> dict[str, Any]:
        """lb_info on the pool."""
        return balancer_modules.info({**self.world.options(), "pool": ["shop"], **options})

    def refused(self, state: str, *servers: str, **options: Any) -> SlipwayError:
        """The error of a run that must not have changed anything."""
        before = self.world.told()
        with pytest.raises(SlipwayError) as caught:
            self.drain(state, *servers, **options)
        assert self.world.told() == before
        return caught.value

    def in_background(self, state: str, *servers: str, **options: Any) -> Background:
        return Background(lambda: self.drain(state, *servers, **options))

    def as_told(self, state: str) -> str:
        """What a server is told for this state: some balancers know no drain."""
        return MAINT if state == DRAIN and not self.world.knows_drain else state


@pytest.fixture(name="contract")
def _contract(world: World) -> Contract:
    return Contract(world)


@pytest.fixture(name="traffic")
def _traffic(contract: Contract) -> Contract:
    if not contract.world.carries_requests:
        pytest.skip("no request passes through it")
    return contract


# --- states --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "told"), [("drained", DRAIN), ("maintenance", MAINT)])
def test_out_and_back_check_apply_check_apply(contract: Contract, state: str, told: str) -> None:
    told = contract.as_told(told)
    for wanted, after in ((state, told), ("ready", READY)):
        before = contract.world.told()
        predicted = contract.drain(wanted, check=True)
        assert predicted["changed"]
        assert contract.world.told() == before

        applied = contract.drain(wanted)
        assert applied["changed"]
        assert contract.world.told() == {**before, "a": after}
        assert applied["diff"] == predicted["diff"]
        assert applied.keys() == predicted.keys()

        assert not contract.drain(wanted, check=True)["changed"]
        again = contract.drain(wanted)
        assert not again["changed"]
        assert contract.world.told() == {**before, "a": after}


def test_from_one_way_of_being_out_to_the_other(contract: Contract) -> None:
    contract.drain("drained")
    contract.drain("maintenance")
    assert contract.world.told()["a"] == MAINT
    contract.drain("drained")
    assert contract.world.told()["a"] == contract.as_told(DRAIN)


def test_several_at_once(contract: Contract) -> None:
    contract.drain("maintenance", "a", "b")
    assert contract.world.told() == {"a": MAINT, "b": MAINT, "c": READY}
    contract.drain("ready", "a", "b")
    assert contract.world.told() == {"a": READY, "b": READY, "c": READY}


def test_as_a_task(contract: Contract) -> None:
    options = {**contract.world.options(), "pool": "shop", "server": "a", "timeout": 30}
    assert run_module("lb_drain", {**options, "state": "maintenance"}).succeeded()["changed"]
    assert contract.world.told()["a"] == MAINT
    assert not run_module("lb_drain", {**options, "state": "maintenance"}).succeeded()["changed"]
    seen = run_module("lb_info", {**contract.world.options(), "pool": "shop"}).succeeded()
    assert seen["pools"]["shop"]["serving"] == ["b", "c"]
    assert seen["pools"]["shop"]["out"]["a"]["kept"]


# --- requests ------------------------------------------------------------------------------------------------------


def asked(contract: Contract, count: int = 30) -> list[str]:
    """Who answers so many requests, each by a connection of its own."""
    answers = [contract.world.get() for _ in range(count)]
    assert {status for status, _name in answers} == {200}
    return [name for _status, name in answers]


def test_nothing_reaches_one_that_is_out_and_all_reach_one_that_is_back(traffic: Contract) -> None:
    assert set(asked(traffic)) == {"a", "b", "c"}
    traffic.drain("drained")
    assert set(asked(traffic)) == {"b", "c"}
    traffic.drain("maintenance")
    assert set(asked(traffic)) == {"b", "c"}
    traffic.drain("ready")
    wait_until("a is asked again", lambda: "a" in asked(traffic, 3), seconds=10)


def test_the_last_request_ends_before_the_server_is_out(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    run_ = traffic.in_background("maintenance")
    wait_until("a is told", lambda: traffic.world.told()["a"] != READY)
    # Long enough that a run which does not wait would have ended, and that one which does has counted.
    time.sleep(2 + traffic.world.notice_s)
    assert run_.result is None
    assert held.let_go() == (200, "a")
    result = run_.succeeded()
    assert result["sessions"]["max"] >= 1
    assert result["sessions"]["last"] == 0
    assert traffic.world.told()["a"] == MAINT
    assert all(server["after"]["sessions"] == 0 for server in result["servers"])


def test_at_the_deadline_it_is_put_back(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    with pytest.raises(SlipwayError) as caught:
        traffic.drain("maintenance", timeout=1 + traffic.world.notice_s)
    assert "Still open on a after" in caught.value.message
    assert "As it was before: a (ready, UP)." in caught.value.message
    running = caught.value.facts["running"]
    assert isinstance(running, list)
    assert running[0]["server"] == "a"
    assert running[0]["source"].startswith("127.0.0.1:")
    assert traffic.world.told() == dict.fromkeys("abc", READY)
    assert traffic.info()["pools"]["shop"]["out"] == {}
    assert held.let_go() == (200, "a")


def test_at_the_deadline_it_is_waited_for_when_asked(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    timeout = 0.6 + traffic.world.notice_s
    run_ = traffic.in_background("maintenance", timeout=timeout, on_timeout="wait", wait_timeout=60)
    time.sleep(timeout + 1)
    assert run_.result is None
    assert held.let_go() == (200, "a")
    result = run_.succeeded()
    assert f"later than {timeout:g} s, when open were: 1 sessions (" in result["msg"]
    assert [one["server"] for one in result["running"]] == ["a"]
    assert result["cut"] == 0


def test_at_the_deadline_it_is_left_behind_when_asked(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    result = traffic.drain("maintenance", timeout=1 + traffic.world.notice_s, on_timeout="cut")
    assert result["cut"] == 1
    assert "still open and left to be cut: 1 sessions (" in result["msg"]
    assert traffic.world.told()["a"] == MAINT
    # Nothing was done to it: it may end while its service lives.
    assert held.let_go() == (200, "a")


def test_under_load_a_server_is_replaced_without_a_failure(traffic: Contract) -> None:
    stop = threading.Event()
    statuses: list[int] = []

    def load() -> None:
        while not stop.is_set():
            statuses.append(traffic.world.get()[0])
            time.sleep(0.02)

    threads = [threading.Thread(target=load, daemon=True) for _number in range(2)]
    for thread in threads:
        thread.start()
    traffic.drain("maintenance")
    # As SIGKILL would end it: nothing can be in flight any more.
    traffic.world.applications["a"].stop()
    traffic.world.revive("a")
    traffic.drain("ready")
    before = traffic.world.applications["a"].requests
    wait_until("a is asked again", lambda: traffic.world.applications["a"].requests > before, seconds=20)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert len(statuses) > 20
    assert set(statuses) == {200}


def test_a_dead_server_never_comes_back(traffic: Contract) -> None:
    traffic.drain("maintenance")
    traffic.world.applications["a"].stop()
    with pytest.raises(SlipwayError, match="a is DOWN"):
        traffic.drain("ready", timeout=2)
    assert traffic.world.told()["a"] == MAINT
    assert set(asked(traffic)) == {"b", "c"}


def test_a_dead_server_can_always_be_taken_out(traffic: Contract) -> None:
    traffic.world.applications["a"].stop()
    wait_until("a is seen to be down", lambda: "a" not in traffic.info()["pools"]["shop"]["serving"])
    traffic.drain("maintenance", min_healthy="100%")
    assert traffic.world.told()["a"] == MAINT


def test_a_share_is_what_it_says(contract: Contract) -> None:
    if not contract.world.weights:
        assert "knows no weights by this driver" in contract.refused("ready", weight="20%").message
        return
    result = contract.drain("ready", weight="20%")
    assert result["changed"]
    assert result["share"] == {"wanted": 20.0, "real": 20.0, "weight": 50}
    assert not contract.drain("ready", weight="20%")["changed"]
    share = asked(contract, 200).count("a") / 2
    assert 17 <= share <= 23
    # Without a share it gets its own weight back.
    assert contract.drain("ready")["changed"]
    assert contract.info()["pools"]["shop"]["servers"][0]["weight"] == 100


def test_an_answer_through_the_balancer_is_asked_for(traffic: Contract) -> None:
    application = traffic.world.applications["a"]
    application.headers = {"X-Served-By": "a", "X-Release": "v2"}
    traffic.drain("maintenance")
    through = {"url": f"http://127.0.0.1:{traffic.world.front}/", "release": "v2"}
    assert "answered through http://127.0.0.1:" in traffic.drain("ready", through=through)["msg"]

    traffic.drain("maintenance")
    with pytest.raises(SlipwayError) as caught:
        traffic.drain("ready", through={**through, "release": "v3"})
    assert "a: release v2 answered with status 200 (expected v3)" in caught.value.message
    assert traffic.world.told()["a"] == MAINT


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("servers", "options", "message"),
    [
        (("a", "b", "c"), {}, "Without a, b, c 0 healthy servers would be left in pool shop, and min_healthy asks for"),
        (
            ("a",),
            {"min_healthy": "3"},
            "Without a 2 healthy servers would be left in pool shop, and min_healthy asks f",
        ),
        (("a",), {"min_healthy": "75%"}, "and min_healthy asks for 3."),
        (("d",), {}, "server: 'd' is not accepted, expected a server of the pool shop: a, b, c."),
        (("a",), {"pool": "shopp"}, "pool: 'shopp' is not accepted, expected "),
    ],
)
def test_refused_before_anything_is_changed(
    contract: Contract, servers: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    if contract.world.driver == "readiness" and "pool" in options:
        pytest.skip("its one pool bears the name that it is given")
    error = contract.refused("maintenance", *servers, **options)
    assert message in error.message
    assert "Nothing was changed." in error.message
    if "pool" in options:
        assert "shop" in error.message.partition("expected ")[2].partition("Nothing")[0]


@pytest.mark.parametrize("check", [False, True])
def test_without_rights(contract: Contract, check: bool) -> None:
    options, message = contract.world.without_rights()
    assert message in contract.refused("maintenance", check=check, **options).message


def test_who_is_kept_out_for_somebody_comes_back_only_for_him(contract: Contract) -> None:
    contract.drain("maintenance", owner="ticket 4711")
    (since,) = [one["since"] for one in contract.info()["pools"]["shop"]["out"].values()]
    error = contract.refused("ready", owner="another")
    assert error.message.startswith(f"a is out since {since} for ticket 4711. Nothing was changed. Ask there, then say")
    # Once more: he keeps his time.
    contract.drain("drained", owner="another")
    seen = contract.info()
    assert seen["pools"]["shop"]["out"]["a"]["since"] == since
    assert f"a is out since {since} for ticket 4711" in seen["msg"]
    assert contract.drain("ready", owner="ticket 4711")["out_before"]["a"]["since"] == since
    assert contract.info()["pools"]["shop"]["out"] == {}


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "kill", "reload"])
def test_what_was_told_survives(contract: Contract, how: str) -> None:
    if not contract.world.has_process:
        pytest.skip("it is no process of this host")
    contract.drain("maintenance")
    contract.world.restart(how)
    assert contract.world.told() == {"a": MAINT, "b": READY, "c": READY}
    wait_until("it serves", lambda: len(contract.info()["pools"]["shop"]["serving"]) == 2, seconds=15)
    assert not contract.drain("maintenance")["changed"]
    assert set(asked(contract)) == {"b", "c"}
    contract.drain("ready")
    assert contract.world.told()["a"] == READY


@pytest.mark.parametrize("how", ["restart", "kill", "reload"])
def test_it_comes_anew_while_sessions_end(contract: Contract, how: str) -> None:
    if not contract.world.has_process:
        pytest.skip("it is no process of this host")
    held = Held(contract.world, "a")
    run_ = contract.in_background("maintenance")
    wait_until("a is told", lambda: contract.world.told()["a"] == DRAIN)
    time.sleep(0.3)
    contract.world.restart(how)
    if contract.world.forgets:
        error = run_.failed()
        assert "restarted or reloaded meanwhile" in error.message or "It answered when this" in error.message
        assert "now serving: b, c; not serving: a" in error.message
        assert "Run the same task again: it goes on from the state that is there." in error.message
        held.let_go()
        assert contract.drain("maintenance")["changed"]
    else:
        time.sleep(0.3)
        held.let_go()
        run_.end()
        if run_.error is not None:
            # It was looked for, or told, in the moment in which it was not there.
            message = run_.error.message
            assert "It answered when this task began" in message or "nginx does not run" in message
            contract.drain("maintenance")
    assert contract.world.told() == {"a": MAINT, "b": READY, "c": READY}


def test_it_stays_away(contract: Contract) -> None:
    if not contract.world.has_process:
        pytest.skip("it is no process of this host")
    Held(contract.world, "a")
    run_ = contract.in_background("maintenance")
    wait_until("a is told", lambda: contract.world.told()["a"] == DRAIN)
    contract.world.stop()
    error = run_.failed()
    assert "What the servers are told now can't be read; told last: a: drain." in error.message
    assert error.facts["changed"]
    # Nobody knows better than the record now.
    contract.world.start()
    assert contract.info()["pools"]["shop"]["out"]["a"]["state"] == DRAIN


def test_a_server_that_dies_while_it_is_drained(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    run_ = traffic.in_background("maintenance")
    wait_until("a is told", lambda: traffic.world.told()["a"] != READY)
    traffic.world.applications["a"].stop()
    held.let_go()
    run_.succeeded()
    assert traffic.world.told() == {"a": MAINT, "b": READY, "c": READY}
    assert set(asked(traffic)) == {"b", "c"}


def test_the_others_die_while_one_is_drained(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    run_ = traffic.in_background("maintenance")
    wait_until("a is told", lambda: traffic.world.told()["a"] != READY)
    for name in "bc":
        traffic.world.applications[name].stop()
    error = run_.failed()
    assert "Fewer healthy servers than min_healthy asks for (1) were left" in error.message
    assert traffic.world.told() == dict.fromkeys("abc", READY)
    assert held.let_go() == (200, "a")


def test_two_at_once_never_both_see_two(contract: Contract) -> None:
    contract.drain("maintenance", "c")
    runs = [contract.in_background("maintenance", name) for name in "ab"]
    assert sorted(run_.end().error is None for run_ in runs) == [False, True]
    assert sorted(contract.world.told()[name] for name in "ab") == [MAINT, READY]


def test_another_hand_is_noticed(traffic: Contract) -> None:
    held = Held(traffic.world, "a")
    run_ = traffic.in_background("maintenance")
    wait_until("a is told", lambda: traffic.world.told()["a"] != READY)
    time.sleep(0.3)
    traffic.drain("ready")
    assert "a is in state ready and was told drain: somebody else changes it" in run_.failed().message
    assert traffic.world.told()["a"] == READY
    assert held.let_go() == (200, "a")


def test_the_record_that_is_damaged_is_no_empty_one(contract: Contract, tmp_path: Path) -> None:
    record = tmp_path / "damaged.json"
    record.write_text(json.dumps({"pools": 7}), encoding="utf-8")
    assert f"{record} is no record of servers" in contract.refused("maintenance", record_file=str(record)).message


def test_one_that_was_red_is_back_when_it_turns_green(traffic: Contract) -> None:
    traffic.drain("maintenance")
    traffic.world.applications["a"].stop()
    run_ = traffic.in_background("ready")
    time.sleep(0.5)
    traffic.world.revive("a")
    run_.succeeded()
    wait_until("a is asked again", lambda: "a" in asked(traffic, 3), seconds=10)

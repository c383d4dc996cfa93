# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._drain import Result, Sessions, run
from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Process,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record
from ansible_collections.slipway.django.plugins.module_utils._balancer._work import Tools
from ansible_collections.slipway.django.plugins.module_utils._errors import Doomed, Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.fake_balancer import (
    FakeBalancer,
    server,
)
from hypothesis import given
from hypothesis import strategies as st

OUT = Request("shop", ("a",), Admin.MAINT, MinHealthy(1, False), timeout_s=10)
BACK = replace(OUT, wanted=Admin.READY)


class Memory(Record):
    """A record in memory."""

    def __init__(self) -> None:
        super().__init__(None)
        self.entries: dict[str, Out] = {}
        self.written = 0

    def out(self, pool: str) -> dict[str, Out]:
        return dict(self.entries)

    def put(self, pool: str, entries: Mapping[str, Out | None]) -> None:
        new = {**self.entries, **entries}
        new_entries = {name: entry for name, entry in new.items() if entry is not None}
        self.written += new_entries != self.entries
        self.entries = new_entries


@dataclass
class Stage:
    """A balancer, a clock and a state file, and what happens over time."""

    balancer: FakeBalancer
    clock: FakeClock = field(default_factory=FakeClock)
    memory: Memory = field(default_factory=Memory)

    def at(self, seconds: float, event: Callable[[], object]) -> None:
        """Let the event happen once, at this time of the clock."""
        before = self.balancer.world
        pending = [event]

        def world() -> None:
            before()
            if pending and self.clock.elapsed >= seconds - 1e-9:
                pending.pop()()

        self.balancer.world = world

    def sessions(self, *steps: tuple[float, int], name: str = "a") -> None:
        for seconds, count in steps:
            self.at(seconds, lambda count=count: self.balancer.change(name, sessions=count))  # type: ignore[misc]

    def run(self, request: Request, *, check_mode: bool = False) -> Result:
        tools = Tools(self.balancer, self.clock, self.memory, OneLock(nullcontext))
        return run(request, tools, check_mode=check_mode)


def stage(**of_a: object) -> Stage:
    balancer = FakeBalancer.of(server("a", **of_a), server("b"), server("c"))  # type: ignore[arg-type]
    return Stage(balancer)


# --- out -----------------------------------------------------------------------------------------------------------


def test_drained_then_maintenance() -> None:
    it = stage(sessions=4)
    it.sessions((0.5, 6), (1.0, 0))
    result = it.run(OUT)
    assert it.balancer.orders == ["a drain", "a maint"]
    assert result.sessions == Sessions(first=4, last=0, max=6)
    assert result.reason == "a goes from ready to maint; no session left after 1.3 s (4 at first, 6 at most)"
    assert result.after[0].admin is Admin.MAINT
    assert it.balancer.saved[-1].startswith("[('a', 'maint', 'MAINT')")
    assert len(it.balancer.saved) == 2


def test_drained_is_left_in_drain() -> None:
    it = stage()
    assert it.run(replace(OUT, wanted=Admin.DRAIN)).after[0].admin is Admin.DRAIN
    assert it.balancer.orders == ["a drain"]


def test_zero_is_believed_after_300_ms_and_no_later_than_500() -> None:
    it = stage(sessions=1)
    it.sessions((2.05, 0))
    result = it.run(OUT)
    assert 0.3 <= result.waited_s - 2.05 < 0.5


def test_a_zero_between_two_sessions_is_not_believed() -> None:
    it = stage(sessions=1)
    it.sessions((0.2, 0), (0.4, 2), (0.5, 0))
    assert it.run(OUT).waited_s == pytest.approx(0.8)


def test_queued_requests_count() -> None:
    it = stage()
    it.balancer.change("a", queued=1)
    it.at(0.6, lambda: it.balancer.change("a", queued=0))
    assert it.run(OUT).waited_s == pytest.approx(0.9)


def test_after_failed_connections_the_turnaround_is_awaited() -> None:
    it = stage()
    it.at(0.1, lambda: it.balancer.change("a", failures=1))
    assert it.run(OUT).waited_s >= 1.2


def test_a_session_that_came_at_the_last_moment_is_awaited_in_maintenance() -> None:
    it = stage()
    it.at(0.3, lambda: None)
    change = it.balancer.set_admin

    def late(name: str, admin: Admin) -> None:
        change(name, admin)
        if admin is Admin.MAINT:
            it.balancer.change("a", sessions=1)
            it.sessions((1.0, 0))

    it.balancer.set_admin = late  # type: ignore[method-assign]
    assert it.run(OUT).waited_s == pytest.approx(1.0)


def test_a_second_run_changes_nothing_and_still_waits_for_sessions() -> None:
    it = stage(admin=Admin.MAINT, sessions=1)
    it.sessions((0.5, 0))
    result = it.run(OUT)
    assert not result.plan.changed
    assert it.balancer.orders == []
    assert it.balancer.saved == []
    assert result.waited_s >= 0.5


def test_several_servers_are_drained_together() -> None:
    it = stage(sessions=1)
    it.balancer.change("b", sessions=2)
    it.sessions((1.0, 0))
    it.sessions((2.0, 0), name="b")
    result = it.run(replace(OUT, servers=("a", "b")))
    assert it.balancer.orders == ["a drain", "b drain", "a maint", "b maint"]
    assert result.sessions.first == 3
    assert result.waited_s == pytest.approx(2.3)


def test_from_maintenance_to_drained() -> None:
    it = stage(admin=Admin.MAINT)
    result = it.run(replace(OUT, wanted=Admin.DRAIN))
    assert result.plan.changed
    assert result.after[0].admin is Admin.DRAIN


def test_at_the_deadline_the_server_is_put_back() -> None:
    it = stage(sessions=3)
    with pytest.raises(TimedOut) as caught:
        it.run(OUT)
    assert caught.value.message == (
        "Still open on a after 10 s: 3 sessions (3 at first, 3 at most). As it was before: a (ready, UP). "
        "In pool shop now serving: a, b, c; not serving: nobody. "
        "Give more time than the slowest request takes, or say on_timeout: cut to go on without them, or "
        "on_timeout: wait."
    )
    assert it.balancer.orders == ["a drain", "a ready"]
    assert caught.value.facts["changed"] is False
    assert caught.value.facts["serving"] == ["a", "b", "c"]
    assert it.balancer.saved[-1].startswith("[('a', 'ready', 'UP')")


def test_at_the_deadline_one_that_was_in_drain_stays_there() -> None:
    it = stage(admin=Admin.DRAIN, sessions=3)
    with pytest.raises(TimedOut, match=r"As it was before: a \(drain, DRAIN\)"):
        it.run(OUT)
    assert it.balancer.orders == []


def test_at_the_deadline_sessions_are_cut_when_asked_for() -> None:
    it = stage(sessions=3)
    result = it.run(replace(OUT, at_deadline=AtDeadline.CUT))
    assert it.balancer.orders == ["a drain", "a maint"]
    assert result.cut == 3
    assert result.reason.endswith("after 10.0 s still open and left to be cut: 3 sessions")


def test_a_put_back_that_fails_is_said() -> None:
    it = stage(sessions=3)
    it.balancer.no = "a ready"
    with pytest.raises(TimedOut) as caught:
        it.run(OUT)
    assert "The servers could not be put back as they were: HAProxy answered 'a ready' with: No" in caught.value.message
    assert "not serving: a (DRAIN)" in caught.value.message
    assert caught.value.facts["changed"] is True


def test_the_pool_getting_too_small_puts_the_server_back() -> None:
    it = stage(sessions=1)
    for name in "bc":
        it.at(1.0, lambda name=name: it.balancer.change(name, status="DOWN"))  # type: ignore[misc]
    with pytest.raises(Doomed) as caught:
        it.run(OUT)
    assert caught.value.message == (
        "Fewer healthy servers than min_healthy asks for (1) were left in pool shop while a drained. As it was "
        "before: a (ready, UP). In pool shop now serving: a; not serving: b (DOWN), c (DOWN). Bring the other "
        "servers back first."
    )
    assert it.clock.elapsed == pytest.approx(1.0)


def test_one_failed_check_of_the_others_is_no_reason_to_stop() -> None:
    it = stage(sessions=1)
    for name in "bc":
        it.at(1.0, lambda name=name: it.balancer.change(name, status="UP 2/3"))  # type: ignore[misc]
    it.sessions((2.0, 0))
    assert it.run(OUT).plan.changed


# --- somebody else -------------------------------------------------------------------------------------------------


def test_a_restart_is_noticed_at_once_and_nothing_more_is_ordered() -> None:
    it = stage(sessions=1)

    def restart() -> None:
        it.balancer.process = Process(200, 2)
        it.balancer.servers["a"] = server("a")

    it.at(1.0, restart)
    with pytest.raises(Doomed) as caught:
        it.run(OUT)
    assert caught.value.message == (
        "HAProxy was restarted or reloaded meanwhile (process 100 became 200); sessions that the old process still has "
        "can't be seen. In pool shop now serving: a, b, c; not serving: nobody. Nothing was told to any server since. "
        "Run the same task again: it goes on from the state that is there."
    )
    assert it.balancer.orders == ["a drain"]
    assert it.clock.elapsed == pytest.approx(1.0)


def test_a_restart_between_the_last_zero_and_maintenance_is_noticed() -> None:
    it = stage()
    looks = iter(range(100))

    def world() -> None:
        if next(looks) == 6:  # before, after the order, four zeros, then the last look
            it.balancer.process = Process(200, 2)

    it.balancer.world = world
    with pytest.raises(Doomed, match="process 100 became 200"):
        it.run(OUT)
    assert it.balancer.orders == ["a drain"]


def test_another_hand_is_noticed() -> None:
    it = stage(sessions=1)
    it.at(1.0, lambda: it.balancer.change("a", admin=Admin.READY, status="UP"))
    with pytest.raises(Doomed, match="a is in state ready and was told drain: somebody else changes it"):
        it.run(OUT)


def test_a_haproxy_that_is_killed_and_comes_back_is_described() -> None:
    it = stage(sessions=1)

    def killed() -> None:
        it.balancer.away = True

    def back() -> None:
        it.balancer.away = False
        it.balancer.servers["a"] = server("a")

    it.at(1.0, killed)
    it.at(2.0, back)
    with pytest.raises(BalancerUnreachable) as caught:
        it.run(OUT)
    assert caught.value.message == (
        "HAProxy gave no answer. It answered when this task began. In pool shop now serving: a, b, c; not serving: "
        "nobody. See why HAProxy went away. Run the same task again: it goes on from the state that is there."
    )


def test_a_haproxy_that_stays_away_is_described_by_what_it_was_told() -> None:
    it = stage(sessions=1)

    def killed() -> None:
        it.balancer.away = True

    it.at(1.0, killed)
    with pytest.raises(BalancerUnreachable, match="now can't be read; told last: a: drain"):
        it.run(OUT)
    assert it.clock.elapsed < 10


def test_an_order_without_effect_is_an_error() -> None:
    it = stage()
    it.balancer.ignore = True
    with pytest.raises(SlipwayError, match="a is in state ready and was told drain"):
        it.run(OUT)


def test_when_the_second_order_fails_the_first_is_taken_back() -> None:
    it = stage()
    it.balancer.no = "b drain"
    with pytest.raises(SlipwayError) as caught:
        it.run(replace(OUT, servers=("a", "b")))
    assert it.balancer.orders == ["a drain", "a ready"]
    assert (
        "HAProxy answered 'b drain' with: No. This order was not carried out. As it was before: a (ready, UP), b"
        in (caught.value.message)
    )


def test_a_state_file_that_can_not_be_written_takes_the_order_back() -> None:
    it = stage()
    it.balancer.save_error = SlipwayError("The state file s could not be written: No space left")
    with pytest.raises(SlipwayError) as caught:
        it.run(OUT)
    assert it.balancer.orders == ["a drain", "a ready"]
    assert caught.value.message.startswith("The state file s could not be written: No space left. As it was before: a")


# --- back ----------------------------------------------------------------------------------------------------------


def test_back_by_drain_and_check_and_ready() -> None:
    it = stage(admin=Admin.MAINT, weight=5)
    it.balancer.well["a"] = False
    it.at(1.0, lambda: it.balancer.well.update(a=True))
    it.at(1.0, lambda: it.balancer.change("a", status="DRAIN"))
    result = it.run(BACK)
    assert it.balancer.orders == ["a weight 100", "a drain", "a ready"]
    assert result.after[0].serving
    assert result.reason == "a goes from maint to ready; healthy after 1.5 s"
    assert it.balancer.saved[-1].startswith("[('a', 'ready', 'UP')")


@pytest.mark.parametrize("status", ["DRAIN 1/3", "DOWN", "DOWN 1/2"])
def test_nothing_but_a_whole_drain_is_well(status: str) -> None:
    it = stage(admin=Admin.DRAIN)
    it.balancer.change("a", status=status)
    with pytest.raises(TimedOut) as caught:
        it.run(BACK)
    assert f"After 10 s a is {status} (L7OK 200); expected DRAIN with a passed check." in caught.value.message
    assert it.balancer.orders == []


def test_a_passed_check_is_needed_too() -> None:
    it = stage(admin=Admin.DRAIN)
    it.balancer.change("a", check=Check(configured=True, passed=False, text="L7STS 503"))
    with pytest.raises(TimedOut, match=r"a is DRAIN \(L7STS 503\)"):
        it.run(BACK)


def test_one_that_stays_ill_goes_back_to_maintenance() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.well["a"] = False
    with pytest.raises(TimedOut) as caught:
        it.run(BACK)
    assert it.balancer.orders == ["a drain", "a maint"]
    assert "As it was before: a (maint, MAINT)." in caught.value.message
    assert caught.value.facts["changed"] is False


def test_one_that_falls_down_after_ready_is_taken_out_again() -> None:
    it = stage(admin=Admin.MAINT)
    it.at(0.2, lambda: it.balancer.change("a", status="DOWN"))
    with pytest.raises(TimedOut, match="a is DOWN"):
        it.run(BACK)
    assert it.balancer.orders == ["a drain", "a ready", "a maint"]


def test_up_must_last() -> None:
    it = stage(admin=Admin.DRAIN)
    it.at(0.3, lambda: it.balancer.change("a", status="UP 2/3"))
    it.at(0.6, lambda: it.balancer.change("a", status="UP"))
    assert it.run(replace(BACK, stable_s=1.0)).waited_s == pytest.approx(1.6)


def test_a_balancer_that_trusts_blindly_is_made_to_doubt() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.change("a", check=replace(it.balancer.servers["a"].check, trusts_blindly=True))
    it.run(BACK)
    assert it.balancer.orders == ["a drain", "a doubted", "a ready"]


def test_a_doubt_that_is_refused_takes_everything_back() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.change("a", check=replace(it.balancer.servers["a"].check, trusts_blindly=True))
    it.balancer.no = "a doubted"
    with pytest.raises(SlipwayError, match=r"As it was before: a \(maint, MAINT\)"):
        it.run(BACK)
    assert it.balancer.orders == ["a drain", "a maint"]


def test_one_that_serves_already_is_only_looked_at() -> None:
    it = stage()
    result = it.run(BACK)
    assert not result.plan.changed
    assert it.balancer.orders == []
    assert it.balancer.saved == []


def test_one_that_is_ready_but_down_is_awaited() -> None:
    it = stage(up=False)
    with pytest.raises(TimedOut, match=r"a is DOWN \(L4CON Connection refused\); expected UP"):
        it.run(BACK)
    assert it.balancer.orders == []


def test_the_state_is_saved_once_more_when_it_is_well() -> None:
    # A fresh process begins with the health that it reads.
    it = stage(admin=Admin.DRAIN)
    it.at(0.1, lambda: it.balancer.change("a", status="UP 2/3"))
    it.at(0.5, lambda: it.balancer.change("a", status="UP"))
    it.run(BACK)
    assert it.balancer.saved[-1].startswith("[('a', 'ready', 'UP')")
    assert len(it.balancer.saved) == 2


@pytest.mark.parametrize("seconds", [0.4, 1.2])
def test_a_restart_on_the_way_back_ends_it_at_once(seconds: float) -> None:
    it = stage(admin=Admin.DRAIN)
    it.balancer.change("a", status="DOWN")
    it.at(1.0, lambda: it.balancer.change("a", status="DRAIN"))

    def restart() -> None:
        it.balancer.process = Process(200, 2)

    it.at(seconds, restart)
    with pytest.raises(Doomed, match="process 100 became 200"):
        it.run(BACK)
    assert it.balancer.orders == ([] if seconds < 1 else ["a ready"])


def test_by_force_without_a_check() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.change("a", check=Check(configured=False, passed=False, text=""))
    assert it.run(replace(BACK, force=True)).after[0].serving


# --- before anything -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_mode", [True, False])
def test_refusals_are_the_same_in_check_mode(check_mode: bool, tmp_path: Path) -> None:
    it = stage()
    with pytest.raises(Refused, match="min_healthy"):
        it.run(replace(OUT, min_healthy=MinHealthy(3, False)), check_mode=check_mode)
    it.balancer.level = "user"
    with pytest.raises(BalancerError, match="level 'user'"):
        it.run(OUT, check_mode=check_mode)
    it.balancer.level = "admin"
    tools = Tools(it.balancer, it.clock, Record(str(tmp_path / "none" / "record")), OneLock(nullcontext))
    with pytest.raises(Refused, match="this user may not make files in"):
        run(OUT, tools, check_mode=check_mode)
    assert it.balancer.orders == []


def test_check_mode_predicts_and_orders_nothing() -> None:
    it = stage(sessions=3)
    result = it.run(OUT, check_mode=True)
    assert result.plan.changed
    assert (result.before[0].admin, result.after[0].admin) == (Admin.READY, Admin.MAINT)
    assert it.balancer.orders == []
    assert it.clock.elapsed == 0


@given(
    st.sampled_from(Admin),
    st.sampled_from(Admin),
    st.lists(st.integers(0, 3), max_size=30),
    st.sampled_from(AtDeadline),
)
def test_whatever_the_sessions_do_a_server_in_maintenance_has_none(
    admin: Admin, wanted: Admin, counts: list[int], at_deadline: AtDeadline
) -> None:
    it = stage(admin=admin)
    script = iter(counts)
    it.balancer.world = lambda: it.balancer.change("a", sessions=next(script, 0))
    result = it.run(replace(OUT, wanted=wanted, at_deadline=at_deadline))
    assert result.after[0].admin is wanted
    assert result.cut == 0
    if wanted is not Admin.READY:
        assert result.sessions.last == 0
        assert not any(order.endswith("ready") for order in it.balancer.orders)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Passage
from ansible_collections.slipway.django.plugins.module_utils._balancer._drain import Result, Sessions, run
from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    BalancerUnreachable,
    Check,
    Order,
    Process,
    Running,
    Traits,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record
from ansible_collections.slipway.django.plugins.module_utils._balancer._work import Tools
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    Doomed,
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
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

    it.balancer.set_admin = late  # type: ignore[method-assign,assignment]
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


# --- somebody is remembered ----------------------------------------------------------------------------------------


def test_who_is_out_is_remembered_before_the_order_and_keeps_his_time() -> None:
    it = stage()
    it.run(replace(OUT, wanted=Admin.DRAIN, owner="ticket 7"))
    entry = Out(Admin.DRAIN, "2026-11-21T16:05:28Z", "ticket 7")
    assert it.memory.entries == {"a": entry}
    it.clock.advance(60)
    it.run(replace(OUT, owner="another"))
    assert it.memory.entries == {"a": replace(entry, admin=Admin.MAINT)}
    it.run(replace(BACK, owner="ticket 7"))
    assert it.memory.entries == {}


def test_one_who_dies_over_the_order_leaves_his_name() -> None:
    it = stage()

    def killed(pool: str, orders: Sequence[Order]) -> None:
        raise KeyboardInterrupt

    it.balancer.apply = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        it.run(OUT)
    assert it.memory.entries["a"].admin is Admin.DRAIN


def test_one_that_was_taken_out_by_hand_is_remembered_from_now_on() -> None:
    it = stage(admin=Admin.MAINT)
    result = it.run(replace(OUT, owner="me"))
    assert not result.plan.changed
    assert it.memory.entries == {"a": Out(Admin.MAINT, "2026-11-21T16:05:28Z", "me")}
    assert it.balancer.orders == []


def test_what_is_put_back_is_no_longer_out() -> None:
    it = stage(sessions=3)
    with pytest.raises(TimedOut):
        it.run(OUT)
    assert it.memory.entries == {}


def test_one_that_fails_to_come_back_stays_out_as_it_was() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.well["a"] = False
    before = Out(Admin.MAINT, "2026-11-20T00:00:00Z", "")
    it.memory.entries = {"a": before}
    with pytest.raises(TimedOut):
        it.run(BACK)
    assert it.memory.entries == {"a": before}


@pytest.mark.parametrize("check_mode", [True, False])
def test_another_owner_is_refused_unless_forced(check_mode: bool) -> None:
    it = stage(admin=Admin.MAINT)
    it.memory.entries = {"a": Out(Admin.MAINT, "2026-11-20T00:00:00Z", "ticket 7")}
    for owner in ("", "another"):
        with pytest.raises(Refused) as caught:
            it.run(replace(BACK, owner=owner), check_mode=check_mode)
        assert caught.value.message == (
            "a is out since 2026-11-20T00:00:00Z for ticket 7. Nothing was changed. Ask there, then say owner: ticket "
            "7, or force: true."
        )
    assert it.run(replace(BACK, force=True), check_mode=check_mode).out_before[0][1].owner == "ticket 7"


# --- the deadline, once more ---------------------------------------------------------------------------------------


def test_what_is_open_at_the_deadline_is_named() -> None:
    it = stage(sessions=2)
    it.balancer.change("a", held="an old worker still runs")
    it.balancer.open = (
        Running("a", "WebSocket", "198.51.100.7:4000", 71.0),
        Running("a", "connection", "198.51.100.8:4000"),
        Running("b", "request", "198.51.100.9:4000", 1.0),
    )
    with pytest.raises(TimedOut) as caught:
        it.run(OUT)
    assert caught.value.message.startswith(
        "Still open on a after 10 s: 2 sessions (WebSocket of 198.51.100.7:4000 for 71 s; connection of "
        "198.51.100.8:4000); a: an old worker still runs (2 at first, 2 at most). As it was before: a (ready, UP)."
    )
    assert caught.value.facts["running"] == [
        {"server": "a", "kind": "WebSocket", "source": "198.51.100.7:4000", "seconds": 71.0},
        {"server": "a", "kind": "connection", "source": "198.51.100.8:4000", "seconds": None},
    ]


def test_more_than_anybody_reads_are_counted() -> None:
    it = stage(sessions=9)
    it.balancer.open = tuple(Running("a", "request", f"198.51.100.7:{port}") for port in range(9))
    result = it.run(replace(OUT, at_deadline=AtDeadline.CUT))
    assert "198.51.100.7:4 and 4 more)" in result.reason
    assert result.left is not None
    assert len(result.left.running) == 9


def test_what_can_not_be_named_is_still_counted() -> None:
    it = stage(sessions=1)

    def no(pool: str, servers: Sequence[str]) -> tuple[Running, ...]:
        raise BalancerError("No")

    it.balancer.running = no  # type: ignore[method-assign]
    with pytest.raises(TimedOut, match="after 10 s: 1 sessions; they can't be named: No"):
        it.run(OUT)


def test_on_after_the_deadline_when_asked_for() -> None:
    it = stage(sessions=3)
    it.sessions((25.0, 0))
    result = it.run(replace(OUT, at_deadline=AtDeadline.WAIT, wait_timeout_s=100))
    assert result.reason == (
        "a goes from ready to maint; no session left after 25.3 s (3 at first, 3 at most), later than 10 s, when open "
        "were: 3 sessions"
    )
    assert (result.cut, it.balancer.orders) == (0, ["a drain", "a maint"])


def test_what_was_open_at_the_deadline_is_not_forgotten_later() -> None:
    it = stage(sessions=3)
    it.sessions((25.0, 0))
    change = it.balancer.set_admin

    def late(name: str, admin: Admin) -> None:
        change(name, admin)
        if admin is Admin.MAINT:
            it.balancer.change("a", held="an old worker")
            it.at(30.0, lambda: it.balancer.change("a", held=""))

    it.balancer.set_admin = late  # type: ignore[method-assign,assignment]
    result = it.run(replace(OUT, at_deadline=AtDeadline.WAIT, wait_timeout_s=100))
    assert result.reason.endswith("later than 10 s, when open were: 3 sessions")


def test_on_after_the_deadline_has_an_end_too() -> None:
    it = stage(sessions=3)
    with pytest.raises(TimedOut, match=r"Still open on a after 100 s: 3 sessions .* As it was before: a \(ready"):
        it.run(replace(OUT, at_deadline=AtDeadline.WAIT, wait_timeout_s=100))
    assert it.clock.elapsed == pytest.approx(100)


def test_what_may_still_come_is_awaited_like_a_session() -> None:
    it = stage()
    it.balancer.change("a", held="an old worker still runs")
    it.at(2.0, lambda: it.balancer.change("a", held=""))
    result = it.run(OUT)
    assert result.waited_s == pytest.approx(2.3)
    assert result.sessions == Sessions(0, 0, 0)


# --- shares, other kinds of balancers ------------------------------------------------------------------------------


def test_a_share_is_given_before_the_first_request() -> None:
    it = stage(admin=Admin.MAINT)
    result = it.run(replace(BACK, share=20.0))
    assert it.balancer.orders == ["a weight 50", "a drain", "a ready"]
    assert result.plan.share is not None
    assert result.reason.startswith("a goes from maint to ready; 20 % were asked for, 20.00 % it is; healthy after")
    again = it.run(replace(BACK, share=20.0))
    assert not again.plan.changed
    assert it.run(BACK).plan.reason == "a gets its weight 100 back (it was 50)"


def test_a_share_of_what_takes_part() -> None:
    it = stage()
    assert it.run(replace(BACK, share=20.0)).plan.reason == (
        "a gets the weight 50 (it was 100); 20 % were asked for, 20.00 % it is"
    )
    assert it.balancer.orders == ["a weight 50"]


def test_a_balancer_without_weights_says_so() -> None:
    it = stage()
    it.balancer.traits = Traits("nginx")
    with pytest.raises(Refused, match=r"weight: nginx knows no weights by this driver\. Nothing was changed"):
        it.run(replace(BACK, share=20.0))


def test_a_share_of_nothing_is_no_share() -> None:
    it = stage()
    with pytest.raises(InvalidOption, match="weight: '20%' is not accepted, expected state: ready beside it"):
        it.run(replace(OUT, share=20.0))


def test_a_balancer_that_knows_no_drain() -> None:
    it = stage(sessions=1)
    it.balancer.traits = Traits("ELB", drains=False)
    it.sessions((1.0, 0))
    result = it.run(replace(OUT, wanted=Admin.DRAIN))
    assert it.balancer.orders == ["a maint"]
    assert result.after[0].admin is Admin.MAINT
    assert not it.run(OUT).plan.changed
    it.run(BACK)
    assert it.balancer.orders == ["a maint", "a ready"]


def test_a_balancer_that_remembers_may_come_anew() -> None:
    it = stage(sessions=1)
    it.balancer.traits = Traits("nginx")

    def restart() -> None:
        it.balancer.process = Process(200, 2)

    it.at(0.5, restart)
    it.sessions((1.0, 0))
    assert it.run(OUT).after[0].admin is Admin.MAINT


def test_a_provider_is_asked_no_more_often_than_it_bears() -> None:
    it = stage()
    it.balancer.traits = Traits("ELB", drains=False, interval_s=1.0)
    it.run(OUT)
    assert set(it.clock.sleeps) == {1.0}


def test_one_that_not_all_of_the_balancer_goes_by_is_told_once_more() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.change("a", mixed=True)
    result = it.run(OUT)
    assert result.plan.reason == "a is told maint once more, since not all of the balancer goes by it"
    assert result.plan.changed
    assert it.balancer.orders == ["a maint"]


def test_what_can_not_be_told_is_refused_beforehand() -> None:
    it = stage()
    it.balancer.never = "a"
    with pytest.raises(Refused, match="a can't be told"):
        it.run(OUT)
    assert it.balancer.orders == []
    assert it.memory.entries == {}


# --- through the balancer ------------------------------------------------------------------------------------------


class Answers:
    """Requests through the balancer, answered in this order; the last one again and again."""

    url = "http://lb/"
    server_header = "X-Served-By"
    expectation = Expectation(release="v2")

    def __init__(self, *answers: Passage) -> None:
        self._answers = list(answers)

    def ask(self, clock: Clock) -> Passage:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def ready_through(it: Stage, *answers: Passage, **changes: object) -> Result:
    tools = Tools(it.balancer, it.clock, it.memory, OneLock(nullcontext))
    request = replace(BACK, **changes)  # type: ignore[arg-type]
    return run(request, tools, check_mode=False, through=Answers(*answers))  # type: ignore[arg-type]


def test_each_server_answers_before_it_is_ready() -> None:
    it = stage(admin=Admin.MAINT)
    it.balancer.change("b", admin=Admin.MAINT)
    result = ready_through(
        it,
        Passage("c", good=True, text=""),
        Passage("a", good=True, text=""),
        Passage("192.0.2.1:8001", good=True, text=""),
        Passage("a", good=False, text="status 500"),
        Passage("b", good=True, text=""),
        servers=("a", "b"),
    )
    assert result.reason.endswith("; answered through http://lb/ as expected (5 requests)")


def test_one_that_never_answers_is_taken_out_again() -> None:
    it = stage(admin=Admin.MAINT)
    with pytest.raises(TimedOut) as caught:
        ready_through(it, Passage("c", good=True, text="status 200"))
    assert caught.value.message.startswith(
        "Through the balancer: no good answer of a has come through http://lb/; the last answer came from c: status "
        "200; expected status 200, release v2 in X-Release, named by X-Served-By. As it was before: a (maint, MAINT)."
    )
    assert it.balancer.orders == ["a drain", "a ready", "a maint"]


def test_another_release_of_it_ends_the_waiting_at_once() -> None:
    it = stage(admin=Admin.MAINT)
    with pytest.raises(Doomed, match="Through the balancer: a: release v1 answered"):
        ready_through(
            it,
            Passage("c", good=False, text="release v1 answered", wrong=True),
            Passage("a", good=False, text="release v1 answered", wrong=True),
        )
    assert it.clock.elapsed < 2
    assert it.balancer.orders[-1] == "a maint"


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

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Passage
from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, BalancerError, Pool, Process
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include import Reload, UpstreamFile
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy
from ansible_collections.slipway.django.plugins.module_utils._balancer._switch import (
    Switched,
    SwitchRequest,
    SwitchTools,
    plan_switch,
    run_switch,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._switches import (
    FlagSwitch,
    HaproxySwitch,
    IncludeSwitch,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._expectation import Expectation
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.fake_balancer import (
    FakeBalancer,
    server,
)
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.test_nginx_include import Nginx
from hypothesis import given
from hypothesis import strategies as st

SERVERS = ("blue1", "blue2", "green1", "green2")
SETS = {"blue": "shop_blue", "green": "shop_green"}
GREEN = SwitchRequest("green", SETS, MinHealthy(100, True), timeout_s=10)


@dataclass
class Live:
    """What a balancer is told. ``deaf``: it says yes and does nothing."""

    pool: str = "shop_blue"
    told: list[str] = field(default_factory=list)
    deaf: bool = False
    error: SlipwayError | None = None
    is_settled: bool = True
    words: str = ""

    def require_rights(self) -> None:
        """There are some."""

    def live(self) -> str:
        return self.pool

    def settled(self) -> bool:
        return self.is_settled

    def set_live(self, pool: str) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.told.append(pool)
        self.is_settled = True
        if not self.deaf:
            self.pool = pool

    def pending(self) -> str:
        return self.words


class TwoPools(FakeBalancer):
    """Each pool has its own servers."""

    def observe(self, pool: str) -> Pool:
        self.world()
        if pool not in SETS.values():
            raise InvalidOption("pool", pool, "shop_blue, shop_green")
        mine = [one for name, one in self.servers.items() if name.startswith(pool.removeprefix("shop_"))]
        return Pool(pool, Process(1, 1), tuple(mine))


class Answers:
    """Requests through the balancer, answered in this order; the last one again and again."""

    url = "http://lb/"
    server_header = "X-Served-By"
    expectation = Expectation(release="v2")

    def __init__(self, *answers: Passage) -> None:
        self._answers = list(answers)

    def ask(self, clock: Clock) -> Passage:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@dataclass
class Stage:
    """Two sets of two servers, blue live."""

    live: Live = field(default_factory=Live)
    clock: FakeClock = field(default_factory=FakeClock)
    balancer: TwoPools = field(default_factory=lambda: TwoPools({name: server(name) for name in SERVERS}))

    def run(self, request: SwitchRequest = GREEN, *answers: Passage, check_mode: bool = False) -> Switched:
        through = Answers(*answers) if answers else None
        tools = SwitchTools(self.live, self.balancer, self.clock, OneLock(nullcontext), through)  # type: ignore[arg-type]
        return run_switch(request, tools, check_mode=check_mode)


GOOD = Passage("green1", good=True, text="status 200")


def test_switched_when_the_old_set_has_nothing_left() -> None:
    it = Stage()
    it.balancer.change("blue1", sessions=2)

    def world() -> None:
        if it.clock.elapsed >= 2:
            it.balancer.change("blue1", sessions=0)

    it.balancer.world = world
    switched = it.run(GREEN, Passage("blue1", good=True, text=""), GOOD, GOOD, GOOD)
    assert it.live.told == ["shop_green"]
    assert switched.reason.startswith(
        "green takes the requests over from blue; answered through http://lb/ as expected (4 requests); of blue after "
    )
    assert switched.reason.endswith(" s none of its requests is left")
    assert 2.3 <= switched.waited_s <= 2.5
    assert switched.plan.changed


def test_a_second_run_changes_nothing() -> None:
    it = Stage(Live("shop_green"))
    switched = it.run()
    assert (switched.plan.changed, it.live.told) == (False, [])
    assert switched.plan.reason == "green is live already"


def test_one_that_was_not_ended_is_told_once_more() -> None:
    it = Stage(Live("shop_green", is_settled=False))
    switched = it.run()
    assert switched.plan.changed
    assert switched.plan.reason == "green is told to be live once more: a run before has not ended that"
    assert it.live.told == ["shop_green"]


def test_check_mode_says_what_would_be() -> None:
    it = Stage()
    assert it.run(check_mode=True).plan.after == "green"
    assert it.live.told == []
    it.balancer.change("green1", admin=Admin.DRAIN)
    with pytest.raises(Refused):
        it.run(check_mode=True)


def test_a_set_that_is_not_healthy_is_refused() -> None:
    it = Stage()
    it.balancer.change("green1", status="DOWN")
    with pytest.raises(Refused) as caught:
        it.run()
    assert caught.value.message == (
        "green has 1 healthy servers, and min_healthy asks for 2. In pool shop_green now serving: green2; not serving: "
        "green1 (DOWN). Nothing was changed: blue is live. Start its servers and bring them into their pool first, "
        "lower min_healthy, or say force: true."
    )
    assert it.live.told == []
    assert it.run(replace(GREEN, min_healthy=MinHealthy(50, True))).plan.changed


def test_none_at_all_is_never_enough_without_force() -> None:
    it = Stage()
    for name in ("green1", "green2"):
        it.balancer.change(name, admin=Admin.MAINT, status="MAINT")
    with pytest.raises(Refused, match="green has 0 healthy servers, and min_healthy asks for 1"):
        it.run(replace(GREEN, min_healthy=MinHealthy(0, False)))
    assert it.run(replace(GREEN, force=True)).plan.changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wanted": "grene"}, "live: 'grene' is not accepted, expected one of the sets: blue, green"),
        ({"sets": {"green": "x"}}, "expected two sets, each with a pool of its own"),
        ({"sets": {"blue": "x", "green": "x"}}, "expected two sets, each with a pool of its own"),
        ({"sets": {"blue": "shop_blue", "green": "shop_x"}}, "pool: 'shop_x' is not accepted"),
        ({"timeout_s": -1.0}, "timeout: -1.0 is not accepted"),
    ],
)
def test_what_can_not_be_meant(change: dict[str, object], words: str) -> None:
    it = Stage()
    with pytest.raises(InvalidOption) as caught:
        it.run(replace(GREEN, **change))  # type: ignore[arg-type]
    assert words in caught.value.message
    assert it.live.told == []


def test_a_pool_of_neither_set_is_live() -> None:
    with pytest.raises(BalancerError, match="The pool old_shop is live, which is of none of the sets"):
        Stage(Live("old_shop")).run()


def test_an_order_without_effect_is_an_error() -> None:
    it = Stage(Live(deaf=True))
    with pytest.raises(SlipwayError, match=r"was told shop_green and says shop_blue: .* blue is live, as before"):
        it.run()


def test_a_failed_order_leaves_the_old_set_live() -> None:
    it = Stage(Live(error=BalancerError("nginx refused it", untouched="The file was put back")))
    with pytest.raises(SlipwayError) as caught:
        it.run()
    assert caught.value.message == "nginx refused it. The file was put back. blue is live, as before."
    assert caught.value.facts["changed"] is False


@pytest.mark.parametrize(
    "answer",
    [
        Passage("blue1", good=True, text="status 200"),
        Passage("green1", good=False, text="status 503"),
        Passage("green1", good=False, text="release v1", wrong=True),
        Passage("", good=True, text="status 200"),
    ],
)
def test_a_set_that_does_not_answer_as_it_should_is_switched_back(answer: Passage) -> None:
    it = Stage()
    with pytest.raises(SlipwayError) as caught:
        it.run(GREEN, answer)
    assert caught.value.message.startswith("green did not answer as it should through http://lb/: ")
    assert "blue is live, as before." in caught.value.message
    assert it.live.told == ["shop_green", "shop_blue"]


def test_what_stays_open_switches_back_waits_or_is_left() -> None:
    it = Stage()
    it.balancer.change("blue1", sessions=2)
    it.live.words = "1 old workers of nginx (7) still have clients"
    with pytest.raises(SlipwayError) as caught:
        it.run()
    assert caught.value.message == (
        "2 requests were still open in pool shop_blue after 10 s, and 1 old workers of nginx (7) still have clients. "
        "blue is live, as before. Give more time than the slowest request takes, or say on_timeout: cut to leave them "
        "there."
    )
    assert it.live.pool == "shop_blue"
    left = it.run(replace(GREEN, at_deadline=AtDeadline.CUT))
    assert (left.left, it.live.pool) == (2, "shop_green")
    assert left.reason.endswith("2 requests were still open there")
    with pytest.raises(SlipwayError, match="after 50 s"):
        it.run(replace(GREEN, at_deadline=AtDeadline.WAIT, wait_timeout_s=50))


@given(st.sampled_from(["shop_blue", "shop_green"]), st.integers(0, 2), st.integers(0, 3), st.booleans())
def test_a_plan_never_takes_too_few(live: str, healthy: int, least: int, settled: bool) -> None:
    target = Pool("shop_green", Process(1, 1), tuple(server(f"g{n}", up=n < healthy) for n in range(2)))
    request = replace(GREEN, min_healthy=MinHealthy(least, False))
    try:
        plan = plan_switch(request, live, target, settled=settled)
    except Refused:
        assert healthy < max(least, 1)
    else:
        assert plan.changed == (live != "shop_green" or not settled)
        assert not plan.changed or healthy >= max(least, 1)


# --- HAProxy's map -------------------------------------------------------------------------------------------------


class Map:
    """The answers of HAProxy about a map, as 2.6 gives them."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.answer = "\n"

    def __call__(self, command: str) -> str:
        words = command.split()
        if command == "show cli level":
            return "admin\n\n"
        if words[:2] == ["show", "map"]:
            return "".join(f"0x55d{n} {key} {value}\n" for n, (key, value) in enumerate(self.values.items())) + "\n"
        if self.answer == "\n":
            self.values[words[3]] = words[4]
        return self.answer


def test_a_key_of_a_map_in_memory_and_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "live.map"
    path.write_text("# which set is live\nblog blog_green\nshop shop_blue\n")
    answers = Map(shop="shop_blue", blog="blog_green")
    switch = HaproxySwitch([answers], str(path), "shop")
    switch.require_rights()
    assert (switch.live(), switch.settled()) == ("shop_blue", True)
    switch.set_live("shop_green")
    assert (switch.live(), switch.settled()) == ("shop_green", True)
    assert path.read_text() == "# which set is live\nblog blog_green\nshop shop_green\n"
    answers.values["shop"] = "shop_blue"
    assert not switch.settled()


def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"name: 'shopp' is not accepted, expected a key of HAProxy's map .*: shop"):
        HaproxySwitch([Map(shop="x")], str(tmp_path / "m"), "shopp").live()


def test_processes_that_do_not_agree(tmp_path: Path) -> None:
    with pytest.raises(BalancerError, match="The processes of HAProxy do not agree about shop: a, b"):
        HaproxySwitch([Map(shop="a"), Map(shop="b")], str(tmp_path / "m"), "shop").live()


def test_text_after_an_order_is_an_error(tmp_path: Path) -> None:
    answers = Map(shop="a")
    answers.answer = "Unknown map identifier. Please use #<id> or <file>.\n\n"
    with pytest.raises(BalancerError, match=r"with: Unknown map identifier.* This order was not carried out"):
        HaproxySwitch([answers], str(tmp_path / "m"), "shop").set_live("b")


# --- nginx's files -------------------------------------------------------------------------------------------------


def test_a_file_has_nginx_choose_the_second_set(tmp_path: Path) -> None:
    switch = FlagSwitch(str(tmp_path), "shop", SETS, Nginx())  # type: ignore[arg-type]  # a stand-in
    switch.require_rights()
    assert (switch.live(), switch.settled(), switch.pending()) == ("shop_blue", True, "")
    switch.set_live("shop_green")
    assert switch.live() == "shop_green"
    assert [path.name for path in (tmp_path / "shop.live").iterdir()] == ["green"]
    switch.set_live("shop_blue")
    assert switch.live() == "shop_blue"
    assert list((tmp_path / "shop.live").iterdir()) == []


MAP = "# the live set\nmap $host $shop {\n    default shop_blue;\n}\nmap $host $blog { default blog_blue; }\n"


def include_switch(path: Path, nginx: Nginx, name: str = "shop") -> IncludeSwitch:
    runner = FakeRunner().on("nginx", "-t").on("nginx", "-s", "reload", answer=nginx.reloaded)
    reload = Reload(["nginx"], nginx, runner, FakeClock())  # type: ignore[arg-type]  # a stand-in
    return IncludeSwitch(UpstreamFile(str(path), reload), name, nginx, reload)  # type: ignore[arg-type]


def test_the_default_of_a_map_is_written_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "live.conf"
    path.write_text(MAP)
    nginx = Nginx()
    switch = include_switch(path, nginx)
    switch.require_rights()
    assert (switch.live(), switch.settled(), switch.pending()) == ("shop_blue", True, "")
    switch.set_live("shop_green")
    assert path.read_text() == MAP.replace("shop_blue", "shop_green")
    assert (switch.live(), switch.settled()) == ("shop_green", True)
    assert switch.pending().startswith("1 old workers of nginx (11) still have clients")
    # A run that dies before the reload.
    path.write_text(MAP)
    assert not switch.settled()


def test_a_map_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live.conf"
    path.write_text(MAP)
    with pytest.raises(InvalidOption, match=r"name: 'shopp' is not accepted, .* Write there: map \$host \$shopp"):
        include_switch(path, Nginx(), "shopp").live()
    with pytest.raises(Refused, match="can't be read: No such file"):
        include_switch(tmp_path / "none", Nginx()).live()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Check, Pool, Server, Traits
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import MinHealthy, Plan, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import make_plan as make_plan_for
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.fake_balancer import pool, server
from hypothesis import given
from hypothesis import strategies as st

OUT = Request("shop", ("a",), Admin.MAINT, MinHealthy(1, False))
BACK = replace(OUT, wanted=Admin.READY)
HAPROXY = Traits("HAProxy", largest_weight=256)


def make_plan(found: Pool, request: Request) -> Plan:
    return make_plan_for(found, request, HAPROXY)


def of(text: str) -> MinHealthy:
    return MinHealthy.parse(text)


@pytest.mark.parametrize(
    ("text", "whole", "expected"),
    [
        ("0", 4, 0),
        ("2", 4, 2),
        ("50%", 4, 2),
        ("50%", 3, 2),
        ("34%", 3, 2),
        ("33%", 3, 1),
        ("0%", 3, 0),
        ("100%", 3, 3),
    ],
)
def test_how_many_must_serve(text: str, whole: int, expected: int) -> None:
    assert of(text).of(whole) == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5", "101%", "half", "50 %%", "%"])
def test_a_number_that_is_none(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"expected a number of servers \(1\), or a share from 0% to 100%"):
        of(text)


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"pool": "a b"}, "pool"),
        ({"pool": ""}, "pool"),
        ({"servers": ("a; shutdown",)}, "server"),
        ({"servers": ("a\nset server b/b state maint",)}, "server"),
        ({"servers": ()}, "server"),
        ({"servers": ("a", "a")}, "server"),
        ({"timeout_s": -1.0}, "timeout"),
        ({"interval_s": 0.0}, "interval"),
        ({"confirm": 0}, "confirm"),
        ({"stable_s": -0.1}, "stable"),
    ],
)
def test_options_that_can_not_be_meant(change: dict[str, object], option: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        replace(OUT, **change).validate()  # type: ignore[arg-type]
    assert caught.value.option == option
    assert "Nothing was changed." in caught.value.message


def test_one_of_three_may_go() -> None:
    plan = make_plan(pool(server("a"), server("b"), server("c")), OUT)
    assert plan.changed
    assert plan.reason == "a goes from ready to maint"
    assert (plan.healthy_before, plan.healthy_after, plan.required) == (3, 2, 1)


def test_the_last_one_may_not_go() -> None:
    with pytest.raises(Refused) as caught:
        make_plan(pool(server("a"), server("b", up=False), server("c", Admin.DRAIN)), OUT)
    assert caught.value.message == (
        "Without a 0 healthy servers would be left in pool shop, and min_healthy asks for 1. "
        "In pool shop now serving: a; not serving: b (DOWN), c (DRAIN). Nothing was changed. "
        "Bring the other servers back first, lower min_healthy, or say force: true for an outage you want."
    )
    assert caught.value.facts["required"] == 1


def test_the_last_one_may_go_by_force() -> None:
    plan = make_plan(pool(server("a")), replace(OUT, force=True))
    assert (plan.changed, plan.required) == (True, 0)


@pytest.mark.parametrize(
    "gone",
    [
        server("a", up=False),
        server("a", Admin.DRAIN),
        server("a", Admin.MAINT),
        server("a", weight=0),
        replace(server("a"), status="UP 1/3"),
    ],
    ids=["down", "drain", "maint", "weight 0", "going down"],
)
def test_one_that_does_not_serve_can_always_be_taken_out(gone: Server) -> None:
    assert make_plan(pool(gone, server("b", up=False)), OUT).required == 0


def test_servers_in_maintenance_do_not_count_in_the_share() -> None:
    # Blue and green on two hosts: two of the four are idle slots.
    idle = (server("c", Admin.MAINT), server("d", Admin.MAINT))
    half = replace(OUT, min_healthy=of("50%"))
    assert make_plan(pool(server("a"), server("b"), *idle), half).required == 1
    with pytest.raises(Refused, match=r"1 healthy servers would be left in pool shop, and min_healthy asks for 2\."):
        make_plan(pool(server("a"), server("b"), *idle), replace(half, min_healthy=of("51%")))


def test_backups_do_not_count() -> None:
    with pytest.raises(Refused, match="0 healthy servers"):
        make_plan(pool(server("a"), replace(server("b"), backup=True)), OUT)


def test_several_at_once_count_together() -> None:
    with pytest.raises(Refused, match="Without a, b 1 healthy servers would be left"):
        make_plan(
            pool(server("a"), server("b"), server("c")),
            replace(OUT, servers=("a", "b"), min_healthy=MinHealthy(2, False)),
        )


def test_an_unknown_server_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidOption) as caught:
        make_plan(pool(server("b"), server("c")), OUT)
    assert caught.value.message == (
        "server: 'a' is not accepted, expected a server of the pool shop: b, c. Nothing was changed."
    )


@pytest.mark.parametrize(
    ("admin", "wanted"), [(Admin.DRAIN, Admin.DRAIN), (Admin.MAINT, Admin.MAINT), (Admin.READY, Admin.READY)]
)
def test_nothing_to_do(admin: Admin, wanted: Admin) -> None:
    plan = make_plan(pool(server("a", admin), server("b")), replace(OUT, wanted=wanted))
    assert not plan.changed
    assert plan.reason == f"a is already told {wanted.value}"
    assert plan.moves[0].predicted() == plan.moves[0].before


def test_readmission_gives_the_configured_weight_back() -> None:
    plan = make_plan(pool(server("a", weight=5)), BACK)
    assert plan.changed
    assert plan.reason == "a gets its weight 100 back (it was 5)"
    assert plan.moves[0].predicted().weight == 100


def test_a_server_without_check_is_not_readmitted() -> None:
    blind = replace(server("a", Admin.MAINT), check=Check(configured=False, passed=False, text=""))
    with pytest.raises(Refused, match="a has no health check in the balancer, which would send requests to it dead or"):
        make_plan(pool(blind), BACK)
    assert make_plan(pool(blind), replace(BACK, force=True)).changed
    assert make_plan(pool(blind), replace(OUT, wanted=Admin.DRAIN)).changed


def test_a_follower_is_not_readmitted_by_itself() -> None:
    follower = replace(server("a", Admin.DRAIN), inherited_from="shop/b")
    with pytest.raises(Refused, match=r"a follows shop/b, which is out of its pool\. .* Readmit shop/b"):
        make_plan(pool(follower, server("b", Admin.DRAIN)), BACK)


servers = st.lists(
    st.builds(
        server,
        st.sampled_from("abcdefgh"),
        st.sampled_from(Admin),
        up=st.booleans(),
        weight=st.sampled_from([0, 5, 100]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda s: s.name,
)


@given(servers, st.sampled_from([Admin.DRAIN, Admin.MAINT]), st.integers(0, 4), st.data())
def test_a_plan_never_leaves_too_few(found: list[Server], wanted: Admin, least: int, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from([s.name for s in found]), min_size=1, unique=True))
    request = Request("shop", tuple(names), wanted, MinHealthy(least, False))
    serving = {s.name for s in found if s.serving}
    left = len(serving - set(names))
    try:
        plan = make_plan(pool(*found), request)
    except Refused:
        assert left < least
        assert serving & set(names)
    else:
        assert left >= least or not serving & set(names)
        assert plan.healthy_after == left
        assert plan.changed == any(s.admin is not wanted for s in found if s.name in names)


@given(servers, st.sampled_from(Admin))
def test_a_plan_carried_out_has_nothing_left_to_do(found: list[Server], wanted: Admin) -> None:
    request = Request("shop", tuple(s.name for s in found), wanted, MinHealthy(0, False))
    plan = make_plan(pool(*found), request)
    again = make_plan(pool(*(move.predicted() for move in plan.moves)), request)
    assert not again.changed

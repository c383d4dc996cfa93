# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway_lab.errors import LabError
from slipway_lab.settings import from_environment

CHECKOUT = Path("/home/dev/slipway")


def test_the_default_lab() -> None:
    settings = from_environment({}, CHECKOUT)

    assert (settings.name, settings.network, settings.debian) == ("slipway", "10.89.77.0/24", "bookworm")
    assert [(host.name, host.address) for host in settings.hosts] == [
        ("lb1", "10.89.77.10"),
        ("app1", "10.89.77.21"),
        ("app2", "10.89.77.22"),
        ("app3", "10.89.77.23"),
        ("db1", "10.89.77.30"),
        ("load1", "10.89.77.40"),
    ]
    assert settings.host("app1").container == "slipway-app1"


def test_two_labs_share_nothing_but_the_cache() -> None:
    one = from_environment({}, CHECKOUT)
    two = from_environment({"LAB_NAME": "two", "LAB_SUBNET": "10.89.78"}, CHECKOUT)

    assert {host.container for host in one.hosts}.isdisjoint(host.container for host in two.hosts)
    assert {host.address for host in one.hosts}.isdisjoint(host.address for host in two.hosts)
    assert {host.mac for host in one.hosts}.isdisjoint(host.mac for host in two.hosts)
    assert one.state != two.state
    assert one.cache == two.cache


@given(octets=st.tuples(st.integers(0, 255), st.integers(0, 255)))
def test_a_hardware_address_is_unicast_local_and_one_per_address(octets: tuple[int, int]) -> None:
    settings = from_environment({"LAB_SUBNET": f"10.{octets[0]}.{octets[1]}"}, CHECKOUT)
    addresses = [host.mac for host in settings.hosts]

    assert len(set(addresses)) == len(addresses)
    for address in addresses:
        first = int(address[:2], 16)
        assert len(address.split(":")) == 6
        assert first & 1 == 0, "multicast"
        assert first & 2 == 2, "not locally administered"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "LAB_NAME",
            "Slipway",
            "LAB_NAME=Slipway can't be used: give lower case letters, digits, dashes, as in slipway",
        ),
        ("LAB_NAME", "", "LAB_NAME= can't be used"),
        ("LAB_NAME", "a/../b", "can't be used"),
        ("LAB_SUBNET", "8.8.8", "LAB_SUBNET=8.8.8 can't be used: give three octets of a private network"),
        ("LAB_SUBNET", "10.89.77.0", "can't be used"),
        ("LAB_SUBNET", "172.32.1", "can't be used"),
        ("LAB_SUBNET", "10.300.1", "LAB_SUBNET=10.300.1 is not a network: an octet is at most 255"),
        ("LAB_BALANCER", "alb", "LAB_BALANCER=alb is unknown; there are haproxy, nginx_flag"),
        ("LAB_ENGINE", "lxc", "LAB_ENGINE=lxc is unknown; there are podman, docker"),
        ("LAB_PULL", "yes", "LAB_PULL=yes is unknown; 1 tries to pull the base image, 0 never does"),
        ("LAB_DEBIAN", "12", "LAB_DEBIAN=12 can't be used: give the code name of a Debian release, as in bookworm"),
        ("LAB_MIRROR", "deb mirror", "LAB_MIRROR=deb mirror can't be used"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(variable: str, value: str, said: str) -> None:
    with pytest.raises(LabError) as refused:
        from_environment({variable: value}, CHECKOUT)

    assert said in str(refused.value)


@pytest.mark.parametrize(("value", "pull"), [("", None), ("0", False), ("1", True)])
def test_pull(value: str, pull: bool | None) -> None:
    assert from_environment({"LAB_PULL": value}, CHECKOUT).pull is pull


def test_chosen_hosts_come_in_the_labs_order() -> None:
    settings = from_environment({}, CHECKOUT)

    assert [host.name for host in settings.chosen(["db1", "lb1", "db1"])] == ["lb1", "db1"]
    assert settings.chosen([]) == settings.hosts


def test_an_unknown_host_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="there is no host app4 in the lab; there are lb1, app1, app2, app3, db1, load1"):
        from_environment({}, CHECKOUT).chosen(["app4"])

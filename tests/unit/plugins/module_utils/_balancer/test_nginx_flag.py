# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks
from ansible_collections.slipway.django.plugins.module_utils._balancer._flags import Flags
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import (
    Admin,
    BalancerError,
    Order,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_flag import (
    NginxFlagDriver,
    group_without,
    may_reach,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.test_nginx_include import Nginx, Well

NAMES = ("a", "b", "c")


def groups(*sets: tuple[str, ...]) -> str:
    def servers(out: tuple[str, ...]) -> str:
        return "\n".join(f"  server 192.0.2.{n}:80; # {name}" for n, name in enumerate(NAMES) if name not in out)

    return "\n".join(f"upstream {group_without('shop', out)} {{\n{servers(out)}\n}}" for out in sets)


class Users(Nginx):
    """nginx whose workers are root's."""

    user_ids: tuple[int, tuple[int, ...]] | None = (0, (0,))

    def user(self, pid: int) -> tuple[int, tuple[int, ...]] | None:
        return self.user_ids


def driver_of(tmp_path: Path, *sets: tuple[str, ...], nginx: Users | None = None) -> NginxFlagDriver:
    path = tmp_path / "upstreams.conf"
    path.write_text(groups(*sets))
    (tmp_path / "flags").mkdir(exist_ok=True)
    checks = Checks(Well(), FakeClock())
    nginx = nginx or Users()
    return NginxFlagDriver(str(path), str(tmp_path / "flags"), nginx, checks, lambda _addresses: [])  # type: ignore[arg-type]


ALL = [out for count in range(3) for out in combinations(NAMES, count)]


def test_a_file_takes_a_server_out_and_its_end_brings_it_back(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, *ALL)
    driver.apply("shop", [Order("a", Admin.DRAIN), Order("b", Admin.MAINT)])
    assert (tmp_path / "flags" / "shop" / "a").read_text() == "drain\n"
    assert (tmp_path / "flags" / "shop" / "a").stat().st_mode & 0o777 == 0o644
    assert [server.admin for server in driver.observe("shop").servers] == [Admin.DRAIN, Admin.MAINT, Admin.READY]
    driver.apply("shop", [Order("a", Admin.READY), Order("c", Admin.READY)])
    assert os.listdir(tmp_path / "flags" / "shop") == ["b"]
    assert driver.pools() == ("shop",)


def test_a_set_that_is_not_prepared_is_refused_beforehand(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, (), ("a",), ("b",), ("c",))
    driver.apply("shop", [Order("b", Admin.MAINT)])
    pool = driver.observe("shop")
    driver.refuse(pool, [Order("b", Admin.DRAIN)])
    driver.refuse(pool, [Order("b", Admin.READY), Order("a", Admin.MAINT)])
    with pytest.raises(Refused) as caught:
        driver.refuse(pool, [Order("a", Admin.MAINT)])
    assert caught.value.message == (
        "nginx has no upstream group shop--a--b, which it would need without a, b; prepared in "
        f"{tmp_path}/upstreams.conf are: shop--a, shop--b, shop--c. Nothing was changed. Prepare that group and reload "
        "nginx once, or bring another server back first."
    )


def test_the_names_stand_in_the_order_of_the_group(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, *ALL)
    driver.refuse(driver.observe("shop"), [Order("c", Admin.MAINT), Order("a", Admin.MAINT)])


def test_down_in_the_file_is_refused(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, *ALL)
    path = tmp_path / "upstreams.conf"
    path.write_text(path.read_text().replace("192.0.2.0:80;", "192.0.2.0:80 down;", 1))
    with pytest.raises(BalancerError, match=r"a of upstream shop is 'down' in .*, where a flag can't bring it back"):
        driver.observe("shop")


def test_a_directory_that_nginx_can_not_look_into_changes_nothing_and_is_refused(tmp_path: Path) -> None:
    nginx = Users()
    nginx.user_ids = (33, (33,))
    driver = driver_of(tmp_path, *ALL, nginx=nginx)
    (tmp_path / "flags").chmod(0o750)
    with pytest.raises(Refused, match=r"The workers of nginx \(user 33\) can't find a file in .*/flags, so that"):
        driver.require_rights()
    nginx.user_ids = None
    driver.require_rights()


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    driver = driver_of(tmp_path, *ALL)
    (tmp_path / "flags").rmdir()
    with pytest.raises(Refused, match="is not there, or this user may not make files in it"):
        driver.require_rights()


@pytest.mark.parametrize(
    ("mode", "uid", "gids", "reached"),
    [
        (0o755, 33, (33,), True),
        (0o750, 33, (33,), False),
        (0o750, 33, (33, 7), True),
        (0o705, 33, (7,), False),
        (0o700, 5, (33,), True),
        (0o055, 5, (7,), False),
        (0o000, 0, (), True),
    ],
)
def test_who_finds_a_file(mode: int, uid: int, gids: tuple[int, ...], reached: bool) -> None:
    def look(path: str) -> os.stat_result:
        own = mode if path == "/srv/flags" else 0o755
        return os.stat_result((own, 0, 0, 1, 5, 7, 0, 0, 0, 0))

    assert may_reach("/srv/flags", uid, gids, look) is reached


def test_one_above_that_lets_nobody_through() -> None:
    def look(path: str) -> os.stat_result:
        return os.stat_result((0o700 if path == "/srv" else 0o755, 0, 0, 1, 5, 7, 0, 0, 0, 0))

    assert not may_reach("/srv/flags", 33, (33,), look)


def test_the_directory_of_a_pool_is_open_to_those_of_the_one_above(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    before = os.umask(0o077)
    try:
        Flags(str(tmp_path / "shop")).ensure()
        Flags(str(tmp_path / "shop")).ensure()
    finally:
        os.umask(before)
    assert (tmp_path / "shop").stat().st_mode & 0o7777 == 0o2775
    with pytest.raises(BalancerError, match=r"none/shop could not be made: No such file"):
        Flags(str(tmp_path / "none" / "shop")).ensure()


def test_a_flag_that_was_made_by_hand_counts(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert Flags(str(tmp_path)).told("a") is Admin.MAINT
    assert Flags(str(tmp_path)).told("b") is Admin.READY


def test_a_flag_that_can_not_be_written_or_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(BalancerError, match=r"none/a could not be written: No such file .* This order was not carried"):
        Flags(str(tmp_path / "none")).tell("a", Admin.DRAIN)
    (tmp_path / "a").mkdir()
    with pytest.raises(BalancerError, match="can't be read: Is a directory"):
        Flags(str(tmp_path)).told("a")
    with pytest.raises(BalancerError, match="could not be removed"):
        Flags(str(tmp_path)).tell("a", Admin.READY)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass

import pytest
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import (
    Space,
    SystemHost,
    Wanted,
    host_rows,
    variable_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark

WANTED = Wanted(
    root="/srv/shop",
    user="shop",
    free_mib=512,
    free_inodes=1000,
    directories=["/srv/shop/slots"],
    units=["shop-web@.service"],
    commands=["git"],
)
ENOUGH = Space(1000, 5000)


@dataclass(frozen=True)
class FakeHost:
    free: Space | None = ENOUGH
    user: int | None = 7
    owner: int | None = 7
    unit: bool = True
    command: bool = True

    def space(self, path: str) -> Space | None:
        return self.free

    def user_id(self, name: str) -> int | None:
        return self.user

    def owner_id(self, path: str) -> int | None:
        return self.owner

    def has_unit(self, name: str) -> bool:
        return self.unit

    def has_command(self, name: str) -> bool:
        return self.command


def failing(host: FakeHost) -> list[str]:
    return [row.sentence for row in host_rows(host, WANTED) if row.mark.refuses]


def test_a_ready_host_passes_each_row() -> None:
    rows = list(host_rows(FakeHost(), WANTED))

    assert [row.check for row in rows] == ["user", "disk", "inodes", "directory", "unit", "command"]
    assert {row.mark for row in rows} == {Mark.PASSED}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (FakeHost(free=Space(511, None)), "disk: expected 512 MiB free at /srv/shop, seen: 511 MiB free"),
        (FakeHost(free=Space(9999, 999)), "inodes: expected 1000 inodes free at /srv/shop, seen: 999 free"),
        (FakeHost(free=None), "disk: expected 512 MiB free at /srv/shop, seen: no such directory"),
        (FakeHost(owner=0), "directory: expected /srv/shop/slots owned by shop, seen: owned by user id 0"),
        (FakeHost(owner=None), "directory: expected /srv/shop/slots owned by shop, seen: no such directory"),
        (FakeHost(unit=False), "unit: expected systemd unit shop-web@.service, seen: missing"),
        (FakeHost(command=False), "command: expected command git, seen: missing"),
    ],
)
def test_a_row_that_fails_says_what_was_seen(host: FakeHost, expected: str) -> None:
    assert failing(host) == [expected]


def test_all_rows_that_fail_are_named_at_once() -> None:
    assert len(failing(FakeHost(user=None, owner=None, free=None, unit=False, command=False))) == 5


def test_a_missing_user_never_matches_a_missing_directory() -> None:
    assert any(text.startswith("directory: expected") for text in failing(FakeHost(user=None, owner=None)))


def test_a_file_system_without_a_limit_of_inodes_passes() -> None:
    assert failing(FakeHost(free=Space(1000, None))) == []


def test_variables_are_judged_by_their_names() -> None:
    (row,) = variable_rows(["SECRET_KEY", "API_TOKEN"], ["API_TOKEN", "OTHER"])

    assert row.mark is Mark.FAILED
    assert row.seen == "not set or empty: SECRET_KEY"
    assert [row.mark for row in variable_rows(["API_TOKEN"], ["API_TOKEN"])] == [Mark.PASSED]
    assert list(variable_rows([], ["API_TOKEN"])) == []


def test_this_machine_answers() -> None:
    host = SystemHost()
    assert host.user_id("root") == 0
    assert host.user_id("no-such-user-here") is None
    assert host.owner_id("/no/such/directory") is None
    assert host.space("/no/such/directory") is None
    assert host.space("/") is not None
    assert host.has_command("sh")
    assert not host.has_unit("no-such.service")

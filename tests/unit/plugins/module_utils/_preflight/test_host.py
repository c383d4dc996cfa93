# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import SystemHost, Wanted, check_host

WANTED = Wanted(
    root="/srv/shop",
    user="shop",
    free_mib=512,
    directories=["/srv/shop/slots"],
    units=["shop-web@.service"],
    commands=["git"],
)


@dataclass(frozen=True)
class FakeHost:
    free: int | None = 1000
    user: int | None = 7
    owner: int | None = 7
    unit: bool = True
    command: bool = True

    def free_mib(self, path: str) -> int | None:
        return self.free

    def user_id(self, name: str) -> int | None:
        return self.user

    def owner_id(self, path: str) -> int | None:
        return self.owner

    def has_unit(self, name: str) -> bool:
        return self.unit

    def has_command(self, name: str) -> bool:
        return self.command


def test_a_ready_host_passes_each_row() -> None:
    assert [row.check for row in check_host(FakeHost(), WANTED)] == ["user", "disk", "directory", "unit", "command"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (FakeHost(free=511), "disk: expected 512 MiB free at /srv/shop, seen: 511 MiB free"),
        (FakeHost(free=None), "disk: expected 512 MiB free at /srv/shop, seen: no such directory"),
        (FakeHost(owner=0), "directory: expected /srv/shop/slots owned by shop, seen: owned by user id 0"),
        (FakeHost(owner=None), "directory: expected /srv/shop/slots owned by shop, seen: no such directory"),
        (FakeHost(unit=False), "unit: expected systemd unit shop-web@.service, seen: missing"),
        (FakeHost(command=False), "command: expected command git, seen: missing"),
    ],
)
def test_a_row_that_fails_says_what_was_seen(host: FakeHost, expected: str) -> None:
    with pytest.raises(Refused) as caught:
        check_host(host, WANTED)
    assert caught.value.message.startswith(expected + ". Nothing was changed on this host.")


def test_all_rows_that_fail_are_named_at_once() -> None:
    with pytest.raises(Refused) as caught:
        check_host(FakeHost(user=None, owner=None, free=None, unit=False, command=False), WANTED)
    assert caught.value.seen.count("expected") == 5


def test_a_missing_user_never_matches_a_missing_directory() -> None:
    with pytest.raises(Refused, match="directory: expected"):
        check_host(FakeHost(user=None, owner=None), WANTED)


def test_this_machine_answers() -> None:
    host = SystemHost()
    assert host.user_id("root") == 0
    assert host.user_id("no-such-user-here") is None
    assert host.owner_id("/no/such/directory") is None
    assert host.free_mib("/no/such/directory") is None
    assert host.has_command("sh")
    assert not host.has_unit("no-such.service")

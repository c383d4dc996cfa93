# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is brought back: a pure plan, by examples and properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import Declared
from ansible_collections.slipway.django.plugins.module_utils._configuration._plan import (
    Plan,
    make_plan,
    require_declared,
    select,
)
from ansible_collections.slipway.django.plugins.module_utils._configuration._tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    Entry,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from hypothesis import given
from hypothesis import strategies as st

SECRET = "0" * 64


def entry(path: str, **values: object) -> Entry:
    one = Entry(path, FILE, "0600", "shop", "shop", 1000, 1000, 17, bytes=3, sha256=SECRET)
    return replace(one, **values)  # type: ignore[arg-type]


def directory(path: str, **values: object) -> Entry:
    return entry(path, kind=DIRECTORY, mode="0755", bytes=0, sha256="", **values)


def plan(
    entries: list[Entry], current: list[Entry], *, optional: bool = False, there: bool = True, known: bool = True
) -> Plan:
    return make_plan(
        entries,
        {one.path: one for one in current},
        [Declared("/etc/shop", optional)],
        is_directory=lambda path: there,
        missing_owners=lambda one: [] if known else [f"user {one.owner}"],
    )


def test_what_is_as_it_was_needs_nothing_but_its_time_may_differ() -> None:
    one = entry("/etc/shop/env")

    made = plan([one], [replace(one, mtime_ns=99)])

    assert not made.changed
    assert made.reason == "all 1 paths are as in the backup"


def test_each_difference_is_told_and_no_digest() -> None:
    one = entry("/etc/shop/env")

    made = plan([one], [replace(one, sha256="f" * 64, mode="0644", owner="root", uid=0)])

    assert made.changes[0].what == ("content", "mode 0644 instead of 0600", "root:shop instead of shop:shop")
    assert made.diff == {
        "before": {"/etc/shop/env": "file 0644 root:shop, content of its own"},
        "after": {"/etc/shop/env": "file 0600 shop:shop, content as in the backup"},
    }
    assert SECRET not in repr((made.diff, made.reason, made.changes[0].what))


def test_what_is_absent_comes_and_what_the_backup_lacks_stays() -> None:
    made = plan(
        [directory("/etc/shop"), entry("/etc/shop/env")], [entry("/etc/shop/newer")], there=False, optional=True
    )

    assert [change.entry.path for change in made.changes] == ["/etc/shop/env"]
    assert made.skipped == (("/etc/shop", "/etc is gone"),)
    assert made.extra == ("/etc/shop/newer",)
    assert made.reason == (
        "1 of 1 paths differ from the backup, 1 optional ones are left out, their directories are gone, "
        "1 that the backup does not have stay as they are"
    )


def test_a_link_is_told_with_its_target() -> None:
    one = entry("/etc/shop/live", kind=SYMLINK, mode="", sha256="", target="blue")

    made = plan([one], [replace(one, target="green")])

    assert made.changes[0].what == ("target",)
    assert made.diff["before"] == {"/etc/shop/live": "symlink shop:shop to green"}


def test_all_that_stands_in_the_way_is_named_at_once() -> None:
    with pytest.raises(Refused) as refused:
        plan(
            [directory("/etc/shop/d"), entry("/etc/shop/env")],
            [entry("/etc/shop/d"), entry("/etc/shop/env")],
            known=False,
        )

    assert refused.value.message == (
        "The configuration can't be brought back: /etc/shop/d was a directory and is a file now: move it away; "
        "/etc/shop/env belongs to user shop, not known on this host. Nothing was changed. "
        "Mend this, or choose other paths with only."
    )


def test_what_is_not_optional_is_not_left_out() -> None:
    with pytest.raises(Refused, match="/etc/shop/env can't be put where /etc/shop is no directory"):
        plan([entry("/etc/shop/env")], [], there=False)


def test_a_path_that_is_not_declared_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        require_declared([entry("/etc/shop/env"), entry("/root/.ssh/authorized_keys")], ["/etc/shop"])

    assert refused.value.message == (
        "The backup has paths that are not declared as configuration of this host: /root/.ssh/authorized_keys. "
        "Nothing was changed. Declare them in paths, or choose others with only."
    )


def test_only_what_is_chosen_and_nothing_that_is_not_there() -> None:
    entries = [entry("/etc/shop/a"), entry("/etc/shop/d/b"), entry("/etc/shop/d2")]

    assert [one.path for one in select(entries, ["/etc/shop/d", "/etc/shop/a"])] == ["/etc/shop/a", "/etc/shop/d/b"]
    assert select(entries, []) == entries
    with pytest.raises(Refused, match="The backup has no /etc/shop/z"):
        select(entries, ["/etc/shop/a", "/etc/shop/z"])


files = st.lists(st.sampled_from("abcdef"), unique=True).map(
    lambda names: [entry(f"/etc/shop/{name}", sha256=name * 64) for name in names]
)


@given(backup=files, now=files, mode=st.sampled_from(["0600", "0644"]))
def test_every_path_of_the_backup_is_changed_or_the_same_and_afterwards_all_are(
    backup: list[Entry], now: list[Entry], mode: str
) -> None:
    current = [replace(one, mode=mode) for one in now]

    made = plan(backup, current)

    assert len(made.changes) + made.same == len(backup)
    assert {*made.extra} == {one.path for one in current} - {one.path for one in backup}
    after = {**{one.path: one for one in current}, **{change.entry.path: change.entry for change in made.changes}}
    assert not plan(backup, list(after.values())).changed

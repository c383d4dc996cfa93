# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is there room on the server for what is tried there, as far as that can be known?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres import _room
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import levels_up_to
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import (
    Room,
    Volume,
    measure,
    room,
    throw_away_needs,
)
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.postgres_world import World, source
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
LOCAL = Connection("shop")


def found(level: str, volumes: dict[str, Volume], archive: tuple[int, int] | None = None, **changes: Any) -> Room:
    needs, highest = throw_away_needs(source(**changes), levels_up_to(level), LOCAL, volumes.__getitem__)
    return room(needs, highest, archive)


def test_lower_levels_need_no_room_there() -> None:
    assert found("checksum", {}) == Room()


def test_a_whole_restore_needs_what_the_database_has_and_some_more() -> None:
    assert found("restore", {"/data": Volume(1, 120 * MIB)}, size=100 * MIB) == Room(
        (), "120 MiB are free in /data and 120 MiB are wanted"
    )
    assert found("restore", {"/data": Volume(1, 119 * MIB)}, size=100 * MIB).problems == (
        (
            "119 MiB are free in /data and 120 MiB are wanted to try the backup there (level restore): make room, or "
            "say verify: checksum"
        ),
    )


def test_a_schema_needs_little_and_many_tables_need_more() -> None:
    few = found("schema", {"/data": Volume(1, 40 * MIB)}, size=100 << 30)
    many = found("schema", {"/data": Volume(1, 40 * MIB)}, relations=10_000)

    assert few == Room((), "40 MiB are free in /data and 32 MiB are wanted")
    assert many.problems == (
        (
            "40 MiB are free in /data and 188 MiB are wanted to try the backup there (level schema): make room, or say "
            "verify: checksum"
        ),
    )


def test_the_archive_stays_while_it_is_tried_on_the_same_volume() -> None:
    here, there = {"/data": Volume(1, 150 * MIB)}, (2, 50 * MIB)

    assert found("restore", here, there, size=100 * MIB).problems == ()
    assert found("restore", here, (1, 50 * MIB), size=100 * MIB).problems == (
        (
            "150 MiB are free in /data and 170 MiB are wanted to try the backup there (level restore), 50 MiB of it "
            "for the archive on the same volume: make room, or say verify: checksum"
        ),
    )


def test_tables_in_a_tablespace_of_their_own_need_room_there() -> None:
    changes: dict[str, Any] = {"size": 100 * MIB, "elsewhere": [{"path": "/fast", "bytes": 90 * MIB}]}
    volumes = {"/data": Volume(1, 12 * MIB), "/fast": Volume(2, 90 * MIB)}

    assert found("restore", volumes, **changes) == Room(
        (
            (
                "90 MiB are free in /fast and 108 MiB are wanted to try the backup there (level restore): make room, "
                "or say verify: checksum"
            ),
        ),
        "12 MiB are free in /data and 12 MiB are wanted; 90 MiB are free in /fast and 108 MiB are wanted",
    )


def missing(path: str) -> Volume:
    raise PermissionError(13, "Permission denied", path)


@pytest.mark.parametrize(
    ("connection", "path", "why"),
    [
        (Connection("shop", host="db.example.com"), "/data", "the server is reached by network (db.example.com)"),
        (LOCAL, None, "role postgres may not ask where its data lie (pg_read_all_settings)"),
        (Connection("shop", host="/run/postgresql"), "/data", "/data can't be looked at (Permission denied)"),
    ],
)
def test_what_can_not_be_known_is_said(connection: Connection, path: str | None, why: str) -> None:
    assert measure(connection, path, "postgres", missing).unknown == why
    needs, level = throw_away_needs(source(data_directory=path), levels_up_to("restore"), connection, missing)
    assert room(needs, level, (1, 5)) == Room((), f"not known: {why}")


def test_a_real_volume_is_looked_at(tmp_path: Path) -> None:
    seen = measure(Connection("shop", host=str(tmp_path)), str(tmp_path), "postgres")

    assert seen.unknown == ""
    assert seen.volume is not None
    assert seen.volume.device == os.stat(tmp_path).st_dev
    assert 0 < seen.volume.free < 1 << 60
    assert _room.look(str(tmp_path)).device == seen.volume.device


@given(size=st.integers(0, 1 << 50), free=st.integers(0, 1 << 50), beside=st.integers(0, 1 << 50))
def test_too_little_is_always_told_and_enough_never(size: int, free: int, beside: int) -> None:
    seen = found("restore", {"/data": Volume(1, free)}, (1, beside), size=size)

    assert bool(seen.problems) == (free < int(size * 1.2) + beside)


def test_it_stands_among_all_that_is_missing_and_nothing_is_written(tmp_path: Path) -> None:
    world = World(tmp_path, tables=["a"], size=1 << 30)
    world.free = 1 << 29
    for check_mode in (True, False):
        with pytest.raises(Refused) as refused:
            world.run(check_mode=check_mode, verify="restore")
        assert refused.value.facts["problems"] == [
            'role postgres may not read tables: GRANT SELECT ON a TO "postgres"',
            (
                "512 MiB are free in /data and 1741 MiB are wanted to try the backup there (level restore), 512 MiB of "
                "it for the archive on the same volume: make room, or say verify: checksum"
            ),
        ]
        assert world.entries() == []


def test_what_is_known_stands_in_the_result(tmp_path: Path) -> None:
    world = World(tmp_path)
    words = "1048576 MiB are free in /data and 32 MiB are wanted"

    assert world.run(check_mode=True).space == words
    assert world.run().space == words
    assert world.run().space == ""  # It is there and was tried.
    assert world.run(verify="restore").space == "1048576 MiB are free in /data and 1200 bytes are wanted"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._create import create_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import read_all
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database
from ansible_collections.slipway.django.plugins.module_utils._postgres._verify import (
    Unrestorable,
    drop_leftovers,
    throw_away_name,
)
from ansible_collections.slipway.django.tests.unit.fakes import completed
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.postgres_world import (
    SOURCE,
    World,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, ""),
        ({"datlocprovider": "i", "daticulocale": "de-DE"}, " LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
        ({"datlocprovider": "i", "datlocale": "de-DE"}, " LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"),
        ({"datlocprovider": "b", "datlocale": "C.UTF-8"}, " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
    ],
)
def test_the_throw_away_database_is_like_the_source(row: dict[str, str], expected: str) -> None:
    statement = create_statement("x", {**SOURCE["database"], **row})
    assert statement == (
        "CREATE DATABASE \"x\" TEMPLATE template0 CONNECTION LIMIT 5 ENCODING 'UTF8' "
        f"LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'{expected}"
    )


def test_its_name_is_short_enough_and_says_whose_it_is() -> None:
    assert throw_away_name("/var/backups/shop/20261121T160528.213Z") == "slipway_verify_20261121t160528_213z"


@given(st.from_regex(r"[0-9]{8}T[0-9]{6}\.[0-9]{3}Z", fullmatch=True))
def test_every_name_fits(backup_id: str) -> None:
    assert len(throw_away_name(f"/d/{backup_id}").encode()) < 63


def test_schema_is_tried_in_a_database_that_is_dropped_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run()
    owner = f"{world.backups}/20261121T160528.000Z"
    mark = json.dumps({"owner": owner, "phase": "verifying", "tool": "slipway.django.pg_backup"})
    assert [statement.split(" TEMPLATE")[0] for statement in world.statements[2:]] == [
        'CREATE DATABASE "slipway_verify_20261121t160528_000z"',
        f"COMMENT ON DATABASE \"slipway_verify_20261121t160528_000z\" IS '{mark}';",
        'DROP DATABASE IF EXISTS "slipway_verify_20261121t160528_000z" WITH (FORCE);',
    ]
    assert world.restores()[-1] == (
        "--schema-only", "--exit-on-error", "--no-publications", "--no-subscriptions", "--no-password",
        "--dbname=slipway_verify_20261121t160528_000z",
    )  # fmt: skip


def test_a_schema_that_can_not_be_restored_is_said_and_the_database_dropped(tmp_path: Path) -> None:
    world = World(tmp_path)
    stderr = 'pg_restore: error: could not execute query: ERROR:  role "shop_owner" does not exist'
    restore = f"{world.directories[0]}/pg_restore"
    world.runner.on(restore, "--schema-only", answer=completed(returncode=1, stderr=stderr))
    with pytest.raises(Exception, match="The archive is whole, and its schema can't be restored: pg_restore") as caught:
        world.run()
    assert isinstance(caught.value.__cause__, Unrestorable)
    assert 'role "shop_owner" does not exist' in str(caught.value)
    assert world.statements[-1].startswith("DROP DATABASE")
    assert world.entries() == []


def test_only_marked_databases_of_this_directory_are_dropped(tmp_path: Path) -> None:
    world = World(tmp_path)
    mine = json.dumps({"tool": "slipway.django.pg_backup", "owner": f"{world.backups}/20260101T000000.000Z"})
    world.marks = [
        {"name": "slipway_verify_mine", "mark": mine},
        {"name": "slipway_verify_theirs", "mark": mine.replace("backups", "elsewhere")},
        {"name": "slipway_verify_other_tool", "mark": mine.replace("slipway.django", "other")},
        {"name": "slipway_verify_words", "mark": "for the audit"},
        {"name": "slipway_verify_list", "mark": "[]"},
    ]
    database = Database(f"{world.directories[0]}/psql", Connection("shop"), world.runner)
    assert drop_leftovers(database, str(world.backups), []) == ["slipway_verify_mine"]
    assert world.statements[-1] == 'DROP DATABASE IF EXISTS "slipway_verify_mine" WITH (FORCE);'


def test_one_that_died_before_it_could_set_the_mark_is_known_by_the_id_of_a_backup(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.marks = [
        {"name": "slipway_verify_20260101t000000_000z", "mark": None},
        {"name": "slipway_verify_20260102t000000_000z", "mark": None},
        {"name": "slipway_verify_20260103t000000_000z", "mark": "for the audit"},
    ]
    database = Database(f"{world.directories[0]}/psql", Connection("shop"), world.runner)
    ids = ["20260101T000000.000Z", "20260103T000000.000Z"]
    assert drop_leftovers(database, str(world.backups), ids) == ["slipway_verify_20260101t000000_000z"]


def test_the_digest_of_a_schema_knows_no_comments_and_no_random_words(tmp_path: Path) -> None:
    digests = []
    for index, text in enumerate(["CREATE TABLE a ();", "CREATE TABLE a ();", "CREATE TABLE b ();"]):
        world = World(tmp_path / str(index))
        # Recorded from pg_restore 15.18.
        said = f"--\n-- PostgreSQL database dump\n--\n\n\\restrict word{index}\n\n{text}\n\n\\unrestrict word{index}\n"
        world.runner.on(f"{world.directories[0]}/pg_restore", "--schema-only", "--file=-", answer=said)
        world.run()
        (found,) = read_all(str(world.backups))
        digests.append(found.properties["schema_sha256"])
    assert digests[0] == digests[1] != digests[2]

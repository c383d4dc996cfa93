# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    InvalidOption,
    Refused,
    SlipwayError,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import NoSpace
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import LEVELS, levels_up_to
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Request, make_plan
from ansible_collections.slipway.django.plugins.module_utils._postgres._problems import problems
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.tests.unit.fakes import completed
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.backups import manifest
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.postgres_world import (
    DATA,
    World,
    source,
)
from hypothesis import given
from hypothesis import strategies as st

ID = "20261121T160528.000Z"
REQUEST = Request(Connection("shop"), "/var/backups/shop", "one", "shop")
CLIENTS = [Client("/b", "15.18")]


# --- the plan ------------------------------------------------------------------------------------------------------


def test_no_backup_with_this_label() -> None:
    plan = make_plan(None, REQUEST)
    assert (plan.action, plan.changed, plan.reason) == ("take", True, "no backup of shop has the label one")


@given(st.sampled_from(LEVELS), st.sampled_from(LEVELS))
def test_what_is_there_is_verified_further_and_never_replaced(reached: str, wanted: str) -> None:
    plan = make_plan(manifest(levels=levels_up_to(reached)), replace(REQUEST, verify=wanted))
    assert plan.action in ("verify", "none")
    assert plan.changed == (LEVELS.index(wanted) > LEVELS.index(reached))
    assert set(plan.levels) == set(levels_up_to(wanted)) - set(levels_up_to(reached))


# --- what stands in the way ----------------------------------------------------------------------------------------


def found(request: Request = REQUEST, *, free: int | None = 10**9, clients: Any = CLIENTS, **changes: Any) -> list[str]:
    return problems(source(**changes), clients, request, levels_up_to(request.verify), free)


def test_nothing_stands_in_the_way() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tables": ["public.a"]}, 'role postgres may not read tables: GRANT SELECT ON public.a TO "postgres"'),
        (
            {"sequences": ["public.a_id_seq"]},
            'role postgres may not read sequences: GRANT SELECT ON SEQUENCE public.a_id_seq TO "postgres"',
        ),
        ({"schemas": ["private"]}, 'role postgres may not use schemas: GRANT USAGE ON SCHEMA private TO "postgres"'),
        (
            {"row_security": ["public.a"]},
            (
                'row security hides rows of public.a from role postgres: ALTER ROLE "postgres" BYPASSRLS, or take the '
                "backup as a superuser"
            ),
        ),
        (
            {"large_objects": 3},
            (
                "role postgres may not read 3 large objects (pg_read_all_data does not cover them): GRANT SELECT "
                'ON LARGE OBJECT … TO "postgres", or take the backup as their owner or a superuser'
            ),
        ),
        (
            {"createdb": False},
            (
                "the level schema restores into a throw-away database, and role postgres may not make one: ALTER ROLE "
                '"postgres" CREATEDB, or say verify: checksum, the highest level that is possible now'
            ),
        ),
        (
            {"standby": True},
            (
                "the server is a standby, where no database can be made for the level schema: ask the primary, or say "
                "verify: checksum, the highest level that is possible now"
            ),
        ),
        (
            {"version_num": 170002, "version": "17.2"},
            (
                "the server is PostgreSQL 17.2 and this host has no pg_dump of version 17 (there is 15.18 in /b): "
                "install postgresql-client-17"
            ),
        ),
        (
            {"size": 10 << 30},
            (
                "954 MiB are free in /var/backups/shop and 5120 MiB are wanted (0.5 × the 10240 MiB of the database): "
                "make room, or lower free_space_factor if you know that the archive will be smaller"
            ),
        ),
    ],
)
def test_one_thing_stands_in_the_way(changes: dict[str, Any], expected: str) -> None:
    assert found(**changes) == [expected]


def test_everything_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, createdb=False, tables=["a", "b"], sequences=["c"], version_num=120000, version="12.1")
    for check_mode in (True, False):
        with pytest.raises(Refused) as caught:
            world.run(check_mode=check_mode)
        assert caught.value.message.startswith(
            "No backup of shop can be taken: the server is PostgreSQL 12.1, and 13 is"
        )
        assert caught.value.message.endswith("Nothing was changed. Mend all of this, then run the task again.")
        assert len(caught.value.facts["problems"]) == 5  # type: ignore[arg-type]
    assert not world.backups.exists()
    assert world.dumper.calls == []


def test_long_lists_are_cut() -> None:
    (only,) = found(tables=[f"t{i}" for i in range(12)])
    assert "t8, t9 and 2 more TO" in only


def test_a_lower_level_needs_less() -> None:
    low = replace(REQUEST, verify="checksum")
    assert found(low, createdb=False, standby=True) == []


def test_to_verify_further_neither_rights_nor_space_are_needed() -> None:
    assert found(free=None, tables=["a"], size=10**18) == []


# --- taking --------------------------------------------------------------------------------------------------------


def test_taken_verified_published(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.dumper.messages = "pg_dump: warning: there are circular foreign-key constraints"
    result = world.run()
    assert world.entries() == [ID]
    written = json.loads((world.backups / ID / "manifest.json").read_text())
    assert (world.backups / ID / "database.dump").read_bytes() == DATA
    assert written["levels"] == result.backup["levels"] == ["list", "read", "checksum", "schema"]
    assert written["files"] == result.backup["files"]
    assert result.backup["warnings"] == ["pg_dump: warning: there are circular foreign-key constraints"]
    assert result.plan.changed
    assert result.words.startswith(f"backup {ID} of shop with the label one is there: 79 bytes, written in")
    assert [arguments[0] for arguments in world.restores()] == ["--list", "--file=/dev/null", "--schema-only"]
    assert (world.backups.stat().st_mode & 0o777, (world.backups / ID).stat().st_mode & 0o777) == (0o700, 0o700)


def test_a_second_run_finds_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.run()
    second = world.run()
    assert not second.plan.changed
    assert second.backup == first.backup
    assert second.before == {"id": ID, "label": "one", "levels": list(LEVELS[:4])}
    assert len(world.dumper.calls) == 1


def test_verified_further(tmp_path: Path) -> None:
    world = World(tmp_path)
    first = world.run(verify="read")
    assert world.run(verify="schema", check_mode=True).backup["levels"] == list(LEVELS[:4])
    second = world.run(verify="schema")
    assert second.plan.changed
    assert second.backup["id"] == first.backup["id"]
    assert second.backup["levels"] == list(LEVELS[:4])
    assert len(world.dumper.calls) == 1
    assert not world.run(verify="schema").plan.changed


def test_check_mode_writes_nothing_and_has_the_same_keys(tmp_path: Path) -> None:
    world = World(tmp_path)
    predicted = world.run(check_mode=True)
    assert predicted.plan.changed
    assert not world.backups.exists()
    assert world.dumper.calls == []
    assert predicted.backup.keys() == world.run().backup.keys()


@pytest.mark.parametrize(
    ("version", "compression", "argument"),
    [
        ("15.18", "gzip:1", "--compress=1"),
        ("16.4", "zstd:1", "--compress=zstd:1"),
        ("18.1", "zstd:1", "--compress=zstd:1"),
    ],
)
def test_the_argument_list(tmp_path: Path, version: str, compression: str, argument: str) -> None:
    number = int(version.split(".", maxsplit=1)[0]) * 10000
    world = World(tmp_path, versions=["14.1", version], version_num=number, version=version)
    result = world.run(lock_wait_timeout_s=2.5, connection=Connection("shop", user="keeper", passfile=None))
    ((argv, environment),) = world.dumper.calls
    assert argv == (
        f"{world.directories[1]}/pg_dump", "--format=custom", argument, "--snapshot=00000003-1B-1", "--strict-names",
        "--lock-wait-timeout=2500", "--no-password",
    )  # fmt: skip
    assert environment["PGDATABASE"] == "shop"
    assert environment["PGUSER"] == "keeper"
    assert result.backup["compression"] == compression


def test_a_client_without_zstd_falls_back(tmp_path: Path) -> None:
    world = World(tmp_path, versions=["16.4"], version_num=160004, version="16.4")
    stderr = "pg_dump: error: invalid compression specification: this build does not support compression with zstd"
    world.dumper.error, world.dumper.once = CommandFailed(["pg_dump"], 1, stderr), True
    assert world.run().backup["compression"] == "gzip:1"


def test_what_dead_runs_left_is_removed(tmp_path: Path) -> None:
    world = World(tmp_path)
    (world.backups / "20260101T000000.000Z.partial").mkdir(parents=True)
    assert world.run().removed == ("20260101T000000.000Z.partial",)
    assert world.entries() == [ID]


# --- failing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoSpace("The archive a can't be written: No space left on device"), "are always left free there."),
        (
            CommandFailed(["pg_dump"], 1, "ERROR:  invalid page in block 5 of relation base/1/2"),
            "The database itself is damaged on its disk: no backup can be taken of what can't be read.",
        ),
        (
            # Recorded from pg_dump 15.18.
            CommandFailed(
                ["pg_dump"],
                1,
                "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout\n"
                "pg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE",
            ),
            "Locks are held by: pid 7 (app, active since now, t).",
        ),
        (CommandFailed(["pg_dump"], -9, ""), "pg_dump ended with status -9."),
    ],
)
def test_a_dump_that_fails_leaves_nothing_and_says_so(tmp_path: Path, error: SlipwayError, expected: str) -> None:
    world = World(tmp_path)
    world.dumper.error = error
    with pytest.raises(SlipwayError) as caught:
        world.run()
    assert expected in caught.value.message
    assert "What was written was removed; earlier backups and the database are as they were." in caught.value.message
    assert world.entries() == []


def test_a_disk_that_gives_back_something_else_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.dumper.digested = b"PGDMP what pg_dump had said"
    with pytest.raises(SlipwayError, match=r"The file .*database\.dump is damaged: expected 27 bytes"):
        world.run(verify="list")
    assert world.entries() == []
    assert world.restores() == []


@pytest.mark.parametrize("level", ["--list", "--file=/dev/null", "--schema-only"])
def test_a_level_that_fails_leaves_no_backup(tmp_path: Path, level: str) -> None:
    world = World(tmp_path)
    restore = f"{world.directories[0]}/pg_restore"
    world.runner.on(restore, level, answer=completed(returncode=1, stderr="pg_restore: error: no"))
    with pytest.raises(SlipwayError, match="pg_restore: error: no"):
        world.run()
    assert world.entries() == []
    # An error that nobody thought of leaves none either.
    world.runner.on(restore, level, answer=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        world.run()
    assert world.entries() == []


def test_a_damaged_backup_is_neither_used_nor_replaced(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run()
    (world.backups / ID / "database.dump").write_bytes(DATA[:-1] + b"?")
    for check_mode in (True, False):
        with pytest.raises(Damaged) as caught:
            world.run(check_mode=check_mode)
        assert "and no other one was taken in its place: by now the database may be another." in caught.value.message
        assert f"move the directory away and run the task again: {world.backups / ID}" not in caught.value.message
        assert f"Bring an undamaged copy of {world.backups / ID}." in caught.value.message
    assert world.entries() == [ID]


def test_one_that_somebody_took_meanwhile_is_used(tmp_path: Path) -> None:
    world = World(tmp_path)
    other = World(tmp_path)

    def answer(call: Any) -> Any:
        # The first question is asked before the lock is held.
        if not world.entries():
            other.run()
        return world._psql(call)

    world.runner.on(f"{world.directories[0]}/psql", answer=answer)
    result = world.run()
    assert not result.plan.changed
    assert world.dumper.calls == []
    assert world.entries() == [ID]


def test_the_deadline_is_one_for_all_steps(tmp_path: Path) -> None:
    world = World(tmp_path)
    restore = f"{world.directories[0]}/pg_restore"

    def slow(_call: Any) -> str:
        world.clock.advance(40)
        return ""

    world.runner.on(restore, answer=slow)
    with pytest.raises(SlipwayError, match="The backup was not ready within 60 s"):
        world.run(timeout_s=60)
    assert world.entries() == []


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"label": ""}, "label"),
        ({"label": "../up"}, "label"),
        ({"label": "a/b"}, "label"),
        ({"label": "latest"}, "label"),
        ({"label": ID}, "label"),
        ({"directory": "backups"}, "directory"),
        ({"verify": "some"}, "verify"),
        ({"fingerprint": "some"}, "fingerprint"),
        ({"jobs": 0}, "jobs"),
        ({"shrink_guard": 1.1}, "shrink_guard"),
        ({"rules": Rules(keep_last=-1)}, "keep_last"),
        ({"timeout_s": 0}, "timeout"),
        ({"lock_wait_timeout_s": 0}, "lock_wait_timeout"),
        ({"free_space_factor": -1}, "free_space_factor"),
    ],
)
def test_options_that_can_not_be_meant(options: dict[str, Any], option: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        validate(replace(REQUEST, **options))
    assert caught.value.option == option


def validate(request: Request) -> None:
    request.validate()
    request.validate_label()


def test_a_directory_whose_parent_is_missing_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(Refused, match=f"this user may not make files in {tmp_path}/none"):
        world.run(directory=os.path.join(tmp_path, "none", "shop"))
    assert world.runner.calls == []


def test_a_directory_that_fails_is_an_error_with_a_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.dumper.error = OSError(5, "Input/output error")
    with pytest.raises(SlipwayError, match=r"can't be used: \[Errno 5\] Input/output error\. Earlier backups and the"):
        world.run()
    assert world.entries() == []

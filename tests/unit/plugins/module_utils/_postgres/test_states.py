# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is taken with, and the states other than present."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    InvalidOption,
    Refused,
    SlipwayError,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import LEVELS, find_label, pinned
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.postgres_world import (
    DATA,
    TABLES,
    World,
)

ID = "20261121T160528.000Z"


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path)


def taken(world: World, label: str = "one") -> manifests.Manifest:
    found = find_label(str(world.backups), "shop", label)
    assert found is not None
    return found


def later(world: World, label: str, **options: Any) -> Any:
    world.clock.advance(60)
    return world.run(label=label, **options)


# --- what is taken -------------------------------------------------------------------------------------------------


def test_the_manifest_tells_of_the_moment_and_of_what_was_there(world: World) -> None:
    world.run()
    found = taken(world)
    assert found.snapshot == {"lsn": "0/1A2B3C4", "at": "2026-11-21T16:05:29.123Z"}
    assert (found.started_at, found.taken_at) == ("2026-11-21T16:05:28Z", "2026-11-21T16:05:29Z")
    assert found.system_identifier == "7500000000000000001"
    assert found.tables == [
        {"schema": "public", "name": "orders", "rows": 3, "fingerprint": None},
        {"schema": "public", "name": "django_migrations", "rows": 3, "fingerprint": None},
    ]
    assert found.sequences == [{"schema": "public", "name": "orders_id_seq", "last_value": 3, "is_called": True}]
    assert found.large_objects == 1
    assert found.rows == 6
    assert found.django_migrations == [["shop", "0001_initial"]]
    assert found.properties["roles"] == ["postgres", "shop"]
    assert len(found.properties["schema_sha256"]) == 64
    assert [row["path"] for row in found.files] == ["database.dump", "globals.sql"]
    assert world.phases == [
        "lock", "dump", "sync", "count", "verify", "verify list", "verify read", "verify checksum", "verify schema",
        "manifest", "publish",
    ]  # fmt: skip


def test_the_tables_are_locked_before_the_moment_is_chosen_and_it_is_held_to_the_end_of_the_dump(world: World) -> None:
    world.run()
    asked = [sql.split("\n")[0] for _database, sql in world.asked]
    begin = asked.index("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    assert asked[begin + 1] == (
        'LOCK TABLE ONLY "public"."orders", ONLY "public"."django_migrations" IN ACCESS SHARE MODE'
    )
    assert asked[begin + 2] == "SELECT json_build_object("
    assert "pg_export_snapshot" in world.asked[begin + 2][1]
    assert asked[-1] == "closed"
    ((argv, _environment),) = world.dumper.calls
    assert "--snapshot=00000003-1B-1" in argv


def test_sequences_are_read_before_the_dump_and_rows_are_counted_after_it(world: World) -> None:
    # A sequence goes on: read after the dump, it would be ahead of what a restore has. Rows are of the moment held, and
    # to count them first would leave time for somebody to queue between our lock and the dump's.
    world.run()

    def place(words: str) -> int:
        (found,) = [number for number, event in enumerate(world.events) if words in event]
        return found

    assert place("'last_value', last_value") < place("phase dump") < place("phase count") < place('"orders" AS')
    assert place("pg_export_snapshot") < place("'last_value', last_value")


def test_tables_that_come_or_go_meanwhile_are_looked_for_again(world: World) -> None:
    before, after = world.listed[0], {**world.listed[0], "tables": TABLES[:1]}
    world.listed = [before, after, after]
    world.run()
    assert [table["name"] for table in taken(world).tables] == ["orders"]
    assert [sql for _database, sql in world.asked].count("ROLLBACK") == 1


def test_tables_that_come_and_go_all_the_time(world: World) -> None:
    other = {**world.listed[0], "tables": TABLES[:1]}
    world.listed = [world.listed[0], other] * 5
    with pytest.raises(SlipwayError, match="Tables were made or dropped at each of 5 attempts"):
        world.run()
    assert world.entries() == []


def test_a_table_that_is_locked_for_too_long(world: World) -> None:
    refused = SlipwayError("PostgreSQL refused: canceling statement due to lock timeout", facts={"sqlstate": "55P03"})
    world.refusals["LOCK TABLE"] = refused
    with pytest.raises(SlipwayError) as caught:
        world.run()
    assert caught.value.message.startswith("A table was locked for longer than lock_wait_timeout. PostgreSQL refused:")
    assert "Locks are held by: pid 7 (app, active since now, t)." in caught.value.message
    assert world.entries() == []


def test_rows_that_can_only_be_counted_by_the_owner_of_the_table(world: World) -> None:
    world.listed[0]["tables"] = [{**TABLES[0], "owner": "shop"}]
    undefined = SlipwayError("function plain(text) does not exist", facts={"sqlstate": "42883"})
    world.refusals["SAVEPOINT one;\nSELECT"] = undefined
    world.run()
    assert taken(world).rows == 3
    (asked,) = [sql for _database, sql in world.asked if sql.startswith("SET LOCAL ROLE")]
    assert asked.startswith('SET LOCAL ROLE "shop";\nSET LOCAL search_path TO DEFAULT;\nSELECT')


def test_rows_that_can_not_be_counted_at_all(world: World) -> None:
    world.listed[0]["tables"] = [{**TABLES[0], "owner": "shop"}]
    world.refusals['"public"."orders" AS'] = SlipwayError("no", facts={"sqlstate": "42883"})
    with pytest.raises(SlipwayError, match=r"The rows of public.orders can't be counted: no\..*fingerprint: none goes"):
        world.run()
    world.run(fingerprint="none")
    assert (taken(world).tables, taken(world).rows) == ([], None)


def test_content_is_added_up_by_a_hash_that_another_database_has_too(world: World) -> None:
    world.listed[0]["tables"] = [TABLES[0], {**TABLES[1], "hashable": False}]
    world.run(fingerprint="content")
    questions = [sql for _database, sql in world.asked if "count(*)" in sql and "fingerprint" in sql]
    assert "'record:' || coalesce(sum(pg_catalog.hash_record_extended" in questions[0]
    assert "'text:' || coalesce(sum(pg_catalog.hashtextextended" in questions[1]
    assert taken(world).tables[0]["fingerprint"] == "record:7"


def test_several_jobs_write_a_directory(world: World) -> None:
    result = world.run(jobs=3)
    ((argv, _environment),) = world.dumper.calls
    assert argv[1] == "--format=directory"
    assert argv[-2:] == ("--jobs=3", f"--file={world.backups}/{ID}.partial/database")
    assert [row["path"] for row in taken(world).files] == ["database/1.dat.gz", "database/toc.dat", "globals.sql"]
    assert (result.backup["format"], result.backup["jobs"]) == ("directory", 3)
    (world.backups / ID / "database" / "1.dat.gz").write_bytes(DATA[:-1] + b"?")
    with pytest.raises(Damaged, match=r"database/1\.dat\.gz is damaged"):
        world.run(jobs=3)


def test_roles_that_may_not_be_seen_are_said_to_be_missing(world: World) -> None:
    world.dumper.globals = CommandFailed(["pg_dumpall"], 1, "pg_dumpall: error: permission denied for table x\nmore")
    result = world.run()
    assert [row["path"] for row in taken(world).files] == ["database.dump"]
    assert result.backup["warnings"] == [
        "globals.sql is not part of the backup: pg_dumpall: error: permission denied for table x"
    ]
    assert not (world.backups / ID / "globals.sql").exists()


def test_roles_that_are_cut_off_leave_no_backup(world: World) -> None:
    world.dumper.globals = b"CREATE ROLE shop;"
    with pytest.raises(SlipwayError, match=r"globals\.sql has 17 bytes and not the end that pg_dumpall writes"):
        world.run()
    assert world.entries() == []


def test_a_prepared_transaction_is_told(tmp_path: Path) -> None:
    world = World(tmp_path, prepared=[{"gid": "tx", "owner": "shop", "since": "2026-11-21T15:00:00"}])
    assert world.run().backup["warnings"] == [
        (
            "prepared transaction 'tx' of shop is neither committed nor rolled back since 2026-11-21T15:00:00: what it "
            "wrote is not in this backup"
        )
    ]


LOCK = {"pid": 7, "gid": None, "table": "public.a", "user": "shop", "application": "web", "state": "active"}


@pytest.mark.parametrize(
    ("lock", "problem"),
    [
        ({"seconds": 90}, ""),
        ({"seconds": 20, "state": "idle in transaction"}, ""),
        (
            {"seconds": 90, "state": "idle in transaction"},
            (
                "table public.a is locked by pid 7 (web), which is idle in a transaction that began 90 s ago, longer "
                "than lock_wait_timeout: end it"
            ),
        ),
        (
            {"seconds": 1, "pid": None, "gid": "tx", "application": None, "state": None},
            (
                "table public.a is locked by prepared transaction 'tx' of shop, which ends only by COMMIT PREPARED or "
                "ROLLBACK PREPARED"
            ),
        ),
    ],
)
def test_locks_that_nobody_will_wait_for_are_seen_before(tmp_path: Path, lock: dict[str, Any], problem: str) -> None:
    world = World(tmp_path, locks=[{**LOCK, **lock}])
    if not problem:
        assert world.run().changed
        return
    with pytest.raises(Refused) as caught:
        world.run()
    assert caught.value.facts["problems"] == [problem]


def test_unlogged_tables_of_a_standby(tmp_path: Path) -> None:
    world = World(tmp_path, standby=True, unlogged=["public.cache"])
    with pytest.raises(Refused, match=r"unlogged tables can't be read on a standby \(public.cache\): ask the primary"):
        world.run(verify="checksum")


# --- restored and compared -----------------------------------------------------------------------------------------


def test_the_level_restore_compares_what_is_there(world: World) -> None:
    assert world.run(verify="restore").backup["levels"] == list(LEVELS)
    name = "slipway_verify_20261121t160528_000z"
    assert world.restores()[-1] == (
        "--exit-on-error", "--no-publications", "--no-subscriptions", "--no-password", f"--dbname={name}",
    )  # fmt: skip
    assert {database for database, _sql in world.asked} == {"shop", name}


def test_what_was_restored_is_not_what_was_dumped(world: World) -> None:
    world.restored_rows = 2
    with pytest.raises(SlipwayError) as caught:
        world.run(verify="restore")
    assert caught.value.message.startswith(
        "The archive is whole, and what was restored from it is not what was dumped: table public.django_migrations "
        "has 2 rows and had 3; table public.orders has 2 rows and had 3. What was written was removed;"
    )
    assert world.statements[-1].startswith("DROP DATABASE")
    assert world.entries() == []


# --- the guard -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "refused"), [(49, True), (50, False), (0, True), (1000, False)])
def test_a_database_that_has_shrunk_is_refused(world: World, rows: int, refused: bool) -> None:
    world.listed[0]["tables"] = TABLES[:1]
    world.rows = 100
    world.run()
    world.rows = rows
    if not refused:
        assert later(world, "two").changed
        return
    with pytest.raises(SlipwayError) as caught:
        later(world, "two")
    assert caught.value.message == (
        f"The database has shrunk: {rows} rows, and backup {ID} had 100 (shrink_guard is 0.5). What was written was "
        "removed; earlier backups and the database are as they were. See that nothing was lost. allow_shrink: true "
        "takes the backup nevertheless."
    )
    assert world.entries() == [ID]
    assert later(world, "two", shrink_guard=0).changed


def test_an_archive_that_has_shrunk_is_refused_too(world: World) -> None:
    world.run(fingerprint="none")
    world.dumper.data = DATA[:7]
    with pytest.raises(SlipwayError, match=r"The database has shrunk: 7 bytes, and backup .* had 16 \(shrink_guard"):
        later(world, "two")
    # Another format can't be compared.
    assert later(world, "three", jobs=2).changed


def test_what_may_shrink_pushes_nothing_out(world: World) -> None:
    world.run()
    for label in ("two", "three"):
        later(world, label)
    world.rows = 0
    result = later(world, "four", allow_shrink=True, rules=Rules(keep_last=1, min_keep=1))
    assert result.retention_skipped.startswith("nothing was removed: the database has shrunk: 0 rows, and backup")
    assert result.backup["warnings"][-1].startswith("the database has shrunk")
    assert len(world.entries()) == 4


# --- the pin -------------------------------------------------------------------------------------------------------


def test_a_pin_is_set_left_and_taken_away(world: World) -> None:
    world.run(pin=True)
    path = str(world.backups / ID)
    assert pinned(path) == "asked for by the task that has the label one"
    assert not world.run().changed
    assert not world.run(pin=True).changed
    assert world.run(pin=False, check_mode=True).plan.reason == f"backup {ID} is there and still pinned"
    assert pinned(path)
    assert world.run(pin=False).changed
    assert pinned(path) is None
    assert not world.run(pin=False).changed
    assert world.run(pin=True).changed
    assert pinned(path)


# --- verified ------------------------------------------------------------------------------------------------------


def test_a_backup_is_verified_by_whatever_names_it(world: World) -> None:
    world.run(verify="list")
    for reference, level in [("latest", "read"), (ID, "checksum"), ("one", "schema")]:
        predicted = world.run(state="verified", reference=reference, verify=level, check_mode=True)
        assert predicted.changed
        assert predicted.backup["levels"][-1] == level
        assert taken(world).levels[-1] != level
        assert world.run(state="verified", reference=reference, verify=level).backup["levels"][-1] == level
        assert taken(world).levels[-1] == level
        again = world.run(state="verified", reference=reference, verify=level)
        assert not again.changed
    assert len(world.dumper.calls) == 1


def test_digests_are_read_each_time_and_need_no_server(world: World) -> None:
    world.run(verify="read")
    asked = len(world.runner.calls)
    assert not world.run(state="verified", reference="latest", verify="read").changed
    assert len(world.runner.calls) == asked
    (world.backups / ID / "globals.sql").write_bytes(b"CREATE ROLE evil;")
    with pytest.raises(Damaged) as caught:
        world.run(state="verified", reference="latest", verify="list")
    assert caught.value.message.startswith(f"The file {world.backups}/{ID}/globals.sql is damaged: expected ")
    assert "Backup 20261121T160528.000Z with the label one was left as it is. Bring an" in caught.value.message


def test_a_backup_that_is_not_there_can_not_be_verified(world: World) -> None:
    with pytest.raises(Refused, match=r"No backup of shop in .*/backups is two\. Nothing was changed\. Name another"):
        world.run(state="verified", reference="two")


def test_a_level_that_is_not_reached_leaves_the_backup_and_its_manifest(world: World) -> None:
    world.run(verify="read")
    world.restored_rows = 1
    with pytest.raises(SlipwayError, match="is not what was dumped"):
        world.run(state="verified", reference="one", verify="restore")
    assert taken(world).levels == ["list", "read"]
    assert world.entries() == [ID]


# --- absent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [ID, "one"])
def test_a_backup_is_removed(world: World, reference: str) -> None:
    world.run()
    (world.backups / "20260101T000000.000Z.deleting").mkdir()
    assert world.run(state="absent", reference=reference, check_mode=True).changed
    assert world.entries() == ["20260101T000000.000Z.deleting", ID]
    result = world.run(state="absent", reference=reference)
    assert result.changed
    assert result.words == f"backup {ID} was removed"
    assert result.before == {"id": ID, "label": "one", "levels": list(LEVELS[:4])}
    assert result.removed == ("20260101T000000.000Z.deleting",)
    assert world.entries() == []
    again = world.run(state="absent", reference=reference)
    assert (again.changed, again.words) == (False, f"no backup of shop is {reference}")


def test_a_pinned_backup_is_removed_only_by_force(world: World) -> None:
    world.run(pin=True)
    for check_mode in (True, False):
        with pytest.raises(Refused) as caught:
            world.run(state="absent", reference="one", check_mode=check_mode)
        assert caught.value.message == (
            f"Backup {ID} is pinned: asked for by the task that has the label one. It was left as it is. force_pinned: "
            "true removes it nevertheless."
        )
    assert world.run(state="absent", reference="one", force_pinned=True).changed
    assert world.entries() == []


def test_the_latest_is_not_a_name_for_what_is_removed(world: World) -> None:
    world.run()
    with pytest.raises(InvalidOption, match="an id or a label: what is the latest changes"):
        world.run(state="absent", reference="latest")


def test_a_damaged_backup_is_removed_by_its_id_only(world: World) -> None:
    world.run()
    (world.backups / ID / "manifest.json").write_text("{")
    with pytest.raises(SlipwayError, match="is damaged"):
        world.run(state="absent", reference="one")
    assert world.run(state="absent", reference=ID).changed
    assert world.entries() == []


def test_a_backup_of_another_database_is_not_meant(world: World) -> None:
    world.run()
    document = json.loads((world.backups / ID / "manifest.json").read_text())
    manifests.write(manifests.Manifest(**{**document, "database": "other"}), str(world.backups / ID))
    assert not world.run(state="absent", reference=ID).changed
    assert world.entries() == [ID]


# --- retention -----------------------------------------------------------------------------------------------------


def test_retention_is_last_and_says_why(world: World) -> None:
    rules = Rules(keep_last=2, min_keep=1)
    world.run()
    later(world, "two")
    world.clock.advance(60)
    predicted = world.run(label="three", rules=rules, check_mode=True)
    assert [decision.label for decision in predicted.retention.removed] == ["one"]  # type: ignore[union-attr]
    assert len(world.entries()) == 2
    world.phases.clear()
    result = world.run(label="three", rules=rules)
    assert result.retention == predicted.retention
    assert world.phases[-2:] == ["publish", "retention"]
    assert len(world.entries()) == 2
    again = world.run(label="three", rules=rules)
    assert not again.changed
    assert [decision.label for decision in again.retention.kept] == ["two", "three"]  # type: ignore[union-attr]


def test_a_removal_that_was_killed_is_finished_although_nothing_else_is_to_be_done(world: World) -> None:
    rules = Rules(keep_last=2)
    world.run(rules=rules)
    (world.backups / "20260101T000000.000Z.deleting").mkdir()
    result = world.run(rules=rules)
    assert (result.changed, result.removed) == (True, ("20260101T000000.000Z.deleting",))
    assert world.entries() == [ID]
    assert not world.run(rules=rules).changed


def test_a_run_that_proves_too_little_or_fails_removes_nothing(world: World) -> None:
    rules = Rules(keep_last=1, min_keep=1)
    world.run()
    result = later(world, "two", rules=rules, verify="read")
    assert result.retention_skipped == (
        "nothing was removed: a backup that is verified by no more than read replaces no other one"
    )
    world.dumper.error = CommandFailed(["pg_dump"], 1, "no")
    with pytest.raises(SlipwayError):
        later(world, "three", rules=rules)
    assert len(world.entries()) == 2


def test_pruned(world: World) -> None:
    rules = Rules(keep_last=1, min_keep=1)
    for label in ("one", "two", "three", "four"):
        later(world, label, pin=True if label == "two" else None)
    damaged = world.entries()[2]
    os.truncate(world.backups / damaged / "database.dump", 1)
    assert [d.label for d in world.run(state="pruned", rules=rules, check_mode=True).retention.removed] == [  # type: ignore[union-attr]
        "one"
    ]
    assert len(world.entries()) == 4
    result = world.run(state="pruned", rules=rules)
    assert result.changed
    assert [(d.label, d.reason.split(",")[0]) for d in result.retention.kept] == [  # type: ignore[union-attr]
        ("two", "pinned: asked for by the task that has the label two"),
        ("three", "not complete: not ours to judge"),
        ("four", "the newest"),
    ]
    assert len(world.entries()) == 3
    assert not world.run(state="pruned", rules=rules).changed


def test_pruned_without_a_rule_or_a_directory(world: World) -> None:
    with pytest.raises(InvalidOption, match="at least one of keep_last"):
        world.run(state="pruned")
    assert not world.run(state="pruned", rules=Rules(keep_last=1)).changed
    assert not world.backups.exists()


# --- what is predicted ---------------------------------------------------------------------------------------------


def test_check_mode_estimates_the_size_by_the_backup_before(world: World) -> None:
    assert world.run(check_mode=True).backup["bytes"] is None
    world.run()
    world.changes["size"] = 2000
    assert world.run(label="two", check_mode=True).backup["bytes"] == 2 * len(DATA)

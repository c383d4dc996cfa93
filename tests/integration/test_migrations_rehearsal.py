# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rehearsing migrations on a copy, with a real PostgreSQL: what is measured must be what PostgreSQL does."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import comment_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._rehearsals import PREPARED, mark_of
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.django_site import PASSWORD, Cluster, DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    NUMBER_INDEX,
    migrate,
    open_transaction,
    raised,
    refusal,
    runner_of,
    schema,
    wait_until,
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def _may_create(cluster: Cluster) -> None:
    with cluster.connect() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")


def databases(site: DjangoSite) -> list[str]:
    return [name for (name,) in site.query("SELECT datname::text FROM pg_database ORDER BY 1")]


def rehearse(site: DjangoSite, **options: Any) -> dict[str, dict[str, Any]]:
    """Rehearse, and return the findings by the names of the migrations."""
    result = migrate(site, "rehearsed", **options)
    return {each["name"]: each for each in result["rehearsal"]["migrations"]}


def locks(finding: dict[str, Any]) -> set[str]:
    return {f"{lock['mode']} {lock['relation']}" for each in finding["statements"] for lock in each["locks"]}


def work(finding: dict[str, Any]) -> set[str]:
    return {f"{each['kind']} {each['table']}" for statement in finding["statements"] for each in statement["work"]}


def test_a_rehearsal_changes_nothing_and_leaves_nothing(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    before, beside = schema(site), databases(site)

    checked = run_module("django_migrate_safe", site.options("rehearsed"), check=True).succeeded()
    done = run_module("django_migrate_safe", site.options("rehearsed")).succeeded()

    assert set(checked) == set(done)
    assert checked["rehearsal"] is None
    assert not done["changed"]
    assert done["refused"] == []
    assert schema(site) == before
    assert databases(site) == beside
    assert [row["status"] for row in done["rehearsal"]["table"]] == ["ready", "ready"]
    assert done["rehearsal"]["back"] is True
    assert (
        done["lines"][0] == "rehearsed on a copy of the schema, without rows; the way back led to the schema of before"
    )
    assert PASSWORD not in str(done)
    # And what was rehearsed still is to be applied.
    assert len(migrate(site, "applied")["applied"]) == 2


# What PostgreSQL's documentation and source say of each: the strongest lock, the work, the class of it on a table
# of 200 MB, and what old code meets.
OPERATIONS: dict[str, tuple[str, set[str], set[str], str]] = {
    "plain": (NOTE, {"AccessExclusiveLock orders_order"}, set(), "care"),
    "positive": (
        'migrations.AddField("order", "f", models.PositiveIntegerField(null=True)),',
        {"AccessExclusiveLock orders_order"},
        {"verify orders_order"},
        "downtime",
    ),
    "index": (
        f'migrations.AddIndex("order", {NUMBER_INDEX}),',
        {"ShareLock orders_order"},
        {"build index orders_order"},
        "downtime",
    ),
    "bigger": (
        'migrations.AlterField("order", "amount", models.BigIntegerField(null=True)),',
        {"AccessExclusiveLock orders_order"},
        {"rewrite orders_order", "build index orders_order"},
        "downtime",
    ),
    "text": (
        'migrations.AlterField("order", "state", models.TextField(default="new")),',
        {"AccessExclusiveLock orders_order"},
        set(),
        "care",
    ),
    "reference": (
        'migrations.AlterField("order", "amount", models.ForeignKey("auth.group", models.CASCADE, null=True)),',
        {"ShareRowExclusiveLock auth_group", "ShareRowExclusiveLock orders_order"},
        {"validate foreign key orders_order"},
        "downtime",
    ),
    "statement": (
        'migrations.RunSQL("ALTER TABLE orders_order ALTER COLUMN amount SET NOT NULL"),',
        {"AccessExclusiveLock orders_order"},
        {"verify orders_order"},
        "downtime",
    ),
    "truncate": (
        'migrations.RunSQL("TRUNCATE orders_line"),',
        {"AccessExclusiveLock orders_line"},
        {"rewrite orders_line"},
        "care",
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_locks_and_work_are_those_of_postgresql(site: DjangoSite, name: str) -> None:
    operation, expected_locks, expected_work, expected = OPERATIONS[name]
    grow(site)
    site.migration("0002_it", operation)

    finding = rehearse(site)["0002_it"]

    assert expected_locks <= locks(finding)
    assert expected_work <= work(finding)
    assert ("verify orders_order" in work(finding)) == ("verify orders_order" in expected_work)
    assert finding["lock"] == expected


def grow(site: DjangoSite) -> None:
    """More than 64 MiB, in a second: what matters is the size that the live database tells."""
    site.execute("ALTER TABLE orders_order ALTER COLUMN number TYPE varchar(8000)")
    site.execute("ALTER TABLE orders_order ALTER COLUMN number SET STORAGE PLAIN")
    site.execute(
        "INSERT INTO orders_order (number, state) SELECT repeat('x', 7000), 'new' FROM generate_series(1, 9000)"
    )


@pytest.mark.parametrize(
    ("statement", "lock", "done"),
    [
        ("CREATE INDEX CONCURRENTLY i ON orders_order (number)", "ShareUpdateExclusiveLock", "online"),
        ("DROP INDEX CONCURRENTLY number_idx", "ShareUpdateExclusiveLock", "online"),
        ("REINDEX TABLE CONCURRENTLY orders_order", "ShareUpdateExclusiveLock", "online"),
        ("VACUUM FULL orders_order", "AccessExclusiveLock", "care"),
    ],
)
def test_locks_of_what_can_not_be_in_a_transaction(site: DjangoSite, statement: str, lock: str, done: str) -> None:
    """Trap: they last microseconds on an empty table; somebody has to hold them up."""
    site.execute("CREATE INDEX number_idx ON orders_order (number)")
    site.migration("0002_it", f'migrations.RunSQL("{statement}"),', atomic=False)

    finding = rehearse(site)["0002_it"]

    modes = {each["mode"] for each in finding["statements"][0]["locks"] if each["relation"] == "orders_order"}
    assert lock in modes
    assert finding["lock"] == done


def test_sql_by_hand_that_breaks_old_code_is_found_by_the_catalogs(site: DjangoSite) -> None:
    site.migration(
        "0002_harmless", 'migrations.RunSQL("CREATE INDEX CONCURRENTLY i ON orders_line (id)"),', atomic=False
    )
    site.migration("0003_required", 'migrations.RunSQL("ALTER TABLE orders_line ADD COLUMN n int NOT NULL"),')
    site.migration("0004_renamed", 'migrations.RunSQL("ALTER TABLE orders_order RENAME COLUMN amount TO total"),')
    site.migration("0005_nullable", 'migrations.RunSQL("ALTER TABLE orders_order ALTER COLUMN number DROP NOT NULL"),')
    site.migration("0006_data", 'migrations.RunSQL("UPDATE orders_order SET total = 1"),')
    site.migration("0007_python", "migrations.RunPython(print),")

    result = migrate(site, "rehearsed")

    found = {each["name"][5:]: each for each in result["rehearsal"]["migrations"]}
    assert {name: (each["phase"], each["status"]) for name, each in found.items()} == {
        "harmless": ("expand", "ready"),
        "required": ("contract", "refused"),
        "renamed": ("contract", "refused"),
        "nullable": ("unknown", "refused"),
        "data": ("unknown", "refused"),
        "python": ("unknown", "refused"),
    }
    assert found["harmless"]["planned_phase"] == "expand"
    assert found["harmless"]["differs"] == []
    assert found["required"]["breaks"] == [
        "orders_line.n is required and has no default: INSERTs that leave it out fail"
    ]
    assert found["renamed"]["breaks"] == ["orders_order.amount is called total now"]
    assert found["nullable"]["doubts"] == [
        "orders_order.number may be NULL now, and new code may write what old code does not expect"
    ]
    assert result["refused"] == [f"orders.{each['name']}" for each in found.values() if each["name"][5:] != "harmless"]


def test_what_is_done_while_a_lock_is_held_counts(site: DjangoSite) -> None:
    """Trap: no static tool sees that the update runs while readers wait for the column before it."""
    grow(site)
    code = "def fill(apps, editor):\n    apps.get_model('orders', 'Order').objects.update(note='x')\n"
    site.migration("0002_both", f"{NOTE}migrations.RunPython(fill),", code=code)

    finding = rehearse(site)["0002_both"]

    update = finding["statements"][-1]
    assert update["sql"].startswith('UPDATE "orders_order" SET "note"')
    assert update["held"] == [{"relation": "orders_order", "mode": "AccessExclusiveLock"}]
    assert update["lock"] == finding["lock"] == "downtime"


def test_a_rehearsal_with_rows_counts_them_and_estimates_the_time(site: DjangoSite, cluster: Cluster) -> None:
    code = (
        "def fill(apps, editor):\n    for order in apps.get_model('orders', 'Order').objects.filter(id__lte=50):\n"
        "        order.amount = order.id\n        order.save()\n"
    )
    site.execute("INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, 120000) AS n")
    site.execute("ANALYZE orders_order")
    backup = cluster.create(template=site.database)
    site.execute("INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, 240000) AS n")
    site.execute("ANALYZE orders_order")
    site.migration("0002_fill", "migrations.RunPython(fill, migrations.RunPython.noop),", code=code)
    site.migration("0003_check", 'migrations.AddField("order", "f", models.PositiveIntegerField(null=True)),')

    result = migrate(site, "rehearsed", rehearsal_source=backup)

    fill, check = result["rehearsal"]["migrations"]
    saves = next(each for each in fill["statements"] if each["times"] == 50)
    assert {"kind": "write rows", "table": "orders_order", "rows": 50} in saves["work"]
    (verify,) = [each for each in check["statements"] if each["work"]]
    least, most = verify["estimate_ms"]
    # Nearly three times the table of the copy.
    assert 2 < (least / 0.6) / verify["ms"] < 4
    assert round(most / least) in {4, 5}
    assert check["estimate_ms"] == verify["estimate_ms"]
    # The backup is still what it was.
    assert cluster.query(backup, "SELECT count(*), count(amount) FROM orders_order") == [(122000, 0)]
    assert result["rehearsal"]["rows"] is True


def test_a_copy_without_rows_says_nothing_about_time(site: DjangoSite) -> None:
    site.migration("0002_positive", OPERATIONS["positive"][0])

    assert rehearse(site)["0002_positive"]["estimate_ms"] is None


def test_a_migration_that_fails_on_the_rows_of_a_backup_fails_the_rehearsal(site: DjangoSite, cluster: Cluster) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_not_null", 'migrations.RunSQL("ALTER TABLE orders_order ALTER COLUMN amount SET NOT NULL"),')
    backup = cluster.create(template=site.database)
    before, beside = schema(site), databases(site)

    error = refusal(site, "rehearsed", rehearsal_source=backup)

    assert error.seen.startswith("the rehearsal failed: orders.0003_not_null, operation 0 (Raw SQL operation): column")
    assert "contains null values (23502)" in error.seen
    assert "Nothing was changed: it ran on a copy, which is gone again" in error.message
    facts: Any = error.facts
    assert [each["status"] for each in facts["rehearsal"]["table"]] == ["ready", "fails"]
    assert schema(site) == before
    assert databases(site) == beside


def test_a_copy_that_is_behind_the_live_database_is_refused(site: DjangoSite, cluster: Cluster) -> None:
    backup = cluster.create(template=site.database)
    site.migration("0002_note", NOTE)
    migrate(site, "applied")
    site.migration("0003_index", CONCURRENTLY, atomic=False)

    error = refusal(site, "rehearsed", rehearsal_source=backup)

    assert (
        "the copy is not as the live database: there orders.0002_note, orders.0003_index would be applied" in error.seen
    )


def test_no_way_back_is_told(site: DjangoSite) -> None:
    site.migration("0002_number", 'migrations.RemoveField("order", "number"),')

    result = migrate(site, "rehearsed")

    assert result["rehearsal"]["back"] is False
    assert "a NOT NULL column without a default can't be added back" in result["rehearsal"]["why_not_back"]


def test_what_is_needed_for_a_copy_is_named(site: DjangoSite, cluster: Cluster) -> None:
    site.migration("0002_note", NOTE)
    with cluster.connect() as connection:
        connection.execute("ALTER ROLE shop NOCREATEDB")

    error = refusal(site, "rehearsed")

    assert (
        'the role shop may not create one. Nothing was changed. ALTER ROLE "shop" CREATEDB; or give it one for all'
        f' rehearsals: CREATE DATABASE "{site.database}__rehearsal_prepared" OWNER "shop"; COMMENT ON' in error.message
    )
    assert error.facts["no_means"]
    assert "it is the live database" in refusal_of_live(site, cluster)


def refusal_of_live(site: DjangoSite, cluster: Cluster) -> str:
    with cluster.connect() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")
    message = refusal(site, "rehearsed", rehearsal_source=site.database).message
    return message.replace(f"{site.database} is the live", "it is the live")


@pytest.fixture
def prepared(site: DjangoSite, cluster: Cluster) -> str:
    """A database that was made for rehearsals; the role of the site may make none."""
    name = f"{site.database}__rehearsal"
    with cluster.connect() as connection:
        connection.execute("ALTER ROLE shop NOCREATEDB")
        connection.execute(f"CREATE DATABASE {name} OWNER shop TEMPLATE template0".encode())
        connection.execute(comment_statement(name, mark_of(site.database, PREPARED)).encode())
    with cluster.connect(name) as connection:
        connection.execute("ALTER SCHEMA public OWNER TO shop")
    return name


def left_in(site: DjangoSite, database: str) -> list[tuple[Any, ...]]:
    return site.cluster.query(database, "SELECT relname FROM pg_class WHERE relnamespace >= 16384 AND relkind = 'r'")


def test_a_role_that_may_make_no_database_rehearses_in_the_one_that_it_was_given(
    site: DjangoSite, prepared: str
) -> None:
    with site.cluster.connect(prepared, user="shop") as connection:
        connection.execute("CREATE SCHEMA stale CREATE TABLE rest (a int)")
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    before, beside = schema(site), databases(site)

    for _again in range(2):
        found = migrate(site, "rehearsed")
        assert [row["status"] for row in found["rehearsal"]["table"]] == ["ready", "ready"]
        assert found["rehearsal"]["back"] is True
        assert left_in(site, prepared) == []
    assert schema(site) == before
    assert databases(site) == beside


def test_a_database_for_rehearsals_that_can_not_be_emptied_is_named(site: DjangoSite, prepared: str) -> None:
    with site.cluster.connect(prepared) as connection:
        connection.execute("CREATE SCHEMA theirs")
    site.migration("0002_note", NOTE)

    message = refusal(site, "rehearsed").message

    assert f"the database {prepared}, which was prepared for rehearsals, can't be emptied: must be owner of" in message
    assert not refusal(site, "rehearsed").facts.get("no_means")


def test_a_killed_rehearsal_is_tidied_up_by_the_next(site: DjangoSite, tmp_path: Path) -> None:
    flag, began = tmp_path / "flag", tmp_path / "began"
    code = (
        "import time\nfrom pathlib import Path\n\ndef sleep(apps, editor):\n"
        f"    Path({str(began)!r}).touch()\n"
        f"    while Path({str(flag)!r}).exists():\n        time.sleep(0.05)\n"
    )
    site.migration("0002_sleep", "migrations.RunPython(sleep),", code=code)
    beside = databases(site)

    with ThreadPoolExecutor(1) as pool, raised(flag):
        run = pool.submit(migrate, site, "rehearsed")
        wait_until(began.exists)
        os.kill(runner_of(site) or 0, signal.SIGKILL)
        with pytest.raises(SlipwayError, match="was killed by signal 9"):
            run.result(timeout=60)
    assert databases(site) != beside
    migrate(site, "rehearsed")

    assert databases(site) == beside


def test_a_database_without_our_mark_is_never_dropped(site: DjangoSite, cluster: Cluster) -> None:
    """Also one whose name looks like a copy's, and one that bears the mark of another database's copy."""
    with cluster.connect() as connection:
        connection.execute(f"CREATE DATABASE {site.database}__rehearsal_1 OWNER shop".encode())
        connection.execute("CREATE DATABASE other OWNER shop")
        mark = '{"tool": "slipway.django.django_migrate_safe", "database": "elsewhere"}'
        connection.execute(f"COMMENT ON DATABASE other IS '{mark}'".encode())
    site.migration("0002_note", NOTE)

    migrate(site, "rehearsed")

    assert {f"{site.database}__rehearsal_1", "other"} <= set(databases(site))


def test_the_live_database_is_not_disturbed(site: DjangoSite) -> None:
    """A transaction that holds its rows for long neither stops a rehearsal nor is stopped by it."""
    site.migration("0002_note", NOTE)

    with open_transaction(site, "UPDATE orders_order SET amount = 1 WHERE id = 1"):
        assert rehearse(site)["0002_note"]["status"] == "ready"

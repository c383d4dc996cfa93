# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_restore against a real PostgreSQL. What it claims is proved by the server's own word."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import VERIFIED, parse
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore import Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_plan import Request
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_work import Check, Work
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(300),
]
LABEL = "before-the-sale"


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="module", name="taken")
def _taken(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one backup of a shop that has all that no dump of it has."""
    server.fresh()
    server.sql("CREATE ROLE owner LOGIN; CREATE ROLE clerk LOGIN", database="postgres")
    server.sql(
        """
        ALTER DATABASE shop OWNER TO owner;
        REVOKE CONNECT ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO clerk WITH GRANT OPTION;
        ALTER DATABASE shop SET work_mem = '8MB'; ALTER DATABASE shop SET search_path = "$user", public, 'odd, one';
        ALTER ROLE clerk IN DATABASE shop SET lock_timeout = '3s'; ALTER DATABASE shop CONNECTION LIMIT 50;
        COMMENT ON DATABASE shop IS 'the shop''s own'; GRANT SELECT ON orders TO clerk;
        """
    )
    backups = tmp_path_factory.mktemp("pg") / "backups"
    options = {
        "site": "shop", "database": "shop", "host": str(server.socket), "port": server.port, "user": "postgres",
        "directory": str(backups), "label": LABEL, "fingerprint": "content",
    }  # fmt: skip
    run_module("pg_backup", options).succeeded()
    return backups


@pytest.fixture(name="cluster")
def _cluster(server: Cluster, taken: Path) -> Cluster:
    """The server with nothing but the shop, which goes on."""
    for name in server.databases() - {"postgres", "template0", "template1", "shop"}:
        server.sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true', database="postgres")
        server.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    return server


@pytest.fixture(name="backups")
def _backups(taken: Path, tmp_path: Path) -> Path:
    """A copy of the backups that a test may damage."""
    shutil.copytree(taken, tmp_path / "backups")
    return tmp_path / "backups"


def request(cluster: Cluster, backups: Path, **options: Any) -> Request:
    connection = Connection("postgres", host=str(cluster.socket), port=cluster.port, user="postgres")
    values = {"connection": connection, "directory": str(backups), "database": "shop", "backup": LABEL}
    return Request(**{**values, **options})


def restore(cluster: Cluster, backups: Path, *, check: bool = False, work: type[Work] = Work, **options: Any) -> Result:
    tools = Tools(SystemRunner(), SystemClock(), contextlib.nullcontext, lambda: [str(cluster.bin)], work)
    return run(request(cluster, backups, **options), tools, check_mode=check)


def module(cluster: Cluster, backups: Path, *, check: bool = False, **options: Any) -> ModuleRun:
    wanted = {
        "database": "shop", "directory": str(backups), "backup": LABEL, "host": str(cluster.socket),
        "port": cluster.port, "user": "postgres",
    }  # fmt: skip
    return run_module("pg_restore", {**wanted, **options}, check=check)


def belongings(cluster: Cluster, database: str) -> dict[str, Any]:
    """What belongs to a database and not to its contents, by the server's word."""
    found: dict[str, Any] = json.loads(
        cluster.sql(
            f"""
            SELECT json_build_object(
              'owner', pg_get_userbyid(datdba), 'limit', datconnlimit, 'encoding', encoding, 'collate', datcollate,
              'acl', (SELECT json_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), 'connectable', datallowconn,
              'settings', (SELECT json_agg(json_build_array(setrole, setconfig) ORDER BY setrole)
                FROM pg_db_role_setting WHERE setdatabase = d.oid))
            FROM pg_database d WHERE datname = '{database}'
            """,
            database="postgres",
        )
    )
    return found


def comment(cluster: Cluster, database: str) -> str:
    return cluster.sql(
        f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'",
        database="postgres",
    )


# --- idempotence: check, apply, check, apply -----------------------------------------------------------------------


def test_check_apply_check_apply_absent(cluster: Cluster, taken: Path) -> None:
    before, databases = belongings(cluster, "shop"), cluster.databases()
    predicted = module(cluster, taken, check=True).succeeded()
    assert predicted["changed"]
    assert cluster.databases() == databases

    applied = module(cluster, taken).succeeded()
    target = applied["target"]
    assert applied["changed"]
    assert applied.keys() == predicted.keys()
    assert f"MiB are free in {cluster.data} and " in applied["space"]
    assert applied["space"].rpartition(" and ")[2] == predicted["space"].rpartition(" and ")[2]
    assert target == predicted["target"]
    assert target.startswith("shop__restore_2")
    assert cluster.databases() == databases | {target}
    assert cluster.fingerprint(target) == cluster.fingerprint()
    assert belongings(cluster, target) == before
    assert cluster.sql("SELECT count(*) FROM pg_stats WHERE tablename = 'orders'", database=target) != "0"
    mark = parse(comment(cluster, target))
    assert mark is not None
    assert (mark.phase, mark.database, mark.owner) == (VERIFIED, "shop", applied["backup"]["path"])
    assert mark.comment == "the shop's own"
    assert applied["loss"]["tables"] == []
    assert applied["compared"] == "rows of 1 tables are those that were backed up"

    oid = cluster.sql(f"SELECT oid FROM pg_database WHERE datname = '{target}'")
    assert not module(cluster, taken, check=True).succeeded()["changed"]
    again = module(cluster, taken).succeeded()
    assert not again["changed"]
    assert again["target"] == target
    assert cluster.sql(f"SELECT oid FROM pg_database WHERE datname = '{target}'") == oid

    assert module(cluster, taken, state="absent", check=True).succeeded()["changed"]
    assert cluster.databases() == databases | {target}
    assert module(cluster, taken, state="absent").succeeded()["dropped"] == [target]
    assert cluster.databases() == databases
    assert not module(cluster, taken, state="absent", backup=None, target=target).succeeded()["changed"]


def test_restored_swapped_and_not_restored_again(cluster: Cluster, taken: Path) -> None:
    before = belongings(cluster, "shop")
    target = module(cluster, taken, jobs=2, verify="content").succeeded()["target"]
    swapped = run_module(
        "pg_swap",
        {
            "state": "swapped", "database": "shop", "candidate": target, "accept_data_loss": True,
            "host": str(cluster.socket), "port": cluster.port, "user": "postgres",
        },
    ).succeeded()  # fmt: skip
    assert belongings(cluster, "shop") == before
    assert comment(cluster, "shop") == "the shop's own"
    assert cluster.databases() == {"postgres", "template0", "template1", "shop", swapped["kept"]}
    result = restore(cluster, taken)
    assert not result.plan.changed
    assert result.plan.reason.startswith("shop itself has been the copy of backup ")
    assert result.before is not None
    assert restore(cluster, taken, again=True, check=True).plan.changed


def test_a_copy_for_another_name_where_there_is_no_live_one(cluster: Cluster, taken: Path) -> None:
    result = restore(cluster, taken, database="drill", source_database="shop", backup="latest", verify="content")
    assert result.loss is None
    assert result.restored is not None
    assert result.restored.compared == "rows and their contents of 1 tables are those that were backed up"
    assert cluster.fingerprint(result.plan.target) == cluster.fingerprint()


def test_checks_are_asked_and_can_only_read(cluster: Cluster, taken: Path) -> None:
    good = Check("SELECT count(*) FROM orders;", "20000")
    restored = restore(cluster, taken, checks=(good,)).restored
    assert restored is not None
    assert restored.compared.endswith(", 1 checks hold")
    restore(cluster, taken, state="absent")
    wrong = (
        good,
        Check("SELECT max(id) FROM orders", "1"),
        Check("WITH d AS (DELETE FROM orders RETURNING id) SELECT count(*) FROM d", "0"),
    )
    with pytest.raises(SlipwayError) as caught:
        restore(cluster, taken, checks=wrong)
    assert "check 'SELECT max(id) FROM orders' gave '20000' and not '1'" in caught.value.message
    assert "was dropped; shop is as it was." in caught.value.message
    assert len(caught.value.facts["differences"]) == 2  # type: ignore[arg-type]
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}
    with pytest.raises(InvalidOption, match="expected SQL without a backslash"):
        restore(cluster, taken, checks=(Check("SELECT 1 \\! id", "1"),))


# --- what would be lost --------------------------------------------------------------------------------------------


def test_what_would_be_lost_is_said_before_anything_is_made(cluster: Cluster, taken: Path) -> None:
    cluster.sql(
        "INSERT INTO orders (note) SELECT 'later' FROM generate_series(1, 7);"
        "CREATE TABLE django_migrations (id serial, app text, name text);"
        "INSERT INTO django_migrations (app, name) VALUES ('shop', '0002_discount')"
    )
    try:
        result = module(cluster, taken, check=True).succeeded()
    finally:
        cluster.sql("DELETE FROM orders WHERE note = 'later'; DROP TABLE django_migrations")
    loss = result["loss"]
    assert result["migrations_lost"] == ["shop.0002_discount"]
    assert loss["tables"] == [
        {"table": "public.orders", "rows_live": 20007, "rows_kept": 20000},
        {"table": "public.django_migrations", "rows_live": 1, "rows_kept": None},
    ]
    assert loss["wal_bytes"] > 0
    assert "public.orders 20007 now, 20000 in what comes (-7)" in loss["text"]


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_ours_is_left_alone(cluster: Cluster, taken: Path) -> None:
    cluster.sql("CREATE DATABASE mine", database="postgres")
    cluster.sql("CREATE TABLE precious (id int)", database="mine")
    for state in ("present", "absent"):
        with pytest.raises(Refused) as caught:
            restore(cluster, taken, target="mine", state=state)
        assert caught.value.message == (
            "The database mine is there and was not made by pg_restore: it bears no mark. Nothing was changed. Give "
            "another target, or look at that database and drop it by hand."
        )
    # Nor one that is frozen and not empty.
    cluster.sql(
        "CREATE TABLE filled AS SELECT repeat(md5(i::text), 50) FROM generate_series(1, 3000) i", database="mine"
    )
    cluster.sql("ALTER DATABASE mine ALLOW_CONNECTIONS false", database="postgres")
    with pytest.raises(Refused, match="it bears no mark"):
        restore(cluster, taken, target="mine")
    assert "mine" in cluster.databases()


def test_what_is_kept_from_a_swap_is_not_dropped_by_a_restore(cluster: Cluster, taken: Path) -> None:
    target = restore(cluster, taken).plan.target
    mark = parse(comment(cluster, target))
    assert mark is not None
    text = replace(mark, phase="old").text().replace("'", "''")
    cluster.sql(f"COMMENT ON DATABASE {target} IS '{text}'")
    for state in ("present", "absent"):
        with pytest.raises(Refused, match=r"is kept from a swap \(phase old\)"):
            restore(cluster, taken, state=state)


def test_everything_missing_is_said_at_once(cluster: Cluster, taken: Path) -> None:
    cluster.sql("CREATE ROLE visitor LOGIN", database="postgres")
    cluster.sql("ALTER ROLE clerk RENAME TO somebody", database="postgres")
    try:
        connection = replace(request(cluster, taken).connection, user="visitor")
        for check in (True, False):
            with pytest.raises(Refused) as caught:
                restore(cluster, taken, connection=connection, check=check)
            for part in (
                'role visitor may not make a database: ALTER ROLE "visitor" CREATEDB',
                "do not exist: clerk: make them",
                'role visitor may not make a database for owner, to whom it belongs: GRANT "owner" TO "visitor"',
                "Nothing was changed. Mend all of this, then run the task again.",
            ):
                assert part in caught.value.message
        assert cluster.databases() == {"postgres", "template0", "template1", "shop"}
    finally:
        cluster.sql("ALTER ROLE somebody RENAME TO clerk", database="postgres")
        cluster.sql("DROP ROLE visitor", database="postgres")


@pytest.mark.parametrize("check", [True, False])
def test_a_damaged_file_is_found_before_anything_is_made(cluster: Cluster, backups: Path, check: bool) -> None:
    (archive,) = backups.glob("*/database.dump")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    with pytest.raises(SlipwayError, match=f"The file {archive} is damaged: expected .* Nothing was changed"):
        restore(cluster, backups, check=check)
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}


def test_a_backup_that_is_not_there(cluster: Cluster, taken: Path) -> None:
    with pytest.raises(Refused) as caught:
        restore(cluster, taken, backup="yesterday")
    assert caught.value.message.startswith(
        f"There is no backup yesterday of shop in {taken}. Nothing was changed. There"
    )
    assert f"({LABEL})." in caught.value.message


# --- what fails and what dies on the way ---------------------------------------------------------------------------


class Losing(Work):
    """Work after which a row is missing."""

    def fill(self) -> list[str]:
        said = super().fill()
        SystemRunner().run(
            [self._psql, "-X", "-q", "-c", "DELETE FROM orders WHERE id = 7"],
            timeout_s=30, env=self._inside.environment(),
        ).check()  # fmt: skip
        return said


@pytest.mark.parametrize("keep", [True, False])
def test_a_row_that_is_missing_is_found(cluster: Cluster, taken: Path, keep: bool) -> None:
    with pytest.raises(SlipwayError) as caught:
        restore(cluster, taken, work=Losing, keep_failed=keep)
    assert "table public.orders has 19999 rows and had 20000" in caught.value.message
    target = str(caught.value.facts["target"])
    assert f"{target} was {'left as far as it came' if keep else 'dropped'}; shop is as it was." in caught.value.message
    assert (target in cluster.databases()) is keep
    # It is no copy, and the next run makes it anew.
    assert restore(cluster, taken, check=True).plan.changed
    assert restore(cluster, taken).plan.drop == ((target,) if keep else ())
    assert cluster.fingerprint(target) == cluster.fingerprint()


def dying(step: str) -> type[Work]:
    """Work that is killed right after a step, or in the middle of one."""

    class Dying(Work):
        def _die(self, name: str) -> None:
            if name == step:
                os.kill(os.getpid(), signal.SIGKILL)

        def create(self) -> None:
            if step == "unmarked":
                orders = self._database.order

                def order(statement: str, *, timeout_s: float = 60) -> None:
                    orders(statement, timeout_s=timeout_s)
                    self._die("unmarked")

                self._database.order = order  # type: ignore[method-assign]
            super().create()
            self._die("create")

        def fill(self) -> list[str]:
            said = super().fill()
            self._die("fill")
            return said

        def give_properties(self) -> None:
            super().give_properties()
            self._die("properties")

        def verify(self) -> str:
            words = super().verify()
            self._die("verify")
            return words

    return Dying


@pytest.mark.parametrize("step", ["unmarked", "create", "fill", "properties", "verify"])
def test_killed_after_each_step_the_next_run_makes_it_whole(cluster: Cluster, taken: Path, step: str) -> None:
    before = belongings(cluster, "shop")
    process = multiprocessing.get_context("fork").Process(
        target=restore, args=(cluster, taken), kwargs={"work": dying(step), "count_rows": False}
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway %'") != "0":
        assert time.monotonic() < deadline, "something goes on without the module"
        time.sleep(0.05)
    result = restore(cluster, taken)
    assert result.plan.drop == (result.plan.target,)
    assert cluster.fingerprint(result.plan.target) == cluster.fingerprint()
    assert belongings(cluster, result.plan.target) == before
    assert belongings(cluster, "shop") == before


def test_how_far_it_is_is_told(cluster: Cluster, taken: Path, tmp_path: Path) -> None:
    class Slow(Work):
        def fill(self) -> list[str]:
            with self._watching():
                time.sleep(2.5)
            return super().fill()

    path = tmp_path / "progress"
    seen = []

    class Telling(Slow):
        def give_properties(self) -> None:
            seen.append(json.loads(path.read_text()))
            super().give_properties()

    restore(cluster, taken, work=Telling, progress_file=str(path))
    assert seen[0]["phase"] == "restoring"
    assert 0 < seen[0]["done"] <= seen[0]["total"]
    assert json.loads(path.read_text())["phase"] == "comparing"

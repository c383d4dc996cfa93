# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with backups, on a real PostgreSQL. No published backup is ever one that can't be restored.

The long campaign is tests/proof/test_backup_faults.py.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged
from ansible_collections.slipway.django.tests.integration.backup_faults import (
    KEPT,
    STEPS,
    Site,
    full_disk,
    killed_at,
    programs,
    restored,
    still_at_work,
    unrestorable,
    with_earlier,
    writers,
)
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(300),
]
UNTOUCHED = "What was written was removed; earlier backups and the database are as they were."


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running("max_prepared_transactions=5") as cluster:
        yield cluster


@pytest.fixture(name="site")
def _site(server: Cluster, tmp_path: Path) -> Site:
    server.fresh()
    return Site(server, tmp_path / "backups")


@pytest.fixture(scope="module", name="lines")
def _lines(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many lines each step runs."""
    server.fresh()
    site = Site(server, tmp_path_factory.mktemp("counted") / "backups")
    with_earlier(site)
    return site.lines(verify="restore", rules=KEPT, pin=True)


def refusal(work: Callable[[], Any], kind: type[SlipwayError] = SlipwayError) -> str:
    with pytest.raises(kind) as caught:
        work()
    return caught.value.message


# --- killed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_the_middle_of_a_step(site: Site, lines: dict[str, int], step: str) -> None:
    with_earlier(site)
    # How many blocks a dump arrives in, and so how many lines it runs, depends on what else the machine does.
    assert killed_at(site, step, max(1, lines[step] // (6 if step == "dump" else 2))) == []


def test_every_step_has_places_to_be_killed_at(lines: dict[str, int]) -> None:
    assert {step: lines[step] >= 5 for step in STEPS} == dict.fromkeys(STEPS, True)


@pytest.mark.parametrize(
    ("jobs", "script"),
    [
        (1, 'REAL "$@" | head -c 100000\nkill -9 $$'),
        (2, 'for last; do :; done\nREAL "$@" & until ls "${last#--file=}"/*.dat.gz; do :; done; kill -9 $! $$'),
    ],
)
def test_pg_dump_is_killed(site: Site, tmp_path: Path, jobs: int, script: str) -> None:
    bins = programs(tmp_path / "bin", site.cluster, pg_dump=f'[ "$1" = --version ] && exec REAL --version\n{script}')
    message = refusal(lambda: site.backup(bins=bins, jobs=jobs))
    assert re.search(rf"/pg_dump --format=\w+ .* ended with status -9.* {re.escape(UNTOUCHED)}$", message, re.DOTALL)
    assert site.entries() == []
    assert list(still_at_work(site.cluster)) == []
    site.backup(jobs=jobs)


# --- no room -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk(site: Site, tmp_path: Path, jobs: int) -> None:
    with full_disk(tmp_path / "disk", "600k") as disk:
        site.directory = disk / "backups"
        assert "are wanted (0.5 × the" in refusal(lambda: site.backup(jobs=jobs), Refused)
        message = refusal(lambda: site.backup(jobs=jobs, free_space_factor=0))
        name = "database" if jobs > 1 else "database.dump"
        assert re.search(rf"^The archive .*/{name} can't be written: No space left on device\. {UNTOUCHED}", message)
        assert message.endswith("bytes are always left free there.")
        assert site.entries() == []
    assert list(still_at_work(site.cluster)) == []


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_flipped_bits_cut_and_lost_files_are_found_and_named(site: Site, jobs: int) -> None:
    site.backup(jobs=jobs)
    (manifest,) = manifests.read_all(str(site.directory))
    path = site.directory / manifest.id
    rng = random.Random(7)
    for row in manifest.files:
        whole = (path / row["path"]).read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        for damaged, words in [
            (bytes(flipped), "is damaged: expected"),
            (whole[: len(whole) // 2], f"found {len(whole) // 2} bytes."),
            (None, "can't be read: No such file or directory."),
        ]:
            (path / row["path"]).unlink()
            if damaged is not None:
                (path / row["path"]).write_bytes(damaged)
            for options in ({"state": "present", "jobs": jobs}, {"state": "verified", "reference": "latest"}):
                message = refusal(lambda options=options: site.backup(**options, verify="list"), Damaged)  # type: ignore[misc]
                assert message.startswith(f"The file {path / row['path']} ")
                assert words in message
        (path / row["path"]).write_bytes(whole)
    assert not site.backup(state="verified", reference="latest").changed
    assert unrestorable(site, site.cluster.fingerprint()) == []


# --- what stands in the way ----------------------------------------------------------------------------------------


def test_a_client_that_is_older_than_the_server(site: Site, tmp_path: Path) -> None:
    bins = programs(
        tmp_path / "bin", site.cluster, pg_dump='[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 9.6.24"'
    )
    version = site.cluster.sql("SHOW server_version")
    major = version.split(".", maxsplit=1)[0]
    assert refusal(lambda: site.backup(bins=bins), Refused) == (
        f"No backup of shop can be taken: the server is PostgreSQL {version} and this host has no pg_dump of version "
        f"{major} (there is 9.6.24 in {bins[0]}): install postgresql-client-{major}. Nothing was changed."
    )
    assert site.entries() == []


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("REVOKE SELECT ON orders FROM clerk", 'tables: GRANT SELECT ON public.orders TO "clerk"'),
        (
            "REVOKE SELECT ON orders_id_seq FROM clerk",
            'sequences: GRANT SELECT ON SEQUENCE public.orders_id_seq TO "clerk"',
        ),
    ],
)
def test_one_right_is_missing(site: Site, sql: str, words: str) -> None:
    site.cluster.sql(
        "DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN; GRANT SELECT ON orders, orders_id_seq TO clerk;"
        "SELECT lo_unlink(oid) FROM pg_largeobject_metadata;" + sql
    )
    site.options["connection"] = {**site.request()["connection"], "user": "clerk"}
    message = refusal(lambda: site.backup(verify="checksum"), Refused)
    assert message == f"No backup of shop can be taken: role clerk may not read {words}. Nothing was changed."
    site.cluster.sql("DROP OWNED BY clerk; DROP ROLE clerk")


def test_rows_that_are_hidden_and_a_large_object(site: Site) -> None:
    site.cluster.sql(
        "DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN; GRANT pg_read_all_data TO clerk;"
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY;"
    )
    site.options["connection"] = {**site.request()["connection"], "user": "clerk"}
    with pytest.raises(Refused) as caught:
        site.backup(verify="checksum")
    assert caught.value.facts["problems"] == [
        (
            'row security hides rows of public.orders from role clerk: ALTER ROLE "clerk" BYPASSRLS, or take the '
            "backup as a superuser"
        ),
        (
            "role clerk may not read 1 large objects (pg_read_all_data does not cover them): GRANT SELECT ON LARGE "
            'OBJECT … TO "clerk", or take the backup as their owner or a superuser'
        ),
    ]
    site.cluster.sql("DROP OWNED BY clerk; DROP ROLE clerk")


@contextmanager
def psql(cluster: Cluster) -> Iterator[IO[str]]:
    """Another client."""
    client = subprocess.Popen(
        [cluster.bin / "psql", "-X", "-q", "-d", "shop"],
        env={**cluster.environment, "PGAPPNAME": "the-holder"}, stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert client.stdin is not None
    try:
        yield client.stdin
    finally:
        client.kill()
        client.communicate()


@contextmanager
def locked(cluster: Cluster, then: str) -> Iterator[None]:
    """Somebody has locked the table for longer than a second."""
    with psql(cluster) as holder:
        holder.write(f"BEGIN; LOCK TABLE orders; {then}\n")
        holder.flush()
        wait_for(
            cluster,
            "SELECT count(*) > 0 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE mode = 'AccessExclusiveLock' "
            "AND granted AND xact_start < now() - interval '1 s'",
        )
        yield


def test_a_lock_that_is_forgotten_is_seen_before(site: Site) -> None:
    with locked(site.cluster, ""):
        message = refusal(lambda: site.backup(lock_wait_timeout_s=0.5), Refused)
    assert re.fullmatch(
        r"No backup of shop can be taken: table public\.orders is locked by pid \d+ \(the-holder\), which is idle in a "
        r"transaction that began \d+ s ago, longer than lock_wait_timeout: end it\. Nothing was changed\.",
        message,
    )


def test_a_lock_that_is_at_work_is_awaited(site: Site) -> None:
    with locked(site.cluster, "SELECT pg_sleep(60);"):
        message = refusal(lambda: site.backup(lock_wait_timeout_s=0.5))
    assert re.fullmatch(
        r"A table was locked for longer than lock_wait_timeout\. PostgreSQL refused \(database shop on .*\): canceling "
        r"statement due to lock timeout\. Locks are held by: pid \d+ \(the-holder, active since .*, public\.orders\)\. "
        + re.escape(UNTOUCHED)
        + r" Wait until that session has ended, or raise lock_wait_timeout\.",
        message,
    )
    assert site.entries() == []


def test_prepared_transactions(site: Site) -> None:
    site.cluster.sql("BEGIN; INSERT INTO orders (note) VALUES ('x'); PREPARE TRANSACTION 'forgotten'")
    try:
        (warning,) = site.backup().backup["warnings"]
        assert warning.startswith("prepared transaction 'forgotten' of postgres is neither committed nor rolled back")
        site.cluster.sql("ROLLBACK PREPARED 'forgotten'; BEGIN; LOCK TABLE orders; PREPARE TRANSACTION 'forgotten'")
        assert refusal(lambda: site.backup(label="two"), Refused) == (
            "No backup of shop can be taken: table public.orders is locked by prepared transaction 'forgotten' of "
            "postgres, which ends only by COMMIT PREPARED or ROLLBACK PREPARED. Nothing was changed."
        )
    finally:
        site.cluster.sql("ROLLBACK PREPARED 'forgotten'")


# --- whole and not to be restored ----------------------------------------------------------------------------------


def test_a_role_that_is_gone(site: Site) -> None:
    site.cluster.sql("DROP ROLE IF EXISTS shop_owner; CREATE ROLE shop_owner; ALTER TABLE orders OWNER TO shop_owner")
    site.backup(verify="checksum")
    (manifest,) = manifests.read_all(str(site.directory))
    assert manifest.properties["roles"] == ["postgres", "shop_owner"]
    assert "CREATE ROLE shop_owner;" in (site.directory / manifest.id / "globals.sql").read_text()
    site.cluster.sql("REASSIGN OWNED BY shop_owner TO postgres; DROP ROLE shop_owner")
    message = refusal(lambda: site.backup(state="verified", reference="one", verify="schema"))
    assert message.startswith("The archive is whole, and its schema can't be restored: pg_restore: error:")
    assert 'role "shop_owner" does not exist' in message
    assert site.cluster.databases() == {"postgres", "template0", "template1", "shop"}
    assert manifests.read_all(str(site.directory)) == [manifest]


def test_a_row_that_is_lost_is_found(site: Site) -> None:
    # Stands for whatever loses a row without a word: the manifest counts one more than the archive has.
    site.backup(verify="checksum")
    (manifest,) = manifests.read_all(str(site.directory))
    other = {**manifest.tables[0], "rows": manifest.tables[0]["rows"] + 1}
    rewritten = manifests.Manifest(**{**vars(manifest), "tables": [other]})
    manifests.write(rewritten, str(site.directory / manifest.id))
    message = refusal(lambda: site.backup(state="verified", reference="one", verify="restore"))
    assert message.startswith(
        "The archive is whole, and what was restored from it is not what was dumped: table public.orders has 20000 "
        "rows and had 20001."
    )
    assert site.cluster.databases() == {"postgres", "template0", "template1", "shop"}


# --- while others write --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_restored_is_what_was_dumped_while_others_write(site: Site, jobs: int) -> None:
    # Types without a hash, and with one that another database does not have.
    site.cluster.sql(
        """
        CREATE TYPE kind AS ENUM ('small', 'large');
        CREATE TABLE kinds (id serial PRIMARY KEY, kind kind, doc json, place point, "the row" text);
        INSERT INTO kinds (kind, doc, place) SELECT 'small', '[1]', '(1,2)' FROM generate_series(1, 2000);
        CREATE TABLE django_migrations (id serial PRIMARY KEY, app text, name text);
        INSERT INTO django_migrations (app, name) VALUES ('shop', '0001_initial'), ('shop', '0002_more');
        """
    )
    with writers(site.cluster, 2):
        result = site.backup(jobs=jobs, fingerprint="content", verify="restore")
        time.sleep(0.2)
    assert result.backup["levels"][-1] == "restore"
    (manifest,) = manifests.read_all(str(site.directory))
    tables = {table["name"]: table for table in manifest.tables}
    assert tables["kinds"]["fingerprint"].startswith("text:")
    assert tables["orders"]["fingerprint"].startswith("text:")  # hstore
    assert tables["django_migrations"]["fingerprint"].startswith("record:")
    assert manifest.django_migrations == [["shop", "0001_initial"], ["shop", "0002_more"]]
    # The live database has gone on, and the restored one has exactly what was counted.
    assert int(site.cluster.sql("SELECT count(*) FROM orders")) > tables["orders"]["rows"]
    assert restored(site.cluster, site.directory / manifest.id / manifest.archive).startswith(
        f"{tables['orders']['rows']}|"
    )


@pytest.mark.parametrize("alone", [False, True])
def test_a_table_that_is_emptied_between_the_moment_and_its_lock(site: Site, tmp_path: Path, alone: bool) -> None:
    """pg_dump alone tears a transaction apart: what it truncated is gone, what it wrote instead is not there yet."""
    site.cluster.sql("CREATE TABLE archive (n int)")
    dump = tmp_path / "alone.dump"
    with psql(site.cluster) as holder:
        holder.write("BEGIN; INSERT INTO archive SELECT count(*) FROM orders; TRUNCATE orders;\n")
        holder.flush()
        wait_for(site.cluster, "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted")
        if alone:
            command = [str(site.cluster.bin / "pg_dump"), "-Fc", "-f", str(dump), "shop"]
            program = subprocess.Popen(command, env=site.cluster.environment)
            work = threading.Thread(target=program.wait, daemon=True)
        else:
            work = threading.Thread(target=lambda: site.backup(verify="restore"), daemon=True)
        work.start()
        wait_for(site.cluster, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        holder.write("COMMIT;\n")
        holder.flush()
        work.join(60)
    if not alone:
        (manifest,) = manifests.read_all(str(site.directory))
        dump = site.directory / manifest.id / manifest.archive
        assert {table["name"]: table["rows"] for table in manifest.tables} == {"orders": 0, "archive": 1}
    site.cluster.sql("CREATE DATABASE copy TEMPLATE template0", database="postgres")
    restore = [str(site.cluster.bin / "pg_restore"), "--exit-on-error", "-d", "copy", str(dump)]
    subprocess.run(restore, env=site.cluster.environment, check=True)
    rows = site.cluster.sql("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM archive)", database="copy")
    site.cluster.sql("DROP DATABASE copy", database="postgres")
    assert rows == ("0|0" if alone else "0|1")


def wait_for(cluster: Cluster, question: str) -> None:
    deadline = time.monotonic() + 30
    while cluster.sql(question) != "t":
        assert time.monotonic() < deadline, question
        time.sleep(0.05)

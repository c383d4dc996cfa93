# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_backup against a real PostgreSQL. What it claims is proved by pg_restore, sha256sum and the server's own word."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.backup_faults import Site
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(300),
]
PASSWORD = "mark-of-a-password-77"


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


@pytest.fixture(name="cluster")
def _cluster(server: Cluster) -> Cluster:
    server.fresh()
    return server


@pytest.fixture(name="backups")
def _backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def backup(cluster: Cluster, backups: Path, *, check: bool = False, **options: Any) -> ModuleRun:
    wanted = {
        "site": "shop",
        "database": "shop",
        "host": str(cluster.socket),
        "port": cluster.port,
        "user": "postgres",
        "directory": str(backups),
        "label": "20261121T160528Z-3f2a9c1",
    }
    return run_module("pg_backup", {**wanted, **options}, check=check)


def entries(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir()) if directory.exists() else []


def tree(directory: Path) -> dict[str, tuple[int, float]]:
    found = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in found}


# --- idempotence: check, apply, check, apply -----------------------------------------------------------------------


def test_check_apply_check_apply(cluster: Cluster, backups: Path) -> None:
    before = cluster.fingerprint()
    predicted = backup(cluster, backups, check=True).succeeded()
    assert predicted["changed"]
    assert not backups.exists()

    applied = backup(cluster, backups).succeeded()
    taken = applied["backup"]
    assert applied["changed"]
    assert taken.keys() == predicted["backup"].keys()
    assert applied.keys() == predicted.keys()
    assert taken["levels"] == ["list", "read", "checksum", "schema"]
    assert entries(backups) == [taken["id"]]
    path = Path(taken["path"])
    assert entries(path) == ["database.dump", "globals.sql", "manifest.json", "manifest.json.sha256"]
    assert [oct(p.stat().st_mode & 0o777) for p in (backups, path, path / "database.dump", path / "manifest.json")] == [
        "0o700", "0o700", "0o600", "0o600",
    ]  # fmt: skip

    # The digest by another program, the content by a restore, the throw-away database gone by the server's word.
    digest = subprocess.run(["sha256sum", path / "database.dump"], capture_output=True, text=True, check=True).stdout
    assert digest.split()[0] == taken["files"][0]["sha256"]
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}
    assert restored(cluster, path / "database.dump") == before

    files = tree(backups)
    cluster.sql("DELETE FROM orders")  # a migration that went wrong must not replace the backup from before
    assert not backup(cluster, backups, check=True).succeeded()["changed"]
    again = backup(cluster, backups).succeeded()
    assert not again["changed"]
    assert again["backup"] == taken
    assert again["diff"]["before"] == again["diff"]["after"]
    assert tree(backups) == files

    refused = backup(cluster, backups, label="another")
    assert refused.failed
    assert refused.msg == (
        f"The database has shrunk: 0 rows, and backup {taken['id']} had 20000 (shrink_guard is 0.5). What was written "
        "was removed; earlier backups and the database are as they were. See that nothing was lost. allow_shrink: true "
        "takes the backup nevertheless."
    )
    other = backup(cluster, backups, label="another", allow_shrink=True).succeeded()
    assert other["changed"]
    assert other["backup"]["warnings"][-1].startswith("the database has shrunk: 0 rows")
    assert entries(backups) == sorted([taken["id"], other["backup"]["id"]])


def test_each_state_check_apply_check_apply(cluster: Cluster, backups: Path) -> None:
    def twice(**options: Any) -> dict[str, Any]:
        """Check, apply, check, apply: what is predicted happens, once."""
        wanted = {"site": None, "label": None, **options}
        predicted = backup(cluster, backups, check=True, **wanted).succeeded()
        files = tree(backups)
        applied = backup(cluster, backups, **wanted).succeeded()
        assert predicted["changed"]
        assert applied["changed"]
        assert applied.keys() == predicted.keys()
        assert tree(backups) != files
        files = tree(backups)
        assert not backup(cluster, backups, check=True, **wanted).succeeded()["changed"]
        assert not backup(cluster, backups, **wanted).succeeded()["changed"]
        assert tree(backups) == files
        return applied

    options = {"site": "shop", "jobs": 2, "fingerprint": "content", "pin": True}
    one = twice(label="one", verify="restore", **options)["backup"]
    assert one["levels"] == ["list", "read", "checksum", "schema", "restore"]
    assert restored(cluster, Path(one["path"]) / "database") == cluster.fingerprint()
    # What is no task of its own here is run in this process, which is faster.
    site = Site(cluster, backups)
    two, three, four = (site.backup(label=label, verify="list").backup for label in ("two", "three", "four"))
    for check_mode, changed in ((True, True), (False, True), (True, False), (False, False)):
        run = site.backup(state="verified", reference="latest", verify="restore", check_mode=check_mode)
        assert (run.changed, run.backup["id"], run.backup["levels"]) == (changed, four["id"], one["levels"])

    pruned = twice(state="pruned", keep_last=1)
    assert [row["id"] for row in pruned["retention"]["removed"]] == [two["id"]]
    assert entries(backups) == [one["id"], three["id"], four["id"]]
    for check_mode, changed in ((True, True), (False, True), (True, False), (False, False)):
        assert site.backup(state="absent", reference="three", check_mode=check_mode).changed == changed
        assert (three["id"] in entries(backups)) == (check_mode and changed)
    with pytest.raises(Refused, match="is pinned: asked for by the task that has the label one"):
        site.backup(state="absent", reference="one")
    listed = run_module("pg_backup_info", {"directory": str(backups)}).succeeded()
    assert [(row["id"], row["pinned"] is not None, row["complete"]) for row in listed["backups"]] == [
        (four["id"], False, True),
        (one["id"], True, True),
    ]
    assert not listed["changed"]
    assert listed["latest"]["label"] == "four"
    assert listed["backups"][1]["levels"] == one["levels"]
    # By another program: the digest of the manifest, and of each file that it names.
    manifest = json.loads((Path(one["path"]) / "manifest.json").read_text())
    sums = "".join(f"{row['sha256']}  {row['path']}\n" for row in manifest["files"])
    for argument, text in (["manifest.json.sha256"], None), (["-"], sums):
        subprocess.run(
            ["sha256sum", "--check", "--strict", *argument], cwd=one["path"], input=text, text=True, check=True
        )


def restored(cluster: Cluster, archive: Path) -> str:
    """Restore into a fresh database and return its fingerprint."""
    cluster.sql("CREATE DATABASE copy TEMPLATE template0", database="postgres")
    try:
        subprocess.run(
            [cluster.bin / "pg_restore", "--exit-on-error", "-d", "copy", archive],
            env=cluster.environment, check=True, timeout=60,
        )  # fmt: skip
        return cluster.fingerprint("copy")
    finally:
        cluster.sql("DROP DATABASE copy", database="postgres")


def test_a_backup_is_verified_further(cluster: Cluster, backups: Path) -> None:
    first = backup(cluster, backups, verify="list").succeeded()["backup"]
    assert first["levels"] == ["list"]
    predicted = backup(cluster, backups, check=True).succeeded()
    assert predicted["changed"]
    assert predicted["backup"]["levels"] == ["list", "read", "checksum", "schema"]
    second = backup(cluster, backups).succeeded()
    assert second["changed"]
    assert second["backup"]["id"] == first["id"]
    assert second["backup"]["levels"] == ["list", "read", "checksum", "schema"]
    assert not backup(cluster, backups, verify="read").succeeded()["changed"]


def test_what_is_in_no_dump_is_in_the_manifest(cluster: Cluster, backups: Path) -> None:
    cluster.sql("ALTER DATABASE shop SET work_mem = '8MB'; COMMENT ON DATABASE shop IS 'the shop''s own';")
    cluster.sql("REVOKE CONNECT ON DATABASE shop FROM PUBLIC")
    path = Path(backup(cluster, backups).succeeded()["backup"]["path"])
    properties = json.loads((path / "manifest.json").read_text())["properties"]
    assert properties["settings"] == [{"role": None, "settings": ["work_mem=8MB"]}]
    assert properties["database"]["comment"] == "the shop's own"
    assert "postgres=CTc/postgres" in properties["database"]["datacl"]
    assert "hstore" in [extension["name"] for extension in properties["extensions"]]


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_one_flipped_bit_is_found(cluster: Cluster, backups: Path, seed: int) -> None:
    taken = backup(cluster, backups).succeeded()["backup"]
    archive = Path(taken["path"]) / "database.dump"
    data = bytearray(archive.read_bytes())
    place = random.Random(seed).randrange(len(data))
    data[place] ^= 1 << seed
    archive.write_bytes(data)
    for check in (True, False):
        run = backup(cluster, backups, check=check)
        assert run.failed
        assert run.msg.startswith(f"The file {archive} is damaged: expected {len(data)} bytes with SHA-256 ")
        assert "no other one was taken in its place: by now the database may be another." in run.msg
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == hashlib.sha256(data).hexdigest()
    assert entries(backups) == [taken["id"]]


@pytest.mark.parametrize("what", ["cut", pytest.param("gone", marks=pytest.mark.long)])
def test_a_cut_archive_and_a_lost_one_are_found(cluster: Cluster, backups: Path, what: str) -> None:
    taken = backup(cluster, backups, verify="checksum").succeeded()["backup"]
    archive = Path(taken["path"]) / "database.dump"
    if what == "cut":
        os.truncate(archive, taken["files"][0]["bytes"] // 2)
    else:
        archive.unlink()
    run = backup(cluster, backups)
    assert run.failed
    assert ("found" if what == "cut" else "can't be read: No such file") in run.msg


def test_a_manifest_that_can_not_be_read_is_not_taken_for_absent(cluster: Cluster, backups: Path) -> None:
    taken = backup(cluster, backups, verify="list").succeeded()["backup"]
    (Path(taken["path"]) / "manifest.json").write_text("{")
    run = backup(cluster, backups)
    assert run.failed
    assert "manifest.json is damaged: manifest.json.sha256 beside it does not have its digest" in run.msg


def test_a_schema_that_can_not_be_restored_is_found(cluster: Cluster, backups: Path) -> None:
    # The dump is whole: read, list and checksum are content. The function's search path is missing in the restore.
    cluster.sql(
        """
        CREATE FUNCTION public.plain(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
        CREATE FUNCTION public.shown(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT plain(t)';
        CREATE TABLE named (name text);
        CREATE INDEX named_shown ON named (public.shown(name));
        """
    )
    assert backup(cluster, backups, verify="checksum").succeeded()["changed"]
    run = backup(cluster, backups)
    assert run.failed
    assert "The archive is whole, and its schema can't be restored:" in run.msg
    assert "function plain(text) does not exist" in run.msg
    assert "verify: checksum goes on with a backup that may not be restorable." in run.msg
    assert cluster.databases() == {"postgres", "template0", "template1", "shop"}


# --- refusals, all in one message ----------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [True, False])
def test_everything_missing_is_said_at_once(cluster: Cluster, backups: Path, check: bool) -> None:
    cluster.sql(
        """
        DROP ROLE IF EXISTS clerk;
        CREATE ROLE clerk LOGIN;
        CREATE SCHEMA hidden; CREATE TABLE hidden.t (id serial);
        CREATE TABLE rows (id int); ALTER TABLE rows ENABLE ROW LEVEL SECURITY; GRANT SELECT ON rows TO clerk;
        """
    )
    run = backup(cluster, backups, check=check, user="clerk", free_space_factor=1e9)
    assert run.failed
    for part in (
        'role clerk may not make one: ALTER ROLE "clerk" CREATEDB, or say verify: checksum, the highest level',
        'GRANT USAGE ON SCHEMA hidden TO "clerk"',
        'GRANT SELECT ON hidden.t, public.orders TO "clerk"',
        'GRANT SELECT ON SEQUENCE hidden.t_id_seq, public.orders_id_seq TO "clerk"',
        'row security hides rows of public.rows from role clerk: ALTER ROLE "clerk" BYPASSRLS',
        "role clerk may not read 1 large objects",
        "are wanted (1e+09 ×",
        "Nothing was changed.",
    ):
        assert part in run.msg
    assert len(run.result["problems"]) == 7
    assert not backups.exists()


def test_the_grants_that_are_named_suffice(cluster: Cluster, backups: Path) -> None:
    cluster.sql("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN;")
    refused = backup(cluster, backups, user="clerk", verify="checksum")
    assert len(refused.result["problems"]) == 3
    cluster.sql(
        """
        GRANT SELECT ON public.orders TO clerk; GRANT SELECT ON SEQUENCE public.orders_id_seq TO clerk;
        DO $$ BEGIN
          EXECUTE (SELECT format('GRANT SELECT ON LARGE OBJECT %s TO clerk', oid) FROM pg_largeobject_metadata);
        END $$;
        """
    )
    taken = backup(cluster, backups, user="clerk", verify="checksum").succeeded()
    assert taken["changed"]
    # Whoever may read the rows may know the cluster, and the roles but for their passwords.
    assert taken["backup"]["system_identifier"] == cluster.sql("SELECT system_identifier FROM pg_control_system()")
    assert "CREATE ROLE clerk;" in (Path(taken["backup"]["path"]) / "globals.sql").read_text()
    cluster.sql("DROP OWNED BY clerk; DROP ROLE clerk;")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database": "shopp"}, 'database "shopp" does not exist. Nothing was changed. See that the server runs'),
        ({"host": "/nowhere"}, "No such file or directory"),
        ({"label": "../x"}, "label: '../x' is not accepted"),
        ({"directory": "/nowhere/backups/shop"}, "this user may not make files in /nowhere/backups"),
        ({"passfile": "/nowhere/pass"}, "a file that this user can read (No such file or directory)"),
    ],
)
def test_refused_before_anything_is_written(
    cluster: Cluster, backups: Path, options: dict[str, Any], message: str
) -> None:
    run = backup(cluster, backups, **options)
    assert run.failed
    assert message in run.msg
    assert not backups.exists()


def test_the_servers_room_is_looked_at_where_its_data_lie(cluster: Cluster, backups: Path) -> None:
    fast = cluster.socket / "fast"
    fast.mkdir()
    shutil.chown(fast, "postgres", "postgres")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{fast}'")
    cluster.sql("CREATE TABLE quick TABLESPACE fast AS SELECT generate_series(1, 1000) n")
    try:
        predicted = backup(cluster, backups, check=True, verify="restore").succeeded()
        taken = backup(cluster, backups, verify="restore").succeeded()
        again = backup(cluster, backups, verify="restore").succeeded()
    finally:
        cluster.sql("DROP TABLE quick")
        cluster.sql("DROP TABLESPACE fast")

    # Both are one volume here.
    wanted = re.fullmatch(rf"\d+ MiB are free in {cluster.data} and (\d+) MiB are wanted", taken["space"])
    assert wanted is not None, taken["space"]
    assert 10 <= int(wanted[1]) <= 60
    assert predicted["space"].rpartition(" and ")[2] == taken["space"].rpartition(" and ")[2]
    assert again["space"] == ""


def test_a_locked_table_is_awaited_so_long_and_its_holder_named(cluster: Cluster, backups: Path) -> None:
    holder = subprocess.Popen(
        [cluster.bin / "psql", "-X", "-q", "-d", "shop"],
        env={**cluster.environment, "PGAPPNAME": "the-holder"}, stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert holder.stdin is not None
        holder.stdin.write("BEGIN; LOCK TABLE orders; SELECT 'secret-in-a-query', pg_sleep(60);\n")
        holder.stdin.flush()
        deadline = time.monotonic() + 30
        while cluster.sql("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock'") == "0":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run = backup(cluster, backups, lock_wait_timeout=0.5)
        assert run.failed
        assert "A table was locked for longer than lock_wait_timeout." in run.msg
        assert "(the-holder, active since" in run.msg
        assert "What was written was removed; earlier backups and the database are as they were." in run.msg
        assert "secret-in-a-query" not in run.output
        assert entries(backups) == []
    finally:
        holder.kill()
        holder.communicate()


# --- what dies on the way ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk(cluster: Cluster, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=True)
    try:
        (disk / "good").write_bytes(b"an earlier file")
        run = backup(cluster, disk / "backups")
        assert run.failed
        assert "are wanted (0.5 × the" in run.msg
        run = backup(cluster, disk / "backups", free_space_factor=0)
        assert run.failed
        assert "can't be written: No space left on device. What was written was removed" in run.msg
        assert "are always left free there." in run.msg
        assert entries(disk / "backups") == []
        assert (disk / "good").read_bytes() == b"an earlier file"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_module_is_killed_in_the_middle_of_the_dump(cluster: Cluster, backups: Path) -> None:
    cluster.sql("INSERT INTO orders (note) SELECT md5(random()::text) FROM generate_series(1, 400000)")
    runs = threading.Thread(target=lambda: backup_killed(cluster, backups), daemon=True)
    runs.start()
    killed = kill_in_the_middle(backups)
    runs.join(60)
    assert killed
    left = entries(backups)
    assert len(left) == 1
    assert left[0].endswith(".partial")
    assert "manifest.json" not in entries(backups / left[0])
    deadline = time.monotonic() + 30
    while cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway%'") != "0":
        assert time.monotonic() < deadline, "the dump goes on without the module"
        time.sleep(0.05)
    result = backup(cluster, backups).succeeded()
    assert result["removed"] == left
    assert entries(backups) == [result["backup"]["id"]]


def backup_killed(cluster: Cluster, backups: Path) -> None:
    # Ansible's own end is of no interest here: the module's process was killed.
    with contextlib.suppress(AssertionError):
        backup(cluster, backups)


def kill_in_the_middle(backups: Path) -> bool:
    """Kill the process that has a partial archive open for writing, once something is in it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for archive in backups.glob("*.partial/database.dump"):
            if archive.stat().st_size > 0:
                for pid in holders(archive):
                    os.kill(pid, signal.SIGKILL)
                    return True
        time.sleep(0.002)
    return False


def holders(path: Path) -> list[int]:
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(path):
                found.append(int(link.parts[2]))
        except OSError:
            continue
    return found


def test_a_throw_away_database_of_a_dead_run_is_dropped(cluster: Cluster, backups: Path) -> None:
    mark = json.dumps({"tool": "slipway.django.pg_backup", "owner": f"{backups}/20260101T000000.000Z"})
    other = json.dumps({"tool": "slipway.django.pg_backup", "owner": "/elsewhere/20260101T000000.000Z"})
    for name, text in [("slipway_verify_mine", mark), ("slipway_verify_theirs", other), ("slipway_verify_plain", "x")]:
        cluster.sql(f"CREATE DATABASE {name}", database="postgres")
        cluster.sql(f"COMMENT ON DATABASE {name} IS '{text}'", database="postgres")
    try:
        assert backup(cluster, backups).succeeded()["removed"] == ["slipway_verify_mine"]
        assert cluster.databases() >= {"slipway_verify_theirs", "slipway_verify_plain"}
    finally:
        for name in ("theirs", "plain"):
            cluster.sql(f"DROP DATABASE slipway_verify_{name}", database="postgres")


def test_two_at_once_take_one(cluster: Cluster, backups: Path) -> None:
    backups.mkdir(mode=0o700)
    runs: list[ModuleRun] = []
    threads = [threading.Thread(target=lambda: runs.append(backup(cluster, backups)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results = [run.succeeded() for run in runs]
    assert sorted(result["changed"] for result in results) == [False, True]
    assert len({result["backup"]["id"] for result in results}) == 1
    assert len(entries(backups)) == 1


# --- secrets -------------------------------------------------------------------------------------------------------


def test_a_password_is_nowhere(cluster: Cluster, backups: Path, tmp_path: Path) -> None:
    cluster.sql(f"DROP ROLE IF EXISTS keeper; CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:*:*:keeper:{PASSWORD}\n")
    passfile.chmod(0o600)
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.01)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    options: dict[str, Any] = {"host": "127.0.0.1", "user": "keeper", "passfile": str(passfile)}
    try:
        run = backup(cluster, backups, **options)
        passfile.chmod(0o644)
        refused = backup(cluster, backups, label="b", **options)
        passfile.chmod(0o600)
        passfile.write_text("127.0.0.1:*:*:keeper:not-the-password\n")
        failed = backup(cluster, backups, label="c", **options)
    finally:
        stop.set()
        watcher.join()
    assert run.succeeded()["changed"]
    assert "a file that nobody else can read (its mode is 0644" in refused.msg
    assert 'password authentication failed for user "keeper"' in failed.msg
    assert any("pg_dump" in line and "--format=custom" in line for line in seen)
    assert not [line for line in seen if PASSWORD in line]
    assert PASSWORD not in run.output + refused.output + failed.output
    assert not [path for path in backups.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    cluster.sql("DROP ROLE keeper")

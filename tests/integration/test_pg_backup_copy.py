# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_backup_copy against a real S3 server. What it claims is proved by another client, by age and by the files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.tests.integration.ansible_module import TOP, ModuleRun, run_module, run_task
from ansible_collections.slipway.django.tests.integration.lab_s3 import (
    ACCESS_KEY,
    BUCKET,
    SECRET_KEY,
    Storage,
    running,
)

pytestmark = pytest.mark.timeout(300)
needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="needs the package age")
BIG = 150 << 20


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with running(tmp_path_factory.mktemp("s3") / "log") as storage:
        yield storage


@pytest.fixture(name="storage")
def _storage(server: Storage) -> Storage:
    server.fresh()
    return server


@pytest.fixture(name="backups")
def _backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def make(backups: Path, number: int = 0, *, files: dict[str, bytes] | None = None) -> str:
    """Make a backup without a database and return its id."""
    backup_id = f"20261121T16000{number}.000Z"
    rows = []
    for name, data in (files or {"database.dump": b"archive" * 5000, "globals.sql": b"roles"}).items():
        path = backups / backup_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        rows.append({"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    moment = f"2026-11-21T16:00:0{number}Z"
    manifest = Manifest(
        id=backup_id, label=f"label-{number}", site="shop", database="shop", started_at=moment, taken_at=moment,
        system_identifier="7", server_version="15.1", client_version="15.1", format="custom", compression="gzip:1",
        jobs=1, files=rows, levels=["list"], snapshot={"lsn": "0/1", "at": moment}, tables=[], sequences=[],
        large_objects=0, fingerprint="none", properties={}, django_migrations=[], seconds={},
    )  # fmt: skip
    manifests.write(manifest, str(backups / backup_id))
    return backup_id


def options(storage: Storage, backups: Path | None, state: str, **values: Any) -> dict[str, Any]:
    wanted = {
        "state": state,
        "site": "shop",
        "database": "shop",
        "directory": None if backups is None else str(backups),
        "bucket": BUCKET,
        "prefix": "prod/shop",
        "endpoint_url": storage.url,
        "region": "us-east-1",
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        **values,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def task(storage: Storage, backups: Path | None, state: str, *, check: bool = False, **values: Any) -> ModuleRun:
    """As a task runs it."""
    run = run_module("pg_backup_copy", options(storage, backups, state, **values), check=check)
    assert SECRET_KEY not in run.output
    return run


@dataclass(frozen=True)
class Direct:
    """The module as one process that can be killed."""

    process: subprocess.Popen[str]

    def result(self) -> dict[str, Any]:
        output, errors = self.process.communicate(timeout=200)
        assert SECRET_KEY not in output + errors
        found: dict[str, Any] = json.loads(output)
        return found


def start(storage: Storage, backups: Path | None, state: str, *, python: str = sys.executable, **values: Any) -> Direct:
    arguments = {"ANSIBLE_MODULE_ARGS": options(storage, backups, state, **values)}
    module = "ansible_collections.slipway.django.plugins.modules.pg_backup_copy"
    process = subprocess.Popen(
        [python, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TOP / ".cache" / "collections")}, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(arguments))
    process.stdin.close()
    process.stdin = None
    return Direct(process)


def run(storage: Storage, backups: Path | None, state: str, **values: Any) -> dict[str, Any]:
    return start(storage, backups, state, **values).result()


def tree(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# --- idempotence: check, apply, check, apply -----------------------------------------------------------------------


def test_sent_check_apply_check_apply(storage: Storage, backups: Path) -> None:
    backup = make(backups)
    predicted = task(storage, backups, "sent", check=True).succeeded()
    assert predicted["changed"]
    assert storage.names() == []
    sent = task(storage, backups, "sent").succeeded()
    assert sent["changed"]
    assert sent.keys() == predicted.keys()
    below = f"prod/shop/{backup}/"
    objects = storage.objects()
    assert sorted(objects) == [
        below + name for name in ("copy.json", "database.dump", "globals.sql", "manifest.json", "manifest.json.sha256")
    ]
    for name, data in tree(backups / backup).items():
        assert objects[below + name] == data
    for check in (True, False):
        again = task(storage, backups, "sent", check=check).succeeded()
        assert not again["changed"]
        assert again["copy"] == sent["copy"]
        assert storage.objects() == objects


def test_fetched_check_apply_check_apply(storage: Storage, backups: Path, tmp_path: Path) -> None:
    backup = make(backups)
    run(storage, backups, "sent")
    here = tmp_path / "here"
    predicted = task(storage, here, "fetched", check=True).succeeded()
    assert predicted["changed"]
    assert not here.exists()
    fetched = task(storage, here, "fetched").succeeded()
    assert fetched["changed"]
    assert fetched.keys() == predicted.keys()
    assert tree(here) == tree(backups)
    assert fetched["backup_path"] == str(here / backup)
    for check in (True, False):
        assert not task(storage, here, "fetched", check=check).succeeded()["changed"]


def test_pruned_check_apply_check_apply(storage: Storage, backups: Path) -> None:
    for number in range(3):
        make(backups, number)
        run(storage, backups, "sent", backup=f"label-{number}")
    names = storage.names()
    predicted = task(storage, None, "pruned", check=True, keep_last=1, min_keep=1).succeeded()
    assert [one["label"] for one in predicted["removed"]] == ["label-0", "label-1"]
    assert storage.names() == names
    pruned = task(storage, None, "pruned", keep_last=1, min_keep=1).succeeded()
    assert pruned["removed"] == predicted["removed"]
    assert storage.names() == [name for name in names if "160002" in name]
    for check in (True, False):
        assert not task(storage, None, "pruned", check=check, keep_last=1, min_keep=1).succeeded()["changed"]


# --- encryption ----------------------------------------------------------------------------------------------------


def identity(directory: Path) -> tuple[Path, str]:
    """A new identity and its recipient."""
    path = directory / f"identity-{random.randrange(1 << 30)}"
    done = subprocess.run(["age-keygen", "-o", path], capture_output=True, text=True, check=True)
    path.chmod(0o600)
    return path, done.stderr.split()[-1]


@needs_age
def test_encrypted(storage: Storage, backups: Path, tmp_path: Path) -> None:
    backup = make(backups)
    (key, recipient), (other, second) = identity(tmp_path), identity(tmp_path)
    stranger, _ = identity(tmp_path)
    assert run(storage, backups, "sent", recipients=[recipient, second])["changed"]
    objects = storage.objects()
    assert [name for name in objects if not name.endswith(".age")] == [f"prod/shop/{backup}/copy.json"]
    assert not [name for name, data in objects.items() if b"archivearchive" in data or b"roles" in data]
    assert [path.name for path in backups.iterdir()] == [backup]
    # age itself reads what lies there.
    plain = subprocess.run(
        ["age", "--decrypt", "-i", other], input=objects[f"prod/shop/{backup}/globals.sql.age"], capture_output=True,
        check=True,
    )  # fmt: skip
    assert plain.stdout == b"roles"
    assert not run(storage, backups, "sent", recipients=[second, recipient])["changed"]

    refused = run(storage, tmp_path / "here", "fetched")
    assert "is encrypted and no identity is given" in refused["msg"]
    refused = run(storage, tmp_path / "here", "fetched", identity=str(stranger))
    assert "no identity matched any of the recipients" in refused["msg"]
    assert "It was encrypted to others: give the identity of one of its recipients" in refused["msg"]
    assert list((tmp_path / "here").iterdir()) == []
    assert run(storage, tmp_path / "here", "fetched", identity=str(key))["changed"]
    assert tree(tmp_path / "here") == tree(backups)


def test_without_age(storage: Storage, backups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(backups)
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = run(storage, backups, "sent", recipients=["age1" + "q" * 58])
    assert refused["msg"] == (
        "This host has no program age, and encrypted copies need it. Nothing was changed. Install it (on Debian: age)."
    )
    assert storage.names() == []


# --- what dies on the way ------------------------------------------------------------------------------------------


def big(backups: Path) -> str:
    return make(backups, files={"database.dump": random.Random(1).randbytes(BIG), "globals.sql": b"roles"})


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_in_parts_and_the_module_killed_in_its_middle(storage: Storage, backups: Path, tmp_path: Path) -> None:
    backup = big(backups)
    first = start(storage, backups, "sent")
    wait_for(storage.interrupted)
    first.process.kill()
    first.process.communicate()
    assert storage.names() == []
    assert run(storage, tmp_path / "here", "fetched")["msg"].startswith(
        f"There is no copy latest of shop/shop in s3://{BUCKET}/prod/shop; there is none."
    )
    progress = tmp_path / "progress"
    sent = run(storage, backups, "sent", progress_file=str(progress))
    assert len(sent["transferred"]) == 4
    assert storage.interrupted() == []
    assert json.loads(progress.read_text())["phase"] == "sending"
    stored = storage.read(f"prod/shop/{backup}/database.dump")
    assert stored == (backups / backup / "database.dump").read_bytes()
    etag = storage.client.head_object(Bucket=BUCKET, Key=f"prod/shop/{backup}/database.dump")["ETag"]
    assert etag.endswith('-3"')
    assert not run(storage, backups, "sent")["changed"]
    assert run(storage, tmp_path / "here", "fetched")["changed"]
    assert tree(tmp_path / "here") == tree(backups)


def test_killed_between_the_files_the_rest_is_sent(storage: Storage, backups: Path) -> None:
    make(backups, files={"a": b"a", "b": b"b", "database.dump": random.Random(1).randbytes(BIG)})
    first = start(storage, backups, "sent")
    wait_for(storage.interrupted)
    first.process.kill()
    first.process.communicate()
    sent = run(storage, backups, "sent")
    assert sent["reason"] == "an earlier run was interrupted: 2 of 5 files are there"
    assert sent["transferred"] == ["database.dump", "manifest.json.sha256", "manifest.json"]


def test_the_storage_goes_away_in_the_middle(backups: Path, tmp_path: Path) -> None:
    big(backups)
    with running(tmp_path / "log") as storage:
        storage.fresh()
        sending = start(storage, backups, "sent")
        wait_for(storage.interrupted)
        storage.process.kill()
        result = sending.result()
    assert result["failed"]
    assert f"The storage s3://{BUCKET}/prod/shop at {storage.url} failed for " in result["msg"]
    assert "No copy is marked as whole that is not; the backup itself is as it was." in result["msg"]
    assert "See that this host reaches the storage, and run it again" in result["msg"]
    assert result["endpoint_url"] == storage.url


def test_a_second_one_for_the_same_backup_is_told(storage: Storage, backups: Path) -> None:
    backup = big(backups)
    first = start(storage, backups, "sent")
    wait_for(storage.interrupted)
    second = run(storage, backups, "sent")
    assert f"Another task has held the lock on {backups / backup} for 0 s" in second["msg"]
    assert first.result()["changed"]


def test_the_deadline(storage: Storage, backups: Path) -> None:
    big(backups)
    result = run(storage, backups, "sent", timeout=1)
    assert "The copy did not end within 1 s. No copy is marked as whole that is not" in result["msg"]
    assert "Raise timeout, and run it again" in result["msg"]
    assert not [name for name in storage.names() if "copy.json" in name]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk(storage: Storage, backups: Path, tmp_path: Path) -> None:
    # Each small file takes a whole page: the sum of their sizes fits, and they don't.
    backup = make(backups, files={"database.dump": b"x", **{f"database/{number}": b"x" for number in range(200)}})
    run(storage, backups, "sent")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], check=True)
    try:
        result = run(storage, disk / "here", "fetched")
        assert f"The backup {backup} can't be written to {disk / 'here'}: No space left on device" in result["msg"]
        assert f"What was fetched was removed; {disk / 'here' / backup} is not there." in result["msg"]
        assert list((disk / "here").iterdir()) == []
        (disk / "filler").write_bytes(bytes(390 << 10))
        result = run(storage, disk / "here", "fetched")
        assert "bytes are free in" in result["msg"]
    finally:
        subprocess.run(["umount", disk], check=True)


# --- damage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["database.dump", "globals.sql", "manifest.json", "manifest.json.sha256"])
@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_damage_in_the_storage(storage: Storage, backups: Path, tmp_path: Path, name: str, harm: str) -> None:
    backup = make(backups)
    run(storage, backups, "sent")
    key = f"prod/shop/{backup}/{name}"
    getattr(storage, harm)(key)
    fetched = run(storage, tmp_path / "here", "fetched")
    assert fetched["failed"]
    place = f"s3://{BUCKET}/{key}"
    expected = (
        f"{place} is damaged: expected" if harm == "flip" else f"failed for {backup}/{name}: An error occurred (404)"
    )
    assert expected in fetched["msg"]
    assert list((tmp_path / "here").iterdir()) == []
    sent = run(storage, backups, "sent")
    assert sent["reason"] == f"the copy is damaged: {name} are missing there or are not what was sent"
    assert sent["transferred"] == [name]
    assert run(storage, tmp_path / "here", "fetched")["changed"]
    assert tree(tmp_path / "here") == tree(backups)


def test_a_damaged_mark(storage: Storage, backups: Path, tmp_path: Path) -> None:
    backup = make(backups)
    run(storage, backups, "sent")
    storage.flip(f"prod/shop/{backup}/copy.json")
    fetched = run(storage, tmp_path / "here", "fetched")
    assert f"The marks of {backup} in s3://{BUCKET}/prod/shop are damaged" in fetched["msg"]
    assert run(storage, backups, "sent")["reason"] == "the mark of the copy is damaged"
    assert run(storage, tmp_path / "here", "fetched")["changed"]


# --- refusals ------------------------------------------------------------------------------------------------------


def test_no_such_bucket(storage: Storage, backups: Path) -> None:
    make(backups)
    result = run(storage, backups, "sent", bucket="no-such-bucket")
    assert "(NoSuchBucket)" in result["msg"]
    assert "See the name of the bucket and the region; this module makes no bucket." in result["msg"]
    assert result["code"] == "NoSuchBucket"


def test_wrong_credentials(storage: Storage, backups: Path) -> None:
    make(backups)
    storage.control("reset-auth", b"0")
    try:
        result = run(storage, backups, "sent")
    finally:
        storage.control("reset-auth", b"inf")
    assert "(InvalidAccessKeyId)" in result["msg"]
    assert "See the credentials: the storage does not know this access key." in result["msg"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"access_key": None, "secret_key": None, "profile": "nobody"},
            "The config profile (nobody) could not be",
        ),
        ({"secret_key": None}, "both of access_key and secret_key, or none of them"),
        ({"profile": "x"}, "either keys, or profile and credentials_file"),
        ({"endpoint_url": "http://user:password@127.0.0.1"}, "http://…@127.0.0.1"),
        ({"endpoint_url": "127.0.0.1"}, "an address as https://storage.example.com"),
        ({"endpoint_url": "http://127.0.0.1:9"}, 'Could not connect to the endpoint URL: "http://127.0.0.1:9'),
        ({"prefix": "/prod"}, "names with / between them, none before and none behind"),
        ({"backup": "other"}, "There is no backup other of shop/shop in "),
        ({"kms_key_id": "k"}, "server_side_encryption: aws:kms beside it"),
    ],
)
def test_refused(storage: Storage, backups: Path, values: dict[str, Any], message: str) -> None:
    make(backups)
    result = run(storage, backups, "sent", **values)
    assert result["failed"]
    assert message in result["msg"]
    assert storage.names() == []


def test_a_credentials_file(storage: Storage, backups: Path, tmp_path: Path) -> None:
    make(backups)
    file = tmp_path / "credentials"
    file.write_text(f"[backup]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    file.chmod(0o640)
    given: dict[str, Any] = {"access_key": None, "secret_key": None, "profile": "backup", "credentials_file": str(file)}
    assert "(its mode is 0640)" in run(storage, backups, "sent", **given)["msg"]
    file.chmod(0o600)
    assert run(storage, backups, "sent", **given)["changed"]


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python without boto3")
def test_without_boto3(storage: Storage, backups: Path, tmp_path: Path) -> None:
    make(backups)
    environment = tmp_path / "venv"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    result = run_task(
        "pg_backup_copy",
        options(storage, backups, "sent"),
        arguments=["-i", "here,", "-c", "local", "-e", f"ansible_python_interpreter={python}"],
        host="here",
    )
    assert result.failed
    assert f"The Python that runs this module, {python}, has no boto3" in result.msg
    assert "ansible_python_interpreter: /opt/slipway/venv/bin/python" in result.msg


def test_the_storage_encrypts_when_it_is_asked_to(storage: Storage, backups: Path) -> None:
    backup = make(backups)
    assert run(storage, backups, "sent", server_side_encryption="AES256")["changed"]
    for name in ("database.dump", "copy.json"):
        head = storage.client.head_object(Bucket=BUCKET, Key=f"prod/shop/{backup}/{name}")
        assert head["ServerSideEncryption"] == "AES256"

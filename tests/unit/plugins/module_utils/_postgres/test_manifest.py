# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    LEVELS,
    DamagedManifest,
    find,
    find_label,
    levels_up_to,
    new_id,
    pin,
    pinned,
    read_all,
    remove,
    remove_leftovers,
    scan,
    write,
)
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.backups import ID, manifest, put
from hypothesis import given
from hypothesis import strategies as st

MANIFEST = manifest()
LATER = "20261122T160528.213Z"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = put(tmp_path, MANIFEST)
    assert find_label(str(tmp_path), "shop", "one") == MANIFEST
    for name in ("manifest.json", "manifest.json.sha256"):
        assert (path / name).stat().st_mode & 0o777 == 0o600
    # Another program says so too.
    subprocess.run(["sha256sum", "--check", "--strict", "manifest.json.sha256"], cwd=path, check=True)


@pytest.mark.parametrize(("database", "label"), [("other", "one"), ("shop", "two")])
def test_another_database_or_label_is_another_backup(tmp_path: Path, database: str, label: str) -> None:
    put(tmp_path, MANIFEST)
    assert find_label(str(tmp_path), database, label) is None


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("latest", LATER), (ID, ID), ("one", ID), ("two", LATER), ("three", None), ("20261121T160528.214Z", None)],
)
def test_a_backup_is_found_by_id_by_label_and_as_the_latest(
    tmp_path: Path, reference: str, expected: str | None
) -> None:
    put(tmp_path, MANIFEST)
    put(tmp_path, manifest(id=LATER, label="two"))
    put(tmp_path, manifest(id="20261123T160528.213Z", database="other"))
    found = find(str(tmp_path), "shop", reference)
    assert (found.id if found else None) == expected


def test_only_directories_with_a_manifest_are_backups(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    put(tmp_path, replace(MANIFEST, id=ID + ".partial"))
    put(tmp_path, replace(MANIFEST, id=ID + ".deleting"))
    (tmp_path / "20261121T160529.000Z").mkdir()
    (tmp_path / "20261121T160529.001Z").touch()
    (tmp_path / "notes.txt").touch()
    put(tmp_path, replace(MANIFEST, id="by hand"))
    assert read_all(str(tmp_path)) == [MANIFEST]
    assert read_all(str(tmp_path / "none")) == []


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sha256"])
@given(st.data())
def test_any_flipped_bit_of_a_manifest_or_its_digest_is_found(
    tmp_path_factory: pytest.TempPathFactory, name: str, draw: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("backups")
    path = put(directory, MANIFEST) / name
    data = bytearray(path.read_bytes())
    # The digest file's name of the manifest is for other programs.
    place = draw.draw(st.integers(0, len(data) - 1 if name == "manifest.json" else 63))
    data[place] ^= 1 << draw.draw(st.integers(0, 7))
    path.write_bytes(data)
    with pytest.raises(DamagedManifest, match=r"manifest.json is damaged: .* does not have its digest"):
        read_all(str(directory))


@pytest.mark.parametrize("what", ["gone", "empty"])
def test_a_manifest_without_its_digest_is_damaged(tmp_path: Path, what: str) -> None:
    digest = put(tmp_path, MANIFEST) / "manifest.json.sha256"
    digest.unlink()
    if what == "empty":
        digest.touch()
    with pytest.raises(DamagedManifest):
        read_all(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": 1}, "its schema is 1 and not 2"),
        ({"id": LATER}, "it is of the backup"),
        ({"format": "plain"}, "format 'plain' with fingerprint 'counts'"),
        ({"files": []}, "it has no files"),
        ({"files": [{"path": "../../etc/passwd", "bytes": 1, "sha256": ""}]}, "a file is '../../etc/passwd'"),
        ({"files": [{"path": "/etc/passwd", "bytes": 1, "sha256": ""}]}, "a file is '/etc/passwd'"),
        ({"files": [{"path": "database.dump", "bytes": "1", "sha256": ""}]}, "a file is 'database.dump'"),
        ({"files": [{}]}, "'path'"),
        ({"unknown": 1}, "unexpected keyword argument 'unknown'"),
    ],
)
def test_a_manifest_that_is_not_known_is_an_error(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    path = put(tmp_path, MANIFEST)
    rewrite(path, json.dumps({**asdict(MANIFEST), **changes}))
    with pytest.raises(SlipwayError, match="is not a manifest that is known here") as caught:
        find_label(str(tmp_path), "shop", "one")
    assert why in caught.value.message


def rewrite(path: Path, text: str) -> None:
    (path / "manifest.json").write_text(text)
    (path / "manifest.json.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "  manifest.json\n")


def test_what_is_no_json_is_an_error(tmp_path: Path) -> None:
    rewrite(put(tmp_path, MANIFEST), "[1]")
    with pytest.raises(SlipwayError, match="is not a manifest that is known here"):
        read_all(str(tmp_path))


@pytest.mark.parametrize(("files", "level"), [(0, "read"), (1, "read"), (2, "checksum"), (3, "checksum")])
def test_killed_between_any_two_files_the_manifest_still_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, level: str
) -> None:
    path = put(tmp_path, MANIFEST)
    written: list[str] = []

    def killed(name: str, data: bytes, *, mode: int) -> None:
        if len(written) == files:
            raise KeyboardInterrupt
        write_atomic(name, data, mode=mode)
        written.append(os.path.basename(name))

    monkeypatch.setattr(manifests, "write_atomic", killed)
    with nullcontext() if files == 3 else pytest.raises(KeyboardInterrupt):
        write(replace(MANIFEST, levels=levels_up_to("checksum")), str(path))
    assert written == ["manifest.json.sha256", "manifest.json", "manifest.json.sha256"][:files]
    (there,) = read_all(str(tmp_path))
    assert there.levels[-1] == level
    if files == 3:
        subprocess.run(["sha256sum", "--check", "--strict", "manifest.json.sha256"], cwd=path, check=True)


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    for name in (f"{ID}.partial", f"{LATER}.deleting", "mine.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "database.dump").touch()
    (tmp_path / "notes.txt").touch()
    assert remove_leftovers(str(tmp_path)) == [f"{ID}.partial", f"{LATER}.deleting"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ID, "mine.partial", "notes.txt"]
    assert remove_leftovers(str(tmp_path / "none")) == []


def test_everything_is_seen_with_its_state(tmp_path: Path) -> None:
    whole = put(tmp_path, MANIFEST)
    pin(str(whole), "before the move")
    (put(tmp_path, manifest(id=LATER)) / "manifest.json").write_text("{")
    (tmp_path / "20261123T160528.213Z").mkdir()
    (tmp_path / "20261124T160528.213Z.partial").mkdir()
    (tmp_path / "notes.txt").touch()
    one, two, three, four = scan(str(tmp_path))
    assert (one.manifest, one.pinned, one.problem) == (MANIFEST, "before the move", "")
    assert two.manifest is None
    assert "manifest.json is damaged" in two.problem
    assert three.problem == "it has no manifest.json"
    assert four.leftover
    assert four.problem == "it was being written by a run that may still work or has died"


def test_a_backup_is_pinned(tmp_path: Path) -> None:
    path = str(put(tmp_path, MANIFEST))
    assert pinned(path) is None
    pin(path, "before the move")
    assert pinned(path) == "before the move"


def test_a_backup_is_removed_by_a_name_that_is_a_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, MANIFEST)

    def killed(path: str) -> None:
        assert path == f"{tmp_path}/{ID}.deleting"
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(str(tmp_path), ID)
    monkeypatch.undo()
    assert read_all(str(tmp_path)) == []
    assert remove_leftovers(str(tmp_path)) == [f"{ID}.deleting"]
    put(tmp_path, MANIFEST)
    remove(str(tmp_path), ID)
    assert list(tmp_path.iterdir()) == []


def test_sums() -> None:
    tables = [
        {"schema": "public", "name": "a", "rows": 3, "fingerprint": None},
        {"schema": "public", "name": "b", "rows": 4, "fingerprint": None},
    ]
    files = [{"path": "database/toc.dat", "bytes": 5, "sha256": ""}, {"path": "globals.sql", "bytes": 6, "sha256": ""}]
    backup = manifest(tables=tables, files=files, format="directory")
    assert (backup.rows, backup.bytes, backup.archive) == (7, 11, "database")
    assert manifest(fingerprint="none", tables=[]).rows is None


def test_the_summary_has_no_properties_of_the_database(tmp_path: Path) -> None:
    # A setting of a database may hold a secret. The manifest may be read by its owner only, a result by many.
    backup = replace(MANIFEST, properties={"settings": "app.key=secret"})
    assert "secret" not in str(backup.summary(str(tmp_path)))


times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(timezone.utc))


@given(times, times)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    earlier, later = sorted([one, other])
    assert new_id(earlier) <= new_id(later)


@given(st.sampled_from(LEVELS))
def test_each_level_includes_the_lower_ones(level: str) -> None:
    levels = levels_up_to(level)
    assert levels[-1] == level
    assert levels == list(LEVELS)[: len(levels)]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    LEVELS,
    Manifest,
    find_label,
    levels_up_to,
    new_id,
    read_all,
    remove_leftovers,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

ID = "20261121T160528.213Z"
MANIFEST = Manifest(
    id=ID,
    label="one",
    site="shop",
    database="shop",
    taken_at="2026-11-21T16:05:29Z",
    bytes=7,
    sha256="00",
    levels=["list"],
    server_version="15.18",
    client_version="15.18",
    compression="gzip:1",
    seconds={"dump": 1.5, "verify": 0.25},
)


def put(directory: Path, manifest: Manifest) -> None:
    (directory / manifest.id).mkdir(parents=True)
    write(manifest, str(directory / manifest.id))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    assert find_label(str(tmp_path), "shop", "one") == MANIFEST
    assert (tmp_path / ID / "manifest.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("database", "label"), [("other", "one"), ("shop", "two")])
def test_another_database_or_label_is_another_backup(tmp_path: Path, database: str, label: str) -> None:
    put(tmp_path, MANIFEST)
    assert find_label(str(tmp_path), database, label) is None


def test_only_directories_with_a_manifest_are_backups(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    put(tmp_path, replace(MANIFEST, id=ID + ".partial"))
    (tmp_path / "20261121T160529.000Z").mkdir()
    (tmp_path / "notes.txt").touch()
    put(tmp_path, replace(MANIFEST, id="by hand"))
    assert read_all(str(tmp_path)) == [MANIFEST]
    assert read_all(str(tmp_path / "none")) == []


def test_a_manifest_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    (tmp_path / ID / "manifest.json").write_text('{"schema": 2}')
    with pytest.raises(SlipwayError, match="is not a manifest that is known here"):
        find_label(str(tmp_path), "shop", "one")


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, MANIFEST)
    (tmp_path / f"{ID}.partial").mkdir()
    (tmp_path / f"{ID}.partial" / "database.dump").touch()
    (tmp_path / "mine.partial").mkdir()
    (tmp_path / "notes.txt").touch()
    assert remove_leftovers(str(tmp_path)) == [f"{ID}.partial"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ID, "mine.partial", "notes.txt"]
    assert remove_leftovers(str(tmp_path / "none")) == []


def test_the_summary_has_no_properties_of_the_database(tmp_path: Path) -> None:
    # A setting of a database may hold a secret. The manifest may be read by its owner only, a result by many.
    manifest = replace(MANIFEST, properties={"settings": "app.key=secret"})
    assert "secret" not in str(manifest.summary(str(tmp_path)))


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

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._listing import Listing, Wanted, look
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import pin
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres.backups import ID, manifest, put

NOW = datetime(2026, 11, 24, 16, 5, 29, tzinfo=timezone.utc)
SECOND, THIRD = "20261122T160528.213Z", "20261123T160528.213Z"


def listed(directory: Path, **wanted: str) -> Listing:
    return look(str(directory), Wanted(**wanted), NOW)


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> Path:
    pin(str(put(tmp_path, manifest())), "before the move")
    put(tmp_path, manifest(id=SECOND, label="two", taken_at="2026-11-22T16:05:29Z"))
    put(tmp_path, manifest(id=THIRD, label="two", database="other", taken_at="2026-11-24T16:05:00Z"))
    return tmp_path


def test_the_newest_is_first_with_age_and_pin(directory: Path) -> None:
    found = listed(directory)
    assert [backup["id"] for backup in found.backups] == [THIRD, SECOND, ID]
    assert [backup["age"] for backup in found.backups] == [29, 172800, 259200]
    assert [backup["pinned"] for backup in found.backups] == [None, None, "before the move"]
    assert found.latest == found.backups[0]
    assert found.backups[2]["levels"] == ["list", "read"]
    assert found.words == f"3 backups, the newest is {THIRD} (two), 29 s old in {directory}"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"database": "shop"}, [SECOND, ID]),
        ({"label": "two"}, [THIRD, SECOND]),
        ({"label": "two", "database": "shop"}, [SECOND]),
        ({"id": ID}, [ID]),
        ({"id": ID, "database": "other"}, []),
    ],
)
def test_only_what_is_asked_for(directory: Path, wanted: dict[str, str], expected: list[str]) -> None:
    assert [backup["id"] for backup in listed(directory, **wanted).backups] == expected


def test_what_is_damaged_or_left_is_told(directory: Path) -> None:
    os.truncate(directory / THIRD / "database.dump", 3)
    (directory / SECOND / "manifest.json").write_text("{")
    (directory / "20261124T160528.213Z.partial").mkdir()
    found = listed(directory, database="shop")
    assert [backup["id"] for backup in found.backups] == [ID]
    assert [(entry["name"], "is damaged" in entry["problem"]) for entry in found.damaged] == [(SECOND, True)]
    assert [entry["name"] for entry in found.leftovers] == ["20261124T160528.213Z.partial"]
    assert found.words == (f"1 backup, the newest is {ID} (one), 3 days old, 1 damaged, 1 leftover in {directory}")
    everything = listed(directory)
    assert [backup["complete"] for backup in everything.backups] == [False, True]
    assert everything.latest is not None
    assert everything.latest["id"] == ID
    assert listed(directory, id=ID).damaged == []
    assert listed(directory, id=SECOND).damaged == found.damaged


def test_none(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        found = listed(directory)
        assert (found.backups, found.damaged, found.leftovers, found.latest) == ([], [], [], None)
        assert found.words == f"no backups in {directory}"


def test_a_directory_that_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"/file can't be read: Not a directory\. Nothing was changed\. Run the task as"):
        listed(tmp_path / "file")
    with pytest.raises(InvalidOption, match="an absolute path"):
        look("backups", Wanted(), NOW)

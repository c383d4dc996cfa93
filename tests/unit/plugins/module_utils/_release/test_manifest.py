# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import (
    Manifest,
    read_manifest,
    timestamp,
    write_manifest,
)

MANIFEST = Manifest(
    name="0123456789ab-01234567",
    commit="0123456789ab" + "0" * 28,
    version="v2",
    repository="/srv/git/shop.git",
    built_at="2026-11-21T16:05:28Z",
    built_by="ann",
    installer="pip",
    environment_digest="ab" * 32,
    seconds={"venv": 0.5, "total": 2.0},
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "release.json")
    write_manifest(path, MANIFEST)
    assert read_manifest(path) == MANIFEST


def test_no_record_means_not_complete(tmp_path: Path) -> None:
    assert read_manifest(str(tmp_path / "release.json")) is None


@pytest.mark.parametrize("document", [{}, [], None, {"name": "x"}, "text", 7])
def test_a_record_that_is_none_is_an_error_and_not_an_absent_one(tmp_path: Path, document: object) -> None:
    path = tmp_path / "release.json"
    path.write_text(json.dumps(document) if document is not None else "{")
    with pytest.raises(SlipwayError, match=str(path)):
        read_manifest(str(path))


def test_times_sort_as_text() -> None:
    assert timestamp(datetime(2026, 11, 21, 16, 5, 28, 999999, tzinfo=timezone.utc)) == "2026-11-21T16:05:28Z"

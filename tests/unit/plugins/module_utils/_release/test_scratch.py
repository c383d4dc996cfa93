# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._release._scratch import prepare_scratch, remove_scratch


def test_made_used_again_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "scratch"
    assert prepare_scratch(str(path)) is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (path / "releases").mkdir()
    assert prepare_scratch(str(path)) is False
    assert remove_scratch(str(path)) is True
    assert remove_scratch(str(path)) is False
    assert not path.exists()


def test_an_empty_directory_of_ours_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "scratch"
    path.mkdir(mode=0o755)
    assert prepare_scratch(str(path)) is False
    assert remove_scratch(str(path)) is True


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "home"
    path.mkdir()
    (path / "thesis").touch()
    for use in (prepare_scratch, remove_scratch):
        with pytest.raises(Refused, match=r"holds files and has no \.slipway-scratch.*It was left as it is"):
            use(str(path))
    assert (path / "thesis").exists()


def test_a_directory_that_others_can_write_into_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scratch"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(Refused, match="can be written by others"):
        prepare_scratch(str(path))


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    path = tmp_path / "scratch"
    path.symlink_to(tmp_path / "target")
    for use in (prepare_scratch, remove_scratch):
        with pytest.raises(Refused, match="is no directory"):
            use(str(path))
    assert os.listdir(tmp_path / "target") == []


def test_the_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scratch"
    path.mkdir()
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(Refused, match="this runs as user id 4711"):
        prepare_scratch(str(path))


def test_no_directory_above(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the directory above"):
        prepare_scratch(str(tmp_path / "no/scratch"))

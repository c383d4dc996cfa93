# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._release._tree import (
    remove_tree,
    sync,
    tighten,
    walk_files,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_are_walked_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").touch()
    (tmp_path / "y").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert sorted(walk_files(str(tmp_path))) == ["a/b/x", "y"]


def test_a_directory_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(walk_files(str(tmp_path / "none")))


def test_tighten(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o666)
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    (top / "inner").chmod(0o777)
    (top / "script").touch()
    (top / "script").chmod(0o775)
    (top / "private").touch(mode=0o600)
    (top / "link").symlink_to(outside)
    tighten(str(top))
    assert [mode(top / name) for name in ("inner", "script", "private")] == [0o755, 0o755, 0o600]
    assert mode(outside) == 0o666


def test_sync(tmp_path: Path) -> None:
    sync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        sync(str(tmp_path / "none"))


def test_remove_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").touch()
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/x").touch()
    (top / "a/door").symlink_to(outside)
    (top / "a/b").chmod(0o500)
    (top / "a").chmod(0)
    remove_tree(str(top))
    remove_tree(str(top))
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "kept").exists()
    assert mode(outside) == 0o750

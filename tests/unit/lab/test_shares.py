# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from slipway_lab.shares import share_fairly


@pytest.mark.parametrize(
    ("group", "name", "containers", "expected"),
    [
        ("cpu/libpod_parent", "cpu.shares", 6, "6144"),
        ("cpu/libpod_parent", "cpu.shares", 500, "262144"),
        ("libpod_parent", "cpu.weight", 12, "1200"),
    ],
)
def test_each_container_counts(tmp_path: Path, group: str, name: str, containers: int, expected: str) -> None:
    part = tmp_path / group / name
    part.parent.mkdir(parents=True)
    part.write_text("1024\n")
    for number in range(containers):
        (part.parent / f"libpod-{number:03}").mkdir()
    (part.parent / "conmon").mkdir()
    share_fairly(tmp_path)
    assert part.read_text() == f"{expected}\n"


def test_without_such_a_group_nothing_is_touched(tmp_path: Path) -> None:
    (tmp_path / "machine.slice").mkdir()
    share_fairly(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["machine.slice"]


def test_a_group_that_is_not_to_be_told_is_left(tmp_path: Path) -> None:
    (tmp_path / "libpod_parent" / "libpod-1").mkdir(parents=True)
    (tmp_path / "libpod_parent" / "cpu.weight").mkdir()
    share_fairly(tmp_path)
    assert (tmp_path / "libpod_parent" / "cpu.weight").is_dir()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, TimedOut
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


def test_the_lock_keeps_a_second_one_out(tmp_path: Path) -> None:
    clock = FakeClock()
    with (
        directory_lock(str(tmp_path), clock, timeout_s=15),
        pytest.raises(TimedOut, match=f"Another task has held the lock on {tmp_path} for 15 s"),
        directory_lock(str(tmp_path), clock, timeout_s=15),
    ):
        pass
    with directory_lock(str(tmp_path), clock, timeout_s=15):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_awaited(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    clock = FakeClock(on_sleep=lambda _: fcntl.flock(other, fcntl.LOCK_UN))
    with directory_lock(str(tmp_path), clock, timeout_s=15):
        assert clock.elapsed > 0
    os.close(other)


def test_a_directory_that_can_not_be_locked_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(Refused, match="can't be opened to keep a second task out: No such file"),
        directory_lock(str(tmp_path / "none"), FakeClock(), timeout_s=15),
    ):
        pass


def test_without_a_directory_there_is_no_lock() -> None:
    with directory_lock(None, FakeClock(), timeout_s=15), directory_lock(None, FakeClock(), timeout_s=15):
        pass

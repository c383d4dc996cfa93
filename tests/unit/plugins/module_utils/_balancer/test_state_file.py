# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile, directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


def test_the_content_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old\n")
    file = StateFile(str(path))
    file.require_writable()
    file.write(b"1\n# new\n")
    assert path.read_bytes() == b"1\n# new\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_without_a_path_nothing_is_kept() -> None:
    StateFile(None).require_writable()
    StateFile(None).write(b"1\n")


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        StateFile(str(tmp_path / "none" / "state")).require_writable()
    assert caught.value.message.startswith(f"The state file {tmp_path}/none/state can't be written")
    assert "Nothing was changed." in caught.value.message


def test_a_failed_write_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with pytest.raises(SlipwayError, match=r"could not be written: .* It holds what it held before\."):
        StateFile(str(tmp_path / "state")).write(b"1\n")


def test_the_lock_keeps_a_second_one_out(tmp_path: Path) -> None:
    clock = FakeClock()
    with (
        directory_lock(str(tmp_path), clock),
        pytest.raises(TimedOut, match=f"Another task has held the lock on {tmp_path} for 15 s"),
        directory_lock(str(tmp_path), clock),
    ):
        pass
    with directory_lock(str(tmp_path), clock):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_awaited(tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    clock = FakeClock(on_sleep=lambda _: fcntl.flock(other, fcntl.LOCK_UN))
    with directory_lock(str(tmp_path), clock):
        assert clock.elapsed > 0
    os.close(other)


def test_a_directory_that_can_not_be_locked_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(Refused, match="can't be opened to lock it against a second drain: No such file"),
        directory_lock(str(tmp_path / "none"), FakeClock()),
    ):
        pass


def test_without_a_directory_there_is_no_lock() -> None:
    with directory_lock(None, FakeClock()), directory_lock(None, FakeClock()):
        pass

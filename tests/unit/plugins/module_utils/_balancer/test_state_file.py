# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError


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

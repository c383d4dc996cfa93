# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and putting paths while somebody may exchange what lies on the way."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._configuration._tree import (
    Unusable,
    put,
    read,
    unknown_owners,
)

LIMIT = 1 << 20


def test_a_file_comes_back_with_its_content_mode_and_time(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"SECRET=1\n")
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    seen, content = read(str(path), LIMIT)
    path.unlink()

    put(seen, content)

    assert read(str(path), LIMIT) == (seen, b"SECRET=1\n")
    assert path.stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert os.listdir(tmp_path) == ["env"]


def test_a_link_is_read_and_put_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "live").symlink_to("blue")
    seen, content = read(str(tmp_path / "live"), LIMIT)
    (tmp_path / "live").unlink()
    (tmp_path / "live").write_text("no link")

    put(seen, content)

    assert os.readlink(tmp_path / "live") == "blue"


def test_no_link_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "env").write_text("x")
    (tmp_path / "way").symlink_to(tmp_path / "real")
    seen, content = read(str(tmp_path / "real" / "env"), LIMIT)

    for attempt in (
        lambda: read(str(tmp_path / "way" / "env"), LIMIT),
        lambda: put(replace(seen, path=str(tmp_path / "way" / "env")), content),
    ):
        with pytest.raises(Unusable, match=f"way on the way to {tmp_path}/way is a symbolic link or no directory"):
            attempt()


def test_a_link_in_the_place_of_a_file_is_replaced_and_what_it_leads_to_is_not_touched(tmp_path: Path) -> None:
    path, victim = tmp_path / "env", tmp_path / "victim"
    path.write_text("whole")
    victim.write_text("untouched")
    seen, content = read(str(path), LIMIT)
    path.unlink()
    path.symlink_to(victim)
    # A trap under the name of the temporary file.
    (tmp_path / ".env.slipway-restore").symlink_to(victim)

    put(seen, content)

    assert path.read_text() == "whole"
    assert not path.is_symlink()
    assert victim.read_text() == "untouched"


def test_what_is_no_file_and_what_is_too_large_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)

    with pytest.raises(Unusable, match="pipe is neither a file nor a directory nor a symbolic link"):
        read(str(tmp_path / "pipe"), LIMIT)
    with pytest.raises(Unusable, match="large has 11 bytes, and 10 are left of max_bytes"):
        read(str(tmp_path / "large"), 10)


def test_an_owner_that_is_not_known_here_is_named_and_a_number_without_a_name_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("x")
    seen, content = read(str(path), LIMIT)
    stranger = replace(seen, owner="nobody-here-77", group="none-here-77")

    assert unknown_owners(seen) == []
    assert unknown_owners(replace(seen, owner="4711", uid=4711)) == []
    assert unknown_owners(stranger) == ["user nobody-here-77", "group none-here-77"]
    with pytest.raises(Unusable, match="belongs to user nobody-here-77 and group none-here-77, not known"):
        put(stranger, content)

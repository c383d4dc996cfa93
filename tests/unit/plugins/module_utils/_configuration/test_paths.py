# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths a declaration covers, and what is refused as none."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import (
    Declared,
    covers,
    expand,
    real,
    validate,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from hypothesis import given
from hypothesis import strategies as st

names = st.text("ab.*?[]", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("etc/shop", "paths: 'etc/shop' is not accepted, expected an absolute path without //, /./ and /../"),
        ("/etc/../root", "paths: '/etc/../root' is not accepted"),
        ("/", "other than /"),
        ("/srv/**/env", "a pattern without **"),
        ("/var/backups", "a path apart from the directory of the backups, /var/backups/shop"),
        ("/var/backups/shop/x", "a path apart from the directory of the backups, /var/backups/shop"),
        ("/var/*", "a path apart from the directory of the backups, /var/backups/shop"),
    ],
)
def test_what_is_no_plain_path_is_refused(path: str, said: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        validate([Declared(path)], "/var/backups/shop")

    assert said in refused.value.message
    assert "Nothing was changed." in refused.value.message


def test_nothing_declared_is_refused() -> None:
    with pytest.raises(InvalidOption, match="at least one path"):
        validate([], "/var/backups/shop")


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("/etc/shop", "/etc/shop", True),
        ("/etc/shop", "/etc/shop/slot-blue.env", True),
        ("/etc/shop", "/etc/shop2", False),
        ("/srv/*/env", "/srv/a/env", True),
        ("/srv/*/env", "/srv/a/b/env", False),
        ("/srv/*/env", "/srv/.hidden/env", False),
        ("/srv/.*/env", "/srv/.hidden/env", True),
        ("/etc/shop", "/etc", False),
    ],
)
def test_a_declaration_covers_itself_and_what_lies_below(pattern: str, path: str, covered: bool) -> None:
    assert covers(pattern, path) is covered


@given(pattern=paths, path=paths)
def test_what_is_covered_begins_as_the_pattern_says(pattern: str, path: str) -> None:
    wanted, parts = pattern.split("/"), path.split("/")
    if covers(pattern, path):
        assert len(parts) >= len(wanted)
        assert all(name == part or fnmatchcase(name, part) for name, part in zip(parts, wanted))


@given(path=paths, below=names)
def test_a_path_covers_itself_and_all_below_it(path: str, below: str) -> None:
    assert covers(path, path)
    assert covers(path, f"{path}/{below}")


def test_a_link_on_the_way_is_resolved_and_none_below_a_pattern_is_followed(tmp_path: Path) -> None:
    there = tmp_path / "there"
    for name in ("a", "b"):
        (there / name).mkdir(parents=True)
        (there / name / "env").write_text("x")
    (there / "c").symlink_to(there / "a")
    (there / "d").write_text("no directory")
    (tmp_path / "link").symlink_to(there)

    found = expand(real(str(tmp_path / "link" / "*" / "env")))

    assert found == [str(there / "a" / "env"), str(there / "b" / "env")]


def test_a_link_that_is_meant_itself_stays_one(tmp_path: Path) -> None:
    (tmp_path / "live").symlink_to("nowhere")

    assert expand(real(str(tmp_path / "live"))) == [str(tmp_path / "live")]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres import _intact as intact
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import (
    Damaged,
    complete,
    digested,
    file_row,
    require_digest,
    require_end,
    require_files,
)
from hypothesis import given
from hypothesis import strategies as st


def test_a_directory_is_digested_with_each_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "database").mkdir()
    told: list[int] = []
    for name in ("toc.dat", "1.dat.gz"):
        (tmp_path / "database" / name).write_bytes(name.encode())
        (tmp_path / "database" / name).chmod(0o644)
    rows = digested(str(tmp_path), "database", told.append)
    assert rows == [
        file_row("database/1.dat.gz", 8, hashlib.sha256(b"1.dat.gz").hexdigest()),
        file_row("database/toc.dat", 7, hashlib.sha256(b"toc.dat").hexdigest()),
    ]
    assert told == [8, 15]
    assert (tmp_path / "database" / "toc.dat").stat().st_mode & 0o777 == 0o600
    require_files(str(tmp_path), rows, untouched="", remedy="")
    assert complete(str(tmp_path), rows)
    (tmp_path / "database" / "toc.dat").write_bytes(b"toc.daT")
    # Only who reads it sees that.
    assert complete(str(tmp_path), rows)
    with pytest.raises(Damaged, match=r"The file .*/database/toc\.dat is damaged"):
        require_files(str(tmp_path), rows, untouched="", remedy="")
    (tmp_path / "database" / "toc.dat").write_bytes(b"toc")
    assert not complete(str(tmp_path), rows)
    (tmp_path / "database" / "toc.dat").unlink()
    assert not complete(str(tmp_path), rows)


def test_a_file_is_digested(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert digested(str(tmp_path), "a") == [file_row("a", 1, hashlib.sha256(b"x").hexdigest())]


@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_flipped_bit_is_found(data: bytes, draw: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        refuse_flipped(Path(directory) / "a", data, draw)


def refuse_flipped(path: Path, data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    flipped = bytearray(data)
    flipped[place] ^= 1 << draw.draw(st.integers(0, 7))
    digest = hashlib.sha256(data).hexdigest()
    path.write_bytes(data)
    require_digest(str(path), len(data), digest, untouched="", remedy="")
    path.write_bytes(flipped)
    with pytest.raises(Damaged) as caught:
        require_digest(str(path), len(data), digest, untouched="It was left", remedy="Bring another")
    assert f"is damaged: expected {len(data)} bytes with SHA-256 {digest}" in caught.value.message
    assert caught.value.message.endswith("It was left. Bring another.")


@pytest.mark.parametrize("left", [0, 3])
def test_a_cut_archive_is_found_without_reading_it(tmp_path: Path, left: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * left)
    with pytest.raises(Damaged, match=f"found {left} bytes"):
        require_digest(str(tmp_path / "a"), 4, "00", untouched="", remedy="")


def test_an_archive_that_is_gone_is_found(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="can't be read: No such file or directory"):
        require_digest(str(tmp_path / "a"), 4, "00", untouched="", remedy="")


def test_the_digest_is_taken_before_the_file_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A disk that does not keep what it was given: who reads afterwards finds something else.
    path = tmp_path / "a"
    path.write_bytes(b"written")
    monkeypatch.setattr(intact, "settle", lambda name: Path(name).write_bytes(b"kept???"))
    rows = digested(str(tmp_path), "a")
    with pytest.raises(Damaged, match=r"The file .*/a is damaged: expected 7 bytes"):
        require_files(str(tmp_path), rows, untouched="", remedy="")


END = b"-- PostgreSQL database cluster dump complete\n--\n"


@pytest.mark.parametrize("text", [END, b"x" * 100_000 + END, b"CREATE ROLE a;\n" + END + b"\\unrestrict key\n"])
def test_globals_that_have_their_end(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "globals.sql").write_bytes(text)
    require_end(str(tmp_path / "globals.sql"))


@pytest.mark.parametrize("text", [b"", b"CREATE ROLE a;\n", END + b"x" * 1000])
def test_globals_that_are_cut_off(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "globals.sql").write_bytes(text)
    with pytest.raises(Damaged, match=rf"globals.sql has {len(text)} bytes and not the end that pg_dumpall writes"):
        require_end(str(tmp_path / "globals.sql"))

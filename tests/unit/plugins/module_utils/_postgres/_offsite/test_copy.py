# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark of a copy, and what an object must hold."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import (
    Copy,
    DamagedMark,
    StoredFile,
    decode,
    encode,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import content_of
from hypothesis import given
from hypothesis import strategies as st

ID = "20261121T160000.000Z"
names = st.lists(st.text("ab-._", min_size=1).filter(lambda part: part not in (".", "..")), min_size=1).map("/".join)
sizes = st.integers(0, 1 << 50)
files = st.builds(StoredFile, names, sizes, st.text(), names, sizes, st.text())
copies = st.builds(
    Copy,
    id=st.just(ID),
    label=st.text(),
    site=st.text(),
    database=st.text(),
    taken_at=st.just("2026-11-21T16:00:00Z"),
    levels=st.lists(st.text()).map(tuple),
    pinned=st.none() | st.text(),
    recipients=st.lists(st.text()).map(tuple),
    sent_at=st.text(),
    files=st.lists(files, min_size=1, max_size=4).map(tuple),
)


@given(copies)
def test_what_is_written_is_read(copy: Copy) -> None:
    assert decode(encode(copy), ID) == copy


@given(copies, st.data())
def test_no_flipped_bit_is_read(copy: Copy, data: st.DataObject) -> None:
    written = bytearray(encode(copy))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(DamagedMark):
        assert decode(bytes(written), ID) == copy  # one of white space


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_nothing_else_is_taken_for_a_mark(data: bytes) -> None:
    with pytest.raises(DamagedMark):
        decode(data, ID)


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/../b", "", "."])
def test_names_that_lead_out_of_the_directory(name: str) -> None:
    good: dict[str, Any] = {"bytes": 1, "sha256": "", "stored_bytes": 1, "stored_sha256": ""}
    for file in (StoredFile(path=name, name="x", **good), StoredFile(path="x", name=name, **good)):
        copy = Copy(ID, "", "", "", "2026-11-21T16:00:00Z", (), None, (), "", (file,))
        with pytest.raises(DamagedMark) as caught:
            decode(encode(copy), ID)
        assert f"a file is {name!r}" in caught.value.message


def test_a_mark_of_another_backup() -> None:
    file = StoredFile("x", 1, "", "x", 1, "")
    copy = Copy(ID, "", "", "", "2026-11-21T16:00:00Z", (), None, (), "", (file,))
    with pytest.raises(DamagedMark) as caught:
        decode(encode(copy), "20261121T160001.000Z")
    assert f"it is of the backup '{ID}'" in caught.value.message


@given(st.binary(max_size=40), st.integers(1, 12))
def test_the_checksum_of_parts(tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int) -> None:
    path = tmp_path_factory.getbasetemp() / "content"
    Path(path).write_bytes(data)
    content = content_of(str(path), size)
    assert (content.bytes, content.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    parts = [hashlib.sha256(data[at : at + size]).digest() for at in range(0, len(data), size)]
    whole = hashlib.sha256(b"".join(parts) if len(data) > size else data).digest()
    assert content.checksum == base64.b64encode(whole).decode()

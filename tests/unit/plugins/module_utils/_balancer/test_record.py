# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from hypothesis import given
from hypothesis import strategies as st

A = Out(Admin.MAINT, "2026-11-22T04:05:06Z", "ticket 4711")
B = Out(Admin.DRAIN, "2026-11-22T05:05:06Z")


def test_who_is_out_is_remembered_pool_by_pool(tmp_path: Path) -> None:
    path = str(tmp_path / "record.json")
    Record(path).put("shop", {"a": A, "b": B})
    Record(path).put("blog", {"a": B})
    Record(path).put("shop", {"b": None})
    assert Record(path).out("shop") == {"a": A}
    assert Record(path).out("blog") == {"a": B}
    assert Record(path).out("else") == {}
    assert str(A) == "out since 2026-11-22T04:05:06Z for ticket 4711"


def test_nothing_is_written_when_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    Record(str(path)).put("shop", {"a": None})
    assert not path.exists()
    Record(str(path)).put("shop", {"a": A})
    before = path.stat().st_ino
    Record(str(path)).put("shop", {"a": A})
    assert path.stat().st_ino == before


def test_without_a_path_nothing_is_remembered() -> None:
    Record(None).require_writable()
    Record(None).put("shop", {"a": A})
    assert Record(None).out("shop") == {}


@pytest.mark.parametrize("text", ["[]", "{}", '{"pools": {"shop": {"a": {}}}}', '{"pools": {"shop": {"a": 1}}}', "{"])
def test_what_is_no_record_is_never_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SlipwayError, match=r"It was left as it is\. Look at the file"):
        Record(str(path)).out("shop")


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"The record file .*/none/record can't be written"):
        Record(str(tmp_path / "none" / "record")).require_writable()


def test_a_failed_write_says_so(tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match=r"could not be written: .* It holds what it held before\."):
        Record(str(tmp_path / "none" / "record")).put("shop", {"a": A})


names = st.sampled_from("abcd")
entries = st.dictionaries(names, st.one_of(st.none(), st.builds(Out, st.sampled_from(Admin), st.text(), st.text())))


@given(st.lists(entries, max_size=6))
def test_it_holds_what_was_put_last(steps: list[dict[str, Out | None]]) -> None:
    import tempfile  # noqa: PLC0415 - a fixture would be shared by all examples

    with tempfile.TemporaryDirectory() as directory:
        expected: dict[str, Out] = {}
        for step in steps:
            Record(f"{directory}/record").put("shop", step)
            expected = {name: entry for name, entry in {**expected, **step}.items() if entry is not None}
        assert Record(f"{directory}/record").out("shop") == expected

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a long module tells while it works, and how it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import (
    Progress,
    Step,
    in_words,
    parse,
    pid_of,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_it_tells_at_most_once_a_second_and_each_new_phase_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    path = tmp_path / "progress"
    progress = Progress(str(path), clock)
    assert read(path)["phase"] == "begins"
    progress.tell("dump", 10, 100)
    assert read(path) == {
        "phase": "dump", "done": 10, "total": 100, "unit": "bytes", "text": "", "pid": os.getpid(),
    }  # fmt: skip
    clock.advance(0.9)
    progress.tell("dump", 20, 100)
    assert read(path)["done"] == 10
    clock.advance(0.1)
    progress.tell("dump", 30, 100)
    assert read(path)["done"] == 30
    progress.tell("verify", text="level schema", unit="tables")
    assert read(path)["text"] == "level schema"
    assert read(path)["total"] is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress"]


def test_without_a_path_it_says_nothing() -> None:
    Progress(None, FakeClock()).tell("dump", 1, 2)


def test_a_file_that_can_not_be_written_does_not_stop_the_work(tmp_path: Path) -> None:
    Progress(str(tmp_path / "absent" / "progress"), FakeClock()).tell("dump")
    (tmp_path / "directory").mkdir()
    Progress(str(tmp_path / "directory"), FakeClock()).tell("dump")
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory"]


@given(
    phase=st.text(),
    done=st.integers(0, 1 << 60),
    total=st.none() | st.integers(0, 1 << 60),
    text=st.text(),
    unit=st.sampled_from(["bytes", "tables"]),
)
def test_what_is_told_is_read(
    tmp_path_factory: pytest.TempPathFactory, phase: str, done: int, total: int | None, text: str, unit: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "told"
    Progress(str(path), FakeClock()).tell(phase, done, total, text, unit=unit)
    assert parse(path.read_text()) == Step(phase, done, total, unit, text)
    assert pid_of(path.read_text()) == os.getpid()


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_nothing_that_is_read_is_an_error(text: str) -> None:
    parse(text)
    assert pid_of(text) is None


@given(st.fixed_dictionaries({name: st.none() | st.floats() | st.text() for name in ("phase", "done", "total")}))
def test_odd_values_are_read_as_unknown(document: dict[str, Any]) -> None:
    step = parse(json.dumps(document))
    assert (step is not None) == isinstance(document["phase"], str)
    if step is not None:
        assert step.done >= 0
        in_words(step, 10.0)


@pytest.mark.parametrize(
    ("step", "elapsed_s", "begun_at", "words"),
    [
        (Step("verify"), 9, 0, "verify"),
        (Step("dump", 5 << 20, None, "bytes"), 9, 0, "dump, 5.0 MiB"),
        (Step("dump", 5 << 20, 10 << 20, "bytes"), 1, 0, "dump, 5.0 MiB of 10.0 MiB (50%)"),
        (Step("dump", 5 << 20, 10 << 20, "bytes"), 30, 0, "dump, 5.0 MiB of 10.0 MiB (50%), about 30 s left"),
        (Step("dump", 1 << 30, 4 << 30, "bytes"), 120, 0, "dump, 1.0 GiB of 4.0 GiB (25%), about 6 min left"),
        (Step("dump", 1 << 30, 4 << 30, "bytes"), 3600, 0, "dump, 1.0 GiB of 4.0 GiB (25%), about 3.0 h left"),
        (Step("restore", 9, 8, "tables", "orders"), 30, 0, "restore, 9 tables of 8 tables (100%), orders"),
        # The pace is that of what was seen, not of what was there before.
        (Step("sent", 600, 1000, "bytes"), 10, 500, "sent, 600 bytes of 1000 bytes (60%), about 40 s left"),
    ],
)
def test_one_line_for_people(step: Step, elapsed_s: float, begun_at: int, words: str) -> None:
    assert in_words(step, elapsed_s, begun_at) == words

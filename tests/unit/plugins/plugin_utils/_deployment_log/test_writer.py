# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of events: its chain, what a crash leaves, what a full disk costs."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._writer import (
    FIRST,
    NAME,
    EventFile,
    digest,
    read,
    recover,
)
from hypothesis import given, settings
from hypothesis import strategies as st

FORK = multiprocessing.get_context("fork")

records = st.lists(
    st.dictionaries(
        st.sampled_from(["event", "msg", "host"]),
        st.none() | st.integers() | st.text(st.characters()) | st.lists(st.text(), max_size=2),
        max_size=3,
    ),
    max_size=6,
)


class Warned(list[str]):
    """Collects warnings."""

    def __call__(self, text: str) -> None:
        self.append(text)


def new(directory: Path, warned: Warned | None = None, durability: str = "none") -> EventFile:
    return EventFile(str(directory), mode=0o640, durability=durability, warn=Warned() if warned is None else warned)


def written(directory: Path, contents: list[dict[str, object]]) -> bytes:
    file = new(directory)
    for content in contents:
        file.append(content)
    file.close()
    return (directory / NAME).read_bytes()


@pytest.fixture
def sample(tmp_path: Path) -> bytes:
    return written(tmp_path, [{"event": "a"}, {"event": "b", "msg": "zwei ✓"}, {"event": "c"}])


@settings(max_examples=50)
@given(records)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, object]]) -> None:
    data = written(tmp_path_factory.mktemp("log"), contents)
    found = read(data)
    assert found.trouble is None
    assert found.whole == len(data)
    plain = [{k: v for k, v in record.items() if k not in ("seq", "prev", "hash")} for record in found.records]
    assert plain == json.loads(json.dumps(contents))
    assert [record["seq"] for record in found.records] == list(range(1, len(contents) + 1))
    assert [record["prev"] for record in found.records] == [FIRST, *(r["hash"] for r in found.records)][: len(contents)]


def test_each_change_of_a_byte_is_noticed(sample: bytes) -> None:
    for place in range(len(sample)):
        changed = sample[:place] + bytes([sample[place] ^ 1]) + sample[place + 1 :]
        assert read(changed).trouble is not None, f"byte {place}"


def test_a_line_that_is_removed_moved_or_added_is_noticed(sample: bytes) -> None:
    one, two, three = sample.splitlines(keepends=True)
    for forged in (two + three, one + three, one + three + two, one + one + two, one + b'{"event":"x"}\n' + two):
        assert read(forged).trouble is not None
    # A cut end is not: that takes a head which was kept elsewhere.
    assert read(one + two).trouble is None
    assert read(one + two).head != read(sample).head


def test_a_forged_line_with_a_right_digest_breaks_the_chain_after_it(sample: bytes) -> None:
    one, two, three = sample.splitlines(keepends=True)
    record = json.loads(two)
    record["msg"] = "forged"
    record["hash"] = digest(record)
    forged = json.dumps(record).encode() + b"\n"
    assert read(one + forged + three).trouble == "line 3 does not follow the line before"


@settings(max_examples=50)
@given(records.filter(bool), st.integers(min_value=0))
def test_after_a_cut_anywhere_the_log_goes_on(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, object]], cut: int
) -> None:
    directory = tmp_path_factory.mktemp("log")
    data = written(directory, contents)
    kept = data[: cut % (len(data) + 1)]
    (directory / NAME).write_bytes(kept)
    found = recover(str(directory))
    assert found is not None
    assert found.usable
    assert len(found.content.records) == kept.count(b"\n")
    torn = kept[kept.rfind(b"\n") + 1 :]
    assert found.torn == len(torn)
    assert (directory / f"{NAME}.torn").exists() == bool(torn)
    if torn:
        assert (directory / f"{NAME}.torn").read_bytes() == torn
    file = EventFile(str(directory), mode=0o640, durability="none", warn=Warned(), resume=found.content)
    file.append({"event": "after"})
    file.close()
    again = read((directory / NAME).read_bytes())
    assert again.trouble is None
    assert again.records[-1]["event"] == "after"
    assert again.records[:-1] == found.content.records


def test_a_line_in_the_middle_that_was_changed_stays_as_evidence(tmp_path: Path, sample: bytes) -> None:
    changed = sample.replace(b'"event":"b"', b'"event":"x"')
    (tmp_path / NAME).write_bytes(changed)
    found = recover(str(tmp_path))
    assert found is not None
    assert not found.usable
    assert found.content.trouble == "line 2 was changed"
    assert (tmp_path / NAME).read_bytes() == changed


def test_no_file_is_nothing_to_recover(tmp_path: Path) -> None:
    assert recover(str(tmp_path)) is None


def write_and_wait(directory: Path, ready: Connection) -> None:
    file = new(directory)
    file.append({"event": "a"})
    # As Ansible's workers: a child that outlives its parent.
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        signal.pause()
    ready.send(child)
    signal.pause()


def test_a_run_that_lives_is_left_alone_and_a_dead_one_with_a_living_child_is_not(tmp_path: Path) -> None:
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=write_and_wait, args=(tmp_path, sender), daemon=True)
    process.start()
    assert receiver.poll(20)
    child = receiver.recv()
    try:
        assert recover(str(tmp_path)) is None
        process.kill()
        process.join()
        found = recover(str(tmp_path))
        assert found is not None
        assert found.usable
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_full_disk_costs_records_and_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warned = Warned()
    file = new(tmp_path, warned)
    file.append({"event": "before", "run_id": "r", "v": 1, "ts": "t"})
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[: len(data) // 2])

    def none(_descriptor: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for broken in (half, none, half):
        monkeypatch.setattr(os, "write", broken)
        file.append({"event": "lost", "run_id": "r", "v": 1, "ts": "t"})
    monkeypatch.setattr(os, "write", real)
    file.append({"event": "after", "run_id": "r", "v": 1, "ts": "t"})
    file.close()
    found = read((tmp_path / NAME).read_bytes())
    assert found.trouble is None
    assert [record["event"] for record in found.records] == ["before", "log.gap", "after"]
    assert found.records[1]["lost"] == 3
    assert len(warned) == 1
    assert "the log will have a gap" in warned[0]


@pytest.mark.parametrize(("durability", "forced"), [("none", []), ("boundary", ["b"]), ("event", ["a", "b"])])
def test_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, forced: list[str]) -> None:
    file = new(tmp_path, durability=durability)
    lines: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda _descriptor: lines.append(json.loads(Path(file.path).read_text().splitlines()[-1])["event"])
    )
    file.append({"event": "a"})
    file.append({"event": "b"}, boundary=True)
    file.close()
    assert lines == forced


def test_the_mode_is_as_asked(tmp_path: Path) -> None:
    written(tmp_path, [{"event": "a"}])
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils import _files
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from hypothesis import given
from hypothesis import strategies as st


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestWriteAtomic:
    def test_content_and_mode(self, tmp_path: Path) -> None:
        target = tmp_path / "env"
        _files.write_atomic(str(target), b"SECRET=1\n")

        assert target.read_bytes() == b"SECRET=1\n"
        assert mode(target) == 0o600
        assert names(tmp_path) == ["env"]

    def test_mode_does_not_depend_on_the_umask(self, tmp_path: Path) -> None:
        before = os.umask(0o077)
        try:
            _files.write_atomic(str(tmp_path / "page"), b"", mode=0o644)
        finally:
            os.umask(before)

        assert mode(tmp_path / "page") == 0o644

    def test_a_failure_leaves_the_old_content_and_no_debris(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "record.json"
        target.write_bytes(b"old")

        def no_space(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", no_space)
        with pytest.raises(OSError, match="No space left"):
            _files.write_atomic(str(target), b"new")

        assert target.read_bytes() == b"old"
        assert names(tmp_path) == ["record.json"]

    def test_a_name_without_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        _files.write_atomic("token", b"7")

        assert (tmp_path / "token").read_bytes() == b"7"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


class TestJson:
    @given(value=json_values)
    def test_round_trip(self, tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
        path = str(tmp_path_factory.mktemp("json") / "document.json")
        _files.write_json(path, value)

        assert _files.read_json(path) == value

    def test_keys_are_sorted_so_that_two_writers_agree(self, tmp_path: Path) -> None:
        _files.write_json(str(tmp_path / "a"), {"b": 1, "a": 2})

        assert (tmp_path / "a").read_text() == '{\n  "a": 2,\n  "b": 1\n}\n'

    def test_absent_is_none(self, tmp_path: Path) -> None:
        assert _files.read_json(str(tmp_path / "lease.json")) is None

    @pytest.mark.parametrize("content", ["", "{", "{}}"])
    def test_a_broken_document_is_never_taken_for_absent(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "lease.json"
        path.write_text(content)

        with pytest.raises(SlipwayError) as caught:
            _files.read_json(str(path))

        assert caught.value.message.startswith(f"{path} is not a JSON document: ")
        assert "It was left as it is." in caught.value.message
        assert caught.value.facts == {"path": str(path)}
        assert path.read_text() == content


def _append_many(path: str, writer: int) -> None:
    for number in range(100):
        _files.append_line(path, json.dumps({"writer": writer, "number": number, "padding": "x" * 900}))


class TestAppendLine:
    def test_lines_in_order_and_mode(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.jsonl"
        _files.append_line(str(path), "one")
        _files.append_line(str(path), "zwei ✓")

        assert path.read_text(encoding="utf-8") == "one\nzwei ✓\n"
        assert mode(path) == 0o640

    def test_a_newline_would_forge_a_record(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.jsonl"
        with pytest.raises(ValueError, match="no newline"):
            _files.append_line(str(path), 'one\n{"verdict": "whole"}')

        assert not path.exists()

    def test_concurrent_writers_keep_every_line_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.jsonl"
        context = multiprocessing.get_context("fork")
        writers = [context.Process(target=_append_many, args=(str(path), writer)) for writer in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert sorted((record["writer"], record["number"]) for record in records) == [
            (writer, number) for writer in range(4) for number in range(100)
        ]


class TestReplaceSymlink:
    def test_makes_and_moves_it(self, tmp_path: Path) -> None:
        link = tmp_path / "blue"
        _files.replace_symlink(str(link), "../releases/a")
        _files.replace_symlink(str(link), "../releases/b")

        assert os.readlink(link) == "../releases/b"
        assert names(tmp_path) == ["blue"]

    def test_a_failure_leaves_the_old_target_and_no_debris(self, tmp_path: Path) -> None:
        (tmp_path / "blue").mkdir()
        with pytest.raises(OSError, match="directory"):
            _files.replace_symlink(str(tmp_path / "blue"), "elsewhere")

        assert names(tmp_path) == ["blue"]
        assert (tmp_path / "blue").is_dir()


def test_sha256_of_more_than_one_block(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "dump").write_bytes(content)

    assert _files.sha256_file(str(tmp_path / "dump")) == hashlib.sha256(content).hexdigest()


def _count_up(counter: str, lock: str) -> None:
    for _round in range(50):
        with _files.locked(lock):
            value = int(Path(counter).read_text())
            Path(counter).write_text(str(value + 1))


def test_locked_lets_one_process_in_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count_up, args=(str(counter), str(tmp_path / "lock"))) for _number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert counter.read_text() == "200"


def test_locked_lets_go_after_an_error(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    with pytest.raises(RuntimeError), _files.locked(lock):
        raise RuntimeError

    with _files.locked(lock):
        pass

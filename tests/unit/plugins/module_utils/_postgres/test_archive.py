# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import hashlib
import os
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _archive as archives
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import (
    NoSpace,
    SystemDumper,
)

# A program in pg_dump's place: what it does is its last argument.
PROGRAM = [sys.executable, "-S", "-c"]


def dumper() -> SystemDumper:
    return SystemDumper(SystemClock())


def test_the_output_is_written_whole_and_digested(tmp_path: Path) -> None:
    path = tmp_path / "a"
    code = "import sys, os; sys.stdout.write('x' * 3000000 + os.environ['TAIL']); sys.stderr.write('a warning')"
    written = dumper().dump([*PROGRAM, code], {"TAIL": "end"}, str(path), timeout_s=30)
    data = b"x" * 3_000_000 + b"end"
    assert path.read_bytes() == data
    assert (written.bytes, written.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert written.messages == "a warning"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_status_other_than_zero_fails_however_much_was_written(tmp_path: Path) -> None:
    code = "import sys; print('x' * 1000); sys.exit('out of shared memory')"
    with pytest.raises(CommandFailed) as caught:
        dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=30)
    assert (caught.value.returncode, caught.value.stderr) == (1, "out of shared memory")


def test_a_program_that_is_killed_fails(tmp_path: Path) -> None:
    code = "import os, sys; print('x', flush=True); os.kill(os.getpid(), 9)"
    with pytest.raises(CommandFailed, match="ended with status -9"):
        dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=30)


def test_a_program_that_hangs_is_killed_at_the_deadline(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(TimedOut, match="had not ended at its deadline and was killed"):
        dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_an_archive_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"yesterday's")
    with pytest.raises(FileExistsError):
        dumper().dump([*PROGRAM, "print()"], {}, str(tmp_path / "a"), timeout_s=30)
    assert (tmp_path / "a").read_bytes() == b"yesterday's"


def test_a_volume_that_gets_full_stops_the_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "free", lambda _path: 10)
    monkeypatch.setattr(archives, "reserve", lambda _path: 11)
    with pytest.raises(NoSpace, match=r"fewer than 11 bytes are free in"):
        dumper().dump(
            [*PROGRAM, "print(flush=True); import time; time.sleep(60)"], {}, str(tmp_path / "a"), timeout_s=30
        )


def test_a_volume_that_is_full_is_said_to_be(tmp_path: Path) -> None:
    # As pg_dump says it.
    code = "import sys; sys.exit('pg_dump: error: could not write to output file: No space left on device')"
    with pytest.raises(NoSpace, match=r"The archive .*/a can't be written: No space left on device"):
        dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=30)


@pytest.mark.parametrize("call", ["fsync", "posix_fadvise"])
def test_a_file_that_can_not_be_made_durable_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(NoSpace, match=r"The archive .*/a can't be made durable: Disk quota exceeded"):
        dumper().dump([*PROGRAM, "print()"], {}, str(tmp_path / "a"), timeout_s=30)


def test_it_is_told_how_much_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LOOK_EVERY_S", 0.01)
    told: list[int] = []
    settled: list[int] = []
    code = "import time; print('x' * 4999, flush=True); time.sleep(0.5); print('y' * 4999)"
    dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=30, tell=told.append, settling=settled.append)
    assert 5000 in told
    assert told == sorted(told)
    assert settled == [0, 10_000]


def test_a_program_may_go_back_in_what_it_has_written(tmp_path: Path) -> None:
    # pg_dump does: where each table begins is known at the end.
    code = "import os; os.write(1, b'????data'); os.lseek(1, 0, 0); os.write(1, b'head')"
    written = dumper().dump([*PROGRAM, code], {}, str(tmp_path / "a"), timeout_s=30)
    assert written.sha256 == hashlib.sha256(b"headdata").hexdigest()


def test_the_program_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="could not be started"):
        dumper().dump(["/nowhere/pg_dump"], {}, str(tmp_path / "a"), timeout_s=30)


# --- several jobs write a directory --------------------------------------------------------------------------------

DIRECTORY = """
import os, sys
os.mkdir(sys.argv[1])
for name in ("toc.dat", "1.dat.gz"):
    with open(os.path.join(sys.argv[1], name), "w") as stream:
        stream.write(name)
"""


def test_a_directory_is_digested_file_by_file(tmp_path: Path) -> None:
    told: list[int] = []
    path = str(tmp_path / "database")
    written = dumper().dump_directory([*PROGRAM, DIRECTORY, path], {}, path, timeout_s=30, settling=told.append)
    assert [(row["path"], row["bytes"]) for row in written.files] == [("database/1.dat.gz", 8), ("database/toc.dat", 7)]
    assert written.files[1]["sha256"] == hashlib.sha256(b"toc.dat").hexdigest()
    assert told == [0, 8, 15]
    assert written.bytes == 15


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("import sys; sys.exit('out of shared memory')", CommandFailed, "ended with status 1: out of shared memory"),
        ("import os; os.kill(os.getpid(), 9)", CommandFailed, "ended with status -9"),
        (
            "import sys; sys.exit('pg_dump: error: could not write to file: No space left on device')",
            NoSpace,
            r"The archive .*/database can't be written: No space left on device",
        ),
    ],
)
def test_a_directory_that_is_not_written(tmp_path: Path, code: str, error: type[Exception], message: str) -> None:
    path = str(tmp_path / "database")
    with pytest.raises(error, match=message):
        dumper().dump_directory([*PROGRAM, DIRECTORY + code, path], {}, path, timeout_s=30)


def test_a_directory_is_written_in_time_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "database")
    told: list[int] = []
    with pytest.raises(TimedOut, match="had not ended at its deadline and was killed"):
        dumper().dump_directory(
            [*PROGRAM, DIRECTORY + "import time; time.sleep(60)", path], {}, path, timeout_s=1.5, tell=told.append
        )
    assert told[-1] == 15


def test_a_volume_that_gets_full_stops_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "free", lambda _path: 10)
    monkeypatch.setattr(archives, "reserve", lambda _path: 11)
    path = str(tmp_path / "database")
    with pytest.raises(NoSpace, match="fewer than 11 bytes are free in"):
        dumper().dump_directory([*PROGRAM, DIRECTORY + "import time; time.sleep(60)", path], {}, path, timeout_s=30)

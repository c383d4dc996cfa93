# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SystemRunner is tested with real programs that end at once: a shell and Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Judgement, SystemClock, Verdict, poll
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, SystemRunner

RUNNER = SystemRunner()


def sh(script: str, *, timeout_s: float = 10, stdin: str | None = None) -> Completed:
    return RUNNER.run(["sh", "-c", script], timeout_s=timeout_s, stdin=stdin)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_soon(pid: int) -> bool:
    outcome = poll(
        lambda: alive(pid),
        lambda seen: Judgement(Verdict.RETRY if seen else Verdict.SUCCESS, ""),
        clock=SystemClock(),
        interval_s=0.02,
        timeout_s=5,
    )
    return outcome.verdict is Verdict.SUCCESS


def test_status_and_both_outputs() -> None:
    done = sh("echo out; echo err >&2; exit 3")

    assert done == Completed(("sh", "-c", "echo out; echo err >&2; exit 3"), 3, "out\n", "err\n")


def test_no_shell_touches_the_arguments() -> None:
    done = RUNNER.run(["printf", "%s", "$HOME; `id` *"], timeout_s=10)

    assert done.stdout == "$HOME; `id` *"


def child(script: str, *, stdin: str | None = None) -> Completed:
    """Run Python code in a process of its own, where SystemRunner is known."""
    begin = "import os\nfrom ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner\n"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    return RUNNER.run([sys.executable, "-c", begin + script], timeout_s=20, stdin=stdin, env=environment)


def test_standard_input_is_what_is_given() -> None:
    assert sh("cat", stdin="geheim\n").stdout == "geheim\n"


def test_a_program_does_not_read_what_was_meant_for_us() -> None:
    """Ansible hands a module its arguments, secrets among them, by standard input."""
    done = child("print(repr(SystemRunner().run(['cat'], timeout_s=10).stdout))", stdin="ours")

    assert done.stdout == "''\n"


def test_environment_is_added_to_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    done = RUNNER.run(["sh", "-c", "echo $OURS $THEIRS $LC_ALL"], timeout_s=10, env={"THEIRS": "2"})

    assert done.stdout == "1 2 C.UTF-8\n"


def test_working_directory(tmp_path: Path) -> None:
    assert RUNNER.run(["pwd"], timeout_s=10, cwd=str(tmp_path)).stdout == f"{tmp_path}\n"


def test_output_that_is_not_text_does_not_break_it() -> None:
    assert sh(r"printf '\377ok'").stdout == "\ufffdok"


def test_check_passes_status_zero_on() -> None:
    done = sh("true")

    assert done.check() is done


def test_check_raises_with_remedy() -> None:
    with pytest.raises(CommandFailed) as caught:
        sh("echo broken >&2; exit 2").check(remedy="Mend it", untouched="Nothing was changed")

    assert caught.value.message.endswith("ended with status 2: broken. Nothing was changed. Mend it.")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandFailed) as caught:
        RUNNER.run(["/nonexistent/pg_dump"], timeout_s=10)

    assert caught.value.returncode is None
    assert caught.value.message == (
        "/nonexistent/pg_dump could not be started: [Errno 2] No such file or directory: '/nonexistent/pg_dump'."
    )


def test_the_deadline_ends_the_program_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(TimedOut) as caught:
        sh(f"sleep 60 & echo $! $$ > {pids}; echo last words >&2; wait", timeout_s=0.3)

    assert "did not end within 0.3 s and was killed" in caught.value.message
    assert caught.value.facts["stderr"] == "last words"
    assert all(gone_soon(int(pid)) for pid in pids.read_text().split())


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """A module killed in the middle leaves no dump running."""
    pid_file = tmp_path / "pid"
    parent = (
        f"script = 'echo $$ > {pid_file}; kill -KILL {{}}; exec sleep 60'.format(os.getpid())\n"
        "SystemRunner().run(['sh', '-c', script], timeout_s=60)\n"
    )
    done = child(parent)

    assert done.returncode == -9
    assert gone_soon(int(pid_file.read_text()))

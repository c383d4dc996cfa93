# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import (
    lost_rows,
    read_commands,
    team_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

SECRET = "swordfish-17"


def command(**more: Any) -> dict[str, Any]:
    given = {"name": "tests", "argv": ["make", "test"], "where": None, "step": "A1", "timeout": 60, "directory": None}
    return {**given, **more}


def run(answer: Any, **more: Any) -> Row:
    runner = FakeRunner([answer])
    redact = Redaction({"API_TOKEN": SECRET})
    (row,) = team_rows(read_commands([command(**more)], "app1"), runner, redact, {})
    return row


def test_status_0_passes_and_its_output_is_not_shown() -> None:
    row = run(completed(f"all well, {SECRET}"), step="A15", name="CI")
    assert (row.step, row.check, row.mark, row.seen) == ("A15", "CI", Mark.PASSED, "status 0")


def test_another_status_fails_with_the_last_lines_without_secrets() -> None:
    said = "\n".join(f"line {number}" for number in range(20)) + f"\nFAILED with {SECRET}"
    row = run(completed(said, returncode=1, stderr="make: *** [test] Error 1\n"))

    assert row.mark is Mark.FAILED
    assert row.seen == ("status 1: line 17 | line 18 | line 19 | FAILED with <API_TOKEN> | make: *** [test] Error 1")


def test_one_that_does_not_end_or_does_not_start_refuses() -> None:
    late = run(TimedOut("make test did not end within 60 s and was killed"))
    absent = run(CommandFailed(["make"], None, f"no such file {SECRET}"))

    assert (late.mark, late.seen) == (Mark.FAILED, "no end within 60 s, killed")
    assert (absent.mark, absent.seen) == (Mark.UNKNOWN, "could not be started: no such file <API_TOKEN>")


def test_real_programs_are_run_without_a_shell_and_killed_in_time(tmp_path: Any) -> None:
    commands = [
        command(name="literal", argv=["test", "$(touch x)", "=", "$(touch x)"]),
        command(name="slow", argv=["sleep", "60"], timeout=1),
        command(name="absent", argv=["/no/such/program"]),
    ]
    rows = team_rows(read_commands(commands, ""), SystemRunner(), str, {}, str(tmp_path))

    assert [row.mark for row in rows] == [Mark.PASSED, Mark.FAILED, Mark.UNKNOWN]
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_to_be_run_here_is_run() -> None:
    commands = [command(name="here", where="app1"), command(name="there", where="app2"), command(name="anywhere")]
    assert [each.name for each in read_commands(commands, "app1")] == ["here", "anywhere"]


def test_a_command_that_nobody_would_run_is_a_row_that_could_not_be_checked() -> None:
    (row,) = lost_rows([command(where="ap1"), command(where="release")], ["controller", "release", "app1"])

    assert row.mark is Mark.UNKNOWN
    assert row.sentence == (
        "tests: expected one of controller, release, app1, seen: 'ap1' is no place where a command is run"
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"argv": []}, "team_commands[0].argv: [] is not accepted"),
        ({"argv": [" "]}, "team_commands[0].argv"),
        ({"timeout": 0}, "team_commands[0].timeout: 0 is not accepted, expected 1 second or more"),
        ({"step": "B1"}, "team_commands[0].step: 'B1' is not accepted, expected a step of the runbooks from A1 to A15"),
    ],
)
def test_a_command_that_can_not_be_run_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_commands([command(**wrong)], "")
    assert words in caught.value.message

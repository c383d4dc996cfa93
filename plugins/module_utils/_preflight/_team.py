# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a team: what they said, by their exit status, within a limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, InvalidOption, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

STEPS = tuple(f"A{number}" for number in range(1, 16))
# The option team_commands of the modules that run them.
TEAM_OPTIONS: dict[str, dict[str, object]] = {
    "name": {"type": "str", "required": True},
    "argv": {"type": "list", "elements": "str", "required": True},
    "where": {"type": "str"},
    "step": {"type": "str", "default": "A1"},
    "timeout": {"type": "int", "default": 600},
    "directory": {"type": "path"},
}
_LINES = 5
_LINE = 300


@dataclass(frozen=True)
class TeamCommand:
    """One command.

    :param step: the step of the runbooks that it is for.
    :param argv: program and arguments, never a shell's line.
    :param directory: where it runs; empty: where the module does.
    """

    name: str
    step: str
    argv: tuple[str, ...]
    directory: str
    timeout_s: float


def read_commands(commands: Sequence[Mapping[str, Any]], here: str) -> tuple[TeamCommand, ...]:
    """Read the option C(team_commands), and keep those that are to be run here.

    :param here: name of this place; a command that names none is run wherever it is given.
    :raises InvalidOption: an entry can't be run.
    """
    read = [(command["where"], _read(f"team_commands[{index}]", command)) for index, command in enumerate(commands)]
    return tuple(command for where, command in read if where in (None, here))


def lost_rows(commands: Sequence[Mapping[str, Any]], places: Sequence[str]) -> list[Row]:
    """A row for each command that nobody would run, because its place does not exist."""
    return [
        Row(
            command["step"],
            command["name"],
            Mark.UNKNOWN,
            f"'{command['where']}' is no place where a command is run",
            f"one of {', '.join(places)}",
        )
        for command in commands
        if command["where"] is not None and command["where"] not in places
    ]


def _read(option: str, command: Mapping[str, Any]) -> TeamCommand:
    if not command["argv"] or not command["argv"][0].strip():
        raise InvalidOption(f"{option}.argv", command["argv"], "a list with the program and its arguments")
    if command["timeout"] < 1:
        raise InvalidOption(f"{option}.timeout", command["timeout"], "1 second or more")
    if command["step"] not in STEPS:
        raise InvalidOption(f"{option}.step", command["step"], "a step of the runbooks from A1 to A15")
    return TeamCommand(
        command["name"],
        command["step"],
        tuple(command["argv"]),
        command["directory"] or "",
        command["timeout"],
    )


def team_rows(
    commands: Sequence[TeamCommand],
    runner: Runner,
    redact: Callable[[str], str],
    environment: Mapping[str, str],
    directory: str | None = None,
) -> list[Row]:
    """Run them one after the other, to the end whatever each says.

    :param redact: takes secrets out of what they print.
    :param directory: where those run that name none.
    """
    return [_run(command, runner, redact, environment, directory) for command in commands]


def _run(
    command: TeamCommand,
    runner: Runner,
    redact: Callable[[str], str],
    environment: Mapping[str, str],
    directory: str | None,
) -> Row:
    expected = f"{redact(' '.join(command.argv[:4]))} ends with status 0 within {command.timeout_s:g} s"
    try:
        done = runner.run(
            command.argv, timeout_s=command.timeout_s, env=environment, cwd=command.directory or directory
        )
    except TimedOut:
        return Row(command.step, command.name, Mark.FAILED, f"no end within {command.timeout_s:g} s, killed", expected)
    except CommandFailed as error:
        return Row(command.step, command.name, Mark.UNKNOWN, f"could not be started: {redact(error.stderr)}", expected)
    said = last_lines(f"{done.stdout}\n{done.stderr}", redact)
    seen = f"status {done.returncode}" + (f": {said}" if said and done.returncode else "")
    return judged(command.step, command.name, done.returncode == 0, seen, expected)


def last_lines(text: str, redact: Callable[[str], str]) -> str:
    """The last lines of an output, in one. Cleaned before it is cut: half a secret would not be found."""
    lines = [line.strip() for line in redact(text).splitlines() if line.strip()]
    return " | ".join(line[:_LINE] for line in lines[-_LINES:])

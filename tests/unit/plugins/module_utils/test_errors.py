# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    Doomed,
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)


@pytest.mark.parametrize(
    ("seen", "untouched", "remedy", "message"),
    [
        ("It rains", "", "", "It rains."),
        ("It rains.", "The house stands", "Take an umbrella.", "It rains. The house stands. Take an umbrella."),
        ("It rains", "", "Wait", "It rains. Wait."),
    ],
)
def test_message_is_whole_sentences_in_order(seen: str, untouched: str, remedy: str, message: str) -> None:
    error = SlipwayError(seen, untouched=untouched, remedy=remedy)

    assert error.message == message
    assert str(error) == message


def test_facts_are_a_copy() -> None:
    given = {"host": "app1"}
    error = SlipwayError("Gone", facts=given)
    given["host"] = "app2"

    assert error.facts == {"host": "app1"}


@pytest.mark.parametrize("kind", [Refused, TimedOut, Doomed, InvalidOption, CommandFailed])
def test_every_error_is_translated_by_the_one_except_clause(kind: type[SlipwayError]) -> None:
    assert issubclass(kind, SlipwayError)


def test_invalid_option_says_value_and_what_is_accepted() -> None:
    error = InvalidOption("min_healthy", "150%", "a count or a percentage", remedy="Use 50%")

    assert error.message == (
        "min_healthy: '150%' is not accepted, expected a count or a percentage. Nothing was changed. Use 50%."
    )
    assert error.facts == {
        "option": "min_healthy",
        "value": "150%",
        "accepted": "a count or a percentage",
    }


def test_command_failed_says_status_and_the_end_of_stderr() -> None:
    error = CommandFailed(
        ["pg_dump", "-Fc", "shop"], 1, "notice\nno space left on device\n", untouched="Nothing published"
    )

    assert error.message == (
        "pg_dump -Fc shop ended with status 1: notice\nno space left on device. Nothing published."
    )
    assert error.facts["returncode"] == 1
    assert error.facts["command"] == ["pg_dump", "-Fc", "shop"]


def test_command_failed_that_never_started() -> None:
    error = CommandFailed(["pg_dump"], None, "No such file or directory")

    assert error.message == "pg_dump could not be started: No such file or directory."


def test_command_failed_shortens_what_is_long() -> None:
    error = CommandFailed(["git", *"abcdefgh"], 128, "x" * 5000)

    assert error.message.startswith("git a b c d e … ended with status 128: xxx")
    assert len(str(error.facts["stderr"])) == 2000


@pytest.mark.parametrize(
    "error",
    [
        SlipwayError("Seen", facts={"n": 1}),
        InvalidOption("x", object, "y"),
        CommandFailed(("a", "b"), 1, "c"),
    ],
)
def test_facts_are_json(error: SlipwayError) -> None:
    assert json.loads(json.dumps(error.facts)) == error.facts

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import (
    Database,
    quote_name,
    quote_text,
)
from ansible_collections.slipway.django.tests.unit.fakes import Answer, FakeRunner, completed
from hypothesis import given
from hypothesis import strategies as st


def database(answer: Answer) -> tuple[Database, FakeRunner]:
    runner = FakeRunner([answer])
    return Database("/bin/psql", Connection("shop", user="keeper"), runner), runner


def test_a_question_goes_by_standard_input_and_its_target_by_the_environment() -> None:
    asked, runner = database('{"a": 1}\n')
    assert asked.ask("SELECT 'secret'") == {"a": 1}
    (call,) = runner.calls
    assert call.argv == (
        "/bin/psql", "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1",
        "--file=-",
    )  # fmt: skip
    assert call.stdin == "SET search_path = '';\nSET standard_conforming_strings = on;\nSELECT 'secret';\n"
    assert call.env["PGUSER"] == "keeper"


def test_the_servers_error_is_the_message() -> None:
    # Recorded from psql 15.18.
    asked, _ = database(completed(returncode=3, stderr='psql:<stdin>:40: ERROR:  "t" is not a sequence\n'))
    with pytest.raises(SlipwayError) as caught:
        asked.ask("SELECT 1")
    assert caught.value.message == (
        'PostgreSQL refused (database shop on the local socket as keeper): "t" is not a sequence. Nothing was changed.'
    )


def test_a_failed_connection_says_what_to_look_at() -> None:
    # Recorded from psql 15.18.
    asked, _ = database(
        completed(
            returncode=2,
            stderr='psql: error: connection to server on socket "/tmp/.s.PGSQL.5432" failed: '
            'FATAL:  database "shopp" does not exist\n',
        )
    )
    with pytest.raises(SlipwayError) as caught:
        asked.source()
    assert 'FATAL:  database "shopp" does not exist. Nothing was changed. See that the server runs' in (
        caught.value.message
    )


def test_an_answer_that_is_no_json_is_an_error() -> None:
    asked, _ = database("1|2\n")
    with pytest.raises(SlipwayError, match=r"psql answered with what is no JSON: '1\|2'"):
        asked.ask("SELECT 1, 2")


@given(st.text(min_size=1))
def test_a_quoted_name_has_no_way_out(name: str) -> None:
    quoted = quote_name(name)
    assert quoted[0] == quoted[-1] == '"'
    assert quoted[1:-1].replace('""', "").count('"') == 0
    assert quoted[1:-1].replace('""', '"') == name


@given(st.text())
def test_a_quoted_text_has_no_way_out(text: str) -> None:
    quoted = quote_text(text)
    assert quoted[0] == quoted[-1] == "'"
    assert quoted[1:-1].replace("''", "").count("'") == 0
    assert quoted[1:-1].replace("''", "'") == text

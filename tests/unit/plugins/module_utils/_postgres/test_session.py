# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conversation with psql, held with a stand-in that says what it is told to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session

# Answers each statement by its first word, and does what psql does with \echo and \warn.
PSQL = """#!{python}
import json, os, signal, sys, time
status = "false 00000"
def tell(stream, text):
    stream.write(text)
    stream.flush()
for line in iter(sys.stdin.readline, ""):
    word, _, rest = line.strip().partition(" ")
    if line.startswith("SELECT json_build_object('pid'"):
        tell(sys.stdout, '{{"pid": 4711}}\\n')
    elif word == "echo":
        status = "false 00000"
        tell(sys.stdout, json.loads(rest))
    elif word == "fail":
        status = "true " + rest.split()[0]
        tell(sys.stderr, "ERROR:  " + rest.split()[0] + ": " + rest.partition(" ")[2] + "\\nLINE 1: secret\\n")
    elif word == "die":
        tell(sys.stderr, "FATAL:  57P01: terminating connection due to administrator command\\n")
        sys.exit(2)
    elif word == "hang":
        time.sleep(60)
    elif word == "\\\\echo":
        marker = rest.split()[0]
        tell(sys.stdout, marker + " " + status + "\\n")
    elif word == "\\\\warn":
        tell(sys.stderr, rest + "\\n")
"""


@pytest.fixture(name="psql")
def _psql(tmp_path: Path) -> str:
    path = tmp_path / "psql"
    path.write_text(PSQL.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def opened(psql: str) -> Session:
    return Session(psql, Connection("shop", host="/run/pg", user="anna"), SystemClock())


def test_answers_come_in_order(psql: str) -> None:
    with opened(psql) as session:
        assert session.pid == 4711
        assert session.ask('echo "[1,\\n 2]\\n"', 10) == [1, 2]
        session.order('echo ""', 10)
        assert session.ask('echo "{}\\n"', 10) == {}
        assert session.ask('echo ""', 10) is None


def test_an_answer_of_a_megabyte(psql: str) -> None:
    with opened(psql) as session:
        assert session.ask('echo "[' + "1," * 500_000 + '1]\\n"', 30) == [1] * 500_001


def test_what_is_no_json(psql: str) -> None:
    with opened(psql) as session, pytest.raises(SlipwayError, match=r"answered with what is no JSON: 'a\|b'"):
        session.ask('echo "a|b\\n"', 10)


def test_a_refusal_has_the_server_s_message_and_its_code_and_the_connection_lives_on(psql: str) -> None:
    with opened(psql) as session:
        with pytest.raises(SlipwayError) as caught:
            session.order('fail 42P01 relation "nope" does not exist', 10)
        assert caught.value.message == (
            'PostgreSQL refused (database shop on /run/pg as anna): relation "nope" does not exist.'
        )
        assert caught.value.facts == {"database": "shop", "sqlstate": "42P01"}
        assert "secret" not in str(caught.value.facts)
        assert session.ask('echo "1\\n"', 10) == 1


def test_a_statement_runs_while_another_works(psql: str) -> None:
    with opened(psql) as one, opened(psql) as two:
        one.start('echo "1\\n"')
        assert two.ask('echo "2\\n"', 10) == 2
        with pytest.raises(ValueError, match="was not waited for"):
            one.start('echo "3\\n"')
        assert one.finish(10) == "1\n"


def test_a_connection_that_is_lost(psql: str) -> None:
    with opened(psql) as session:
        with pytest.raises(SlipwayError) as caught:
            session.order("die", 10)
        assert "failed or was lost (database shop on /run/pg as anna): terminating connection due to" in str(
            caught.value
        )
        assert caught.value.facts["sqlstate"] == "57P01"
        with pytest.raises(SlipwayError, match="failed or was lost"):
            session.order('echo "1"', 10)


def test_a_connection_that_can_not_be_made(tmp_path: Path) -> None:
    path = tmp_path / "psql"
    path.write_text("#!/bin/sh\necho 'psql: error: FATAL:  database \"shop\" does not exist' >&2\nexit 2\n")
    path.chmod(0o755)
    with pytest.raises(SlipwayError) as caught, opened(str(path)):
        pytest.fail("it was opened")
    assert 'database "shop" does not exist. See that the server runs' in caught.value.message


def test_a_psql_that_is_not_there() -> None:
    with pytest.raises(CommandFailed, match="could not be started"), opened("/nowhere/psql"):
        pytest.fail("it was opened")


def test_too_late_ends_the_program(psql: str) -> None:
    with opened(psql) as session:
        process = session._process
        with pytest.raises(TimedOut, match=r"did not answer within 0.2 s .*the connection closed"):
            session.order("hang", 0.2)
        assert process.wait(5) != 0
        with pytest.raises(SlipwayError, match="failed or was lost"):
            session.order('echo "1"', 10)


def test_leaving_it_ends_the_program(psql: str) -> None:
    with opened(psql) as session:
        pid = session._process.pid
        session.start("hang")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

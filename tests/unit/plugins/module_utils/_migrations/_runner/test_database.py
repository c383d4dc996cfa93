# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    Session,
    application_name,
    error_text,
    sqlstate,
)
from hypothesis import given
from hypothesis import strategies as st


class Diagnosis:
    message_primary = "canceling statement due to lock timeout"
    message_detail = "Key (email)=(a@b.c) is duplicated."


class LockNotAvailable(Exception):
    sqlstate = "55P03"
    diag = Diagnosis()


def wrapped() -> Exception:
    error = ValueError("in Django's clothes")
    error.__cause__ = LockNotAvailable()
    return error


def test_the_code_is_found_in_the_cause() -> None:
    assert sqlstate(wrapped()) == "55P03"
    assert sqlstate(ValueError("no database")) == ""


def test_an_error_of_the_server_is_told_without_values() -> None:
    assert error_text(wrapped()) == ("canceling statement due to lock timeout (55P03). Key (email)=(…) is duplicated.")
    assert error_text(ValueError("two\nlines")) == "ValueError: two lines"


def test_an_error_that_causes_itself_ends() -> None:
    error = ValueError("round and round")
    error.__context__ = KeyError("other")
    error.__context__.__context__ = error

    assert sqlstate(error) == ""


def test_a_session_is_read_only_until_it_may_write() -> None:
    session = Session("slipway migrate r1", 500, 0)

    assert "SET default_transaction_read_only = on" in session.statements(150000)
    session.read_only = False
    assert "SET default_transaction_read_only = off" in session.statements(150000)
    assert "SET lock_timeout = 500" in session.statements(150000)


def test_the_check_for_a_dead_client_came_with_version_14() -> None:
    session = Session("r1", 500, 0)

    assert "SET client_connection_check_interval = 1000" in session.statements(140000)
    assert not any("client_connection" in each for each in session.statements(130012))


@given(st.text())
def test_a_name_needs_no_quoting(name: str) -> None:
    taken = application_name(name)

    assert len(taken) <= 63
    assert taken.isascii()
    assert "'" not in taken
    assert "\\" not in taken

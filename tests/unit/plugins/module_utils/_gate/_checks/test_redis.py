# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol of Redis, and what a gate may ask."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._redis import RedisCheck, read_answer
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import read
from hypothesis import given
from hypothesis import strategies as st

REDIS: dict[str, Any] = {"kind": "redis", "url": None}


@pytest.mark.parametrize(
    ("sent", "value"),
    [(b"+PONG\r\n", "PONG"), (b":42\r\n", 42), (b"$3\r\nabc\r\n", "abc"), (b"*2\r\n:1\r\n$1\r\na\r\n", 2)],
)
def test_answers(sent: bytes, value: str | float) -> None:
    assert read_answer(io.BytesIO(sent)) == value


@pytest.mark.parametrize(
    ("sent", "code", "local"),
    [
        (b"", "closed", False),
        (b"+PON", "not_redis", False),
        (b"$10\r\nabc", "incomplete", False),
        (b"$-1\r\n", "absent", False),
        (b"$x\r\n", "not_redis", False),
        (b"HTTP/1.1 400 Bad Request\r\n", "not_redis", False),
        (b"-LOADING SECRET\r\n", "redis_error", False),
        (b"-NOAUTH SECRET\r\n", "redis_error", True),
        (b"-WRONGPASS SECRET\r\n", "redis_error", True),
    ],
)
def test_what_is_no_answer(sent: bytes, code: str, local: bool) -> None:
    with pytest.raises(NotUnderstood) as caught:
        read_answer(io.BytesIO(sent))
    assert (caught.value.code, caught.value.local) == (code, local)
    assert "SECRET" not in caught.value.text


@given(st.binary(max_size=80))
def test_whatever_comes_it_is_a_value_or_not_understood(sent: bytes) -> None:
    with suppress(NotUnderstood):
        assert isinstance(read_answer(io.BytesIO(sent)), (str, int))


def test_a_password_is_in_no_text_of_the_check() -> None:
    (check,) = read({**REDIS, "password": "SECRET", "user": "gate"}).checks
    assert isinstance(check, RedisCheck)
    assert check.login == ("AUTH", "gate", "SECRET")
    assert (check.where(), check.expected()) == ("PING at 127.0.0.1:6379", "PONG")
    assert "SECRET" not in repr(check)


def test_a_gate_only_looks() -> None:
    with pytest.raises(InvalidOption, match=r"checks\[0\].command: 'FLUSHALL' is not accepted, expected one of DBSIZE"):
        read({**REDIS, "command": ["FLUSHALL"]})

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    PROTOCOL,
    Request,
    answer_of,
    answer_of_error,
    read_answer,
)
from hypothesis import given
from hypothesis import strategies as st

names = st.text(min_size=1)
requests = st.builds(
    Request,
    state=st.sampled_from(["planned", "applied", "reversed"]),
    check_mode=st.booleans(),
    project=names,
    settings=names,
    database=names,
    run_id=names,
    release=names,
    lock_timeout_ms=st.integers(1),
    lock_budget_s=st.integers(0),
    statement_timeout_ms=st.integers(0),
    concurrent_timeout_s=st.integers(1),
    on_busy=st.sampled_from(["fail", "wait"]),
    busy_timeout_s=st.integers(0),
    acknowledged=st.dictionaries(names, names),
    settled=st.dictionaries(names, names),
    undo=st.none() | st.lists(names).map(tuple),
)


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: Request) -> None:
    assert Request.from_json(request.to_json()) == request


def test_a_request_of_another_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match=f"protocol {PROTOCOL}"):
        Request.from_json('{"protocol": 0}')


def test_a_result_arrives() -> None:
    assert read_answer(answer_of({"changed": True})) == {"changed": True}


def test_an_error_arrives_with_its_parts() -> None:
    sent = Refused("seen", untouched="nothing", remedy="do this", facts={"holder": {"pid": 1}})

    with pytest.raises(SlipwayError) as caught:
        read_answer(answer_of_error(sent))

    assert caught.value.message == "seen. nothing. do this."
    assert caught.value.facts == {"holder": {"pid": 1}}


@pytest.mark.parametrize(
    "text", ["", "Traceback", "[]", '{"protocol": 0, "result": {}}', '{"protocol": 1, "result": []}']
)
def test_what_is_no_answer_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"answer|Expecting"):
        read_answer(text)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno

import pytest
from shopload import failures
from shopload.failures import Failure


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.EHOSTUNREACH, Failure.UNREACHABLE),
        (errno.ETIMEDOUT, Failure.UNREACHABLE),
        (errno.EMFILE, Failure.UNREACHABLE),
    ],
)
def test_a_connection_that_was_not_made(code: int, failure: Failure) -> None:
    assert failures.of_connect(OSError(code, "x")) is failure


@pytest.mark.parametrize(
    ("begun", "reused", "failure"),
    [
        (False, False, Failure.EOF_FRESH),
        (False, True, Failure.EOF_REUSED),
        (True, False, Failure.TRUNCATED),
        (True, True, Failure.TRUNCATED),
    ],
)
def test_a_connection_that_ended_early(begun: bool, reused: bool, failure: Failure) -> None:
    assert failures.of_end(begun=begun, reused=reused) is failure


@pytest.mark.parametrize(
    ("status", "wanted", "failure"),
    [
        (200, 200, None),
        (302, 302, None),
        (302, 200, Failure.STATUS_3XX),
        (404, 200, Failure.STATUS_4XX),
        (409, 201, Failure.STATUS_4XX),
        (503, 200, Failure.STATUS_5XX),
        (200, 201, Failure.UNEXPECTED),
        (999, 200, Failure.UNEXPECTED),
    ],
)
def test_a_whole_answer_is_judged_by_its_status(status: int, wanted: int, failure: Failure | None) -> None:
    assert failures.of_status(status, wanted) is failure


@pytest.mark.parametrize("failure", list(Failure))
def test_cut_is_only_what_the_peer_ended_in_the_middle(failure: Failure) -> None:
    assert failures.is_cut(failure, begun=True) is (failure in {Failure.TRUNCATED, Failure.RESET})
    assert not failures.is_cut(failure, begun=False)

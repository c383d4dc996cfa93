# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import (
    Mark,
    Row,
    guarded,
    judged,
    refuse,
)

GOOD = judged("A4", "disk", True, "2000 MiB free", "1024 MiB free")
BAD = judged("A4", "unit", False, "missing", "systemd unit shop-web@.service")
UNKNOWN = Row("A5", "live", Mark.UNKNOWN, "systemd gave no answer", "an answer")
UNASKED = Row("A10", "freeze", Mark.NOT_ASKED, "none is set", "no freeze")


def test_rows_that_pass_or_were_not_asked_refuse_nothing() -> None:
    assert refuse([GOOD, UNASKED], untouched="Nothing", remedy="None") == [GOOD, UNASKED]


def test_what_failed_and_what_could_not_be_checked_are_refused_together_with_all_rows_in_the_facts() -> None:
    with pytest.raises(Refused) as caught:
        refuse([GOOD, BAD, UNKNOWN, UNASKED], untouched="Nothing was changed", remedy="Correct it")

    assert caught.value.message == (
        "unit: expected systemd unit shop-web@.service, seen: missing; live: expected an answer, seen: systemd gave no"
        " answer. Nothing was changed. Correct it."
    )
    assert [row["mark"] for row in caught.value.facts["rows"]] == [  # type: ignore[attr-defined]
        "passed",
        "failed",
        "could not be checked",
        "not asked",
    ]


@pytest.mark.parametrize("error", [SlipwayError("systemd is silent"), PermissionError(13, "Permission denied")])
def test_a_look_that_fails_is_a_row_that_could_not_be_checked(error: Exception) -> None:
    def look() -> list[Row]:
        raise error

    (row,) = guarded("A5", "live", "slots", look)

    assert row.mark is Mark.UNKNOWN
    assert row.seen in ("systemd is silent", "[Errno 13] Permission denied")


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def look() -> list[Row]:
        raise KeyError("x")

    with pytest.raises(KeyError):
        guarded("A5", "live", "slots", look)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._preflight._calendar import (
    DAYS,
    read_freezes,
    read_windows,
    sign_off_row,
    window_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st

OFFICE: dict[str, Any] = {
    "days": ["mon", "tue", "wed", "thu"],
    "begins": "09:00",
    "ends": "16:00",
    "zone": "Europe/Berlin",
}
NIGHT: dict[str, Any] = {"days": ["fri"], "begins": "22:00", "ends": "04:00", "zone": "Europe/Berlin"}
HOLIDAYS: dict[str, Any] = {
    "begins": "2026-12-21",
    "ends": "2027-01-03",
    "zone": "America/New_York",
    "reason": "nobody is there",
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def marks(windows: list[dict[str, Any]], freezes: list[dict[str, Any]], now: str, exception: str = "") -> list[Mark]:
    clock = FakeClock(start=utc(now))
    rows = window_rows(read_windows(windows), read_freezes(freezes), clock.utcnow(), exception)
    return [row.mark for row in rows]


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        ("2026-11-23 07:59", False),  # Monday 08:59 in Berlin, winter time
        ("2026-11-23 08:00", True),
        ("2026-11-23 14:59", True),
        ("2026-11-23 15:00", False),
        ("2026-07-06 07:00", True),  # the same clock on the wall in summer is another hour of UTC
        ("2026-07-06 14:00", False),
        ("2026-11-27 10:00", False),  # Friday
        ("2026-11-29 23:30", False),  # Sunday night here, Monday there, and too early
    ],
)
def test_a_window_is_read_off_the_clock_on_the_wall_of_its_zone(now: str, passed: bool) -> None:
    assert marks([OFFICE], [], now)[0] is (Mark.PASSED if passed else Mark.FAILED)


@pytest.mark.parametrize(
    ("now", "passed"),
    [
        ("2026-11-27 20:59", False),
        ("2026-11-27 21:00", True),  # Friday 22:00
        ("2026-11-28 02:59", True),  # Saturday 03:59: the window of Friday
        ("2026-11-28 03:00", False),
        ("2026-11-27 02:00", False),  # Friday 03:00 would be the window of Thursday
        # The night in which the clock goes back: 02:30 comes twice, both in the window.
        ("2026-10-23 22:30", True),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(now: str, passed: bool) -> None:
    assert marks([NIGHT], [], now)[0] is (Mark.PASSED if passed else Mark.FAILED)


@pytest.mark.parametrize(
    ("now", "frozen"),
    [
        ("2026-12-21 04:59", False),  # still the 20th in New York
        ("2026-12-21 05:00", True),
        ("2027-01-04 04:59", True),
        ("2027-01-04 05:00", False),
    ],
)
def test_a_freeze_of_days_holds_from_the_first_minute_to_the_last(now: str, frozen: bool) -> None:
    assert marks([], [HOLIDAYS], now)[1] is (Mark.FAILED if frozen else Mark.PASSED)


def test_the_words_name_window_freeze_and_exception() -> None:
    rows = list(window_rows(read_windows([OFFICE]), read_freezes([HOLIDAYS]), utc("2026-12-26 12:00")))
    assert [row.seen for row in rows] == [
        "it is Sat 13:00 Europe/Berlin",
        "frozen: 2026-12-21 00:00 to 2027-01-03 23:59 America/New_York (nobody is there)",
    ]
    assert rows[0].expected == "a time in mon,tue,wed,thu 09:00 to 16:00 Europe/Berlin"

    excepted = list(
        window_rows(read_windows([OFFICE]), read_freezes([HOLIDAYS]), utc("2026-12-26 12:00"), "payments fail, INC-7")
    )
    assert [row.mark for row in excepted] == [Mark.PASSED, Mark.PASSED]
    assert all("an exception was made: payments fail, INC-7" in row.seen for row in excepted)


def test_without_windows_and_freezes_nothing_is_asked() -> None:
    assert marks([], [], "2026-12-26 12:00") == [Mark.NOT_ASKED, Mark.NOT_ASKED]


@given(
    st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 12, 31)),
    st.lists(st.sampled_from(DAYS), min_size=1, unique=True),
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
)
def test_a_window_and_its_complement_cover_each_moment_once(
    moment: datetime, days: list[str], begin: int, end: int, zone: str
) -> None:
    if begin == end:
        return
    clock = [f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (begin, end)]
    every_day = {"days": list(DAYS), "zone": zone}
    (inside,) = read_windows([{**every_day, "begins": clock[0], "ends": clock[1]}])
    (outside,) = read_windows([{**every_day, "begins": clock[1], "ends": clock[0]}])
    now = moment.replace(tzinfo=timezone.utc)

    assert inside.holds(now) is not outside.holds(now)
    (some,) = read_windows([{**every_day, "days": days, "begins": clock[0], "ends": clock[1]}])
    assert not some.holds(now) or inside.holds(now)


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"days": ["monday"]}, "windows[0].days: ['monday'] is not accepted, expected some of mon, tue"),
        ({"days": []}, "windows[0].days: []"),
        ({"begins": "570"}, "windows[0].begins: '570' is not accepted, expected a time such as 09:30, in quotes"),
        ({"ends": "24:00"}, "windows[0].ends: '24:00'"),
        ({"begins": "16:00"}, "windows[0].ends: '16:00' is not accepted, expected another time than begins"),
        ({"zone": "Europe/Atlantis"}, "windows[0].zone: 'Europe/Atlantis' is not accepted"),
        ({"zone": "../../etc/passwd"}, "windows[0].zone: '../../etc/passwd' is not accepted"),
    ],
)
def test_a_window_that_can_not_be_understood_is_refused(window: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_windows([{**OFFICE, **window}])
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        ({"begins": "21.12.2026"}, "freezes[0].begins: '21.12.2026'"),
        ({"ends": "2026-12-01"}, "freezes[0].ends: '2026-12-01' is not accepted, expected a time that is not before"),
        ({"begins": "2026-12-21T00:00+01:00"}, "a time without an offset"),
    ],
)
def test_a_freeze_that_can_not_be_understood_is_refused(freeze: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_freezes([{**HOLIDAYS, **freeze}])
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("required", "given_text", "mark"),
    [
        (False, "", Mark.NOT_ASKED),
        (True, "", Mark.FAILED),
        (True, "shop v2 by Ada", Mark.PASSED),
        (True, "shop v1 by Ada", Mark.FAILED),  # of another version: left in the inventory
        (True, "shop v2 by ", Mark.FAILED),
        (True, "yes", Mark.FAILED),
    ],
)
def test_a_sign_off_names_exactly_this_version_and_a_person(required: bool, given_text: str, mark: Mark) -> None:
    row = sign_off_row(required, given_text, "shop v2")

    assert row.mark is mark
    assert row.expected == '-e preflight_sign_off="shop v2 by <name>"'


def test_time_that_goes_on_ends_a_window() -> None:
    clock = FakeClock(start=utc("2026-11-23 14:59"))
    (window,) = read_windows([OFFICE])
    assert window.holds(clock.utcnow())
    clock.advance(timedelta(minutes=1).total_seconds())
    assert not window.holds(clock.utcnow())

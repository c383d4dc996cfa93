# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a deployment may begin: windows, freezes, and the word of a person. Pure: the time comes in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\Z")


@dataclass(frozen=True)
class Window:
    """Hours in which a deployment may begin. One that ends before it begins lasts until the next day."""

    days: tuple[str, ...]
    begins: time
    ends: time
    zone: ZoneInfo

    @property
    def text(self) -> str:
        return f"{','.join(self.days)} {self.begins:%H:%M} to {self.ends:%H:%M} {self.zone.key}"

    def holds(self, now: datetime) -> bool:
        """Whether a moment lies in it, its begin included and its end not. By the clock on the wall of its zone."""
        local = now.astimezone(self.zone)
        today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
        at = local.time().replace(tzinfo=None)
        if self.begins < self.ends:
            return today in self.days and self.begins <= at < self.ends
        return (today in self.days and at >= self.begins) or (yesterday in self.days and at < self.ends)


@dataclass(frozen=True)
class Freeze:
    """A time in which nothing is deployed, both ends included."""

    begins: datetime
    ends: datetime
    zone: ZoneInfo
    reason: str

    @property
    def text(self) -> str:
        return f"{self.begins:%Y-%m-%d %H:%M} to {self.ends:%Y-%m-%d %H:%M} {self.zone.key} ({self.reason})"

    def holds(self, now: datetime) -> bool:
        """Whether a moment lies in it. By the clock on the wall of its zone."""
        return self.begins <= now.astimezone(self.zone).replace(tzinfo=None) <= self.ends


def read_windows(windows: Sequence[Mapping[str, Any]]) -> tuple[Window, ...]:
    """Read the option C(windows).

    :raises InvalidOption: an entry can't be understood.
    """
    return tuple(_read_window(f"windows[{index}]", window) for index, window in enumerate(windows))


def _read_window(option: str, window: Mapping[str, Any]) -> Window:
    days = tuple(day.lower() for day in window["days"])
    unknown = [day for day in days if day not in DAYS]
    if unknown or not days:
        raise InvalidOption(f"{option}.days", window["days"], f"some of {', '.join(DAYS)}")
    begins, ends = (_clock(f"{option}.{name}", window[name]) for name in ("begins", "ends"))
    if begins == ends:
        raise InvalidOption(f"{option}.ends", window["ends"], "another time than begins")
    return Window(days, begins, ends, _zone(option, window["zone"]))


def _clock(option: str, text: str) -> time:
    found = _CLOCK.match(text)
    if found is None:
        raise InvalidOption(option, text, "a time such as 09:30, in quotes (YAML reads 9:30 as a number)")
    return time(int(found[1]), int(found[2]))


def _zone(option: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidOption(
            f"{option}.zone",
            name,
            "the name of a time zone such as Europe/Berlin",
            remedy="If the name is right, install the system's tzdata on the controller",
        ) from error


def read_freezes(freezes: Sequence[Mapping[str, Any]]) -> tuple[Freeze, ...]:
    """Read the option C(freezes).

    :raises InvalidOption: an entry can't be understood.
    """
    return tuple(_read_freeze(f"freezes[{index}]", freeze) for index, freeze in enumerate(freezes))


def _read_freeze(option: str, freeze: Mapping[str, Any]) -> Freeze:
    begins = _moment(f"{option}.begins", freeze["begins"], time.min)
    ends = _moment(f"{option}.ends", freeze["ends"], time.max)
    if ends < begins:
        raise InvalidOption(f"{option}.ends", freeze["ends"], "a time that is not before begins")
    return Freeze(begins, ends, _zone(option, freeze["zone"]), freeze["reason"])


def _moment(option: str, text: str, when_a_day: time) -> datetime:
    """A day, whole, or a time of it."""
    try:
        if len(text) == len("2026-12-24"):
            return datetime.combine(date.fromisoformat(text), when_a_day)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidOption(option, text, "2026-12-24 or 2026-12-24 18:00") from error
    if moment.tzinfo is not None:
        raise InvalidOption(option, text, "a time without an offset: the zone is an option of its own")
    return moment


def window_rows(
    windows: Sequence[Window], freezes: Sequence[Freeze], now: datetime, exception: str = ""
) -> Iterable[Row]:
    """Judge the time.

    :param exception: why it is deployed all the same; the rows pass and say so.
    """
    if windows:
        passed = any(window.holds(now) for window in windows)
        seen = "it is " + "; ".join(sorted({f"{now.astimezone(w.zone):%a %H:%M} {w.zone.key}" for w in windows}))
        expected = "a time in " + " or ".join(window.text for window in windows)
        yield _excepted("deployment window", passed, seen, expected, exception)
    else:
        yield Row("A10", "deployment window", Mark.NOT_ASKED, "preflight_windows is empty", "a time in a window")
    if freezes:
        holding = [freeze.text for freeze in freezes if freeze.holds(now)]
        seen = f"frozen: {'; '.join(holding)}" if holding else "no freeze"
        yield _excepted("freeze", not holding, seen, "no freeze", exception)
    else:
        yield Row("A10", "freeze", Mark.NOT_ASKED, "preflight_freezes is empty", "no freeze")


def _excepted(check: str, passed: bool, seen: str, expected: str, exception: str) -> Row:
    if passed or not exception:
        return judged("A10", check, passed, seen, expected)
    return Row("A10", check, Mark.PASSED, f"{seen}; an exception was made: {exception}", expected)


def sign_off_row(required: bool, given: str, subject: str) -> Row:
    """Judge the sign-off: the exact text, with a name, for exactly this version.

    :param subject: site and version.
    """
    expected = f'-e preflight_sign_off="{subject} by <name>"'
    if not required:
        return Row("A10", "sign-off", Mark.NOT_ASKED, "preflight_sign_off_required is false", expected)
    start = f"{subject} by "
    passed = given.startswith(start) and bool(given[len(start) :].strip())
    return judged("A10", "sign-off", passed, f"'{given}'" if given else "none", expected)

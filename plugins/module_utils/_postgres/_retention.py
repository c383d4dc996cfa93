# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups may go. A pure plan: it is told what is there and says why each one stays or goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption


@dataclass(frozen=True)
class Candidate:
    """A backup, as far as its keeping is concerned.

    :param taken_at: aware, in UTC.
    :param pinned: why somebody wants it kept; None when nobody does.
    :param complete: it is whole as far as this is known without reading it.
    """

    id: str
    taken_at: datetime
    database: str
    label: str = ""
    levels: tuple[str, ...] = ()
    pinned: str | None = None
    complete: bool = True


@dataclass(frozen=True)
class Rules:
    """What is kept: a backup stays when any of them keeps it. None is no rule.

    :param keep_days: those of the last so many times 24 hours.
    :param keep_daily: the last one of each of the newest so many days that have one, by the UTC calendar; so for
        weeks (ISO 8601) and months.
    :param min_keep: the newest so many stay whatever the rules say. It is no rule: alone it removes nothing.
    """

    keep_last: int | None = None
    keep_days: int | None = None
    keep_daily: int | None = None
    keep_weekly: int | None = None
    keep_monthly: int | None = None
    min_keep: int = 2

    @property
    def given(self) -> dict[str, int]:
        """The rules that are given, without the floor."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "min_keep"}
        return {name: value for name, value in values.items() if value is not None}

    def validate(self) -> None:
        """Refuse what can't be meant.

        :raises InvalidOption: a number is out of its range, or there is no rule at all.
        """
        for name, value in [*self.given.items(), ("min_keep", self.min_keep)]:
            least = 1 if name == "min_keep" else 0
            if value < least:
                raise InvalidOption(name, value, f"a number that is at least {least}")
        if not self.given:
            raise InvalidOption(
                "keep_last", None, "at least one of keep_last, keep_days, keep_daily, keep_weekly and keep_monthly"
            )


@dataclass(frozen=True)
class Decision:
    """What becomes of one backup, and why."""

    id: str
    label: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What stays and what goes, each the oldest first."""

    kept: tuple[Decision, ...]
    removed: tuple[Decision, ...]

    @property
    def changed(self) -> bool:
        return bool(self.removed)

    @property
    def reason(self) -> str:
        if not self.removed:
            return f"all {len(self.kept)} backups are kept"
        return f"{len(self.removed)} of {len(self.kept) + len(self.removed)} backups are kept by no rule"


# The name of a day, a week, a month; and what it is called.
_CALENDAR: tuple[tuple[str, str, Callable[[datetime], str]], ...] = (
    ("keep_daily", "day", lambda moment: moment.strftime("%Y-%m-%d")),
    ("keep_weekly", "week", lambda moment: "{}-W{:02d}".format(*moment.isocalendar())),
    ("keep_monthly", "month", lambda moment: moment.strftime("%Y-%m")),
)


def make_plan(candidates: Iterable[Candidate], rules: Rules, *, database: str, now: datetime) -> Plan:
    """Decide about each backup. Only complete ones of this database can go."""
    everything = sorted(candidates, key=lambda one: (one.taken_at, one.id))
    ours = [one for one in everything if one.complete and one.database == database]
    reasons: dict[str, list[str]] = {one.id: [] for one in everything}
    for one, reason in [*_foreign(everything, database), *_untouchable(ours, rules), *_ruled(ours, rules, now)]:
        reasons[one.id].append(reason)
    if not rules.given:
        reasons = {name: found or ["no rule is given"] for name, found in reasons.items()}
    return Plan(
        kept=tuple(Decision(one.id, one.label, ", ".join(reasons[one.id])) for one in everything if reasons[one.id]),
        removed=tuple(
            Decision(one.id, one.label, _why_removed(one, rules, now)) for one in everything if not reasons[one.id]
        ),
    )


_Reasons = Iterable[tuple[Candidate, str]]


def _foreign(everything: Sequence[Candidate], database: str) -> _Reasons:
    for one in everything:
        if one.database != database:
            yield one, f"of another database ({one.database})"
        elif not one.complete:
            yield one, "not complete: not ours to judge"


def _untouchable(ours: Sequence[Candidate], rules: Rules) -> _Reasons:
    newest = ours[::-1]
    for place, one in enumerate(newest[: max(1, rules.min_keep)]):
        yield one, "the newest" if place == 0 else f"one of the newest {rules.min_keep} (min_keep)"
    for one in ours:
        if one.pinned is not None:
            yield one, f"pinned: {one.pinned}" if one.pinned else "pinned"
    # What was proven by a level stays proven: the newest backup that has reached it.
    levels = dict.fromkeys(level for one in ours for level in one.levels)
    last = {level: one for one in ours for level in one.levels}
    for one in ours:
        reached = [level for level in levels if last[level].id == one.id]
        if reached:
            yield one, f"the newest that is verified by {', '.join(reached)}"


def _ruled(ours: Sequence[Candidate], rules: Rules, now: datetime) -> _Reasons:
    given = rules.given
    newest = ours[::-1]
    for one in newest[: given.get("keep_last", 0)]:
        yield one, f"one of the last {rules.keep_last} (keep_last)"
    if rules.keep_days is not None:
        for one in ours:
            if now - one.taken_at <= timedelta(days=rules.keep_days):
                yield one, f"of the last {rules.keep_days} days (keep_days)"
    for rule, noun, name_of in _CALENDAR:
        periods: dict[str, Candidate] = {}
        for one in newest:
            periods.setdefault(name_of(one.taken_at), one)
        for name, one in list(periods.items())[: given.get(rule, 0)]:
            yield one, f"the last of the {noun} {name} ({rule})"


def _why_removed(one: Candidate, rules: Rules, now: datetime) -> str:
    asked = ", ".join(f"{name} {value}" for name, value in rules.given.items())
    return f"taken {(now - one.taken_at).days} days ago, kept by none of {asked}"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that another program takes: is the newest one whole, and young enough to go back to?

Its word is taken for what it says of itself. No answer, one that is not understood, and one that can't be true are
failures, never a backup.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

KINDS: Final = ("pgbackrest", "barman", "json")
# How far the clocks of two hosts may lie apart.
_SKEW: Final = timedelta(seconds=60)
_UNTOUCHED: Final = "Nothing was changed"
_ANOTHER: Final = "Take another one with that program"
# States of barman in which it still works: the backup before is what counts.
_AT_WORK: Final = ("EMPTY", "STARTED", "SYNCING")
_TIME: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T ](\d\d):?(\d\d):?(\d\d)(?:\.\d{1,9})?(?:(Z)|([+-])(\d\d):?(\d\d)?)", re.ASCII
)


class NotUnderstood(SlipwayError):
    """What the program printed is not what it is known to print."""


@dataclass(frozen=True)
class External:
    """One backup, as its program tells of it."""

    id: str
    state: str
    whole: bool
    # None for one that is not finished.
    finished_at: datetime | None
    bytes: int | None = None


@dataclass(frozen=True)
class Keys:
    """Where a JSON document has what must be known of a backup.

    :param list: key of the list in the document; empty when the document is the list, or the one backup.
    :param good: states of a backup that is whole.
    """

    list: str = ""
    id: str = "id"
    finished_at: str = "finished_at"
    state: str = "state"
    good: Sequence[str] = ()


@dataclass(frozen=True)
class Request:
    """What is wanted.

    :param name: stanza of pgbackrest, server of barman; empty when there is only one.
    :param command: what is run; empty for what the kind is asked by.
    :param before: the backup must be from before this moment, and its age is counted to it.
    """

    kind: str
    max_age_s: float
    name: str = ""
    command: tuple[str, ...] = ()
    before: str = ""
    keys: Keys = field(default_factory=Keys)
    timeout_s: float = 60.0

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is run.

        :raises InvalidOption: a value is out of its range.
        """
        if self.kind not in KINDS:
            raise InvalidOption("kind", self.kind, f"one of {', '.join(KINDS)}")
        if self.name.startswith("-"):
            raise InvalidOption("name", self.name, "a name that is no option")
        for option, value in [("max_age", self.max_age_s), ("timeout", self.timeout_s)]:
            if not (math.isfinite(value) and value > 0):
                raise InvalidOption(option, value, "a number of seconds above 0")
        if self.kind == "json" and not (self.command and self.keys.good):
            raise InvalidOption("kind", self.kind, "command and keys.good with it: nobody knows the program")
        if self.kind == "barman" and not (self.name or self.command):
            raise InvalidOption("name", self.name, "the server's name in barman's configuration")
        if self.before:
            try:
                parse_time(self.before, "before")
            except (ValueError, OverflowError):
                raise InvalidOption("before", self.before, "a time with its zone, as 20261121T160528Z") from None

    @property
    def argv(self) -> tuple[str, ...]:
        """What is run."""
        if self.command:
            return self.command
        if self.kind == "barman":
            return ("barman", "--format", "json", "list-backups", self.name)
        return ("pgbackrest", "info", "--output=json", *([f"--stanza={self.name}"] if self.name else []))

    def way_back(self, backup_id: str) -> str:
        """Return what brings a backup back: for people, since nothing here does it."""
        if self.kind == "pgbackrest":
            stanza = f"--stanza={self.name} " if self.name else ""
            return f"pgbackrest {stanza}--set={backup_id} restore"
        if self.kind == "barman":
            return f"barman recover {self.name} {backup_id} <directory>"
        return f"what {self.argv[0]} belongs to, for {backup_id}"


@dataclass(frozen=True)
class Found:
    """The backup that counts, its age in seconds, and the ids of newer ones that don't."""

    backup: External
    age_s: float
    passed_over: tuple[str, ...]

    @property
    def finished_at(self) -> datetime:
        """When it ended, in UTC."""
        return _finished(self.backup).astimezone(timezone.utc)

    def words(self, request: Request) -> str:
        """Say which backup stands in."""
        return (
            f"{request.kind} backup {self.backup.id} stands in: {self.backup.state}, it ended "
            f"{words_of_age(self.age_s)} before {request.before or 'now'}"
        )


def check(request: Request, runner: Runner, clock: Clock) -> Found:
    """Ask the program and judge what it says.

    :raises SlipwayError: there is no backup that counts; see the message.
    """
    request.validate()
    done = runner.run(request.argv, timeout_s=request.timeout_s)
    done.check(remedy="Without its answer it is not known whether there is a backup", untouched=_UNTOUCHED)
    return judge(parse(done.stdout, request), request, clock.utcnow())


def judge(backups: Sequence[External], request: Request, now: datetime) -> Found:
    """Return the newest finished backup when it is one to go back to.

    :param backups: the oldest first.
    :raises Refused: it is not.
    """
    moment = parse_time(request.before, "before") if request.before else now
    future = [one.id for one in backups if one.finished_at is not None and one.finished_at > now + _SKEW]
    if future:
        raise _refused(
            f"{', '.join(future)} would have ended in the future", "See the clocks of this host and of that one"
        )
    latest = backups[-1] if backups else None
    if latest is not None and latest.finished_at is None and not _at_work(latest):
        raise _refused(f"the newest, {latest.id}, is {latest.state}", _ANOTHER)
    finished = [one for one in backups if one.finished_at is not None]
    counted = [one for one in finished if not request.before or _finished(one) <= moment]
    if not counted:
        when = f" from before {request.before}" if request.before else ""
        raise _refused(f"it has no finished backup{when} among {len(backups)}", "Take one with that program")
    newest = counted[-1]
    if not newest.whole:
        raise _refused(f"the newest, {newest.id}, is {newest.state}", _ANOTHER)
    age = max(0.0, (moment - _finished(newest)).total_seconds())
    if age > request.max_age_s:
        raise _refused(
            f"the newest whole one, {newest.id}, ended {words_of_age(age)} before {request.before or 'now'}, and "
            f"{words_of_age(request.max_age_s)} are allowed (max_age)",
            _ANOTHER,
        )
    passed = tuple(one.id for one in backups[backups.index(newest) + 1 :])
    return Found(newest, age, passed)


def _at_work(one: External) -> bool:
    return one.state in _AT_WORK


def _finished(one: External) -> datetime:
    if one.finished_at is None:
        raise ValueError(f"{one.id} is not finished")
    return one.finished_at


def _refused(seen: str, remedy: str) -> Refused:
    return Refused(
        f"The external backup does not stand in: {seen}",
        untouched=_UNTOUCHED,
        remedy=f"{remedy}, then run this again",
        facts={"external": seen},
    )


def words_of_age(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"


# --- what the programs print -----------------------------------------------------------------------------------------


def parse(text: str, request: Request) -> list[External]:
    """Return the backups that an answer tells of, the oldest first.

    :raises NotUnderstood: it is not what the program is known to print.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise NotUnderstood(
            f"{request.argv[0]} printed what is no JSON ({error}): {text.strip()[:120]!r}",
            untouched=_UNTOUCHED,
            remedy="Run it by hand as the same user",
        ) from error
    try:
        return list(_PARSERS[request.kind](document, request))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise NotUnderstood(
            f"What {request.argv[0]} printed is not understood: {why}",
            untouched=_UNTOUCHED,
            remedy="Compare it with what this kind is known to print; another program is asked by kind: json",
        ) from error


def _pgbackrest(document: Any, request: Request) -> Iterator[External]:
    stanza = _only(_list(document, "the document"), request.name, "stanza")
    status = _mapping(stanza["status"], "status")
    if status["code"] != 0:
        raise _refused(f"stanza {stanza['name']} is not in order: {status['message']}", "See pgbackrest info")
    rows = [_mapping(row, "a backup") for row in _list(stanza["backup"], "backup")]
    for row in sorted(rows, key=lambda row: _number(row["timestamp"]["stop"])):
        # Without page checksums nobody can tell (null), and older versions do not say.
        damaged = row.get("error") is True
        yield External(
            id=_text(row["label"], "label"),
            state="damaged" if damaged else "ok",
            whole=not damaged,
            finished_at=_from_epoch(_number(row["timestamp"]["stop"])),
            bytes=row["info"]["size"],
        )


def _only(stanzas: Sequence[Any], name: str, what: str) -> Mapping[str, Any]:
    rows = [_mapping(row, f"a {what}") for row in stanzas]
    there = [str(row["name"]) for row in rows]
    chosen = [row for row in rows if not name or row["name"] == name]
    if len(chosen) != 1:
        raise ValueError(f"of {what}s {there} not exactly one is {name!r}: name it with the option name")
    return chosen[0]


def _barman(document: Any, request: Request) -> Iterator[External]:
    servers = _mapping(document, "the document")
    name = request.name or next(iter(servers), "")
    rows = [_mapping(row, "a backup") for row in _list(servers[name], name)]
    # Its ids are the times at which they began.
    for row in sorted(rows, key=lambda row: _text(row["backup_id"], "backup_id")):
        state = _text(row["status"], "status")
        whole = state == "DONE"
        # One that failed or is at work has no end.
        ended = _from_epoch(_number(row["end_time_timestamp"])) if whole or row.get("end_time_timestamp") else None
        yield External(row["backup_id"], state, whole, ended, row.get("size_bytes"))


def _json(document: Any, request: Request) -> Iterator[External]:
    keys = request.keys
    rows = _mapping(document, "the document")[keys.list] if keys.list else document
    rows = [rows] if isinstance(rows, Mapping) else _list(rows, keys.list or "the document")
    found = [_json_row(_mapping(row, "a backup"), keys) for row in rows]
    # One without an end is at work or has failed: which of them it can't be told, so it does not count.
    yield from (one for one in found if one.finished_at is None)
    yield from sorted((one for one in found if one.finished_at), key=_finished)


def _json_row(row: Mapping[str, Any], keys: Keys) -> External:
    state = _text(row[keys.state], keys.state)
    whole = state in keys.good
    told = row[keys.finished_at] if whole else row.get(keys.finished_at)
    ended = None if told is None else parse_time(told, keys.finished_at)
    if whole and ended is None:
        raise ValueError(f"{row[keys.id]} is {state} and has no {keys.finished_at}")
    return External(_text(row[keys.id], keys.id), state, whole, ended)


_PARSERS: Final[Mapping[str, Callable[[Any, Request], Iterator[External]]]] = {
    "pgbackrest": _pgbackrest,
    "barman": _barman,
    "json": _json,
}


def parse_time(value: Any, what: str) -> datetime:
    """Return a moment that is told in seconds since 1970 or by ISO 8601, with its zone.

    :raises ValueError: it is neither.
    """
    if isinstance(value, (int, float)) or (isinstance(value, str) and re.fullmatch(r"\d{9,11}", value, re.ASCII)):
        return _from_epoch(_number(value))
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{what} is {value!r}, and no time with a zone")
    parts = [int(part) for part in match.groups()[:6]]
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    zone = timezone(-offset if match[8] == "-" else offset)
    return datetime(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], tzinfo=zone)


def _from_epoch(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no time")
    return number


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{what} is no list")
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} is no object")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is {value!r} and no text")
    return value

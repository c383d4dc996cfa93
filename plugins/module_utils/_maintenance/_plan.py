# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance: what is asked for, what is remembered, what a balancer does, and what is to be done about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum

from ansible_collections.slipway.django.plugins.module_utils._deployment._times import for_people, from_text, to_text
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z")


class State(Enum):
    """Of a site: open to visitors, open with a window announced, or closed to them."""

    OFF = "off"
    ANNOUNCED = "announced"
    ON = "on"


def parse_moment(option: str, text: str) -> datetime:
    """Read a time of the day in UTC.

    :raises InvalidOption: it is none, or of no known zone.
    """
    accepted = "a time in UTC such as 2026-11-22T22:00Z"
    if not _MOMENT.fullmatch(text):
        raise InvalidOption(option, text, accepted)
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%MZ" if text.count(":") == 1 else "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        raise InvalidOption(option, text, f"{accepted} ({error})") from error
    return moment.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Window:
    """From when until when maintenance is planned."""

    begins: datetime
    ends: datetime

    def __str__(self) -> str:
        return f"{for_people(self.begins)} to {for_people(self.ends)}"

    def to_json(self) -> dict[str, object]:
        """For files and results."""
        return {"from": to_text(self.begins), "until": to_text(self.ends)}


def read_window(begins: str, ends: str) -> Window | None:
    """Read the two options that say when; None when neither is given.

    :raises InvalidOption: one is missing, or is no time in UTC.
    """
    if not begins and not ends:
        return None
    return Window(parse_moment("window_from", begins), parse_moment("window_until", ends))


@dataclass(frozen=True)
class Memory:
    """What lies beside the switch: the state that was asked for last, by whom, why and since when."""

    state: State = State.OFF
    since: datetime | None = None
    owner: str = ""
    reason: str = ""
    window: Window | None = None

    def to_json(self) -> dict[str, object]:
        """For files and results."""
        return {
            "state": self.state.value,
            "since": None if self.since is None else to_text(self.since),
            "owner": self.owner,
            "reason": self.reason,
            "window": None if self.window is None else self.window.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Memory:
        """Read what :meth:`to_json` wrote.

        :raises ValueError: it is something else.
        """
        window = document.get("window")
        if window is not None and not isinstance(window, Mapping):
            raise ValueError("window is no object")
        return cls(
            state=State(document["state"]),
            since=None if document.get("since") is None else from_text(str(document["since"])),
            owner=str(document.get("owner", "")),
            reason=str(document.get("reason", "")),
            window=None if window is None else Window(from_text(str(window["from"])), from_text(str(window["until"]))),
        )

    def in_words(self) -> str:
        """Since when, by whom, why."""
        since = "it is not known since when" if self.since is None else f"since {for_people(self.since)}"
        return since + (f", by {self.owner}" if self.owner else "") + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Request:
    """What is asked for. ``owner`` with OFF: only when that one has switched it on."""

    state: State
    owner: str = ""
    reason: str = ""
    window: Window | None = None

    def validate(self, now: datetime) -> None:
        """Return when it can be done at all.

        :raises InvalidOption: it can't.
        """
        if self.state is not State.ANNOUNCED:
            if self.window is not None:
                raise InvalidOption(
                    "window_from", to_text(self.window.begins), "none: only an announcement has a window"
                )
            return
        if self.window is None:
            raise InvalidOption("window_from", "", "a time in UTC, and window_until too: an announcement says when")
        if self.window.ends <= self.window.begins:
            raise InvalidOption(
                "window_until", to_text(self.window.ends), f"a time after {to_text(self.window.begins)}"
            )
        if self.window.ends <= now:
            raise InvalidOption("window_until", to_text(self.window.ends), f"a time to come; now is {to_text(now)}")


@dataclass(frozen=True)
class Observed:
    """One balancer at one moment."""

    memory: Memory
    # What a fresh process of the balancer would begin with; None: what is written there is not understood.
    kept: bool | None
    # Whether a visitor's request gets the maintenance page now: asked, not concluded.
    closed: bool

    def in_words(self) -> str:
        """What visitors get, and what is remembered."""
        return "visitors get the maintenance page" if self.closed else "visitors get the site"


@dataclass(frozen=True)
class Plan:
    """What will change, and why."""

    changed: bool
    reason: str
    memory: Memory
    closed: bool


def make_plan(observed: Observed, request: Request, now: datetime) -> Plan:
    """Decide what is to be done. Pure.

    :raises Refused: an announcement of what has begun.
    """
    make = {State.ON: _plan_on, State.OFF: _plan_off, State.ANNOUNCED: _plan_announced}[request.state]
    return make(observed, request, now)


def _plan_on(observed: Observed, request: Request, now: datetime) -> Plan:
    memory = observed.memory
    if memory.state is State.ON:
        wrong = _mismatch(observed, wanted=True)
        if not wrong:
            return Plan(False, f"It is on already, {memory.in_words()}", memory, True)
        return Plan(True, f"It is to be on, {memory.in_words()}; but {wrong}", memory, True)
    after = Memory(State.ON, now, request.owner, request.reason, memory.window)
    told = f", announced for {memory.window}" if memory.window is not None else ""
    return Plan(True, f"It is switched on{told}", after, True)


def _plan_off(observed: Observed, request: Request, now: datetime) -> Plan:
    memory = observed.memory
    if request.owner and memory.owner != request.owner and memory.state is not State.OFF:
        words = "on" if memory.state is State.ON else "announced"
        return Plan(False, f"It stays {words}, {memory.in_words()}", memory, observed.closed)
    wrong = _mismatch(observed, wanted=False)
    if memory.state is State.OFF and not wrong:
        return Plan(False, "It is off already", memory, False)
    after = Memory(State.OFF, now, request.owner, request.reason)
    if memory.state is State.ON:
        return Plan(True, f"It is switched off; it was on {memory.in_words()}", after, False)
    if memory.state is State.ANNOUNCED:
        return Plan(True, f"What was announced for {memory.window} is withdrawn", after, False)
    return Plan(True, f"It is to be off; but {wrong}", after, False)


def _plan_announced(observed: Observed, request: Request, now: datetime) -> Plan:
    memory = observed.memory
    if memory.state is State.ON or observed.closed:
        raise Refused(
            f"Maintenance is on, {memory.in_words()}",
            untouched="Nothing was changed",
            remedy="Announce what is to come; switch it off first",
        )
    after = Memory(State.ANNOUNCED, now, request.owner, request.reason, request.window)
    if replace(memory, since=now, owner=request.owner) == after:
        return Plan(False, f"It is announced already for {memory.window}, {memory.in_words()}", memory, False)
    before = f" instead of {memory.window}" if memory.window is not None else ""
    return Plan(True, f"It is announced for {request.window}{before}", after, False)


def _mismatch(observed: Observed, *, wanted: bool) -> str:
    """What is not as the switch should have it, in words; empty when all is."""
    if observed.closed is not wanted:
        return observed.in_words()
    if observed.kept is not wanted:
        kept = "what is written for it is not understood" if observed.kept is None else "it would be forgotten"
        return f"at a restart of the balancer {kept}"
    return ""

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switching maintenance on one balancer: observe, plan, apply, and ask as a visitor would."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._files import read_json, write_json
from ansible_collections.slipway.django.plugins.module_utils._maintenance._plan import (
    Memory,
    Observed,
    Plan,
    Request,
    make_plan,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, Judgement, Verdict, poll

_INTERVAL_S = 0.05
MEMORY = "switch.json"


class Driver(Protocol):
    """One kind of balancer."""

    def require_prepared(self) -> None:
        """Return when this user may use the switch and the balancer looks at it.

        :raises SlipwayError: not so.
        """

    def kept(self) -> bool | None:
        """What a fresh process of the balancer begins with; None: what is written is not understood."""

    def switch(self, closed: bool) -> None:
        """Write it for a fresh process, and tell the one that runs."""


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside. ``ask``: does a visitor's request get the maintenance page?"""

    driver: Driver
    directory: str
    ask: Callable[[], bool]
    clock: Clock
    lock: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Result:
    """What was done, or would be."""

    plan: Plan
    before: Observed
    waited_s: float = 0.0


def run(request: Request, tools: Tools, *, timeout_s: float, check_mode: bool) -> Result:
    """Bring one balancer to the state that is asked for; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what visitors get now, what to do.
    """
    request.validate(tools.clock.utcnow())
    require_directory(tools.directory)
    tools.driver.require_prepared()
    with tools.lock():
        before = Observed(_recall(tools.directory), tools.driver.kept(), tools.ask())
        plan = make_plan(before, request, tools.clock.utcnow())
        if check_mode or not plan.changed:
            return Result(plan, before)
        return Result(plan, before, _apply(plan, before, tools, timeout_s))


def require_directory(directory: str) -> None:
    """Return when this user may make files there.

    :raises Refused: it may not, or there is none.
    """
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
        raise Refused(
            f"The switch can't be used: this user may not make files in {directory}",
            untouched="Nothing was changed",
            remedy="Prepare the balancer (playbook provision, or role maintenance, prepare) and run this as its user",
            facts={"directory": directory},
        )


def _recall(directory: str) -> Memory:
    path = os.path.join(directory, MEMORY)
    document = read_json(path)
    if document is None:
        return Memory()
    try:
        return Memory.from_json(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SlipwayError(
            f"{path} is not what this module writes: {error}",
            untouched="Nothing was changed",
            remedy="Look at the file; remove it when it is of no use: then it is not known who has switched what",
            facts={"path": path},
        ) from error


def _apply(plan: Plan, before: Observed, tools: Tools, timeout_s: float) -> float:
    """Switch, and see that a visitor notices. Returns the seconds that it took."""
    started = tools.clock.monotonic()
    try:
        if plan.closed:
            # Who it was is written first: a switch that nobody owns could only be thrown back by hand.
            _remember(tools.directory, plan.memory)
        if plan.closed is not before.closed or plan.closed is not before.kept:
            tools.driver.switch(plan.closed)
            _see(plan, tools, timeout_s)
        if not plan.closed:
            _remember(tools.directory, plan.memory)
    except SlipwayError as error:
        raise SlipwayError(
            error.seen, untouched=_undo(before, tools), remedy=error.remedy, facts=error.facts
        ) from error
    return tools.clock.monotonic() - started


def _remember(directory: str, memory: Memory) -> None:
    path = os.path.join(directory, MEMORY)
    try:
        write_json(path, memory.to_json(), mode=0o644)
    except OSError as error:
        raise SlipwayError(
            f"{path} could not be written: {error}", remedy="See the disk space and the rights of its directory"
        ) from error


def _see(plan: Plan, tools: Tools, timeout_s: float) -> None:
    outcome = poll(
        tools.ask,
        lambda closed: Judgement(Verdict.SUCCESS if closed is plan.closed else Verdict.RETRY, ""),
        clock=tools.clock,
        interval_s=_INTERVAL_S,
        timeout_s=timeout_s,
    )
    if outcome.timed_out:
        wanted = "the maintenance page" if plan.closed else "the site"
        raise TimedOut(
            f"The balancer was told, and {timeout_s:g} s later visitors still do not get {wanted}",
            remedy="See that the switch of this directory is the one in the balancer's configuration",
        )


def _undo(before: Observed, tools: Tools) -> str:
    """Put the switch back as it was. Returns how it is now, in words."""
    try:
        tools.driver.switch(before.closed if before.kept is None else before.kept)
        _remember(tools.directory, before.memory)
        closed = tools.ask()
    except SlipwayError as error:
        return f"The switch could not be put back ({error.seen}): whether visitors get the site is not known"
    words = "visitors get the maintenance page" if closed else "visitors get the site"
    return f"The switch was put back: {words}"

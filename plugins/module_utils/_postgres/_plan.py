# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a backup, what has to be done for it, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _retention as retention
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Dumper
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection, bin_directories
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    FINGERPRINTS,
    LEVELS,
    Manifest,
    levels_up_to,
    require_label,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import Look, look
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.plugins.module_utils._postgres._snapshot import Asked
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# The lowest level after which a run may remove other backups.
_PROVEN: Final = "checksum"


@dataclass(frozen=True)
class Request:
    """What is wanted. ``label`` is for a backup that is taken, ``reference`` (latest, id or label) for one that is."""

    connection: Connection
    directory: str
    label: str = ""
    site: str = ""
    reference: str = ""
    verify: str = "schema"
    fingerprint: str = "counts"
    jobs: int = 1
    # None leaves the pin as it is.
    pin: bool | None = None
    force_pinned: bool = False
    shrink_guard: float = 0.5
    allow_shrink: bool = False
    rules: retention.Rules = field(default_factory=retention.Rules)
    timeout_s: float = 3600.0
    lock_wait_timeout_s: float = 30.0
    free_space_factor: float = 0.5

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked.

        :raises InvalidOption: a value is out of its range.
        """
        if not os.path.isabs(self.directory):
            raise InvalidOption("directory", self.directory, "an absolute path")
        for option, value, choices in [
            ("verify", self.verify, LEVELS),
            ("fingerprint", self.fingerprint, FINGERPRINTS),
        ]:
            if value not in choices:
                raise InvalidOption(option, value, f"one of {', '.join(choices)}")
        for option, number, least in [
            ("timeout", self.timeout_s, 1),
            ("lock_wait_timeout", self.lock_wait_timeout_s, 0.001),
            ("free_space_factor", self.free_space_factor, 0),
            ("jobs", self.jobs, 1),
        ]:
            if number < least:
                raise InvalidOption(option, number, f"a number that is at least {least:g}")
        if not 0 <= self.shrink_guard <= 1:
            raise InvalidOption("shrink_guard", self.shrink_guard, "a share between 0 and 1")
        if self.rules.given:
            self.rules.validate()
        self.connection.validate()

    def validate_label(self) -> None:
        """Refuse a label that is none.

        :raises InvalidOption: it is empty, a path, or means something else.
        """
        require_label(self.label)

    @property
    def format(self) -> str:
        """The format of pg_dump's archive: only directories are written by several jobs."""
        return "directory" if self.jobs > 1 else "custom"

    @property
    def proven(self) -> bool:
        """Whether what is asked for proves enough to let other backups go."""
        return LEVELS.index(self.verify) >= LEVELS.index(_PROVEN)


class Telling(Protocol):
    """Is told how far the work is."""

    def tell(self, phase: str, done: int = 0, total: int | None = None, text: str = "", *, unit: str = "bytes") -> None:
        """The work is in this phase, and so far."""


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    runner: Runner
    clock: Clock
    dumper: Dumper
    lock: Callable[[], AbstractContextManager[None]]
    progress: Telling
    session: Callable[[str, Connection, Clock], AbstractContextManager[Asked]] = Session
    bin_directories: Callable[[], list[str]] = bin_directories
    look: Look = look


@dataclass(frozen=True)
class Plan:
    """What has to be done: ``take``, ``verify`` further, ``pin``, ``remove``, ``prune`` or ``none``."""

    action: str
    levels: tuple[str, ...]
    reason: str
    # None leaves the pin as it is.
    pin: bool | None = None

    @property
    def changed(self) -> bool:
        return self.action != "none"


@dataclass(frozen=True)
class Result:
    """The backup that exists now, or would. ``backup`` is empty when none is meant or there is none."""

    plan: Plan
    backup: Mapping[str, Any]
    # What of it was there before, for the diff.
    before: Mapping[str, Any]
    # What was done or would be done, for people.
    words: str
    removed: tuple[str, ...] = ()
    # None when no retention was asked for.
    retention: retention.Plan | None = None
    retention_skipped: str = ""
    # Whether the server has room for what is tried there, as far as it is known; empty when nothing is.
    space: str = ""

    @property
    def changed(self) -> bool:
        return self.plan.changed or bool(self.removed) or (self.retention is not None and self.retention.changed)

    def but(self, **changes: Any) -> Result:
        """The same result, but for these."""
        return replace(self, **changes)


def make_plan(found: Manifest | None, request: Request, *, pinned: bool = False) -> Plan:
    """Decide by what is there about a backup that is to be there.

    :param pinned: whether the one that is there is pinned.
    """
    wanted = levels_up_to(request.verify)
    if found is None:
        reason = f"no backup of {request.connection.database} has the label {request.label}"
        return Plan("take", tuple(wanted), reason, True if request.pin else None)
    pin = None if request.pin in (None, pinned) else request.pin
    missing = tuple(level for level in wanted if level not in found.levels)
    if missing:
        reason = f"backup {found.id} is there and not yet verified by {', '.join(missing)}"
        return Plan("verify", missing, reason, pin)
    if pin is not None:
        return Plan("pin", (), f"backup {found.id} is there and {'not yet' if pin else 'still'} pinned", pin)
    return Plan("none", (), f"backup {found.id} of {found.taken_at} has the label {found.label}")


def plan_removal(found: Manifest | None, name: str, request: Request, *, pinned: str | None) -> Plan:
    """Decide by what is there about a backup that is to be gone."""
    if not name:
        return Plan("none", (), f"no backup of {request.connection.database} is {request.reference}")
    what = f"backup {name}" + (f" with the label {found.label}" if found else ", whose manifest is damaged,")
    why = f" and was pinned ({pinned})" if pinned is not None else ""
    return Plan("remove", (), f"{what} is there{why}")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of the copies, what the work needs, and what comes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._age import (
    Age,
    validate_identity,
    validate_recipients,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import LATEST
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import Copy
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import Store
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Decision, Rules


@dataclass(frozen=True)
class Request:
    """What is wanted. ``backup`` is ``latest``, an id or a label; ``rules`` are for ``pruned``."""

    state: str
    site: str
    database: str
    directory: str | None = None
    backup: str = LATEST
    recipients: tuple[str, ...] = ()
    identity: str | None = None
    rules: Rules = field(default_factory=Rules)
    timeout_s: float = 3600.0

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked.

        :raises InvalidOption: see above.
        """
        if self.timeout_s < 1:
            raise InvalidOption("timeout", self.timeout_s, "a number that is at least 1")
        if self.state == "pruned":
            self.rules.validate()
        elif self.directory is None or not os.path.isabs(self.directory):
            raise InvalidOption("directory", self.directory, "an absolute path")
        validate_recipients(self.recipients)
        if self.identity is not None:
            validate_identity(self.identity)

    @property
    def subject(self) -> str:
        """What the backups are of."""
        return f"{self.site}/{self.database}"


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    store: Store
    clock: Clock
    progress: Progress
    # Raises Refused where the program is not installed.
    age: Callable[[], Age]
    # Holds a lock on a directory; raises TimedOut when somebody else does.
    lock: Callable[[str], AbstractContextManager[None]]
    free: Callable[[str], int]


@dataclass(frozen=True)
class Result:
    """What was done, or would be.

    :param copy: the copy that is meant; empty for ``pruned``.
    :param copies: all complete copies of this site's database that are there now, or would be.
    """

    changed: bool
    reason: str
    words: str
    copy: Mapping[str, Any] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()
    incomplete: tuple[str, ...] = ()
    kept: tuple[Decision, ...] = ()
    removed: tuple[Decision, ...] = ()
    transferred: tuple[str, ...] = ()
    path: str | None = None
    warnings: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


class Deadline:
    """One for all steps."""

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._end = clock.monotonic() + timeout_s

    def remaining(self) -> float:
        """Seconds that are left, more than none.

        :raises TimedOut: it has passed.
        """
        left = self._end - self._clock.monotonic()
        if left <= 0:
            raise TimedOut(
                f"The copy did not end within {self._timeout_s:g} s",
                remedy="Raise timeout, and run it again: files that are there are not sent twice",
            )
        return left


class Meter:
    """Adds up what was moved, for the progress and the deadline. Called from several threads."""

    def __init__(self, tools: Tools, deadline: Deadline, phase: str, total: int) -> None:
        self._progress = tools.progress
        self._deadline = deadline
        self._phase = phase
        self._total = total
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._progress.tell(self._phase, self._done, self._total)
        self._deadline.remaining()

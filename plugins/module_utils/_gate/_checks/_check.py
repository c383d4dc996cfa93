# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all kinds of checks have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, Rule, Sample


@dataclass(frozen=True)
class Common:
    """What each check has, of whatever kind.

    :param path: of its options, for messages: ``checks[0]``.
    :param after: name of the check whose login it uses.
    """

    name: str
    kind: str
    path: str
    timeout_s: float
    rule: Rule
    action: Action
    after: str | None = None


class Check(Protocol):
    """One check. A file of this folder for each kind."""

    @property
    def common(self) -> Common:
        """Name, rule and time."""

    @property
    def instrument(self) -> bool:
        """True when it asks a measuring instrument: one that is away says nothing about the application."""

    def where(self) -> str:
        """Whom it asks, for messages. No secret is in it."""

    def expected(self) -> str:
        """What a good sample has, in words."""

    def facts(self) -> dict[str, object]:
        """What machines are told of it beside."""

    def look(self, watch: Watch) -> Sample:
        """Look once. Whatever it raises is named by ``_attempt``; it need not end in time, its sockets are shut.

        Programs do need to: they are given ``watch.program_s()``.
        """

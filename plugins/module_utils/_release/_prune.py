# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases go and which stay, each with its reason. The plan is a pure function."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._release._layout import is_release_name
from ansible_collections.slipway.django.plugins.module_utils._release._processes import Running

DEBRIS_AGE_S = 24 * 3600.0


@dataclass(frozen=True)
class Candidate:
    """A directory among the releases. ``built_at`` is empty when it holds no complete release."""

    name: str
    built_at: str
    age_s: float

    @property
    def complete(self) -> bool:
        return bool(self.built_at)


@dataclass(frozen=True)
class Holds:
    """What keeps releases: slots, processes, names that the caller protects."""

    slots: Mapping[str, str | None]
    live: str | None
    running: Running
    protected: Collection[str] = ()

    def reason(self, name: str) -> str | None:
        """Why a release must stay; None when nothing holds it."""
        for slot, release in self.slots.items():
            if release == name:
                return f"live, in slot {slot}" if slot == self.live else f"slot {slot} links to it"
        return self.running.reason(name) or ("protected by the caller" if name in self.protected else None)


@dataclass(frozen=True)
class Decision:
    """What happens to one directory, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Prune:
    """The plan."""

    remove: tuple[Decision, ...]
    keep: tuple[Decision, ...]


def plan_prune(candidates: Iterable[Candidate], holds: Holds, *, keep: int) -> Prune:
    """Decide for each directory. What is not known for sure stays.

    :param keep: how many of the newest complete releases stay, whatever else stays.
    """
    ordered = sorted(candidates, key=lambda candidate: (candidate.built_at, candidate.name), reverse=True)
    newest = [candidate.name for candidate in ordered if candidate.complete][:keep]
    remove: list[Decision] = []
    stay: list[Decision] = []
    for candidate in ordered:
        why = _why_keep(candidate, holds, newest)
        if why is None:
            remove.append(Decision(candidate.name, _why_remove(candidate, keep)))
        else:
            stay.append(Decision(candidate.name, why))
    return Prune(tuple(remove), tuple(stay))


def _why_keep(candidate: Candidate, holds: Holds, newest: Collection[str]) -> str | None:
    if not is_release_name(candidate.name):
        return "not the name of a release: not ours to remove"
    held = holds.reason(candidate.name)
    if held is not None:
        return held
    if candidate.name in newest:
        return f"among the newest {len(newest)}"
    if not candidate.complete and candidate.age_s <= DEBRIS_AGE_S:
        return "not complete, but younger than a day: it may still be wanted for a look"
    return None


def _why_remove(candidate: Candidate, keep: int) -> str:
    if candidate.complete:
        return f"older than the newest {keep}, and nothing uses it"
    return "not complete and older than a day: what is left of a build that failed"

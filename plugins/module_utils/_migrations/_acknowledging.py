# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person lets pass: one rule for one migration with a reason, in the inventory or in the migration's file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration

INVENTORY = "inventory"
FILE = "migration"
# Not a rule of the table: what the server begins in the run itself. It may be let pass before anybody has seen it.
UNFORESEEN = "unforeseen-work"
# Nor this: that rows were changed by hand as a migration would have changed them.
NOT_SEEN = "not-seen-in-schema"
_NO_RULES = frozenset({UNFORESEEN, NOT_SEEN})


@dataclass(frozen=True)
class Acknowledgement:
    """One exception.

    :param source: ``inventory`` or ``migration``: where it is written.
    """

    rule: str
    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.reason}"

    def as_dict(self) -> dict[str, str]:
        return dict(vars(self))


def granted(
    migration: Migration, rules: Collection[str], written: Mapping[str, str] | str
) -> tuple[Acknowledgement, ...]:
    """Return which of the rules that object to a migration are let pass.

    :param rules: those that object.
    :param written: in the inventory: reasons by rule, or one reason when one rule objects.
    """
    if isinstance(written, str):
        # One sentence can't be meant for rules that its writer has not seen.
        written = dict.fromkeys(rules, written) if len(rules) == 1 else {}
    reasons = {rule: (reason, FILE) for rule, reason in migration.acknowledged} | {
        rule: (reason, INVENTORY) for rule, reason in written.items()
    }
    return tuple(Acknowledgement(rule, *reasons[rule]) for rule in sorted(set(reasons) & {*rules, UNFORESEEN}))


class _Judged(Protocol):
    @property
    def migration(self) -> Migration: ...

    @property
    def ever_objecting(self) -> frozenset[str]: ...


def refuse_idle(plan: Sequence[_Judged], written: Mapping[str, Mapping[str, str] | str]) -> None:
    """Refuse an acknowledgement that no rule of the plan has asked for: its writer meant something else.

    A rule that objects to large tables only may be let pass everywhere. Migrations that are applied already are
    passed over.

    :raises Refused: one matches nothing.
    """
    idle = [text for judged in plan for text in _idle(judged, written.get(judged.migration.key, {}))]
    if idle:
        raise Refused(
            f"acknowledged, but nothing objects: {'; '.join(idle)}",
            untouched="Nothing was changed",
            remedy="Take the entry out, or name a rule that objects",
            facts={"idle": idle},
        )


def _idle(judged: _Judged, written: Mapping[str, str] | str) -> Iterator[str]:
    key, rules = judged.migration.key, judged.ever_objecting
    if judged.migration.backwards:
        return
    accepted = ", ".join(sorted(rules)) or "none"
    for where, given in ((INVENTORY, written), (FILE, dict(judged.migration.acknowledged))):
        if isinstance(given, str):
            if not rules:
                yield f"{key} in the {where} (its rules that object: none)"
            continue
        for rule in sorted(set(given) - rules - _NO_RULES):
            yield f"{key}: {rule} in the {where} (its rules that object: {accepted})"

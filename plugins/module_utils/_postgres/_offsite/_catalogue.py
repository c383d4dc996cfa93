# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which copies lie in the storage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import ID, LATEST
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import (
    MARK,
    REMOVING,
    Copy,
    DamagedMark,
    decode,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._store import NotThere, Store


@dataclass(frozen=True)
class Catalogue:
    """All below the prefix that looks like ours, the oldest first.

    :param damaged: ids whose mark can't be read: each might be the one that is looked for.
    :param unmarked: ids that were not sent to the end: an upload that runs or has died.
    :param removing: ids whose removal was begun and not ended.
    """

    copies: tuple[Copy, ...] = ()
    damaged: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()
    removing: tuple[str, ...] = ()

    @property
    def incomplete(self) -> tuple[str, ...]:
        return tuple(sorted((*self.damaged, *self.unmarked, *self.removing)))

    def of(self, subject: str) -> tuple[Copy, ...]:
        """The copies of one database of one site."""
        return tuple(copy for copy in self.copies if copy.subject == subject)


def look(store: Store) -> Catalogue:
    """Read all marks.

    :raises StorageFailed: the storage can't be asked.
    """
    groups = _by_id(store.names())
    copies: list[Copy] = []
    damaged: list[str] = []
    removing = [backup_id for backup_id, names in groups.items() if REMOVING in names]
    marked = [backup_id for backup_id, names in groups.items() if MARK in names and backup_id not in removing]
    for backup_id in marked:
        try:
            copies.append(decode(store.read(f"{backup_id}/{MARK}"), backup_id))
        except DamagedMark:
            damaged.append(backup_id)
        except NotThere:
            # Removed by somebody while we looked.
            continue
    unmarked = [backup_id for backup_id in groups if backup_id not in marked and backup_id not in removing]
    return Catalogue(tuple(copies), tuple(damaged), tuple(unmarked), tuple(removing))


def _by_id(names: Iterable[str]) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for name in sorted(names):
        backup_id, _slash, rest = name.partition("/")
        if rest and ID.fullmatch(backup_id):
            groups.setdefault(backup_id, set()).add(rest)
    return groups


def find(catalogue: Catalogue, subject: str, reference: str, *, where: str) -> Copy:
    """Return the copy that is meant by ``latest``, an id or a label.

    :raises Refused: there is none, or it might be one whose mark is damaged.
    """
    ours = catalogue.of(subject)
    by_id = [copy for copy in ours if copy.id == reference]
    if by_id:
        return by_id[0]
    if catalogue.damaged:
        raise Refused(
            f"The marks of {', '.join(catalogue.damaged)} in {where} are damaged, and {reference} might be one of them",
            untouched="Nothing was changed",
            remedy="Name an undamaged copy by its id",
            facts={"damaged": list(catalogue.damaged), "copies": [copy.id for copy in ours]},
        )
    found = list(ours) if reference == LATEST else [copy for copy in ours if copy.label == reference]
    if not found:
        there = ", ".join(f"{copy.id} ({copy.label})" for copy in ours) or "none"
        raise Refused(
            f"There is no copy {reference} of {subject} in {where}; there is {there}",
            untouched="Nothing was changed",
            remedy="See the name, the site, the database and the prefix",
            facts={"copies": [copy.id for copy in ours], "incomplete": list(catalogue.incomplete)},
        )
    return max(found, key=lambda copy: (copy.taken_at, copy.id))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done to bring configuration back. A pure plan: it is told what the backup and the host have."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import Declared, covered, covers
from ansible_collections.slipway.django.plugins.module_utils._configuration._tree import (
    DIRECTORY,
    FILE,
    SYMLINK,
    Entry,
    unknown_owners,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused


@dataclass(frozen=True)
class Change:
    """One path that is brought back. ``what`` differs now, in words."""

    entry: Entry
    before: Entry | None
    what: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is brought back, what can't be and need not be, and what the backup does not have."""

    changes: tuple[Change, ...]
    same: int
    # Pairs of path and reason.
    skipped: tuple[tuple[str, str], ...]
    extra: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    @property
    def reason(self) -> str:
        total = len(self.changes) + self.same
        differ = f"{len(self.changes)} of {total} paths differ from the backup" if self.changes else ""
        parts = [differ or f"all {total} paths are as in the backup"]
        if self.skipped:
            parts.append(f"{len(self.skipped)} optional ones are left out, their directories are gone")
        if self.extra:
            parts.append(f"{len(self.extra)} that the backup does not have stay as they are")
        return ", ".join(parts)

    @property
    def diff(self) -> dict[str, dict[str, str]]:
        """Paths, kinds, modes and owners; never what is in a file."""
        before = {one.entry.path: "absent" if one.before is None else _state(one.before, one) for one in self.changes}
        after = {one.entry.path: _state(one.entry, one, back=True) for one in self.changes}
        return {"before": before, "after": after}


def _state(entry: Entry, change: Change, *, back: bool = False) -> str:
    if entry.kind == SYMLINK:
        return f"{entry.words} to {entry.target}"
    if entry.kind == FILE and (change.before is None or "content" in change.what):
        return f"{entry.words}, content {'as in the backup' if back else 'of its own'}"
    return entry.words


def select(entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    """Return those that were chosen, all when none was.

    :raises Refused: the backup has nothing by a name that was chosen.
    """
    unknown = [path for path in only if not any(covers(path, entry.path) for entry in entries)]
    if unknown:
        raise Refused(
            f"The backup has no {', '.join(unknown)}",
            untouched="Nothing was changed",
            remedy="Choose among what it has: see its manifest.json, or leave only away",
            facts={"unknown": unknown},
        )
    return [entry for entry in entries if not only or covered(only, entry.path)]


def require_declared(entries: Iterable[Entry], patterns: Sequence[str]) -> None:
    """Return when all of them are declared on this host.

    :raises Refused: one is not. A backup must not lead root to write where nobody expects it.
    """
    outside = [entry.path for entry in entries if not covered(patterns, entry.path)]
    if outside:
        raise Refused(
            f"The backup has paths that are not declared as configuration of this host: {_named(outside)}",
            untouched="Nothing was changed",
            remedy="Declare them in paths, or choose others with only",
            facts={"outside": outside},
        )


def make_plan(
    entries: Sequence[Entry],
    current: Mapping[str, Entry],
    declared: Sequence[Declared],
    *,
    is_directory: Callable[[str], bool],
    missing_owners: Callable[[Entry], Collection[str]] = unknown_owners,
) -> Plan:
    """Decide about each entry of the backup.

    :param current: what is there now, by its path.
    :param declared: by real patterns, with what is optional among them.
    :param is_directory: whether something outside of ``current`` is a directory.
    :raises Refused: something stands in the way; all of it is named.
    """
    changes, same, skipped, problems = [], 0, [], []
    made = {entry.path for entry in entries if entry.kind == DIRECTORY}
    for entry in entries:
        before = current.get(entry.path)
        parent = os.path.dirname(entry.path)
        if before is None and parent not in made and not is_directory(parent):
            if _optional(entry.path, declared):
                skipped.append((entry.path, f"{parent} is gone"))
            else:
                problems.append(f"{entry.path} can't be put where {parent} is no directory")
            continue
        problem = _problem(entry, before, missing_owners)
        what = _difference(entry, before)
        if problem:
            problems.append(problem)
        elif what:
            changes.append(Change(entry, before, what))
        else:
            same += 1
    if problems:
        raise Refused(
            f"The configuration can't be brought back: {'; '.join(problems)}",
            untouched="Nothing was changed",
            remedy="Mend this, or choose other paths with only",
            facts={"problems": problems},
        )
    known = {entry.path for entry in entries}
    return Plan(tuple(changes), same, tuple(skipped), tuple(path for path in current if path not in known))


def _optional(path: str, declared: Sequence[Declared]) -> bool:
    return all(one.optional for one in declared if covers(one.path, path))


def _problem(entry: Entry, before: Entry | None, missing_owners: Callable[[Entry], Collection[str]]) -> str:
    if before is not None and before.kind != entry.kind and DIRECTORY in (before.kind, entry.kind):
        return f"{entry.path} was a {entry.kind} and is a {before.kind} now: move it away"
    missing = missing_owners(entry)
    if missing:
        return f"{entry.path} belongs to {' and '.join(missing)}, not known on this host"
    return ""


def _difference(entry: Entry, before: Entry | None) -> tuple[str, ...]:
    if before is None:
        return ("absent",)
    if before.kind != entry.kind:
        return (f"{before.kind} instead of {entry.kind}", "content")
    found = []
    if (entry.sha256, entry.target) != (before.sha256, before.target):
        found.append("content" if entry.kind == FILE else "target")
    if entry.mode != before.mode:
        found.append(f"mode {before.mode} instead of {entry.mode}")
    if (entry.owner, entry.group) != (before.owner, before.group):
        found.append(f"{before.owner}:{before.group} instead of {entry.owner}:{entry.group}")
    return tuple(found)


def _named(paths: Sequence[str], most: int = 10) -> str:
    more = len(paths) - most
    return ", ".join(paths[:most]) + (f" and {more} more" if more > 0 else "")

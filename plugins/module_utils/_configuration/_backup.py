# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of one host as a state: backed up under a label, or brought back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._configuration import _plan as plans
from ansible_collections.slipway.django.plugins.module_utils._configuration import _store as store
from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import (
    Declared,
    covered,
    expand,
    real,
    require_plain,
    validate,
)
from ansible_collections.slipway.django.plugins.module_utils._configuration._store import Manifest
from ansible_collections.slipway.django.plugins.module_utils._configuration._tree import (
    DIRECTORY,
    Entry,
    Unusable,
    keep_time,
    put,
    read,
    walk,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import size_in_words
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _retention as retention
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import Damaged
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    LATEST,
    new_id,
    remove,
    require_label,
)

STATES: Final = ("present", "restored")
# What a tar has beside the files: a header and a PAX header each.
_OVERHEAD: Final = 4096
# What the label of a backup begins with that a restore has made.
_SAVED: Final = "before-restore-"


@dataclass(frozen=True)
class Request:
    """What is wanted. ``label`` is for a backup that is taken, ``reference`` (latest, id or label) for one that is."""

    directory: str
    site: str
    paths: tuple[Declared, ...]
    label: str = ""
    reference: str = ""
    # Which paths of the backup are brought back; none means all.
    only: tuple[str, ...] = ()
    rules: retention.Rules = field(default_factory=retention.Rules)
    max_bytes: int = 64 << 20

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is looked at.

        :raises InvalidOption: a value is out of its range.
        """
        require_plain("directory", self.directory)
        validate(self.paths, self.directory)
        for path in self.only:
            require_plain("only", path)
        if self.max_bytes < 1:
            raise InvalidOption("max_bytes", self.max_bytes, "a number that is at least 1")
        if self.rules.given:
            self.rules.validate()


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    clock: Clock
    host: str
    lock: Callable[[], AbstractContextManager[None]]
    free: Callable[[str], int]


@dataclass(frozen=True)
class Result:
    """The backup that is meant, and what was or would be done."""

    changed: bool
    words: str
    reason: str
    backup: Mapping[str, Any]
    diff: Mapping[str, Any]
    removed: tuple[str, ...] = ()
    retention: retention.Plan | None = None
    restore: plans.Plan | None = None
    # The backup of the state before a restore; empty without one.
    saved: str = ""


@dataclass(frozen=True)
class _Survey:
    """What is declared and there, what is optional and not, and all that stands in the way."""

    items: tuple[tuple[Entry, bytes], ...]
    absent: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def entries(self) -> list[Entry]:
        return [entry for entry, _content in self.items]


def survey(paths: Sequence[Declared], max_bytes: int) -> _Survey:
    """Read all that is declared."""
    found: dict[str, tuple[Entry, bytes]] = {}
    absent: list[str] = []
    missing: list[str] = []
    problems: list[str] = []
    left = max_bytes
    for one in paths:
        tops = expand(real(one.path))
        if not tops:
            (absent if one.optional else missing).append(one.path)
        for path in [path for top in tops for path in walk(top) if path not in found]:
            try:
                path.encode()
                found[path] = read(path, left)
                left -= found[path][0].bytes
            except UnicodeEncodeError:
                problems.append(f"the name {path!r} is no UTF-8")
            except Unusable as error:
                problems.append(error.seen)
    items = tuple(found[path] for path in sorted(found))
    return _Survey(items, tuple(absent), tuple(missing), tuple(problems))


def run(request: Request, tools: Tools, *, check_mode: bool, state: str = "present") -> Result:
    """See to it that the state holds; in check mode say what that would mean.

    :param state: ``present`` (a backup has the label) or ``restored`` (the paths are as in the backup that is meant).
    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    try:
        if state == "present":
            require_label(request.label)
            return _Taking(request, tools).run(check_mode)
        return _Restoring(request, tools).run(check_mode)
    except OSError as error:
        raise SlipwayError(
            f"The configuration can't be read or written: {error}",
            untouched="Earlier backups are as they were, and each file is as it was or as in the backup",
            remedy="See the disk and the rights; this runs as root",
        ) from error


class _Directory:
    """The directory of the backups: root's alone, since environment files hold secrets."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request, self._tools = request, tools
        self.path = request.directory

    def require_private(self) -> None:
        """Return when nobody else can look in, or it is to be made.

        :raises Refused: others can, or it can't be made.
        """
        try:
            seen = os.lstat(self.path)
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(self.path)):
                return
            raise Refused(
                f"{os.path.dirname(self.path)} is no directory, so {self.path} can't be made",
                untouched="Nothing was changed",
                remedy="See its name",
            ) from None
        if seen.st_uid != os.geteuid() or seen.st_mode & 0o077 or not os.path.isdir(self.path):
            raise Refused(
                f"{self.path} is not a directory of this user alone (its mode is "
                f"{seen.st_mode & 0o7777:04o}, its owner uid {seen.st_uid})",
                untouched="Nothing was changed",
                remedy=f"It will hold secrets: chown root:root {self.path}, chmod 0700 {self.path}",
                facts={"directory": self.path},
            )

    def found(self, reference: str) -> Manifest | None:
        """Return the backup that is meant, or None. The latest is none that a restore has made, else the same task
        again would undo what it has done.
        """
        ours = [manifest for manifest in store.read_all(self.path) if manifest.site == self._request.site]
        if reference == LATEST:
            ours = [m for m in ours if not m.label.startswith(_SAVED)]
        else:
            ours = [m for m in ours if m.id == reference] or [m for m in ours if m.label == reference]
        return ours[-1] if ours else None

    def labelled(self) -> Manifest | None:
        ours = [m for m in store.read_all(self.path) if (m.site, m.label) == (self._request.site, self._request.label)]
        return ours[-1] if ours else None

    def planned(self, seen: _Survey, label: str) -> Manifest:
        """The backup that a survey makes."""
        now = self._tools.clock.utcnow()
        return Manifest(
            id=new_id(now),
            label=label,
            site=self._request.site,
            host=self._tools.host,
            taken_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            paths=[one.path for one in self._request.paths],
            absent=list(seen.absent),
            bytes=0,
            sha256="",
            entries=seen.entries,
        )

    def require_takeable(self, seen: _Survey, *, missing: Sequence[str]) -> None:
        """Return when all that is declared can be written here.

        :raises Refused: all that stands in the way is named.
        """
        existing = self.path if os.path.isdir(self.path) else os.path.dirname(self.path)
        needed = sum(entry.bytes + _OVERHEAD for entry in seen.entries)
        free = self._tools.free(existing)
        problems = [*(f"{path} is declared and not there" for path in missing), *seen.problems]
        if free < needed:
            problems.append(f"{size_in_words(free)} are free in {existing} and {size_in_words(needed)} are wanted")
        if problems:
            raise Refused(
                f"The configuration can't be backed up: {'; '.join(problems)}",
                untouched="Nothing was changed",
                remedy="Mend this; what may be missing is declared with optional: true",
                facts={"problems": problems},
            )

    def require_whole(self, found: Manifest, untouched: str) -> None:
        store.require_whole(self.path, found, untouched=untouched)

    def retained(self, taken: Manifest | None, *, check_mode: bool) -> retention.Plan | None:
        """Remove what no rule keeps, or say what would be.

        :param taken: the backup that would be there; None when it is.
        """
        if not self._request.rules.given:
            return None
        ours = [m for m in store.read_all(self.path) if m.site == self._request.site]
        candidates = [_candidate(manifest) for manifest in [*ours, *([taken] if taken else [])]]
        plan = retention.make_plan(
            candidates, self._request.rules, database=self._request.site, now=self._tools.clock.utcnow()
        )
        for decision in () if check_mode else plan.removed:
            remove(self.path, decision.id)
        return plan


def _candidate(manifest: Manifest) -> retention.Candidate:
    taken_at = datetime.strptime(manifest.taken_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return retention.Candidate(manifest.id, taken_at, manifest.site, manifest.label)


class _Taking:
    """Sees to it that a backup has the label."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request, self._tools = request, tools
        self._directory = _Directory(request, tools)

    def run(self, check_mode: bool) -> Result:
        self._directory.require_private()
        if check_mode:
            return self._look(())
        if not os.path.isdir(self._request.directory):
            self._planned()  # What is refused leaves no directory behind.
            os.makedirs(self._request.directory, mode=0o700)
        with self._tools.lock():
            return self._carry_out()

    def _look(self, removed: tuple[str, ...]) -> Result:
        found = self._directory.labelled()
        if found is not None:
            return self._there(found, removed, check_mode=True)
        planned, _seen = self._planned()
        kept = self._directory.retained(planned, check_mode=True)
        return self._result(planned, self._reason_to_take, kept, removed, taken=True)

    @property
    def _reason_to_take(self) -> str:
        return f"no backup of the configuration has the label {self._request.label}"

    def _planned(self) -> tuple[Manifest, _Survey]:
        seen = survey(self._request.paths, self._request.max_bytes)
        self._directory.require_takeable(seen, missing=seen.missing)
        return self._directory.planned(seen, self._request.label), seen

    def _carry_out(self) -> Result:
        removed = tuple(store.remove_leftovers(self._request.directory))
        found = self._directory.labelled()
        if found is not None:
            return self._there(found, removed, check_mode=False)
        planned, seen = self._planned()
        taken = store.publish(self._request.directory, planned, seen.items)
        kept = self._directory.retained(None, check_mode=False)
        return self._result(taken, self._reason_to_take, kept, removed, taken=True)

    def _there(self, found: Manifest, removed: tuple[str, ...], *, check_mode: bool) -> Result:
        self._directory.require_whole(
            found,
            f"Backup {found.id} with the label {found.label} was left as it is, and no other one was taken in its "
            "place: by now the configuration may be another",
        )
        kept = self._directory.retained(None, check_mode=check_mode)
        return self._result(found, f"backup {found.id} of {found.taken_at} has the label {found.label}", kept, removed)

    def _result(
        self,
        manifest: Manifest,
        reason: str,
        kept: retention.Plan | None,
        removed: tuple[str, ...],
        *,
        taken: bool = False,
    ) -> Result:
        words = (
            f"configuration backup {manifest.id} with the label {manifest.label} has {len(manifest.entries)} paths, "
            f"{size_in_words(sum(entry.bytes for entry in manifest.entries))}"
        )
        told = {"id": manifest.id, "label": manifest.label}
        pruned = {"removed": [one.id for one in kept.removed]} if kept and kept.removed else {}
        return Result(
            changed=taken or bool(removed) or (kept is not None and kept.changed),
            words=words if taken else reason,
            reason=reason,
            backup=manifest.summary(os.path.join(self._request.directory, manifest.id)),
            diff={"before": {} if taken else told, "after": {**told, **pruned}},
            removed=removed,
            retention=kept,
        )


class _Restoring:
    """Brings paths back to what the backup has. What is there now is backed up first."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request, self._tools = request, tools
        self._directory = _Directory(request, tools)
        self._declared = [Declared(real(one.path), one.optional) for one in request.paths]
        self._only = [real(path) for path in request.only]

    def run(self, check_mode: bool) -> Result:
        self._directory.require_private()
        found, plan, _seen = self._look()
        if check_mode or not plan.changed:
            return self._result(found, plan, plan.reason)
        with self._tools.lock():
            removed = tuple(store.remove_leftovers(self._request.directory))
            # Somebody may have worked here while we looked.
            found, plan, seen = self._look()
            return replace(self._carry_out(found, plan, seen), removed=removed)

    def _look(self) -> tuple[Manifest, plans.Plan, _Survey]:
        found = self._directory.found(self._request.reference)
        if found is None:
            raise self._unknown()
        self._directory.require_whole(found, "Nothing was changed")
        entries = plans.select(found.entries, self._only)
        plans.require_declared(entries, [one.path for one in self._declared])
        seen = survey(self._request.paths, self._request.max_bytes)
        # What is missing may be what is to come back.
        self._directory.require_takeable(seen, missing=())
        current = {entry.path: entry for entry in seen.entries if self._chosen(entry.path)}
        return found, plans.make_plan(entries, current, self._declared, is_directory=_is_real_directory), seen

    def _chosen(self, path: str) -> bool:
        return not self._only or covered(self._only, path)

    def _unknown(self) -> Refused:
        there = [f"{manifest.id} ({manifest.label})" for manifest in store.read_all(self._request.directory)]
        return Refused(
            f"No backup of the configuration of {self._request.site} in {self._request.directory} is "
            f"{self._request.reference}",
            untouched="Nothing was changed",
            remedy=f"There are: {', '.join(there[-10:])}" if there else "There are none",
            facts={"there": there},
        )

    def _carry_out(self, found: Manifest, plan: plans.Plan, seen: _Survey) -> Result:
        planned = self._directory.planned(seen, "")
        saved = store.publish(self._request.directory, replace(planned, label=_SAVED + planned.id), seen.items)
        done: list[str] = []
        try:
            self._put(found, plan, done)
            self._require_restored(found)
        except (SlipwayError, OSError) as error:
            raise self._stopped(found, plan, saved, done, error) from error
        words = (
            f"{len(plan.changes)} paths are as in backup {found.id} ({found.label}) again; "
            f"what was there before is backup {saved.id}"
        )
        return replace(self._result(found, plan, words), saved=saved.id)

    def _put(self, found: Manifest, plan: plans.Plan, done: list[str]) -> None:
        archive = os.path.join(self._request.directory, found.id, store.ARCHIVE)
        for entry, content in store.contents(archive, [change.entry for change in plan.changes]):
            put(entry, content)
            done.append(entry.path)
        # The innermost first: what is put into a directory changes its time.
        for change in reversed(plan.changes):
            if change.entry.kind == DIRECTORY:
                keep_time(change.entry)

    def _require_restored(self, found: Manifest) -> None:
        left = self._look()[1].changes
        if left:
            raise Damaged(f"After it {', '.join(change.entry.path for change in left)} differ from backup {found.id}")

    def _stopped(
        self, found: Manifest, plan: plans.Plan, saved: Manifest, done: Sequence[str], error: Exception
    ) -> SlipwayError:
        why = error.seen if isinstance(error, SlipwayError) else str(error)
        return SlipwayError(
            f"The restore of backup {found.id} stopped after {len(done)} of {len(plan.changes)} paths: {why}",
            untouched="Each path is whole, as it was or as in the backup",
            remedy=f"The same task again goes on. What was there before is backup {saved.id}",
            facts={"restored": list(done), "saved": saved.id},
        )

    def _result(self, found: Manifest, plan: plans.Plan, words: str) -> Result:
        return Result(
            changed=plan.changed,
            words=words,
            reason=plan.reason,
            backup=found.summary(os.path.join(self._request.directory, found.id)),
            diff=plan.diff,
            restore=plan,
        )


def _is_real_directory(path: str) -> bool:
    return os.path.isdir(path) and os.path.realpath(path) == path

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as a state: there and verified, gone, or as many as rules keep. Looked at first, changed under a lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._files import size_in_words
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres import _retention as retention
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import free
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    client_for,
    find_clients,
    find_psql,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import complete, require_files
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Entry, Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import (
    Plan,
    Request,
    Result,
    Tools,
    make_plan,
    plan_removal,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._problems import problems
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import Room, throw_away_needs
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import room as make_room
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, Source
from ansible_collections.slipway.django.plugins.module_utils._postgres._work import Means, Work, pin_reason

STATES: Final = ("present", "verified", "absent", "pruned")


def run(request: Request, tools: Tools, *, check_mode: bool, state: str = "present") -> Result:
    """See to it that the state holds; in check mode say what that would mean.

    :param state: ``present`` (a verified backup has the label), ``verified`` (the one that is meant is whole and has
        reached a level), ``absent``, or ``pruned`` (none is there that no rule keeps).
    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    if state == "absent":
        return _Removal(request, tools).run(check_mode)
    if state == "pruned":
        request.rules.validate()
        return _Pruning(request, tools).run(check_mode)
    if state == "present":
        request.validate_label()
    return _Run(request, tools, taking=state == "present").run(check_mode)


@dataclass(frozen=True)
class _Looked:
    """What was found, what is to be done about it, and the means; None when no server is needed."""

    found: Manifest | None
    previous: Manifest | None
    plan: Plan
    work: Work | None

    def predicted(self, directory: str) -> Result:
        """What would be."""
        backup = self.work.predicted(self.found, self.previous) if self.work else {}
        if self.found is not None:
            backup = {**self.found.summary(os.path.join(directory, self.found.id)), **backup}
        return Result(self.plan, backup, _for_diff(self.found), self.plan.reason)


class _Directory:
    """The directory of the backups, and the lock on it."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._tools = tools

    def path(self, name: str) -> str:
        return os.path.join(self._request.directory, name)

    def locked(self, work: Callable[[], Result]) -> Result:
        """Work under the lock. What the disk refuses is told as such.

        :raises SlipwayError: the directory can't be used.
        """
        try:
            os.makedirs(self._request.directory, mode=0o700, exist_ok=True)
            with self._tools.lock():
                return work()
        except OSError as error:
            raise SlipwayError(
                f"The directory {self._request.directory} can't be used: {error}",
                untouched="Earlier backups and the database are as they were",
                remedy="See its disk and its rights",
                facts={"directory": self._request.directory},
            ) from error

    def existing(self) -> str:
        """The directory, or the one in which it will be made."""
        directory = self._request.directory
        return directory if os.path.isdir(directory) else os.path.dirname(directory)

    def require(self) -> None:
        """Return when files can be made there.

        :raises Refused: they can't.
        """
        directory = self.existing()
        if not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise Refused(
                f"Backups can't be written to {self._request.directory}: this user may not make files in {directory}",
                untouched="Nothing was changed",
                remedy="Make the directory and give it to the user that runs this task",
                facts={"directory": self._request.directory},
            )

    def retained(self, result: Result, *, check_mode: bool, shrunk: str = "") -> Result:
        """Remove what no rule keeps. Last of all, and only after what is there now was proven."""
        rules = self._request.rules
        if not rules.given:
            return result
        skipped = ""
        if not self._request.proven:
            skipped = f"a backup that is verified by no more than {self._request.verify} replaces no other one"
        elif shrunk:
            skipped = shrunk
        if skipped:
            return result.but(retention=retention.Plan((), ()), retention_skipped=f"nothing was removed: {skipped}")
        plan = self.plan_retention(result if check_mode else None)
        if not check_mode:
            self.remove(plan)
        return result.but(retention=plan)

    def plan_retention(self, predicted: Result | None) -> retention.Plan:
        """Return which backups stay and which go, counting one that would be taken."""
        request = self._request
        entries = [entry for entry in manifests.scan(request.directory) if not entry.leftover]
        candidates = [_candidate(entry, request.connection.database) for entry in entries]
        if predicted is not None and predicted.plan.action == "take":
            new = str(predicted.backup["id"])
            database, levels = request.connection.database, manifests.levels_up_to(request.verify)
            candidates.append(retention.Candidate(new, _of_id(new), database, request.label, tuple(levels)))
        now = self._tools.clock.utcnow()
        return retention.make_plan(candidates, request.rules, database=request.connection.database, now=now)

    def remove(self, plan: retention.Plan) -> None:
        for decision in plan.removed:
            self._tools.progress.tell("retention", text=decision.id)
            manifests.remove(self._request.directory, decision.id)


def _candidate(entry: Entry, database: str) -> retention.Candidate:
    """A backup as retention sees it. One that can't be read might be of this database."""
    found = entry.manifest
    if found is None:
        return retention.Candidate(entry.name, _of_id(entry.name), database, pinned=entry.pinned, complete=False)
    return retention.Candidate(
        id=entry.name,
        taken_at=datetime.strptime(found.taken_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc),
        database=found.database,
        label=found.label,
        levels=tuple(found.levels),
        pinned=entry.pinned,
        complete=complete(entry.path, found.files),
    )


def _of_id(backup_id: str) -> datetime:
    return datetime.strptime(backup_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)


class _Run:
    """One run that takes or verifies. Its deadline is one for all steps."""

    def __init__(self, request: Request, tools: Tools, *, taking: bool) -> None:
        self._request = request
        self._tools = tools
        self._taking = taking
        self._deadline = tools.clock.monotonic() + request.timeout_s
        self._directory = _Directory(request, tools)
        self._directories = tools.bin_directories()
        # What is known of the server's room; empty when nothing is tried there.
        self._space = ""

    def run(self, check_mode: bool) -> Result:
        return self._run(check_mode).but(space=self._space)

    def _run(self, check_mode: bool) -> Result:
        self._directory.require()
        looked = self._look()
        if check_mode:
            return self._directory.retained(looked.predicted(self._request.directory), check_mode=True)
        if not looked.plan.changed and not self._request.rules.given:
            return looked.predicted(self._request.directory)
        return self._directory.locked(lambda: self._carry_out(looked))

    def _find(self) -> Manifest | None:
        request = self._request
        if self._taking:
            return manifests.find_label(request.directory, request.connection.database, request.label)
        found = manifests.find(request.directory, request.connection.database, request.reference)
        if found is None:
            raise Refused(
                f"No backup of {request.connection.database} in {request.directory} is {request.reference}",
                untouched="Nothing was changed",
                remedy="Name another one by its id or label: slipway.django.pg_backup_info lists them",
            )
        return found

    def _look(self) -> _Looked:
        found = self._find()
        pinned = None
        if found is not None:
            self._require_whole(found)
            pinned = manifests.pinned(self._directory.path(found.id))
        plan = make_plan(found, self._request, pinned=pinned is not None)
        if plan.action in ("none", "pin"):
            return _Looked(found, None, plan, None)
        return _Looked(found, self._previous(), plan, Work(self._request, self._tools, self._means(found, plan)))

    def _previous(self) -> Manifest | None:
        request = self._request
        return manifests.find(request.directory, request.connection.database, manifests.LATEST)

    def _means(self, found: Manifest | None, plan: Plan) -> Means:
        """Ask the server and its programs, and refuse when anything stands in the way.

        :raises Refused: it names everything at once.
        """
        psql = find_psql(self._directories)
        database = Database(psql, self._request.connection, self._tools.runner)
        source = database.source()
        clients = find_clients(self._directories, self._tools.runner)
        free_bytes = free(self._directory.existing()) if found is None else None
        room = self._room(source, plan, writes=found is None)
        standing = [*problems(source, clients, self._request, plan.levels, free_bytes), *room.problems]
        self._space = room.words
        client = client_for(source.major, clients)
        if standing or client is None:
            raise _refusal(self._request, standing)
        return Means(psql, database, source, client, self._remaining)

    def _room(self, source: Source, plan: Plan, *, writes: bool) -> Room:
        """Whether the server has room for the throw-away database."""
        needs, level = throw_away_needs(source, plan.levels, self._request.connection, self._tools.look)
        archive = None
        if writes:
            volume = self._tools.look(self._directory.existing())
            archive = (volume.device, int(source.size * self._request.free_space_factor))
        return make_room(needs, level, archive)

    def _carry_out(self, looked: _Looked) -> Result:
        # Somebody may have taken it while we looked.
        if self._find() != looked.found:
            looked = self._look()
        ids = [entry.name[: len("20261121T160529.213Z")] for entry in manifests.scan(self._request.directory)]
        removed = tuple(manifests.remove_leftovers(self._request.directory))
        if looked.work is not None:
            removed += tuple(looked.work.drop_leftovers(ids))
        result, shrunk = self._done(looked)
        return self._directory.retained(result.but(removed=removed), check_mode=False, shrunk=shrunk)

    def _done(self, looked: _Looked) -> tuple[Result, str]:
        """Do what the plan says. Returns also how far the database has shrunk."""
        found, plan, shrunk = looked.found, looked.plan, ""
        if looked.work is None and found is not None:
            manifest = found
        elif looked.work is None:
            return looked.predicted(self._request.directory), ""
        elif found is None:
            taken = looked.work.take(looked.previous)
            manifest, shrunk = taken.manifest, taken.shrunk
        else:
            manifest = looked.work.verify_further(found, plan)
        path = self._directory.path(manifest.id)
        if found is not None and plan.pin is not None:
            self._pin(path, wanted=plan.pin)
        words = _words(manifest) if plan.changed else plan.reason
        return Result(plan, manifest.summary(path), _for_diff(found), words), shrunk

    def _pin(self, path: str, *, wanted: bool) -> None:
        if wanted:
            manifests.pin(path, pin_reason(self._request))
        else:
            os.unlink(os.path.join(path, manifests.PINNED))

    def _remaining(self) -> float:
        remaining = self._deadline - self._tools.clock.monotonic()
        if remaining <= 0:
            raise TimedOut(f"The backup was not ready within {self._request.timeout_s:g} s")
        return remaining

    def _require_whole(self, found: Manifest) -> None:
        path = self._directory.path(found.id)
        self._tools.progress.tell("verify", text="digests")
        kept = f"Backup {found.id} with the label {found.label} was left as it is"
        if self._taking:
            kept += ", and no other one was taken in its place: by now the database may be another"
        remedy = f"Bring an undamaged copy of {path}"
        if self._taking:
            remedy += ". If the database is still as it was, move the directory away and run the task again"
        require_files(path, found.files, untouched=kept, remedy=remedy)


class _Removal:
    """Removes one backup that is named by its id or label."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._directory = _Directory(request, tools)

    def run(self, check_mode: bool) -> Result:
        if self._request.reference == manifests.LATEST:
            raise InvalidOption("backup", manifests.LATEST, "an id or a label: what is the latest changes")
        result, name = self._look()
        if check_mode or not result.plan.changed:
            return result
        return self._directory.locked(lambda: self._remove(name))

    def _look(self) -> tuple[Result, str]:
        entry = self._find()
        if entry is None:
            return Result(plan := plan_removal(None, "", self._request, pinned=None), {}, {}, plan.reason), ""
        plan = plan_removal(entry.manifest, entry.name, self._request, pinned=entry.pinned)
        if entry.pinned is not None and not self._request.force_pinned:
            raise Refused(
                f"Backup {entry.name} is pinned: {entry.pinned}",
                untouched="It was left as it is",
                remedy="force_pinned: true removes it nevertheless",
                facts={"id": entry.name, "pinned": entry.pinned},
            )
        before = _for_diff(entry.manifest) or {"id": entry.name, "label": None, "levels": []}
        return Result(plan, {}, before, plan.reason), entry.name

    def _find(self) -> Entry | None:
        """By its id also one whose manifest is damaged; by its label only one that can be read."""
        request = self._request
        entries = [entry for entry in manifests.scan(request.directory) if not entry.leftover]
        named = [entry for entry in entries if entry.name == request.reference]
        if not named:
            found = manifests.find(request.directory, request.connection.database, request.reference)
            named = [entry for entry in entries if found is not None and entry.name == found.id]
        ours = [e for e in named if e.manifest is None or e.manifest.database == request.connection.database]
        return ours[0] if ours else None

    def _remove(self, name: str) -> Result:
        leftovers = tuple(manifests.remove_leftovers(self._request.directory))
        result, still_there = self._look()
        if still_there == name:
            manifests.remove(self._request.directory, name)
            result = result.but(words=f"backup {name} was removed")
        return result.but(removed=leftovers)


class _Pruning:
    """Removes the backups that no rule keeps."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._directory = _Directory(request, tools)

    def run(self, check_mode: bool) -> Result:
        if check_mode or not os.path.isdir(self._request.directory):
            return _pruned(self._directory.plan_retention(None))
        return self._directory.locked(self._prune)

    def _prune(self) -> Result:
        leftovers = tuple(manifests.remove_leftovers(self._request.directory))
        plan = self._directory.plan_retention(None)
        self._directory.remove(plan)
        return _pruned(plan).but(removed=leftovers)


def _pruned(kept: retention.Plan) -> Result:
    action = "prune" if kept.changed else "none"
    return Result(Plan(action, (), kept.reason), {}, {}, kept.reason, retention=kept)


def _words(manifest: Manifest) -> str:
    return (
        f"backup {manifest.id} of {manifest.database} with the label {manifest.label} is there: "
        f"{size_in_words(manifest.bytes)}, written in {manifest.seconds['dump']:.1f} s, "
        f"verified by {', '.join(manifest.levels)} in {manifest.seconds['verify']:.1f} s"
    )


def _for_diff(found: Manifest | None) -> dict[str, object]:
    return {} if found is None else {"id": found.id, "label": found.label, "levels": list(found.levels)}


def _refusal(request: Request, standing: Iterable[str]) -> Refused:
    listed = list(standing)
    return Refused(
        f"No backup of {request.connection.database} can be taken: {'; '.join(listed)}",
        untouched="Nothing was changed",
        remedy="Mend all of this, then run the task again" if len(listed) > 1 else "",
        facts={"problems": listed},
    )

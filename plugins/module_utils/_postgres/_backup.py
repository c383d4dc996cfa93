# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a backup: looked at, written under a name that nobody takes for a backup, verified, then published."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import (
    Dumper,
    NoSpace,
    Written,
    free,
    require_digest,
    reserve,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Client,
    Connection,
    bin_directories,
    client_for,
    find_clients,
    find_psql,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    ARCHIVES,
    LEVELS,
    PARTIAL,
    Manifest,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import (
    LOCK_QUESTION,
    Database,
    Source,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._verify import Verifier, drop_leftovers
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_OLDEST = 13
_ZSTD_SINCE = 16
# How many names a message lists before it says how many more there are.
_NAMED = 10


@dataclass(frozen=True)
class Request:
    """What is wanted."""

    connection: Connection
    directory: str
    label: str
    site: str
    verify: str = "schema"
    timeout_s: float = 3600.0
    lock_wait_timeout_s: float = 30.0
    free_space_factor: float = 0.5

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked.

        :raises InvalidOption: a value is out of its range.
        """
        if not _LABEL.fullmatch(self.label):
            raise InvalidOption("label", self.label, "letters, digits and . _ + -, beginning with a letter or digit")
        if not os.path.isabs(self.directory):
            raise InvalidOption("directory", self.directory, "an absolute path")
        for option, value, least in [
            ("timeout", self.timeout_s, 1),
            ("lock_wait_timeout", self.lock_wait_timeout_s, 0.001),
            ("free_space_factor", self.free_space_factor, 0),
        ]:
            if value < least:
                raise InvalidOption(option, value, f"a number that is at least {least:g}")
        self.connection.validate()


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    runner: Runner
    clock: Clock
    dumper: Dumper
    lock: Callable[[], AbstractContextManager[None]]
    bin_directories: Callable[[], list[str]] = bin_directories


@dataclass(frozen=True)
class Plan:
    """What has to be done: ``take``, ``verify`` further, or ``none``."""

    action: str
    levels: tuple[str, ...]
    reason: str

    @property
    def changed(self) -> bool:
        return self.action != "none"


@dataclass(frozen=True)
class Result:
    """The backup that exists now, or would."""

    plan: Plan
    backup: Mapping[str, Any]
    # What of it was there before, for the diff.
    before: Mapping[str, Any]
    # What was done or would be done, for people.
    words: str
    removed: tuple[str, ...] = ()


def make_plan(found: Manifest | None, request: Request) -> Plan:
    """Decide by what is there."""
    wanted = manifests.levels_up_to(request.verify)
    if found is None:
        return Plan("take", tuple(wanted), f"no backup of {request.connection.database} has the label {request.label}")
    missing = tuple(level for level in wanted if level not in found.levels)
    if missing:
        return Plan("verify", missing, f"backup {found.id} is there and not yet verified by {', '.join(missing)}")
    return Plan("none", (), f"backup {found.id} of {found.taken_at} has the label {request.label}")


def problems(
    source: Source, clients: Iterable[Client], request: Request, levels: Iterable[str], free_bytes: int | None
) -> list[str]:
    """Return all that stands in the way, as sentences that say what to do.

    :param free_bytes: None when no archive is to be written.
    """
    return [
        *_problems_of_versions(source, clients),
        *_problems_of_level(source, levels),
        *(_problems_of_rights(source) if free_bytes is not None else []),
        *_problems_of_space(source, request, free_bytes),
    ]


def _problems_of_versions(source: Source, clients: Iterable[Client]) -> Iterable[str]:
    if source.major < _OLDEST:
        yield f"the server is PostgreSQL {source.version}, and {_OLDEST} is the oldest that is served"
    if client_for(source.major, clients) is None:
        there = ", ".join(f"{client.version} in {client.directory}" for client in clients) or "none"
        yield (
            f"the server is PostgreSQL {source.version} and this host has no pg_dump of version {source.major} "
            f"(there is {there}): install postgresql-client-{source.major}"
        )


def _problems_of_level(source: Source, levels: Iterable[str]) -> Iterable[str]:
    if "schema" not in levels:
        return
    instead = "or say verify: checksum, the highest level that is possible now"
    if source.standby:
        yield f"the server is a standby, where no database can be made for the level schema: ask the primary, {instead}"
    elif not source.createdb:
        yield (
            f"the level schema restores into a throw-away database, and role {source.user} may not make one: "
            f'ALTER ROLE "{source.user}" CREATEDB, {instead}'
        )


def _problems_of_rights(source: Source) -> Iterable[str]:
    role = f'TO "{source.user}"'
    if source.schemas:
        yield f"role {source.user} may not use schemas: GRANT USAGE ON SCHEMA {_named(source.schemas)} {role}"
    if source.tables:
        yield f"role {source.user} may not read tables: GRANT SELECT ON {_named(source.tables)} {role}"
    if source.sequences:
        yield f"role {source.user} may not read sequences: GRANT SELECT ON SEQUENCE {_named(source.sequences)} {role}"
    if source.row_security:
        yield (
            f"row security hides rows of {_named(source.row_security)} from role {source.user}: "
            f'ALTER ROLE "{source.user}" BYPASSRLS, or take the backup as a superuser'
        )
    if source.large_objects:
        yield (
            f"role {source.user} may not read {source.large_objects} large objects (pg_read_all_data does not cover "
            f"them): GRANT SELECT ON LARGE OBJECT … {role}, or take the backup as their owner or a superuser"
        )


def _problems_of_space(source: Source, request: Request, free_bytes: int | None) -> Iterable[str]:
    needed = int(source.size * request.free_space_factor)
    if free_bytes is not None and free_bytes < needed:
        yield (
            f"{_size(free_bytes)} are free in {request.directory} and {_size(needed)} are wanted "
            f"({request.free_space_factor:g} × the {_size(source.size)} of the database): make room, or lower "
            "free_space_factor if you know that the archive will be smaller"
        )


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _size(value: int) -> str:
    return f"{value / (1 << 20):.0f} MiB" if value >= 1 << 20 else f"{value} bytes"


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """See to it that a verified backup with this label exists; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    return _Run(request, tools).run(check_mode)


@dataclass(frozen=True)
class _Looked:
    """What was found, what is to be done about it, and the means; None when nothing is."""

    found: Manifest | None
    plan: Plan
    work: _Work | None

    def predicted(self, directory: str) -> Result:
        """What would be."""
        backup = self.work.predicted(self.found) if self.work else {}
        if self.found is not None:
            backup = {**self.found.summary(os.path.join(directory, self.found.id)), **backup}
        return Result(self.plan, backup, _for_diff(self.found), self.plan.reason)


class _Run:
    """One run. Its deadline is one for all steps."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._tools = tools
        self._clock = tools.clock
        self._deadline = tools.clock.monotonic() + request.timeout_s
        directories = tools.bin_directories()
        self._directories = directories
        self._database = Database(find_psql(directories), request.connection, tools.runner)

    def run(self, check_mode: bool) -> Result:
        self._require_directory()
        looked = self._look()
        if check_mode or looked.work is None:
            return looked.predicted(self._request.directory)
        try:
            os.makedirs(self._request.directory, mode=0o700, exist_ok=True)
            with self._tools.lock():
                # Somebody may have taken it while we looked.
                if self._find() != looked.found:
                    looked = self._look()
                return self._carry_out(looked)
        except OSError as error:
            raise SlipwayError(
                f"The directory {self._request.directory} can't be used: {error}",
                untouched="Earlier backups and the database are as they were",
                remedy="See its disk and its rights",
                facts={"directory": self._request.directory},
            ) from error

    def _find(self) -> Manifest | None:
        request = self._request
        return manifests.find_label(request.directory, request.connection.database, request.label)

    def _look(self) -> _Looked:
        found = self._find()
        if found is not None:
            self._require_whole(found)
        plan = make_plan(found, self._request)
        if plan.action == "none":
            return _Looked(found, plan, None)
        source = self._database.source()
        clients = find_clients(self._directories, self._tools.runner)
        free_bytes = free(self._existing_directory()) if found is None else None
        standing = problems(source, clients, self._request, plan.levels, free_bytes)
        client = client_for(source.major, clients)
        if standing or client is None:
            raise _refusal(self._request, standing)
        work = _Work(
            self._request, self._tools, self._database, source=source, client=client, remaining=self._remaining
        )
        return _Looked(found, plan, work)

    def _carry_out(self, looked: _Looked) -> Result:
        found, plan, work = looked.found, looked.plan, looked.work
        if work is None:
            return looked.predicted(self._request.directory)
        removed = (*manifests.remove_leftovers(self._request.directory), *work.drop_leftovers())
        manifest = work.take() if found is None else work.verify_further(found, plan.levels)
        return Result(plan, manifest.summary(self._path(manifest.id)), _for_diff(found), _words(manifest), removed)

    def _path(self, backup_id: str) -> str:
        return os.path.join(self._request.directory, backup_id)

    def _remaining(self) -> float:
        remaining = self._deadline - self._clock.monotonic()
        if remaining <= 0:
            raise TimedOut(f"The backup was not ready within {self._request.timeout_s:g} s")
        return remaining

    def _existing_directory(self) -> str:
        directory = self._request.directory
        return directory if os.path.isdir(directory) else os.path.dirname(directory)

    def _require_directory(self) -> None:
        directory = self._existing_directory()
        if not os.path.isdir(directory) or not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise Refused(
                f"Backups can't be written to {self._request.directory}: this user may not make files in {directory}",
                untouched="Nothing was changed",
                remedy="Make the directory and give it to the user that runs this task",
                facts={"directory": self._request.directory},
            )

    def _require_whole(self, found: Manifest) -> None:
        path = self._path(found.id)
        require_digest(
            os.path.join(path, found.archive),
            found.bytes,
            found.files[0]["sha256"],
            untouched=f"Backup {found.id} with the label {found.label} was left as it is, and no other one was taken "
            "in its place: by now the database may be another",
            remedy=f"Bring an undamaged copy of {path}. If the database is still as it was, move the directory away "
            "and run the task again",
        )


def _words(manifest: Manifest) -> str:
    return (
        f"backup {manifest.id} of {manifest.database} with the label {manifest.label} is there: "
        f"{_size(manifest.bytes)}, written in {manifest.seconds['dump']:.1f} s, "
        f"verified by {', '.join(manifest.levels)} in {manifest.seconds['verify']:.1f} s"
    )


def _for_diff(found: Manifest | None) -> dict[str, object]:
    return {} if found is None else {"id": found.id, "label": found.label, "levels": list(found.levels)}


def _refusal(request: Request, standing: list[str]) -> Refused:
    return Refused(
        f"No backup of {request.connection.database} can be taken: {'; '.join(standing)}",
        untouched="Nothing was changed",
        remedy="Mend all of this, then run the task again" if len(standing) > 1 else "",
        facts={"problems": standing},
    )


class _Work:
    """Writing, verifying, publishing: with everything known that is needed for it."""

    def __init__(
        self,
        request: Request,
        tools: Tools,
        database: Database,
        *,
        source: Source,
        client: Client,
        remaining: Callable[[], float],
    ) -> None:
        self._request = request
        self._tools = tools
        self._database = database
        self._source = source
        self._client = client
        self._remaining = remaining
        self._compression = "zstd:1" if client.major >= _ZSTD_SINCE else "gzip:1"
        self._verifier = Verifier(client, request.connection, database, tools.runner, source)

    def predicted(self, found: Manifest | None) -> dict[str, object]:
        """What the work would make of it; None where only the work can tell."""
        levels = manifests.levels_up_to(self._request.verify)
        if found is not None:
            return {"levels": levels}
        manifest = self._manifest(manifests.new_id(self._tools.clock.utcnow()), Written(0, "", ""))
        summary = manifest.summary(os.path.join(self._request.directory, manifest.id))
        return {**summary, "levels": levels, "bytes": None, "files": None}

    def drop_leftovers(self) -> list[str]:
        """Drop throw-away databases of runs that died."""
        able = self._source.createdb and not self._source.standby
        return drop_leftovers(self._database, self._request.directory) if able else []

    def take(self) -> Manifest:
        """Write, verify, publish. Whatever fails on the way, no directory is left that looks like a backup."""
        backup_id = manifests.new_id(self._tools.clock.utcnow())
        final = os.path.join(self._request.directory, backup_id)
        partial = final + PARTIAL
        os.mkdir(partial, 0o700)
        try:
            manifest = self._write_and_verify(backup_id, partial)
            manifests.write(manifest, partial)
            os.rename(partial, final)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, SlipwayError):
                raise self._told_better(error) from error
            raise
        fsync_directory(self._request.directory)
        return manifest

    def _write_and_verify(self, backup_id: str, directory: str) -> Manifest:
        archive = os.path.join(directory, ARCHIVES["custom"])
        began = self._tools.clock.monotonic()
        written = self._dump(archive)
        dumped = self._tools.clock.monotonic()
        require_digest(archive, written.bytes, written.sha256, untouched="", remedy="See the disk of this host")
        manifest = self._manifest(backup_id, written)
        for level in manifests.levels_up_to(self._request.verify):
            self._verify(level, archive, manifest)
        seconds = {"dump": round(dumped - began, 3), "verify": round(self._tools.clock.monotonic() - dumped, 3)}
        return replace(manifest, levels=manifests.levels_up_to(self._request.verify), seconds=seconds)

    def verify_further(self, found: Manifest, levels: tuple[str, ...]) -> Manifest:
        """Bring an existing backup to a higher level; its archive is not touched."""
        directory = os.path.join(self._request.directory, found.id)
        began = self._tools.clock.monotonic()
        for level in levels:
            self._verify(level, os.path.join(directory, found.archive), found)
        spent = found.seconds.get("verify", 0.0) + self._tools.clock.monotonic() - began
        reached = [level for level in LEVELS if level in (*found.levels, *levels)]
        manifest = replace(found, levels=reached, seconds={**found.seconds, "verify": round(spent, 3)})
        manifests.write(manifest, directory)
        return manifest

    def _verify(self, level: str, archive: str, manifest: Manifest) -> None:
        owner = os.path.join(self._request.directory, manifest.id)
        digest = manifest.files[0]["sha256"]
        self._verifier.verify(level, archive, manifest.bytes, digest, owner=owner, remaining=self._remaining)

    def _dump(self, archive: str) -> Written:
        try:
            return self._run_dump(archive)
        except CommandFailed as error:
            # A client that was built without zstd says so at once.
            if "does not support compression with" not in error.stderr or self._compression == "gzip:1":
                raise
        self._compression = "gzip:1"
        os.unlink(archive)
        return self._run_dump(archive)

    def _run_dump(self, archive: str) -> Written:
        method, degree = self._compression.split(":")
        argv = [
            self._client.program("pg_dump"),
            "--format=custom",
            # The form with a method came with version 16.
            f"--compress={degree if method == 'gzip' else self._compression}",
            "--strict-names",
            f"--lock-wait-timeout={int(self._request.lock_wait_timeout_s * 1000)}",
            "--no-password",
        ]
        environment = self._request.connection.environment()
        return self._tools.dumper.dump(argv, environment, archive, timeout_s=self._remaining())

    def _manifest(self, backup_id: str, written: Written) -> Manifest:
        source = self._source
        return Manifest(
            id=backup_id,
            label=self._request.label,
            site=self._request.site,
            database=self._request.connection.database,
            started_at=self._tools.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
            taken_at=self._tools.clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
            system_identifier="",
            server_version=source.version,
            client_version=self._client.version,
            format="custom",
            compression=self._compression,
            jobs=1,
            files=[{"path": ARCHIVES["custom"], "bytes": written.bytes, "sha256": written.sha256}],
            levels=[],
            snapshot={},
            tables=[],
            sequences=[],
            large_objects=0,
            fingerprint="none",
            django_migrations=[],
            seconds={"dump": 0.0, "verify": 0.0},
            warnings=[line for line in written.messages.splitlines() if line],
            properties={
                "database": source.database,
                "settings": source.settings,
                "extensions": source.extensions,
                "size": source.size,
            },
        )

    def _told_better(self, error: SlipwayError) -> SlipwayError:
        """The same error, with its cause where it is a known one, and what is there now."""
        untouched = "What was written was removed; earlier backups and the database are as they were"
        seen, remedy = error.seen, error.remedy
        if isinstance(error, NoSpace):
            kept = _size(reserve(self._request.directory))
            remedy = f"Make room in {self._request.directory}; {kept} are always left free there"
        for mark, cause, cure in _CAUSES:
            if mark.search(error.seen):
                seen, remedy = f"{cause}. {seen}", cure
                break
        facts = dict(error.facts)
        blocked = _LOCK_WAIT.search(error.seen)
        if blocked:
            facts["blocking"] = self._blocking()
            seen = f"{seen}. Locks are held by: {_sessions(facts['blocking'])}"
        return SlipwayError(seen, untouched=untouched, remedy=remedy, facts=facts)

    def _blocking(self) -> Any:
        try:
            return self._database.ask(LOCK_QUESTION)
        except SlipwayError as error:
            return [{"error": error.seen}]


def _sessions(rows: Any) -> str:
    words = [
        f"pid {row.get('pid')} ({row.get('application') or row.get('user')}, {row.get('state')} since "
        f"{row.get('since')}, {row.get('table')})"
        for row in rows
        if "error" not in row
    ]
    return ", ".join(words) or "nobody any more"


# pg_dump sets a statement timeout for the statement that locks its tables.
_LOCK_WAIT = re.compile(r"due to (statement|lock) timeout.*LOCK TABLE", re.DOTALL)
# What pg_dump says, what it means, and what to do.
_CAUSES = (
    (
        _LOCK_WAIT,
        "A table was locked for longer than lock_wait_timeout",
        "Wait until that session has ended, or raise lock_wait_timeout",
    ),
    (
        re.compile("invalid page in block"),
        "The database itself is damaged on its disk: no backup can be taken of what can't be read",
        "Do not deploy. Check the disk, and restore the damaged table from the last good backup",
    ),
    (
        re.compile("server closed the connection"),
        "The server ended the connection in the middle of the dump",
        "See the server's log",
    ),
)

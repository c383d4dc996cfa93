# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a backup: held still, written, counted, verified, and published last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import Written
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._failures import explained
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import require_end, require_files
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import (
    ARCHIVES,
    GLOBALS,
    LEVELS,
    PARTIAL,
    Manifest,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Plan, Request, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._problems import warnings
from ansible_collections.slipway.django.plugins.module_utils._postgres._snapshot import Content, Moment, count, hold
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import (
    LOCK_QUESTION,
    Database,
    Source,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._verify import Verifier, drop_leftovers

_ZSTD_SINCE: Final = 16
_GZIP: Final = "gzip:1"
_NO_MOMENT: Final = Moment("", "", None, "", {}, [])
_NO_CONTENT: Final = Content([], 0, [])


@dataclass(frozen=True)
class Means:
    """What was found out before the work, and is needed for it."""

    psql: str
    database: Database
    source: Source
    client: Client
    # Seconds until the deadline; raises when there are none.
    remaining: Callable[[], float]


@dataclass(frozen=True)
class Taken:
    """A backup that was published. ``shrunk`` says how it is smaller than the one before, or nothing."""

    manifest: Manifest
    shrunk: str = ""


class Work:
    """Writing, verifying, publishing."""

    def __init__(self, request: Request, tools: Tools, means: Means) -> None:
        self._request = request
        self._tools = tools
        self._means = means
        self._compression = "zstd:1" if means.client.major >= _ZSTD_SINCE else _GZIP
        self._started = tools.clock.utcnow()
        self._verifier = Verifier(
            means.client,
            request.connection,
            means.database,
            tools.runner,
            source=means.source,
            open_session=self._session,
        )

    def predicted(self, found: Manifest | None, previous: Manifest | None) -> dict[str, object]:
        """What the work would make of it; None where only the work can tell."""
        levels = manifests.levels_up_to(self._request.verify)
        if found is not None:
            return {"levels": [level for level in LEVELS if level in (*found.levels, *levels)]}
        manifest = self._manifest(manifests.new_id(self._started), Written([], ""), _NO_MOMENT, _NO_CONTENT)
        summary = manifest.summary(os.path.join(self._request.directory, manifest.id))
        unknown = {"files": None, "rows": None, "large_objects": None, "snapshot": None, "system_identifier": None}
        return {**summary, **unknown, "levels": levels, "bytes": self._estimate(previous)}

    def _estimate(self, previous: Manifest | None) -> int | None:
        """How large the archive will be, by the one before: other databases compress otherwise."""
        size = int(previous.properties.get("size") or 0) if previous else 0
        return int(_archive_bytes(previous) * self._means.source.size / size) if previous and size else None

    def drop_leftovers(self, ids: list[str]) -> list[str]:
        """Drop throw-away databases of runs that died."""
        able = self._means.source.createdb and not self._means.source.standby
        return drop_leftovers(self._means.database, self._request.directory, ids) if able else []

    def take(self, previous: Manifest | None) -> Taken:
        """Write, verify, publish. Whatever fails on the way, no directory is left that looks like a backup."""
        backup_id = manifests.new_id(self._started)
        final = os.path.join(self._request.directory, backup_id)
        partial = final + PARTIAL
        os.mkdir(partial, 0o700)
        try:
            taken = self._write_and_verify(backup_id, partial, previous)
            self._tell("manifest")
            manifests.write(taken.manifest, partial)
            if self._request.pin:
                manifests.pin(partial, pin_reason(self._request))
            self._tell("publish")
            os.rename(partial, final)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, SlipwayError):
                raise explained(error, self._request.directory, self._who_blocks) from error
            raise
        fsync_directory(self._request.directory)
        return taken

    def _write_and_verify(self, backup_id: str, directory: str, previous: Manifest | None) -> Taken:
        clock = self._tools.clock
        began = clock.monotonic()
        with self._session(self._request.connection) as session:
            self._tell("lock")
            moment = hold(session, self._request.lock_wait_timeout_s, self._means.remaining)
            # At once: who wants to change a table now waits for us, and the dump would wait behind him.
            written = self._dump(directory, moment, previous)
            self._tell("count")
            content = count(
                session,
                moment.listed,
                self._request.fingerprint,
                self._means.remaining,
                lambda done, total, text: self._tell("count", done, total, text, unit="tables"),
            )
        counted = None if self._request.fingerprint == "none" else content.rows
        shrunk = self._require_not_shrunk("rows", counted, previous.rows if previous else None, previous)
        written = self._with_globals(directory, written)
        manifest = self._manifest(backup_id, written, moment, content)
        comparable = previous and (previous.format, previous.compression) == (manifest.format, manifest.compression)
        before = _archive_bytes(previous) if previous and comparable else None
        shrunk = shrunk or self._require_not_shrunk("bytes", _archive_bytes(manifest), before, previous)
        dumped = clock.monotonic()
        manifest = self._verified(directory, manifest)
        seconds = {"dump": round(dumped - began, 3), "verify": round(clock.monotonic() - dumped, 3)}
        noted = [*manifest.warnings, shrunk] if shrunk else manifest.warnings
        return Taken(replace(manifest, seconds=seconds, warnings=noted), shrunk)

    def _verified(self, directory: str, manifest: Manifest) -> Manifest:
        levels = manifests.levels_up_to(self._request.verify)
        self._tell("verify", text="digests")
        require_files(directory, manifest.files, untouched="", remedy="See the disk of this host")
        for level in levels:
            self._verify(level, directory, manifest)
        schema = self._verifier.schema_sha256(os.path.join(directory, manifest.archive), self._means.remaining)
        return replace(manifest, levels=levels, properties={**manifest.properties, "schema_sha256": schema})

    def verify_further(self, found: Manifest, plan: Plan) -> Manifest:
        """Bring an existing backup to a higher level; its archive is not touched. Its digests were read before."""
        directory = os.path.join(self._request.directory, found.id)
        began = self._tools.clock.monotonic()
        for level in plan.levels:
            self._verify(level, directory, found)
        spent = found.seconds.get("verify", 0.0) + self._tools.clock.monotonic() - began
        reached = [level for level in LEVELS if level in (*found.levels, *plan.levels)]
        manifest = replace(found, levels=reached, seconds={**found.seconds, "verify": round(spent, 3)})
        self._tell("manifest")
        manifests.write(manifest, directory)
        return manifest

    def _verify(self, level: str, directory: str, manifest: Manifest) -> None:
        self._tell("verify " + level)
        self._verifier.verify(
            level,
            directory,
            manifest,
            owner=os.path.join(self._request.directory, manifest.id),
            remaining=self._means.remaining,
            tell=lambda done, total, text: self._tell("verify " + level, done, total, text, unit="tables"),
        )

    def _dump(self, directory: str, moment: Moment, previous: Manifest | None) -> Written:
        archive = os.path.join(directory, ARCHIVES[self._request.format])
        try:
            return self._run_dump(archive, moment, previous)
        except CommandFailed as error:
            # A client that was built without zstd says so at once.
            if "does not support compression with" not in error.stderr or self._compression == _GZIP:
                raise
        self._compression = _GZIP
        _remove(archive)
        return self._run_dump(archive, moment, previous)

    def _run_dump(self, archive: str, moment: Moment, previous: Manifest | None) -> Written:
        method, degree = self._compression.split(":")
        several = self._request.format == "directory"
        argv = [
            self._means.client.program("pg_dump"),
            f"--format={self._request.format}",
            # The form with a method came with version 16.
            f"--compress={degree if method == 'gzip' else self._compression}",
            f"--snapshot={moment.id}",
            "--strict-names",
            f"--lock-wait-timeout={int(self._request.lock_wait_timeout_s * 1000)}",
            "--no-password",
            *([f"--jobs={self._request.jobs}", f"--file={archive}"] if several else []),
        ]
        dump = self._tools.dumper.dump_directory if several else self._tools.dumper.dump
        expected = self._estimate(previous)
        self._tell("dump", 0, expected)
        return dump(
            argv,
            self._request.connection.environment(),
            archive,
            timeout_s=self._means.remaining(),
            tell=lambda done: self._tell("dump", done, expected),
            settling=lambda done: self._tell("sync", done),
        )

    def _with_globals(self, directory: str, written: Written) -> Written:
        """Add roles and tablespaces, which are of no database. A role may not be allowed to see them."""
        path = os.path.join(directory, GLOBALS)
        argv = [
            self._means.client.program("pg_dumpall"),
            "--globals-only",
            "--no-role-passwords",
            "--no-password",
            f"--database={self._request.connection.database}",
        ]
        try:
            added = self._tools.dumper.dump(
                argv, self._request.connection.environment(), path, timeout_s=self._means.remaining()
            )
        except CommandFailed as error:
            _remove(path)
            why = error.stderr.strip().partition("\n")[0] or error.seen
            return Written(written.files, f"{written.messages}\n{GLOBALS} is not part of the backup: {why}".strip())
        require_end(path)
        return Written([*written.files, *added.files], written.messages)

    def _require_not_shrunk(self, unit: str, seen: int | None, before: int | None, previous: Manifest | None) -> str:
        """Return how far it has shrunk, in words, when that is allowed.

        :raises Refused: it has shrunk and that is not allowed. An empty database must not push good backups out.
        """
        if previous is None or seen is None or before is None or seen >= before * self._request.shrink_guard:
            return ""
        words = (
            f"the database has shrunk: {seen} {unit}, and backup {previous.id} had {before} (shrink_guard is "
            f"{self._request.shrink_guard:g})"
        )
        if self._request.allow_shrink:
            return words
        raise Refused(
            words[0].upper() + words[1:],
            remedy="See that nothing was lost. allow_shrink: true takes the backup nevertheless",
            facts={"shrunk": {"unit": unit, "now": seen, "before": before, "previous": previous.id}},
        )

    def _manifest(self, backup_id: str, written: Written, moment: Moment, content: Content) -> Manifest:
        source = self._means.source
        return Manifest(
            id=backup_id,
            label=self._request.label,
            site=self._request.site,
            database=self._request.connection.database,
            started_at=_iso(self._started),
            # Of which moment the rows are: to the second, as all times of a manifest.
            taken_at=moment.at[:19] + "Z" if moment.at else _iso(self._started),
            system_identifier=moment.system_identifier,
            server_version=source.version,
            client_version=self._means.client.version,
            format=self._request.format,
            compression=self._compression,
            jobs=self._request.jobs,
            files=written.files,
            levels=[],
            snapshot={"lsn": moment.lsn, "at": moment.at},
            tables=content.tables,
            sequences=moment.sequences,
            large_objects=content.large_objects,
            fingerprint=self._request.fingerprint,
            properties={
                "database": source.database,
                "settings": source.settings,
                "extensions": source.extensions,
                "roles": source.roles,
                "size": source.size,
                "schema_sha256": None,
            },
            django_migrations=content.django_migrations,
            seconds={"dump": 0.0, "verify": 0.0},
            warnings=[*warnings(source), *(line for line in written.messages.splitlines() if line)],
        )

    def _session(self, connection: Connection) -> Any:
        return self._tools.session(self._means.psql, connection, self._tools.clock)

    def _tell(
        self, phase: str, done: int = 0, total: int | None = None, text: str = "", *, unit: str = "bytes"
    ) -> None:
        self._tools.progress.tell(phase, done, total, text, unit=unit)

    def _who_blocks(self) -> Any:
        return self._means.database.ask(LOCK_QUESTION)


def pin_reason(request: Request) -> str:
    """Return what is written into the pin."""
    return f"asked for by the task that has the label {request.label or request.reference}"


def _archive_bytes(manifest: Manifest) -> int:
    return sum(int(row["bytes"]) for row in manifest.files if row["path"] != GLOBALS)


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup becomes a database of its own, beside the live one, and is compared with what was backed up."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres import _marks as marks
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Client,
    bin_directories,
    client_for,
    find_clients,
    find_psql,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._intact import require_files
from ansible_collections.slipway.django.plugins.module_utils._postgres._loss import (
    Loss,
    applied_migrations,
    assess,
    count_rows,
    table_name,
    written_between,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import Mark
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_plan import (
    TEMPLATE,
    Plan,
    Request,
    Server,
    make_plan,
    problems,
    question,
    space_in_words,
    target_name,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_work import Means, Restored, Work
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import measure
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, quote_name
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class Tools:
    """What the work needs from outside."""

    runner: Runner
    clock: Clock
    lock: Callable[[], AbstractContextManager[None]]
    bin_directories: Callable[[], list[str]] = bin_directories
    work: type[Work] = Work


@dataclass(frozen=True)
class Result:
    """The copy that is there now, or would be."""

    plan: Plan
    words: str
    manifest: Manifest | None = None
    path: str = ""
    loss: Loss | None = None
    restored: Restored | None = None
    # The database before the swap, when the live one came from a backup itself.
    before: Mark | None = None
    # Migrations that the live database has and the backup has not: the code that runs may need them.
    migrations: tuple[str, ...] = ()
    space: str = ""


def run(request: Request, tools: Tools, *, check_mode: bool) -> Result:
    """See to it that a verified copy of the backup exists, or none; in check mode say what that would mean.

    :raises SlipwayError: see the message: what was seen, what is there now, what to do.
    """
    request.validate()
    return _Run(request, tools).run(check_mode)


class _Run:
    """One run. Its deadline is one for all steps."""

    def __init__(self, request: Request, tools: Tools) -> None:
        self._request = request
        self._tools = tools
        self._deadline = tools.clock.monotonic() + request.timeout_s
        self._directories = tools.bin_directories()
        self._psql = find_psql(self._directories)
        self._database = Database(self._psql, request.connection, tools.runner)
        self._progress = Progress(request.progress_file, tools.clock)
        # What is known of the server's room; empty when nothing is restored.
        self._space = ""

    def run(self, check_mode: bool) -> Result:
        return replace(self._run(check_mode), space=self._space)

    def _run(self, check_mode: bool) -> Result:
        manifest = self._find()
        server = self._observe(manifest)
        plan = make_plan(server, self._request, manifest)
        if manifest is None or self._request.state == "absent":
            return self._drop(plan, check_mode)
        if plan.action == "none":
            return self._result(plan, plan.reason, manifest, server)
        client = self._require_nothing_in_the_way(server, manifest)
        if check_mode:
            words = f"{plan.reason}; backup {manifest.id} would be restored into {plan.target}"
            return self._result(plan, words, manifest, server)
        with self._tools.lock():
            # Somebody may have restored it, or removed the backup, while we looked.
            server = self._observe(manifest)
            plan = make_plan(server, self._request, manifest)
            if plan.action == "none":
                return self._result(plan, plan.reason, manifest, server)
            restored = self._restore(plan, manifest, client)
        return replace(self._result(plan, _words(plan, manifest, restored), manifest, server), restored=restored)

    def _find(self) -> Manifest | None:
        request = self._request
        if request.state == "absent" and request.target:
            return None
        manifest = manifests.find(request.directory, request.source, request.backup)
        if manifest is None:
            there = [
                f"{m.id} ({m.label})" for m in manifests.read_all(request.directory) if m.database == request.source
            ]
            raise Refused(
                f"There is no backup {request.backup} of {request.source} in {request.directory}",
                untouched="Nothing was changed",
                remedy=f"There are: {', '.join(there[-5:])}" if there else "Fetch one with pg_backup_copy",
                facts={"directory": request.directory, "backup": request.backup},
            )
        return manifest

    def _observe(self, manifest: Manifest | None) -> Server:
        request = self._request
        target = request.target or target_name(request.database, manifest.id if manifest else request.backup)
        databases = marks.read(self._database.ask(marks.question((request.database, target, TEMPLATE))))
        return Server(**self._database.ask(question(manifest)), databases=databases)

    def _require_nothing_in_the_way(self, server: Server, manifest: Manifest) -> Client:
        clients = find_clients(self._directories, self._tools.runner)
        measured = measure(self._request.connection, server.path, server.user)
        self._space = space_in_words(manifest, measured)
        standing = problems(server, self._request, manifest, clients, measured.free)
        client = client_for(server.major, clients)
        if standing or client is None:
            raise Refused(
                f"Backup {manifest.id} of {manifest.database} can't be restored: {'; '.join(standing)}",
                untouched="Nothing was changed",
                remedy="Mend all of this, then run the task again" if len(standing) > 1 else "",
                facts={"problems": standing},
            )
        self._progress.tell("checking files", total=manifest.bytes)
        require_files(
            self._path(manifest),
            manifest.files,
            untouched="Nothing was changed",
            remedy="Take another backup, or bring an undamaged copy of this one",
        )
        return client

    def _path(self, manifest: Manifest) -> str:
        return os.path.join(self._request.directory, manifest.id)

    def _remaining(self) -> float:
        remaining = self._deadline - self._tools.clock.monotonic()
        if remaining <= 0:
            raise TimedOut(f"The restore was not ready within {self._request.timeout_s:g} s")
        return remaining

    def _restore(self, plan: Plan, manifest: Manifest, client: Client) -> Restored:
        for name in plan.drop:
            self._drop_now(name)
        means = Means(
            self._database, client, self._psql, self._tools.runner, self._tools.clock, self._progress, self._remaining
        )
        work = self._tools.work(
            means,
            manifest,
            self._path(manifest),
            mark=self._mark(manifest),
            target=plan.target,
            request=self._request,
        )
        try:
            return work.restore()
        except BaseException as error:
            kept = self._keep_or_drop(plan.target)
            if isinstance(error, SlipwayError):
                raise SlipwayError(
                    error.seen,
                    untouched=f"{kept}; {self._request.database} is as it was",
                    remedy=error.remedy,
                    facts={**error.facts, "target": plan.target},
                ) from error
            raise

    def _keep_or_drop(self, target: str) -> str:
        if self._request.keep_failed:
            return f"{target} was left as far as it came"
        try:
            self._drop_now(target)
        except SlipwayError as error:
            return f"{target} could not be dropped ({error.seen}), and the next run will do it"
        return f"{target} was dropped"

    def _drop_now(self, name: str) -> None:
        self._database.order(f"DROP DATABASE IF EXISTS {quote_name(name)} WITH (FORCE)", timeout_s=600)

    def _mark(self, manifest: Manifest) -> Mark:
        return Mark(
            phase=marks.RESTORING,
            database=self._request.database,
            owner=self._path(manifest),
            backup=manifest.id,
            taken_at=manifest.taken_at,
            system_identifier=manifest.system_identifier,
            lsn=manifest.snapshot.get("lsn"),
            at=marks.iso(self._tools.clock.utcnow()),
            comment=manifest.properties["database"].get("comment"),
        )

    def _drop(self, plan: Plan, check_mode: bool) -> Result:
        if plan.action == "none":
            return Result(plan, plan.reason)
        if not check_mode:
            with self._tools.lock():
                self._drop_now(plan.target)
        return Result(plan, f"{plan.target} {'would be' if check_mode else 'was'} dropped")

    def _result(self, plan: Plan, words: str, manifest: Manifest, server: Server) -> Result:
        live = server.databases.get(self._request.database)
        before = marks.before(server.databases, live, marks.OLD)
        loss = None if live is None or not live.connectable else self._loss(manifest, server)
        return Result(
            plan,
            words,
            manifest,
            self._path(manifest),
            loss,
            before=before.mark if before is not None else None,
            migrations=() if loss is None else self._migrations(manifest),
        )

    def _migrations(self, manifest: Manifest) -> tuple[str, ...]:
        kept = {".".join(pair) for pair in manifest.django_migrations}
        try:
            live = applied_migrations(self._live())
        except SlipwayError:
            # The numbers of what would be lost say that this role may not look.
            return ()
        return tuple(name for pair in live if (name := ".".join(pair)) not in kept)

    def _live(self) -> Database:
        return Database(self._psql, self._request.connection.to(self._request.database), self._tools.runner)

    def _loss(self, manifest: Manifest, server: Server) -> Loss:
        kept, live, note = None, None, "count_rows is false"
        if self._request.count_rows and manifest.fingerprint == "none":
            note = "nothing was counted when the backup was taken"
        elif self._request.count_rows:
            kept = {table_name(row["schema"], row["name"]): int(row["rows"]) for row in manifest.tables}
            live, note = self._live_rows()
        same = bool(manifest.system_identifier) and manifest.system_identifier == server.system_identifier
        wal_bytes = written_between(manifest.snapshot.get("lsn"), server.lsn, same_server=same)
        now = self._tools.clock.utcnow()
        return assess(since=manifest.taken_at, now=now, wal_bytes=wal_bytes, kept=kept, live=live, note=note)

    def _live_rows(self) -> tuple[dict[str, int] | None, str]:
        try:
            return count_rows(self._live()), ""
        except SlipwayError as error:
            return None, error.seen


def _words(plan: Plan, manifest: Manifest, restored: Restored) -> str:
    total = sum(restored.seconds.values())
    return (
        f"backup {manifest.id} of {manifest.database} was restored into {plan.target} in {total:.1f} s; "
        f"{restored.compared}"
    )


def as_result(result: Result) -> dict[str, Any]:
    """Return what the module returns."""
    manifest, restored = result.manifest, result.restored
    target = result.plan.target
    return {
        "changed": result.plan.changed,
        "msg": result.words,
        "reason": result.plan.reason,
        "target": target,
        "backup": manifest.summary(result.path) if manifest else None,
        "live_from": {"backup": result.before.backup, "since": result.before.at} if result.before else None,
        "loss": result.loss.as_result() if result.loss else None,
        "migrations_lost": list(result.migrations),
        "space": result.space,
        "compared": restored.compared if restored else "",
        "seconds": dict(restored.seconds) if restored else {},
        "warnings_of_restore": list(restored.warnings) if restored else [],
        "dropped": list(result.plan.drop),
        "diff": {
            "before": {"databases": list(result.plan.drop)},
            "after": {"databases": [target] if result.plan.action == "restore" else []},
        },
    }

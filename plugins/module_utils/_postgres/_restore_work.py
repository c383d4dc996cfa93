# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a database from a backup: made closed, marked, filled, given what belongs to it, compared, marked again."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres import _properties as properties
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._create import create_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import (
    VERIFIED,
    Mark,
    comment_statement,
    iso,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.plugins.module_utils._postgres._snapshot import differences
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Database, quote_name, quote_text
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_LOOK_EVERY_S: Final = 1.0
# How many differences a message names.
_NAMED: Final = 10

_INVALID_INDEXES: Final = """
SELECT coalesce(json_agg(indexrelid::regclass::text ORDER BY 1), '[]') FROM pg_index WHERE NOT indisvalid
"""


@dataclass(frozen=True)
class Check:
    """A question to the restored database and the answer that it must give, as text."""

    sql: str
    expected: str


class Wanted(Protocol):
    """What of a request concerns the work."""

    @property
    def connection(self) -> Connection: ...
    @property
    def jobs(self) -> int: ...
    @property
    def verify(self) -> str: ...
    @property
    def checks(self) -> tuple[Check, ...]: ...
    @property
    def maintenance_work_mem(self) -> str: ...
    @property
    def progress_file(self) -> str | None: ...


@dataclass(frozen=True)
class Restored:
    """A copy that is verified."""

    compared: str
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]


class Unlike(SlipwayError):
    """What was restored is not what was backed up."""


@dataclass(frozen=True)
class Means:
    """What the work needs from outside. ``database`` is neither the live one nor the target."""

    database: Database
    client: Client
    psql: str
    runner: Runner
    clock: Clock
    progress: Progress
    remaining: Callable[[], float]


class Work:
    """Fills one target. Each step is a method; whoever calls it drops the target when one fails."""

    def __init__(
        self, means: Means, manifest: Manifest, path: str, *, mark: Mark, target: str, request: Wanted
    ) -> None:
        self._database = means.database
        self._client = means.client
        self._psql = means.psql
        self._runner = means.runner
        self._clock = means.clock
        self._progress = means.progress
        self._remaining = means.remaining
        self._manifest = manifest
        self._path = path
        self._mark = mark
        self._target = target
        self._request = request
        self._inside = request.connection.to(target)

    def restore(self) -> Restored:
        """Do all of it.

        :raises SlipwayError: a step failed. The target may be there, and bears the mark of one that is not whole.
        """
        began = self._clock.monotonic()
        self.create()
        warnings = self.fill()
        filled = self._clock.monotonic()
        self.give_properties()
        self._progress.tell("analyzing")
        Database(self._psql, self._inside, self._runner).order("ANALYZE", timeout_s=self._remaining())
        analyzed = self._clock.monotonic()
        compared = self.verify()
        done = replace(self._mark, phase=VERIFIED, at=iso(self._clock.utcnow()), verified=self._request.verify)
        self._database.order(comment_statement(self._target, done.text()))
        seconds = {
            "restore": round(filled - began, 3),
            "analyze": round(analyzed - filled, 3),
            "verify": round(self._clock.monotonic() - analyzed, 3),
        }
        return Restored(compared, seconds, tuple(warnings))

    def create(self) -> None:
        """Make the target. Until it bears its mark nobody may log in: one that lets nobody in is surely empty."""
        wanted = properties.read(self._manifest.properties)
        name = quote_name(self._target)
        statement = create_statement(self._target, self._manifest.properties["database"])
        place = properties.tablespace_clause(wanted.tablespace)
        self._database.order(
            f"{statement} OWNER {quote_name(wanted.owner)}{place} ALLOW_CONNECTIONS false", timeout_s=self._remaining()
        )
        self._database.order(comment_statement(self._target, self._mark.text()))
        self._database.order(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
        self._database.order(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true CONNECTION LIMIT -1")

    def fill(self) -> list[str]:
        """Restore the archive; return what pg_restore said although it succeeded."""
        argv = [
            self._client.program("pg_restore"),
            "--exit-on-error",
            "--no-password",
            # They would connect to another server and keep this database from being dropped.
            "--no-subscriptions",
            f"--jobs={self._request.jobs}",
            f"--dbname={self._target}",
            "--",
            os.path.join(self._path, self._manifest.archive),
        ]
        options = f"-c maintenance_work_mem={self._request.maintenance_work_mem} -c synchronous_commit=off"
        env = {**self._inside.environment(), "PGOPTIONS": options}
        with self._watching():
            done = self._runner.run(argv, timeout_s=self._remaining(), env=env)
        if done.returncode != 0:
            raise SlipwayError(
                f"pg_restore ended with status {done.returncode}: {done.stderr.strip()[-1500:]}",
                remedy="Mend what the message names (a role, an extension, room on the server's disk), then run the "
                "task again",
                facts=CommandFailed(argv, done.returncode, done.stderr).facts,
            )
        return [line for line in done.stderr.splitlines() if line]

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Tell how large the database has become, while somebody wants to know."""
        if self._request.progress_file is None:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)

    def _watch(self, stop: threading.Event) -> None:
        total = int(self._manifest.properties.get("size", 0)) or None
        while not stop.wait(_LOOK_EVERY_S):
            with contextlib.suppress(SlipwayError):
                done = int(self._database.ask(f"SELECT pg_database_size({quote_text(self._target)})"))
                self._progress.tell("restoring", done, total, self._target)

    def give_properties(self) -> None:
        """Put back what belongs to the database and is in no dump of it."""
        wanted = properties.read(self._manifest.properties)
        for statement in properties.statements(self._target, wanted, self._seen_properties()):
            self._database.order(statement)
        left = properties.differences(wanted, self._seen_properties())
        if left:
            raise Unlike(f"The properties of {self._target} are not those of the backup: {'; '.join(left)}")

    def _seen_properties(self) -> properties.Properties:
        return properties.read(self._database.ask(properties.question(self._target)))

    def verify(self) -> str:
        """Compare the copy with what was backed up; return in words how.

        :raises Unlike: they differ, or a check of the user gave another answer.
        """
        with Session(self._psql, self._inside, self._clock) as session:
            invalid = session.ask(_INVALID_INDEXES, self._remaining())
            found = [f"index {name} is not valid" for name in invalid]
            manifest = self._comparable()
            if manifest is not None:
                found += differences(session, manifest, self._remaining, self._tell_compared)
            found += self._failed_checks(session)
        if found:
            more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            raise Unlike(
                f"What was restored into {self._target} is not what was backed up: {'; '.join(found[:_NAMED])}{more}",
                remedy="Restore another backup, or give keep_failed: true and look at it",
                facts={"differences": found},
            )
        return self._compared()

    def _comparable(self) -> Manifest | None:
        """The manifest as deep as it is wanted to be compared."""
        if self._request.verify == "none":
            return None
        if self._request.verify == "content" or self._manifest.fingerprint != "content":
            return self._manifest
        tables = [{**row, "fingerprint": None} for row in self._manifest.tables]
        return replace(self._manifest, fingerprint="counts", tables=tables)

    def _compared(self) -> str:
        checks = f", {len(self._request.checks)} checks hold" if self._request.checks else ""
        if self._request.verify == "none":
            return "its contents were not compared" + checks
        if self._manifest.fingerprint == "none":
            return "nothing was counted when it was taken, so no rows were compared" + checks
        what = "rows and their contents" if self._request.verify == "content" else "rows"
        return f"{what} of {len(self._manifest.tables)} tables are those that were backed up" + checks

    def _tell_compared(self, done: int, total: int, text: str) -> None:
        self._progress.tell("comparing", done, total, text, unit="tables")

    def _failed_checks(self, session: Session) -> list[str]:
        if not self._request.checks:
            return []
        session.order("SET default_transaction_read_only = on; RESET search_path", self._remaining())
        return [words for check in self._request.checks if (words := self._failed(session, check))]

    def _failed(self, session: Session, check: Check) -> str:
        sql = check.sql.strip().rstrip(";")
        try:
            seen: Any = session.ask(f"SELECT to_json(({sql}\n)::text)", self._remaining())
        except SlipwayError as error:
            return f"check {sql!r} failed: {error.seen}"
        return "" if seen == check.expected else f"check {sql!r} gave {seen!r} and not {check.expected!r}"

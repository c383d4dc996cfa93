# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an archive can be trusted, level by level."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._create import create_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._snapshot import (
    Asked,
    Remaining,
    Tell,
    differences,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import (
    Database,
    Source,
    quote_name,
    quote_text,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_THROW_AWAY: Final = "slipway_verify_"
_TOOL: Final = "slipway.django.pg_backup"
# How many differences a message names before it says how many more there are.
_NAMED: Final = 10


def _nobody(_done: int, _total: int, _text: str) -> None:
    """Told when nobody wants to know."""


class Unrestorable(SlipwayError):
    """The archive is whole and can't be restored."""


class Verifier:
    """Verifies an archive by the server and its programs. Whether the files are whole, `_intact.py` says."""

    def __init__(
        self,
        client: Client,
        connection: Connection,
        database: Database,
        runner: Runner,
        *,
        source: Source,
        open_session: Callable[[Connection], AbstractContextManager[Asked]],
    ) -> None:
        self._client = client
        self._connection = connection
        self._database = database
        self._runner = runner
        self._source = source
        self._open_session = open_session

    def verify(
        self, level: str, path: str, manifest: Manifest, *, owner: str, remaining: Remaining, tell: Tell = _nobody
    ) -> None:
        """Verify one level.

        :param path: the directory in which the files lie.
        :param owner: which directory and backup a throw-away database belongs to.
        :param remaining: seconds until the deadline.
        :raises SlipwayError: the level does not hold.
        """
        archive = os.path.join(path, manifest.archive)
        if level == "list":
            self._restore(["--list", "--", archive], remaining())
        elif level == "read":
            self._restore(["--file=/dev/null", "--", archive], remaining())
        elif level == "schema":
            with self._throw_away(owner, remaining) as name:
                self._restore_into(name, ["--schema-only"], archive, "its schema can't be restored", remaining)
        elif level == "restore":
            with self._throw_away(owner, remaining) as name:
                jobs = [f"--jobs={manifest.jobs}"] if manifest.jobs > 1 else []
                self._restore_into(name, jobs, archive, "it can't be restored", remaining)
                self._compare(name, manifest, remaining, tell)

    def schema_sha256(self, archive: str, remaining: Remaining) -> str:
        """Return a digest of the schema in words: equal when nothing has changed between two backups."""
        text = self._restore(["--schema-only", "--file=-", "--", archive], remaining())
        # Comments hold versions, and a line with a random word keeps psql from running what was smuggled in.
        kept = [line for line in text.splitlines() if line and not line.startswith(("--", "\\"))]
        return hashlib.sha256("\n".join(kept).encode()).hexdigest()

    def _restore(self, arguments: list[str], timeout_s: float, connection: Connection | None = None) -> str:
        argv = [self._client.program("pg_restore"), *arguments]
        environment = (connection or self._connection).environment()
        if connection is not None:
            # A throw-away database need not outlive a crash.
            environment["PGOPTIONS"] = "-c synchronous_commit=off"
        done = self._runner.run(argv, timeout_s=timeout_s, env=environment)
        return done.check(remedy="See the message of pg_restore").stdout

    def _restore_into(self, name: str, options: list[str], archive: str, failed: str, remaining: Remaining) -> None:
        # A subscription would keep the database from being dropped, a publication says nothing about restoring.
        arguments = [*options, "--exit-on-error", "--no-publications", "--no-subscriptions", "--no-password"]
        try:
            self._restore([*arguments, f"--dbname={name}", "--", archive], remaining(), self._connection.to(name))
        except CommandFailed as error:
            raise Unrestorable(
                f"The archive is whole, and {failed}: {error.stderr.strip()[-1500:]}",
                remedy="Mend what the message names (a role, an extension, a function called without its schema). "
                "verify: checksum goes on with a backup that may not be restorable",
                facts=error.facts,
            ) from error

    def _compare(self, name: str, manifest: Manifest, remaining: Remaining, tell: Tell) -> None:
        with self._open_session(self._connection.to(name)) as session:
            found = differences(session, manifest, remaining, tell)
        if found:
            more = len(found) - _NAMED
            words = "; ".join(found[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
            raise Unrestorable(
                f"The archive is whole, and what was restored from it is not what was dumped: {words}",
                remedy="Do not rely on this backup. Look at these tables: a trigger or a rule may write while rows are "
                "restored, or the disk or memory of this host is failing",
                facts={"differences": found},
            )

    @contextmanager
    def _throw_away(self, owner: str, remaining: Remaining) -> Iterator[str]:
        name = throw_away_name(owner)
        mark = json.dumps({"tool": _TOOL, "owner": owner, "phase": "verifying"}, sort_keys=True)
        statement = create_statement(name, self._source.database)
        self._database.order(statement, timeout_s=max(1.0, remaining()))
        try:
            self._database.order(f"COMMENT ON DATABASE {quote_name(name)} IS {quote_text(mark)}")
            yield name
        finally:
            self._database.order(f"DROP DATABASE IF EXISTS {quote_name(name)} WITH (FORCE)")


def throw_away_name(owner: str) -> str:
    """Return the name of the database in which a backup is tried."""
    backup = owner.rpartition("/")[2]
    return _THROW_AWAY + "".join(character if character.isalnum() else "_" for character in backup.lower())


def drop_leftovers(database: Database, directory: str, ids: Iterable[str]) -> list[str]:
    """Drop the throw-away databases that runs on this directory left when they died.

    They are known by their mark, or, when the run died before it could set it, by the id of a backup or a leftover of
    this directory. The caller holds the directory's lock, so none of them is in use.

    :param ids: of all that was in the directory when the lock was taken.
    """
    question = f"""
    SELECT coalesce(json_agg(json_build_object('name', datname, 'mark', shobj_description(oid, 'pg_database'))), '[]')
    FROM pg_database WHERE starts_with(datname, {quote_text(_THROW_AWAY)}) AND pg_has_role(datdba, 'USAGE')
    """
    unmarked = {throw_away_name(backup_id) for backup_id in ids}
    dropped = []
    for row in database.ask(question):
        if _belongs_to(row["mark"], directory) or (row["mark"] is None and row["name"] in unmarked):
            database.order(f"DROP DATABASE IF EXISTS {quote_name(row['name'])} WITH (FORCE)")
            dropped.append(str(row["name"]))
    return dropped


def _belongs_to(mark: str | None, directory: str) -> bool:
    try:
        values = json.loads(mark or "")
    except ValueError:
        return False
    return (
        isinstance(values, dict)
        and values.get("tool") == _TOOL
        and str(values.get("owner", "")).rpartition("/")[0] == directory
    )

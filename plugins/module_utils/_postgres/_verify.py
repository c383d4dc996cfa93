# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far an archive can be trusted, level by level."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import require_digest
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import (
    Database,
    Source,
    quote_name,
    quote_text,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_THROW_AWAY: Final = "slipway_verify_"
_TOOL: Final = "slipway.django.pg_backup"


class Unrestorable(SlipwayError):
    """The archive is whole and can't be restored."""


class Verifier:
    """Verifies one archive. Each level is a method that returns when it holds."""

    def __init__(
        self, client: Client, connection: Connection, database: Database, runner: Runner, source: Source
    ) -> None:
        self._client = client
        self._connection = connection
        self._database = database
        self._runner = runner
        self._source = source

    def verify(
        self, level: str, archive: str, size: int, sha256: str, *, owner: str, remaining: Callable[[], float]
    ) -> None:
        """Verify one level.

        :param owner: which directory and backup a throw-away database belongs to.
        :param remaining: seconds until the deadline.
        :raises SlipwayError: the level does not hold.
        """
        if level == "list":
            self._restore(["--list", "--", archive], remaining())
        elif level == "read":
            self._restore(["--file=/dev/null", "--", archive], remaining())
        elif level == "checksum":
            require_digest(archive, size, sha256, untouched="", remedy="See the disk and the memory of this host")
        else:
            self._restore_schema(archive, owner, remaining)

    def _restore(self, arguments: list[str], timeout_s: float, connection: Connection | None = None) -> None:
        argv = [self._client.program("pg_restore"), *arguments]
        self._runner.run(argv, timeout_s=timeout_s, env=(connection or self._connection).environment()).check(
            remedy="See the message of pg_restore"
        )

    def _restore_schema(self, archive: str, owner: str, remaining: Callable[[], float]) -> None:
        with self._throw_away(owner, remaining) as name:
            # A subscription would keep the database from being dropped, a publication says nothing about restoring.
            arguments = ["--schema-only", "--exit-on-error", "--no-publications", "--no-subscriptions", "--no-password"]
            try:
                self._restore([*arguments, f"--dbname={name}", "--", archive], remaining(), self._connection.to(name))
            except CommandFailed as error:
                raise Unrestorable(
                    f"The archive is whole, and its schema can't be restored: {error.stderr.strip()[-1500:]}",
                    remedy="Mend what the message names (a role, an extension, a function called without its schema). "
                    "verify: checksum goes on with a backup that may not be restorable",
                    facts=error.facts,
                ) from error

    @contextmanager
    def _throw_away(self, owner: str, remaining: Callable[[], float]) -> Iterator[str]:
        name = throw_away_name(owner)
        mark = json.dumps({"tool": _TOOL, "owner": owner}, sort_keys=True)
        self._database.order(create_statement(name, self._source), timeout_s=max(1.0, remaining()))
        try:
            self._database.order(f"COMMENT ON DATABASE {quote_name(name)} IS {quote_text(mark)}")
            yield name
        finally:
            self._database.order(f"DROP DATABASE IF EXISTS {quote_name(name)} WITH (FORCE)")


def throw_away_name(owner: str) -> str:
    """Return the name of the database in which a backup's schema is tried."""
    backup = owner.rpartition("/")[2]
    return _THROW_AWAY + "".join(character if character.isalnum() else "_" for character in backup.lower())


def create_statement(name: str, source: Source) -> str:
    """Return the statement that makes an empty database with the source's encoding and locale."""
    row = source.database
    parts = [
        f"CREATE DATABASE {quote_name(name)} TEMPLATE template0 CONNECTION LIMIT 5",
        f"ENCODING {quote_text(row['encoding_name'])}",
        f"LC_COLLATE {quote_text(row['datcollate'])} LC_CTYPE {quote_text(row['datctype'])}",
    ]
    # Columns of pg_database that came with versions 15 and 17.
    locale = row.get("datlocale") or row.get("daticulocale")
    if row.get("datlocprovider") == "i" and locale:
        parts.append(f"LOCALE_PROVIDER icu ICU_LOCALE {quote_text(locale)}")
    elif row.get("datlocprovider") == "b" and locale:
        parts.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {quote_text(locale)}")
    return " ".join(parts)


def drop_leftovers(database: Database, directory: str) -> list[str]:
    """Drop the throw-away databases that runs on this directory left when they died.

    They are known by their mark. The caller holds the directory's lock, so none of them is in use.
    """
    question = f"""
    SELECT coalesce(json_agg(json_build_object('name', datname, 'mark', shobj_description(oid, 'pg_database'))), '[]')
    FROM pg_database WHERE starts_with(datname, {quote_text(_THROW_AWAY)})
      AND pg_has_role(datdba, 'USAGE') AND shobj_description(oid, 'pg_database') IS NOT NULL
    """
    dropped = []
    for row in database.ask(question):
        if _belongs_to(row["mark"], directory):
            database.order(f"DROP DATABASE IF EXISTS {quote_name(row['name'])} WITH (FORCE)")
            dropped.append(str(row["name"]))
    return dropped


def _belongs_to(mark: str, directory: str) -> bool:
    try:
        values = json.loads(mark)
    except ValueError:
        return False
    return (
        isinstance(values, dict)
        and values.get("tool") == _TOOL
        and str(values.get("owner", "")).rpartition("/")[0] == directory
    )

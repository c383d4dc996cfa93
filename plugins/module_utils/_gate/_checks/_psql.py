# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking PostgreSQL by its own client, psql: no library is needed, and a program can be ended at its deadline.

Each query runs in a read-only transaction with a limit of its own on the server: a gate looks, and leaves nothing
behind that runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed, port
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Connection,
    bin_directories,
    find_psql,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_APPLICATION = "slipway health_gate"
_SEPARATOR = "\x1f"
# Of psql's manual page, "Exit Status": the connection went bad.
_NO_CONNECTION = 2
# Of other roles' sessions and queries only a member of pg_monitor or pg_read_all_stats sees more than that they are.
SEES_ALL = "pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"


@dataclass(frozen=True)
class Psql:
    """psql for one database."""

    program: str
    connection: Connection
    runner: Runner

    def where(self) -> str:
        return self.connection.in_words()

    def row(self, query: str, watch: Watch) -> list[str]:
        """Return the one row that a query gives.

        :raises NotUnderstood: no connection, an error, or another number of rows.
        """
        lines = self.document(query, watch).splitlines()
        if len(lines) != 1:
            raise NotUnderstood("rows", f"the query gave {len(lines)} rows (expected one)", local=True)
        return lines[0].split(_SEPARATOR)

    def document(self, query: str, watch: Watch) -> str:
        """Return all that a query gives, as psql prints it.

        :raises NotUnderstood: no connection, or an error.
        """
        watch.stage = "asking PostgreSQL"
        limit_s = watch.program_s()
        limits = f"-c statement_timeout={int(limit_s * 1000)} -c default_transaction_read_only=on"
        environment = {
            **self.connection.environment(),
            "PGAPPNAME": _APPLICATION,
            "PGOPTIONS": limits,
            "PGCONNECT_TIMEOUT": str(max(2, int(limit_s) + 1)),
        }
        # --command and no script: psql's own commands, which could write files, are understood at its beginning only,
        # and there refused.
        argv = [self.program, "-XqAt", "--no-password", "-F", _SEPARATOR, "-v", "ON_ERROR_STOP=1", f"--command={query}"]
        done = self.runner.run(argv, timeout_s=limit_s, env=environment)
        if done.returncode == _NO_CONNECTION:
            raise NotUnderstood("no_connection", "no connection to PostgreSQL")
        if done.returncode != 0:
            raise _error(done.stderr)
        return done.stdout


def _error(said: str) -> NotUnderstood:
    # The words of the server may hold values of the table: only what they are about is told.
    for part, code, text, local in _ERRORS:
        if part in said:
            return NotUnderstood(code, text, local=local)
    return NotUnderstood("query", "PostgreSQL could not run the query", local=True)


_ERRORS = (
    ("statement timeout", "timeout", "the query did not end in time", False),
    ("permission denied", "not_allowed", "the role may not read what the query asks for", True),
    ("read-only transaction", "not_allowed", "the query would change something, a gate only looks", True),
    ("must be loaded via", "not_installed", "pg_stat_statements is not in shared_preload_libraries", True),
    ("syntax error", "query", "PostgreSQL does not understand the query", True),
    ("does not exist", "query", "the query names something that does not exist", True),
)


def read_psql(common: Common, params: Mapping[str, Any], runner: Runner) -> Psql:
    """Read how to reach the database, and find psql.

    :raises InvalidOption: it can't be used, or this host has no psql.
    """
    number = None if params["port"] is None else port(f"{common.path}.port", params["port"], 5432)
    database = needed(common.path, params, "database")
    connection = Connection(database, params["address"], number, params["user"], params["passfile"])
    try:
        connection.validate()
        return Psql(find_psql(bin_directories()), connection, runner)
    except Refused as error:
        raise InvalidOption(
            f"{common.path}.kind", common.kind, "a host with psql (on Debian: postgresql-client)"
        ) from error

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of a run, and what PostgreSQL's errors say.

``Any`` stands for Django's connection objects: Django has no types.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import mask_detail

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK = "40P01"
QUERY_CANCELED = "57014"

_NAME_LIMIT = 63  # what PostgreSQL keeps of an application_name


@dataclass
class Session:
    """How the working connection is set; applied again after each reconnect, which application code may cause."""

    name: str
    lock_timeout_ms: int
    statement_timeout_ms: int
    read_only: bool = True

    def statements(self, server_version: int) -> list[str]:
        settings = [
            f"SET application_name = '{application_name(self.name)}'",
            f"SET lock_timeout = {int(self.lock_timeout_ms)}",
            f"SET statement_timeout = {int(self.statement_timeout_ms)}",
            # While a plan is made no statement may write: operations of others could try.
            f"SET default_transaction_read_only = {'on' if self.read_only else 'off'}",
        ]
        if server_version >= 140000:
            # Without it a statement goes on after its client was killed, and keeps its locks until it ends.
            settings.append("SET client_connection_check_interval = 1000")
        return settings


def application_name(name: str) -> str:
    """Return what PostgreSQL takes as a name without change, and without the need of quoting."""
    return re.sub(r"[^A-Za-z0-9 ._:+-]", "?", name)[:_NAME_LIMIT]


def open_work(alias: str, session: Session) -> Any:
    """Return Django's own connection, set as ``session`` says, also whenever it is opened again."""
    if alias not in dj.connections:
        raise SlipwayError(
            f"the release's settings have no database {alias!r}, only {', '.join(sorted(dj.connections))}",
            untouched="Nothing was changed",
            remedy="Name one of them in the option database",
        )
    connection = dj.connections[alias]
    if connection.vendor != "postgresql":
        raise SlipwayError(
            f"the database {alias!r} is {connection.vendor}, this module works with PostgreSQL",
            untouched="Nothing was changed",
        )
    connection.close()
    _prepare(connection)

    def configure(connection: Any, **_kwargs: Any) -> None:
        if connection is work:
            configure_session(connection, session)

    work = connection
    dj.connection_created.connect(configure, weak=False)
    _connect(work)
    return work


def open_copy(work: Any, name: str, *, database: str = "") -> Any:
    """Return another connection, which belongs to the thread that calls.

    :param database: another database on the same server.
    """
    connection = work.copy()
    connection.settings_dict["NAME"] = database or connection.settings_dict["NAME"]
    _prepare(connection)
    _connect(connection)
    execute_raw(connection, f"SET application_name = '{application_name(name)}'")
    return connection


def _prepare(connection: Any) -> None:
    options = connection.settings_dict["OPTIONS"]
    # A pool would give the session, with its settings and its lock, to somebody else.
    options.pop("pool", None)
    for name, value in {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}.items():
        options.setdefault(name, value)


def _connect(connection: Any) -> None:
    try:
        connection.ensure_connection()
    except dj.Error as error:
        raise SlipwayError(
            f"the database of the release does not answer: {error_text(error)}",
            untouched="Nothing was changed",
            remedy="Look at the server, and at the database settings in the release's environment file",
        ) from error


def configure_session(connection: Any, session: Session) -> None:
    """Set the open connection as ``session`` says."""
    for statement in session.statements(connection.pg_version):
        execute_raw(connection, statement)


def execute_raw(connection: Any, statement: str) -> None:
    """Execute below Django: no wrapper sees it, and it opens no connection."""
    with connection.connection.cursor() as cursor:
        cursor.execute(statement)


def rows(connection: Any, query: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Return all rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query, list(params))
        return list(cursor.fetchall())


def backend_pid(connection: Any) -> int:
    """The server's process of an open connection, without asking the server."""
    return int(connection.connection.info.backend_pid)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's code in an error or in what caused it, ``""`` when there is none."""
    for each in _chain(error):
        code = getattr(each, "sqlstate", None) or getattr(each, "pgcode", None)
        if code:
            return str(code)
    return ""


def error_text(error: BaseException) -> str:
    """Return an error for people: of PostgreSQL's errors the message and the detail, its values masked."""
    for each in _chain(error):
        diagnosis = getattr(each, "diag", None)
        message = getattr(diagnosis, "message_primary", None)
        if message:
            detail = getattr(diagnosis, "message_detail", None)
            return f"{message} ({sqlstate(each)})" + (f". {mask_detail(detail)}" if detail else "")
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the database to rehearse on. It bears a mark, and only what bears it is ever emptied or dropped.

Either the schema alone, with the rows that Django itself needs, or the whole of another database, such as a backup
that was restored: that one is copied too, so that it stays what it was. A role that may make no database works in the
one that was prepared for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    error_text,
    open_copy,
    rows,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Client,
    bin_directories,
    client_for,
    find_clients,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._create import create_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import (
    comment_statement,
    derived_name,
    stamp,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._rehearsals import (
    PREPARED,
    REHEARSING,
    TOOL,
    is_marked,
    mark_of,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_name
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_NOTHING = "Nothing was changed"
# Their rows are part of what migrations and their signals build on; all other tables stay empty.
_SEEDS = ("django_migrations", "django_content_type", "auth_permission")
_LIMIT_S = 600.0
# What of a connection's parameters libpq takes from the environment: the password is in no argument list.
_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "hostaddr": "PGHOSTADDR",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}

_LIVE = """
SELECT to_jsonb(d)::text, pg_encoding_to_char(d.encoding),
       (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user), current_user::text
FROM pg_database AS d WHERE datname = current_database()
"""
_OURS = """
SELECT datname::text, shobj_description(oid, 'pg_database') FROM pg_database
WHERE strpos(shobj_description(oid, 'pg_database'), %s) > 0 AND pg_has_role(datdba, 'USAGE') AND datallowconn
"""
_SCHEMAS = """
SELECT nspname::text FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
"""
# Of a killed rehearsal: the caller holds the lock of the run, so none of them is at work.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Live:
    """The live database as the server tells of it."""

    name: str
    row: Mapping[str, Any]
    may_create: bool
    user: str


def look(connection: Any) -> Live:
    """Return what has to be known of the live database to make one that is like it."""
    row, encoding, may_create, user = rows(connection, _LIVE)[0]
    values = {**json.loads(row), "encoding_name": encoding}
    return Live(values["datname"], values, bool(may_create), user)


@contextmanager
def copied(work: Any, source: str, *, clock: Clock, runner: Runner, empty: bool = False) -> Iterator[str]:
    """Yield the name of a copy, which is gone at the end.

    :param work: Django's connection to the live database; only its settings are used.
    :param source: a database on the same server to copy with its rows; empty for the live one's schema alone.
    :param empty: no copy but a database that holds nothing.
    :raises SlipwayError: it can't be made.
    """
    admin = open_copy(work, "slipway migrate rehearsal")
    try:
        live = look(admin)
        prepared = [] if source or live.may_create else _marked(admin, live.name, PREPARED)
        _refuse(live, source, prepared)
        drop_leftovers(admin, live.name)
        way = _emptied(work, live, prepared[0]) if prepared else _made(admin, live, source, clock)
        with way as name:
            if not (source or empty):
                _fill(work, live.name, name, runner)
            yield name
    finally:
        with contextlib.suppress(dj.Error):
            admin.close()


@contextmanager
def _made(admin: Any, live: Live, source: str, clock: Clock) -> Iterator[str]:
    # Its own run is known by it: two that start in the same second must not meet.
    name = derived_name(live.name, "rehearsal", f"{stamp(clock.utcnow())}_{secrets.token_hex(2)}")
    _create(admin, live, source, name)
    # From here on it is ours: what could not be created is not ours to drop.
    try:
        _order(admin, comment_statement(name, mark_of(live.name, REHEARSING)))
        yield name
    finally:
        _drop(admin, name)


@contextmanager
def _emptied(work: Any, live: Live, name: str) -> Iterator[str]:
    _empty(work, live, name)
    try:
        yield name
    finally:
        # What stays the next one takes away.
        with contextlib.suppress(dj.Error, SlipwayError):
            _empty(work, live, name)


def _empty(work: Any, live: Live, name: str) -> None:
    """Take all away that is in a prepared database."""
    try:
        connection = open_copy(work, "slipway migrate rehearsal", database=name)
    except SlipwayError as error:
        raise SlipwayError(
            f"the database {name}, which was prepared for rehearsals, can't be reached: {error.seen}",
            untouched=_NOTHING,
            remedy=f"Let {live.user} log in to it from this host (pg_hba.conf); the playbook provision does",
        ) from error
    try:
        here = rows(connection, "SELECT current_database()::text")[0][0]
        if here != name or here == live.name:
            raise SlipwayError(f"the connection leads to {here} and not to {name}", untouched=_NOTHING)
        rows(connection, _END_SESSIONS)
        for (schema,) in rows(connection, _SCHEMAS):
            _order(connection, f"DROP SCHEMA {quote_name(schema)} CASCADE")
        _order(connection, "CREATE SCHEMA public")
    except dj.Error as error:
        raise SlipwayError(
            f"the database {name}, which was prepared for rehearsals, can't be emptied: {error_text(error)}",
            untouched=_NOTHING,
            remedy=f"Its schemas must belong to {live.user}: ALTER SCHEMA public OWNER TO {quote_name(live.user)}",
        ) from error
    finally:
        connection.close()


def _refuse(live: Live, source: str, prepared: Sequence[str]) -> None:
    role = quote_name(live.user)
    if not live.may_create and not prepared:
        own = derived_name(live.name, "rehearsal", "prepared")
        given = (
            f"CREATE DATABASE {quote_name(own)} OWNER {role}; {comment_statement(own, mark_of(live.name, PREPARED))}"
        )
        raise Refused(
            f"a rehearsal {'with rows ' if source else ''}needs a database of its own, and the role {live.user} may not"
            " create one",
            untouched=_NOTHING,
            remedy=f"ALTER ROLE {role} CREATEDB" + ("" if source else f"; or give it one for all rehearsals: {given}"),
            facts={"user": live.user, "no_means": True},
        )
    if source == live.name:
        raise Refused(
            f"{source} is the live database: its rows can't be copied while it is in use",
            untouched=_NOTHING,
            remedy="Name a database that a backup was restored into, or leave it out: the schema is rehearsed then",
        )


def drop_leftovers(admin: Any, live: str) -> None:
    """Drop the copies of killed rehearsals: the caller holds the lock of the run, so none of them is in use."""
    for name in _marked(admin, live, REHEARSING):
        _drop(admin, name)


def _marked(admin: Any, live: str, phase: str) -> list[str]:
    """The databases of this role that bear a mark, sorted by name."""
    return sorted(name for name, comment in rows(admin, _OURS, (TOOL,)) if is_marked(comment, live, phase))


def _create(admin: Any, live: Live, source: str, name: str) -> None:
    like = f"CREATE DATABASE {quote_name(name)} TEMPLATE {quote_name(source)}"
    try:
        _order(admin, like if source else create_statement(name, live.row))
    except dj.Error as error:
        raise SlipwayError(
            f"the copy for the rehearsal can't be made: {error_text(error)}",
            untouched=_NOTHING,
            remedy="A database that is copied must belong to this role and have no session" if source else "",
        ) from error


def _order(admin: Any, statement: str) -> None:
    with admin.cursor() as cursor:
        cursor.execute(statement)


def _drop(admin: Any, name: str) -> None:
    force = " WITH (FORCE)" if admin.pg_version >= 130000 else ""
    try:
        _order(admin, f"DROP DATABASE IF EXISTS {quote_name(name)}{force}")
    except dj.Error:
        # It bears its mark: the next rehearsal drops it.
        return


def _fill(work: Any, live_name: str, name: str, runner: Runner) -> None:
    client = _client(work, runner)
    environment = {"PGAPPNAME": "slipway migrate rehearsal", **_variables(work.get_connection_params())}
    live = {**environment, "PGDATABASE": live_name}
    with tempfile.TemporaryDirectory(prefix="slipway-rehearsal-") as directory:
        for part, selection in (("schema", ["--schema-only"]), ("rows", _rows_wanted(work))):
            if not selection:
                continue
            archive = os.path.join(directory, part)
            dump = ["--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=10s", *selection]
            _run(runner, [client.program("pg_dump"), *dump, f"--file={archive}"], live)
            options = ["--exit-on-error", "--no-owner", "--no-privileges", "--no-comments", "--no-security-labels"]
            options += ["--no-publications", "--no-subscriptions", "--no-tablespaces", "--no-password"]
            restore = [client.program("pg_restore"), *options, f"--dbname={name}", archive]
            _run(runner, restore, {**environment, "PGDATABASE": name})


def _rows_wanted(work: Any) -> list[str]:
    found = rows(
        work,
        "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND oid = ANY"
        " (ARRAY(SELECT to_regclass(name) FROM unnest(%s::text[]) AS name))",
        (list(_SEEDS),),
    )
    return ["--data-only", *(f"--table={name}" for (name,) in found)] if found else []


def _run(runner: Runner, argv: list[str], environment: Mapping[str, str]) -> None:
    try:
        runner.run(argv, timeout_s=_LIMIT_S, env=environment).check()
    except CommandFailed as error:
        raise SlipwayError(
            f"the copy for the rehearsal can't be filled: {error.seen}",
            untouched=_NOTHING,
            remedy="Repair what the message names; an extension that this role may not create needs a copy of a"
            " database that has it: rehearsal_source",
            facts=error.facts,
        ) from error


def _client(work: Any, runner: Runner) -> Client:
    major = int(work.pg_version) // 10000
    clients = find_clients(bin_directories(), runner)
    found = client_for(major, clients)
    if found is None:
        seen = ", ".join(client.version for client in clients) or "none"
        raise Refused(
            f"a rehearsal on the schema needs pg_dump and pg_restore of version {major}, this host has {seen}",
            untouched=_NOTHING,
            remedy=f"Install them (on Debian: postgresql-client-{major}), or name a restored backup in"
            " rehearsal_source",
            facts={"server": major, "clients": [client.version for client in clients], "no_means": True},
        )
    return found


def _variables(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {_VARIABLES[key]: str(value) for key, value in parameters.items() if key in _VARIABLES and value}

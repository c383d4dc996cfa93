# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the database of a site: observed, planned, made. Nothing is ever dropped or taken away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import comment_statement
from ansible_collections.slipway.django.plugins.module_utils._postgres._rehearsals import PREPARED, is_marked, mark_of
from ansible_collections.slipway.django.plugins.module_utils._postgres._scram import make_verifier, matches
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_TIMEOUT_S = 30
_EXTENSION = "pg_stat_statements"


@dataclass(frozen=True)
class Wanted:
    """What the site needs.

    :param rehearsal: a database for rehearsals of migrations; empty: none.
    :param statistics: whether the server counts what each query takes.
    """

    database: str
    user: str
    password: str
    rehearsal: str = ""
    statistics: bool = False


@dataclass(frozen=True)
class Observed:
    """What the server has. ``verifier`` and the owners are None where there is nothing."""

    role_exists: bool
    verifier: str | None
    can_login: bool
    owner: str | None
    rehearsal_owner: str | None = None
    rehearsal_comment: str | None = None
    preloaded: str = ""
    counts: bool = False


@dataclass(frozen=True)
class Step:
    """One statement, and what it does in words that bear no secret."""

    sql: str
    words: str
    database: str = "postgres"


def identifier(name: str) -> str:
    """Quote a name for SQL (manual, "Identifiers and Key Words")."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL with standard_conforming_strings on, PostgreSQL's default since 9.1."""
    return "'" + text.replace("'", "''") + "'"


def observation_query(wanted: Wanted) -> str:
    """One statement that answers with one JSON document."""
    role, database, rehearsal = map(literal, (wanted.user, wanted.database, wanted.rehearsal))
    return (
        "SELECT json_build_object("
        f"'role_exists', EXISTS (SELECT FROM pg_authid WHERE rolname = {role}),"
        f"'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = {role}),"
        f"'can_login', COALESCE((SELECT rolcanlogin FROM pg_authid WHERE rolname = {role}), false),"
        f"'owner', (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {database}),"
        f"'rehearsal_owner', (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {rehearsal}),"
        "'preloaded', current_setting('shared_preload_libraries'),"
        "'counts', EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'),"
        "'rehearsal_comment', (SELECT shobj_description(oid, 'pg_database') FROM pg_database"
        f" WHERE datname = {rehearsal}))"
    )


def plan(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    """Return what is missing.

    :raises Refused: a database is there and belongs to somebody else, or is not for rehearsals.
    """
    _refuse_owner(wanted.database, observed.owner, wanted.user)
    _refuse_owner(wanted.rehearsal, observed.rehearsal_owner, wanted.user)
    role = identifier(wanted.user)
    steps: list[Step] = []
    if not observed.role_exists:
        steps.append(Step(f"CREATE ROLE {role} LOGIN", f"make role {wanted.user}"))
    elif not observed.can_login:
        steps.append(Step(f"ALTER ROLE {role} LOGIN", f"let role {wanted.user} log in"))
    if not matches(wanted.password, observed.verifier or ""):
        verifier = literal(make_verifier(wanted.password))
        steps.append(Step(f"ALTER ROLE {role} PASSWORD {verifier}", f"set the password of role {wanted.user}"))
    if observed.owner is None:
        sql = f"CREATE DATABASE {identifier(wanted.database)} OWNER {role} ENCODING 'UTF8' TEMPLATE template0"
        steps.append(Step(sql, f"make database {wanted.database}"))
    return (*steps, *_for_rehearsals(wanted, observed), *_for_statistics(wanted, observed))


def _refuse_owner(database: str, owner: str | None, user: str) -> None:
    if owner is not None and owner != user:
        raise Refused(
            f"database {database} belongs to {owner}, expected {user}",
            untouched="Nothing was changed",
            remedy=f"Give it to {user} by hand, or name its owner as the site's user",
            facts={"database": database, "owner": owner},
        )


def _for_rehearsals(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    name, role = identifier(wanted.rehearsal), identifier(wanted.user)
    if not wanted.rehearsal or is_marked(observed.rehearsal_comment, wanted.database, PREPARED):
        return ()
    if observed.rehearsal_owner is not None:
        raise Refused(
            f"database {wanted.rehearsal} is there and bears no mark that it is for rehearsals of {wanted.database}:"
            " a rehearsal would empty it",
            untouched="Nothing was changed",
            remedy="Drop it when nobody needs it, or name another one in rehearsal_database",
            facts={"database": wanted.rehearsal, "comment": observed.rehearsal_comment},
        )
    words = f"make database {wanted.rehearsal} for rehearsals"
    create = f"CREATE DATABASE {name} OWNER {role} ENCODING 'UTF8' TEMPLATE template0"
    # Below PostgreSQL 15 it belongs to the superuser. The mark comes last: what bears it is ready.
    give = Step(f"ALTER SCHEMA public OWNER TO {role}", f"give {wanted.rehearsal} to {wanted.user}", wanted.rehearsal)
    mark = comment_statement(wanted.rehearsal, mark_of(wanted.database, PREPARED))
    return (Step(create, words), give, Step(mark, f"mark database {wanted.rehearsal}"))


def _for_statistics(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    """In the database postgres, not in the site's: who makes copies of that for a rehearsal may make no extension."""
    if not wanted.statistics:
        return ()
    if _EXTENSION not in observed.preloaded:
        raise Refused(
            f"shared_preload_libraries is {observed.preloaded!r}, expected {_EXTENSION} in it",
            untouched="Nothing was changed",
            remedy="Name it there and restart the server, or leave query_statistics out",
            facts={"shared_preload_libraries": observed.preloaded},
        )
    words = "count what each query takes"
    return () if observed.counts else (Step(f"CREATE EXTENSION {_EXTENSION}", words),)


class Psql:
    """Statements through C(psql), over standard input: none of them is ever in a list of processes."""

    def __init__(self, runner: Runner, options: Sequence[str] = ()) -> None:
        self._runner = runner
        self._argv = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        self._options = list(options)

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run one statement in a session of its own and return what it answers.

        :raises CommandFailed: the server refused it.
        """
        argv = [*self._argv, f"--dbname={database}", *self._options, "--file=-"]
        completed = self._runner.run(argv, stdin=f"{sql};\n", timeout_s=_TIMEOUT_S)
        return completed.check(remedy="Run this as a PostgreSQL superuser, for example the user postgres").stdout


def observe(psql: Psql, wanted: Wanted) -> Observed:
    """Read what the server has.

    :raises SlipwayError: its answer is not understood.
    """
    answer = psql.run(observation_query(wanted))
    try:
        return Observed(**json.loads(answer))
    except (TypeError, ValueError) as error:
        raise SlipwayError("psql gave an answer that is not understood", untouched="Nothing was changed") from error


def ensure(psql: Psql, wanted: Wanted, *, check_mode: bool) -> list[str]:
    """Make what is missing and return what was done, or would be, in words.

    :raises SlipwayError: it is not all there afterwards.
    """
    steps = plan(wanted, observe(psql, wanted))
    if check_mode:
        return [step.words for step in steps]
    for step in steps:
        psql.run(step.sql, step.database)
    left = plan(wanted, observe(psql, wanted)) if steps else ()
    if left:
        raise SlipwayError(f"still to do after the run: {', '.join(step.words for step in left)}")
    return [step.words for step in steps]

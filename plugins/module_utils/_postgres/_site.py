# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the database of a site: observed, planned, made. Nothing is ever dropped or taken away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._scram import make_verifier, matches
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_TIMEOUT_S = 30


@dataclass(frozen=True)
class Wanted:
    """What the site needs."""

    database: str
    user: str
    password: str


@dataclass(frozen=True)
class Observed:
    """What the server has. ``verifier`` and ``owner`` are None where there is nothing."""

    role_exists: bool
    verifier: str | None
    can_login: bool
    owner: str | None


@dataclass(frozen=True)
class Step:
    """One statement, and what it does in words that bear no secret."""

    sql: str
    words: str


def identifier(name: str) -> str:
    """Quote a name for SQL (manual, "Identifiers and Key Words")."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL with standard_conforming_strings on, PostgreSQL's default since 9.1."""
    return "'" + text.replace("'", "''") + "'"


def observation_query(wanted: Wanted) -> str:
    """One statement that answers with one JSON document."""
    role, database = literal(wanted.user), literal(wanted.database)
    return (
        "SELECT json_build_object("
        f"'role_exists', EXISTS (SELECT FROM pg_authid WHERE rolname = {role}),"
        f"'verifier', (SELECT rolpassword FROM pg_authid WHERE rolname = {role}),"
        f"'can_login', COALESCE((SELECT rolcanlogin FROM pg_authid WHERE rolname = {role}), false),"
        f"'owner', (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = {database}))"
    )


def plan(wanted: Wanted, observed: Observed) -> tuple[Step, ...]:
    """Return what is missing.

    :raises Refused: the database is there and belongs to somebody else.
    """
    if observed.owner is not None and observed.owner != wanted.user:
        raise Refused(
            f"database {wanted.database} belongs to {observed.owner}, expected {wanted.user}",
            untouched="Nothing was changed",
            remedy=f"Give it to {wanted.user} by hand, or name its owner as the site's user",
            facts={"database": wanted.database, "owner": observed.owner},
        )
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
    return tuple(steps)


class Psql:
    """Statements through C(psql), over standard input: none of them is ever in a list of processes."""

    def __init__(self, runner: Runner, options: Sequence[str] = ()) -> None:
        self._runner = runner
        self._argv = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"]
        self._argv += ["--dbname=postgres", *options]

    def run(self, sql: str) -> str:
        """Run one statement in a session of its own and return what it answers.

        :raises CommandFailed: the server refused it.
        """
        completed = self._runner.run([*self._argv, "--file=-"], stdin=f"{sql};\n", timeout_s=_TIMEOUT_S)
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
        psql.run(step.sql)
    left = plan(wanted, observe(psql, wanted)) if steps else ()
    if left:
        raise SlipwayError(f"still to do after the run: {', '.join(step.words for step in left)}")
    return [step.words for step in steps]

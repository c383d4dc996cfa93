# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the pending migrations on a copy, with a tracer, by the code that applies them in earnest."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._contract import (
    Catalog,
    breaks,
    doubts,
    facts,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge
from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    Finding,
    Measured,
    Statement,
    find,
    merged,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rehearsal import Rehearsal
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import FAILS
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._applying import apply_all, undo_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._catalog import (
    read_catalog,
    read_sizes,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._copy import copied
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    execute_raw,
    rows,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._facts import collect_undoing
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._observing import (
    in_part,
    invalid_indexes,
    observe,
    states_before,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Progress, Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._signals import (
    send_after,
    send_before,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._tracing import Tracer
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_COPY_ONLY = "Nothing was changed: it ran on a copy, which is gone again"


def rehearse(run: Run, plan: Sequence[Judged], *, left: Collection[str], first: bool, runner: Runner) -> Rehearsal:
    """Run the plan on a copy and return what was found. ``run`` is for the live database, which is only read.

    :param left: the pending migrations that are no part of the plan.
    :raises SlipwayError: there can be no copy, or it is not as the live database.
    """
    work, source = run.work, run.request.rehearsal_source
    live, path = read_sizes(work), rows(work, "SHOW search_path")[0][0]
    with copied(work, source, clock=run.clock, runner=runner) as name, moved_to(work, name, path):
        wanted = [each.migration.key for each in plan]
        whole = observe(work, run.journal)
        found = [key for key in map(_key, whole.plan) if key not in left]
        seen = in_part(whole, frozenset(wanted))
        if wanted != found:
            raise SlipwayError(
                f"the copy is not as the live database: there {', '.join(found) or 'nothing'} would be applied, here"
                f" {', '.join(wanted)}",
                untouched=_COPY_ONLY,
                remedy=f"Name a copy in rehearsal_source that is as new as the live database, not {source}"
                if source
                else "Run again",
            )
        if source:
            execute_raw(work, "ANALYZE")
        copy = read_sizes(work)
        stage = _Stage(
            dataclasses.replace(run, executor=seen.executor, applied=[], progress=Progress(), plan={}, guard=None),
            first,
        )
        return stage.play(plan, seen.plan, Rehearsal(source, (), copy, live))


def _key(migration: Any) -> str:
    return f"{migration.app_label}.{migration.name}"


@contextmanager
def moved_to(work: Any, name: str, path: str) -> Iterator[None]:
    """Django's connection leads to the copy within; other connections of the site can't write meanwhile."""
    home = work.settings_dict["NAME"]

    def guard(connection: Any, **_kwargs: Any) -> None:
        if connection.alias == work.alias:
            return
        if connection.vendor != "postgresql":
            raise SlipwayError(f"a migration uses the database {connection.alias!r}, of which there is no copy")
        execute_raw(connection, "SET default_transaction_read_only = on")

    dj.connections.close_all()
    dj.connection_created.connect(guard, weak=False)
    work.settings_dict["NAME"] = name
    try:
        work.ensure_connection()
        _check_place(work, name)
        with work.cursor() as cursor:
            # What ALTER DATABASE and ALTER ROLE … IN DATABASE have set stays with the live one.
            cursor.execute("SELECT set_config('search_path', %s, false)", (path,))
        yield
    finally:
        work.close()
        work.settings_dict["NAME"] = home
        dj.connection_created.disconnect(guard)


def _check_place(work: Any, name: str) -> None:
    """The one mistake that nothing else would catch."""
    here = rows(work, "SELECT current_database()")[0][0]
    if here != name:
        raise SlipwayError(
            f"the connection leads to {here} and not to the copy {name}",
            untouched="Nothing was changed",
            remedy="Give the release's settings an alias that reaches the server directly, and name it in database",
        )


class _Stage:
    """The copy while the migrations run on it."""

    def __init__(self, run: Run, first: bool) -> None:
        self._run = run
        self._first = first
        self._tracer = Tracer(run.work, lambda: run.progress, run.clock)

    def play(self, plan: Sequence[Judged], migrations: Sequence[Any], empty: Rehearsal) -> Rehearsal:
        run, before = self._run, read_catalog(self._run.work)
        run.journal.create()
        run.executor.recorder.ensure_schema()
        state = send_before(run.work.alias, run.executor, migrations, backwards=False)
        findings: list[Finding] = []
        now = before
        for judged, migration in zip(plan, migrations):
            measured, state, now = self._one(judged, migration, state, now)
            found = find(judged, measured, empty.live, rows=bool(empty.source), first=self._first)
            findings.append(found)
            if measured.error:
                return dataclasses.replace(empty, findings=tuple(findings), why_not="the way there failed")
        run.executor.check_replacements()
        send_after(run.work.alias, state, migrations, backwards=False)
        back, why_not = self._back(plan, migrations, before, empty.live)
        return dataclasses.replace(empty, findings=tuple(findings), back=back, why_not=why_not)

    def _one(self, judged: Judged, migration: Any, state: Any, before: Catalog) -> tuple[Measured, Any, Catalog]:
        run, key = self._run, judged.migration.key
        invalid = set(invalid_indexes(run.work))
        began = run.clock.monotonic()
        run.progress = Progress()
        try:
            with run.work.execute_wrapper(self._tracer):
                state = apply_all(run, [migration], state)
        except SlipwayError as error:
            failed = _placed(self._tracer.take(), judged)
            return Measured(key, run.now_ms(began), failed, error=error.seen), state, before
        after = read_catalog(run.work)
        left = tuple(each for each in invalid_indexes(run.work) if each not in invalid)
        measured = Measured(
            key,
            run.applied[-1].ms,
            _placed(self._tracer.take(), judged),
            tuple(breaks(before, after)),
            tuple(doubts(before, after)),
            left,
        )
        return measured, state, after

    def _back(
        self, plan: Sequence[Judged], migrations: Sequence[Any], before: Catalog, live: Mapping[str, Table]
    ) -> tuple[bool | None, str]:
        """Undo all that was applied, and hold the schema against that of before."""
        run = self._run
        fixed = [each.migration.key for each in plan if not all(o.reversible for o in each.migration.operations)]
        if fixed:
            return False, f"{', '.join(fixed)} can't be undone"
        run.executor.loader.build_graph()
        undone = list(reversed(list(migrations)))
        doomed = self._doomed(undone, live)
        if doomed:
            return False, "; ".join(doomed)
        try:
            undo_all(run, undone, states_before(run.executor, undone))
        except SlipwayError as error:
            return False, error.seen
        left = sorted(facts(before) ^ facts(read_catalog(run.work)))
        return (False, f"the schema is another one afterwards: {'; '.join(left)}") if left else (True, "")

    def _doomed(self, undone: Sequence[Any], live: Mapping[str, Table]) -> list[str]:
        """What fails as soon as there is a row, which a copy without rows does not show."""
        states = states_before(self._run.executor, undone)
        migrations = collect_undoing(self._run.work, undone, states, live)
        judged = [judge(each, first=False, acknowledged={}) for each in migrations]
        return [
            f"{each.migration.key}: {verdict.why}"
            for each in judged
            for verdict in each.verdicts
            if verdict.lock == FAILS
        ]


def _placed(statements: Sequence[Statement], judged: Judged) -> tuple[Statement, ...]:
    """Give what Django left for the end back to the operation that it belongs to, by its text."""
    owners = {
        " ".join(sql.split()).rstrip(";"): operation.index
        for operation in judged.migration.operations
        for sql in operation.sql
    }
    return tuple(
        merged(
            [
                dataclasses.replace(each, operation=owners.get(each.sql.rstrip(";")))
                if each.operation is None
                else each
                for each in statements
            ]
        )
    )


def refuse_failure(rehearsal: Rehearsal) -> None:
    """Fail when a migration did.

    :raises SlipwayError: one of them failed on the copy.
    """
    for finding in rehearsal.findings:
        if finding.measured.error:
            raise SlipwayError(
                f"the rehearsal failed: {finding.measured.error}",
                untouched=_COPY_ONLY,
                remedy="Repair the migration and deploy that version",
            )

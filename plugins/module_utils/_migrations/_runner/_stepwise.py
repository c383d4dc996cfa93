# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration without a transaction (``atomic = False``): each operation once, with the journal around it.

What took effect stays whatever happens next, so nothing is done twice. Only a statement that did not get its
lock, and so did nothing at all, is tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _journal as events
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    LOCK_NOT_AVAILABLE,
    backend_pid,
    error_text,
    execute_raw,
    sqlstate,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._indexes import (
    drop_invalid,
    index_state,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._record import record
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._steps import (
    Step,
    run,
    runs_python,
    steps,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import created_index, is_concurrent

# DROP INDEX CONCURRENTLY waits for transactions; the account of the failure should not wait for long.
_CLEARING_MS = 30_000


def run_stepwise(context: Run, migration: Any, state: Any, *, backwards: bool) -> tuple[Any, int]:
    """Return the state of the project after the migration, and its milliseconds without the waiting for locks."""
    began = context.clock.monotonic()
    context.progress.tries, start = 1, context.progress.start
    context.journal.add(events.STARTED, migration, backwards=backwards)
    after = state.clone()
    with context.work.schema_editor(atomic=False) as editor:
        for step in steps(migration, after, backwards=backwards):
            if step.index < start:
                # Past the end nothing is left, and what the editor holds it would run when it is closed.
                if start <= len(migration.operations):
                    editor.deferred_sql.extend(_left_by(context.work, migration, step))
                context.progress.operations += 1
                continue
            with _journalled(context, migration, step):
                run(step, migration, editor)
        if start <= len(migration.operations):
            _run_deferred(context, migration, editor, backwards)
    ms = context.now_ms(began + context.progress.waited_s)
    with dj.atomic(context.work.alias):
        record(context, migration, backwards=backwards, ms=ms)
    return after, ms


def _left_by(work: Any, migration: Any, step: Step) -> list[str]:
    """What an operation that an earlier run has done left for the end, which that run did not reach."""
    if runs_python(step.operation):
        return []
    with work.schema_editor(collect_sql=True, atomic=False) as editor:
        run(step, migration, editor)
        left = [str(each) for each in editor.deferred_sql]
        editor.deferred_sql.clear()
    return left


class _Deferred:
    """What Django leaves for the end of a migration, foreign keys of new tables mostly, as a last operation."""

    reduces_to_sql = True

    def describe(self) -> str:
        return "Deferred statements"


def _run_deferred(context: Run, migration: Any, editor: Any, backwards: bool) -> None:
    if not editor.deferred_sql:
        return
    step = Step(len(migration.operations), _Deferred(), None, None, backwards)
    context.progress.deferred = True
    with _journalled(context, migration, step):
        while editor.deferred_sql:
            editor.execute(editor.deferred_sql.pop(0), None)


@contextmanager
def _journalled(context: Run, migration: Any, step: Step) -> Iterator[None]:
    def add(event: str, detail: str) -> None:
        context.journal.add(event, migration, backwards=step.backwards, operation=step.index, detail=detail)

    add(events.OPERATION_STARTED, step.title)
    context.progress.begin(step)
    try:
        with context.work.execute_wrapper(_Patient(context, migration)):
            yield
    except Exception as error:
        _note_failure(context, add, error)
        raise
    add(events.OPERATION_DONE, step.title)
    context.progress.operations += 1


def _note_failure(context: Run, add: Callable[[str, str], None], error: Exception) -> None:
    progress = context.progress
    python = progress.step is None or runs_python(progress.step.operation)
    if progress.nothing_done:
        event = events.WITHDRAWN
    elif progress.statements == 0 and not progress.doubtful and not python:
        event = events.OPERATION_WITHDRAWN
    else:
        event = events.OPERATION_FAILED
    try:
        add(event, error_text(error))
    except dj.Error:
        # The connection is gone: that the operation was begun is the last word of the journal, and it is true.
        return


class _Patient:
    """Gives each statement the limits that are right for it."""

    def __init__(self, context: Run, migration: Any) -> None:
        self._run = context
        self._migration = migration
        self._asking = False

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        def attempt() -> Any:
            return execute(sql, params, many, context)

        if self._asking:
            return attempt()
        if is_concurrent(str(sql)):
            result = self._concurrently(str(sql), attempt)
        elif self._run.work.in_atomic_block:
            # A transaction of the operation's own: what failed in it can't be tried again by itself.
            result = attempt()
        else:
            result = self._until_locked(attempt)
        self._run.progress.statements += 1
        return result

    def _concurrently(self, sql: str, attempt: Callable[[], Any]) -> Any:
        # Its waiting blocks nobody, and each failure leaves an INVALID index: a limit for the lock would only
        # make more of those. The limit for the whole statement stays.
        work, limit_s = self._run.work, self._run.request.concurrent_timeout_s
        progress, name = self._run.progress, self._announce(sql)
        progress.doubtful = True
        execute_raw(work, "SET lock_timeout = 0")
        execute_raw(work, f"SET statement_timeout = {round(limit_s * 1000)}")
        self._run.watcher.begin(backend_pid(work))
        try:
            result = attempt()
        except dj.Error:
            progress.blockers = self._run.watcher.end()
            if name is not None:
                self._clear_away(name)
            raise
        else:
            self._run.watcher.end()
            progress.doubtful = False
            return result
        finally:
            self._restore(work)

    def _announce(self, sql: str) -> str | None:
        """Write down which index will be made, so that what is left of it is known as ours; return its name."""
        name, progress = created_index(sql), self._run.progress
        if name is None or progress.statements > 0 or progress.step is None:
            return None
        with self._quietly():
            if index_state(self._run.work, name) is not None:
                return None
            self._run.journal.add(events.INDEX_BEGUN, self._migration, operation=progress.step.index, detail=name)
        return name

    def _clear_away(self, name: str) -> None:
        """Remove what the failed build has left; where that fails too, the next run does it."""
        with self._quietly(), contextlib.suppress(dj.Error, self._run.work.Database.Error):
            execute_raw(self._run.work, f"SET statement_timeout = {_CLEARING_MS}")
            drop_invalid(self._run.work, name)
            self._run.progress.doubtful = False

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def _restore(self, work: Any) -> None:
        try:
            execute_raw(work, f"SET lock_timeout = {int(self._run.request.lock_timeout_ms)}")
            execute_raw(work, f"SET statement_timeout = {int(self._run.request.statement_timeout_ms)}")
        except work.Database.Error:
            return  # the connection is gone, and with it the settings

    def _until_locked(self, attempt: Callable[[], Any]) -> Any:
        while True:
            began = self._run.clock.monotonic()
            execute_raw(self._run.work, f"SET lock_timeout = {self._run.timeout_ms()}")
            self._run.watcher.begin(backend_pid(self._run.work))
            try:
                result = attempt()
            except dj.Error as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE:
                    self._run.progress.blockers = self._run.watcher.end()
                    raise
                self._run.wait_for_lock(began, error)
                self._run.progress.tries += 1
            else:
                self._run.watcher.end()
                return result

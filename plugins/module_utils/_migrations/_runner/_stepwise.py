# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration without a transaction (``atomic = False``): each operation once, with the journal around it.

What took effect stays whatever happens next, so nothing is done twice. Only a statement that did not get its
lock, and so did nothing at all, is tried again.
"""

from __future__ import annotations

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
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._record import record
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._steps import Step, run, steps
from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import is_concurrent


def run_stepwise(context: Run, migration: Any, state: Any, *, backwards: bool) -> tuple[Any, int]:
    """Return the state of the project after the migration, and its milliseconds without the waiting for locks."""
    began = context.clock.monotonic()
    context.progress.tries = 1
    context.journal.add(events.STARTED, migration, backwards=backwards)
    after = state.clone()
    with context.work.schema_editor(atomic=False) as editor:
        for step in steps(migration, after, backwards=backwards):
            with _journalled(context, migration, step):
                run(step, migration, editor)
        _run_deferred(context, migration, editor, backwards)
    ms = context.now_ms(began + context.progress.waited_s)
    with dj.atomic(context.work.alias):
        record(context, migration, backwards=backwards, ms=ms)
    return after, ms


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
        with context.work.execute_wrapper(_Patient(context)):
            yield
    except Exception as error:
        _note_failure(context, add, error)
        raise
    add(events.OPERATION_DONE, step.title)
    context.progress.operations += 1


def _note_failure(context: Run, add: Callable[[str, str], None], error: Exception) -> None:
    event = events.WITHDRAWN if context.progress.nothing_done else events.OPERATION_FAILED
    try:
        add(event, error_text(error))
    except dj.Error:
        # The connection is gone: that the operation was begun is the last word of the journal, and it is true.
        return


class _Patient:
    """Gives each statement the limits that are right for it."""

    def __init__(self, context: Run) -> None:
        self._run = context

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        def attempt() -> Any:
            return execute(sql, params, many, context)

        if is_concurrent(str(sql)):
            result = self._concurrently(attempt)
        elif self._run.work.in_atomic_block:
            # A transaction of the operation's own: what failed in it can't be tried again by itself.
            result = attempt()
        else:
            result = self._until_locked(attempt)
        self._run.progress.statements += 1
        return result

    def _concurrently(self, attempt: Callable[[], Any]) -> Any:
        # Its waiting blocks nobody, and each failure leaves an INVALID index: a limit for the lock would only
        # make more of those. The limit for the whole statement stays.
        work, limit_s = self._run.work, self._run.request.concurrent_timeout_s
        self._run.progress.doubtful = True
        execute_raw(work, "SET lock_timeout = 0")
        execute_raw(work, f"SET statement_timeout = {round(limit_s * 1000)}")
        try:
            return attempt()
        finally:
            self._restore(work)

    def _restore(self, work: Any) -> None:
        try:
            execute_raw(work, f"SET lock_timeout = {int(self._run.request.lock_timeout_ms)}")
            execute_raw(work, f"SET statement_timeout = {int(self._run.request.statement_timeout_ms)}")
        except work.Database.Error:
            return  # the connection is gone, and with it the settings

    def _until_locked(self, attempt: Callable[[], Any]) -> Any:
        while True:
            began = self._run.clock.monotonic()
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

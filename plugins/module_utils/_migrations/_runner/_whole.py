# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration in one transaction: tried again as a whole when it can't get its locks."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    backend_pid,
    execute_raw,
    sqlstate,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._record import record
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import TRY_AGAIN, Run
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._steps import run, steps


def run_whole(context: Run, migration: Any, state: Any, *, backwards: bool) -> tuple[Any, int]:
    """Return the state of the project after the migration, and the milliseconds of the try that succeeded."""
    progress = context.progress
    while True:
        began = context.clock.monotonic()
        progress.tries += 1
        progress.deferred = False
        context.watcher.begin(backend_pid(context.work))
        try:
            # A failed try has led its state along: without a clone the next one fails with a KeyError.
            after = _transaction(context, migration, state.clone(), backwards, began)
        except dj.Error as error:
            # What Python code did outside of the database is not rolled back: it is not run twice unasked.
            if sqlstate(error) not in TRY_AGAIN or progress.python_ran:
                progress.blockers = context.watcher.end()
                raise
            context.wait_for_lock(began, error)
        else:
            context.watcher.end()
            return after, context.now_ms(began)


def _transaction(context: Run, migration: Any, state: Any, backwards: bool, began: float) -> Any:
    with dj.atomic(context.work.alias):
        # In each try: code of the site may have set another one.
        execute_raw(context.work, f"SET LOCAL lock_timeout = {context.timeout_ms()}")
        with context.work.schema_editor(atomic=True) as editor:
            for step in steps(migration, state, backwards=backwards):
                context.progress.begin(step)
                run(step, migration, editor)
            context.progress.deferred = True
        record(context, migration, backwards=backwards, ms=context.now_ms(began))
    return state

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ending a statement at once when the server begins work that nobody foresaw, while others wait for its lock.

The plan was made from the text of a migration and the state of the tables then. What the server says when it begins is
the truth: a rewrite or a scan of a large table under a blocking lock is cancelled within milliseconds, by another
session, because this one waits for the statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import UNFORESEEN
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import LONG_WORK_BYTES, Judged
from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import MODES, VALIDATE
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _django as dj
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._catalog import read_large
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import (
    backend_pid,
    execute_raw,
    open_copy,
    rows,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._notices import Ears

_DATA = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|SAVEPOINT|RELEASE|ROLLBACK|SET)\b", re.IGNORECASE)
_BLOCKING = MODES[MODES.index("ShareLock") :]
# In one round: only while a lock is held that keeps others from a large table.
_CANCEL = """
SELECT mode, pg_cancel_backend(pid) FROM (
  SELECT pid, mode FROM pg_locks WHERE pid = %s AND locktype = 'relation' AND granted
    AND mode = ANY (%s) AND relation = ANY (%s::bigint[]::oid[]) LIMIT 1) AS held
"""


class Guard:
    """Watches over the statements of a run from a session of its own.

    :param rows_limit: tables with more rows, or more than 64 MiB, are large.
    """

    def __init__(self, work: Any, name: str, rows_limit: int) -> None:
        self._work = work
        self._rows_limit = rows_limit
        self._connection = open_copy(work, name)

    def close(self) -> None:
        with suppress(dj.Error):
            self._connection.close()

    @contextmanager
    def over(self, judged: Judged | None) -> Iterator[None]:
        """Watch over one migration, unless a person has answered for whatever it does."""
        if judged is None or any(each.rule == UNFORESEEN for each in judged.acknowledgements):
            yield
            return
        # What the plan has seen is small, or a person has let it pass: else it would not run.
        foreseen = _foreseen(judged)
        large = {
            oid: table
            for oid, table in read_large(self._connection, self._rows_limit, LONG_WORK_BYTES).items()
            if table.name not in foreseen
        }
        with self._work.execute_wrapper(_Tripwire(self._work, self._connection, large)):
            yield


def _foreseen(judged: Judged) -> set[str]:
    """The tables that the plan has seen to be worked through."""
    pairs = zip(judged.migration.operations, judged.verdicts)
    return {
        table.name
        for operation, verdict in pairs
        if any(each.rewrite or each.scan for each in verdict.findings or (verdict,))
        for table in (*operation.tables, *((operation.table,) if operation.table else ()))
    }


class _Tripwire:
    def __init__(self, work: Any, guard: Any, large: dict[int, Table]) -> None:
        self._work = work
        self._guard = guard
        self._large = large
        self._ears = Ears(self._hear)
        self._wired: Any = None
        self._tripped = ""

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not self._large or _DATA.match(str(sql)):
            return execute(sql, params, many, context)
        self._wire()
        self._tripped = ""
        try:
            with _heard_at_once(self._wired):
                result = execute(sql, params, many, context)
        except dj.Error as error:
            if self._tripped:
                raise self._failure() from error
            raise
        if self._tripped and self._work.in_atomic_block:
            # The statement was faster than its end: what follows in this transaction would hold its lock.
            raise self._failure()
        return result

    def _wire(self) -> None:
        self._work.ensure_connection()
        if self._work.connection is not self._wired:
            self._wired = self._work.connection
            self._ears.listen(self._wired)
        execute_raw(self._work, "SET client_min_messages = debug1")

    def _hear(self, kind: str, name: str) -> None:
        tables = {oid: table for oid, table in self._large.items() if kind == VALIDATE or table.name == name}
        if not tables or self._tripped:
            return
        with suppress(dj.Error):
            found = rows(self._guard, _CANCEL, (backend_pid(self._work), list(_BLOCKING), list(tables)))
            if found:
                table = next(iter(tables.values()))
                size = "an unknown number of" if table.rows is None else f"about {table.rows:,}"
                self._tripped = f"the server began to {_WORDS[kind]} {table.name} ({size} rows) under {found[0][0]}"

    def _failure(self) -> SlipwayError:
        return SlipwayError(
            f"{self._tripped}, which the plan did not foresee; it was cancelled at once",
            remedy="Rehearse the migration to see what it does (state rehearsed), and write it in steps that don't; or"
            f" let it pass with acknowledged: {{app.name: {{{UNFORESEEN}: the reason why all may wait for it}}}}",
            facts={"tripped": self._tripped},
        )


_WORDS = {
    "rewrite": "write anew",
    "verify": "check all rows of",
    "build index": "build an index on",
    "validate foreign key": "check a foreign key of a table as large as",
}


@contextmanager
def _heard_at_once(connection: Any) -> Iterator[None]:
    """psycopg2 hands over what the server says only when the statement has ended, unless it is told how to wait."""
    if hasattr(connection, "add_notice_handler"):
        yield
        return
    extensions, extras = dj.psycopg2_waiting()
    before = extensions.get_wait_callback()
    extensions.set_wait_callback(extras.wait_select)
    try:
        yield
    finally:
        extensions.set_wait_callback(before)

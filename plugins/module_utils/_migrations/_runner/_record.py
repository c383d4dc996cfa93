# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Django's own record of what is applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _journal as events
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._database import rows
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._run import Run


def record(context: Run, migration: Any, *, backwards: bool, ms: int) -> None:
    """Record a migration in Django's table and in the journal; the caller has opened the transaction.

    Of a squashed one also the migrations that it replaces, squashed ones among them too.
    """
    executor = context.executor
    for app, name in _keys(executor.loader.disk_migrations, migration):
        if backwards:
            executor.recorder.record_unapplied(app, name)
        else:
            executor.recorder.record_applied(app, name)
    event = events.UNDONE if backwards else events.APPLIED
    context.journal.add(event, migration, backwards=backwards, ms=ms, detail=context.reason(migration))


def record_by_hand(context: Run, migration: Any, reason: str) -> None:
    """Record a migration that a person has applied; the caller has opened the transaction."""
    executor = context.executor
    for app, name in _keys(executor.loader.disk_migrations, migration):
        executor.recorder.record_applied(app, name)
    context.journal.add(events.RECORDED, migration, detail=reason)


def _keys(disk: Any, migration: Any) -> Iterator[tuple[str, str]]:
    for key in migration.replaces:
        yield from _keys(disk, disk[key]) if key in disk else [key]
    yield migration.app_label, migration.name


def is_recorded(connection: Any, migration: Any) -> bool:
    """Whether Django's record has the migration. Asked on this very connection, which Django's recorder would not."""
    query = "SELECT 1 FROM django_migrations WHERE app = %s AND name = %s"
    return bool(rows(connection, query, (migration.app_label, migration.name)))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about indexes."""

from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import (
    ACCESS,
    CONTRACT,
    EXPAND,
    SHARE,
    UPDATE,
    ActionRule,
)

INDEX_RULES: tuple[ActionRule, ...] = (
    ActionRule(
        name="create-index",
        on=("create index",),
        phase=EXPAND,
        lock=SHARE,
        scan=True,
        why="an index is built while writers wait",
        instead="Use AddIndexConcurrently in a migration of its own with atomic = False",
        code=("class Migration(migrations.Migration):\n    atomic = False\n    operations = [<concurrently>]"),
        manual="sql-createindex",
    ),
    ActionRule(
        name="create-index-concurrently",
        on=("create index concurrently",),
        phase=EXPAND,
        lock=UPDATE,
        scan=True,
        why="the index is built while all go on reading and writing",
        manual="sql-createindex",
    ),
    ActionRule(
        name="create-unique-index",
        on=("create unique index",),
        phase=CONTRACT,
        lock=SHARE,
        scan=True,
        why="old code may still write what the index forbids; it is built while writers wait",
        instead="Make it concurrently, in a migration with atomic = False, when no old code writes against it",
        code="<unique_concurrently>",
        manual="sql-createindex",
    ),
    ActionRule(
        name="create-unique-index-concurrently",
        on=("create unique index concurrently",),
        phase=CONTRACT,
        lock=UPDATE,
        scan=True,
        why="old code may still write what the index forbids",
        instead="Run it when no old code writes against it",
        code="# in a later deployment",
        manual="sql-createindex",
    ),
    ActionRule(
        name="drop-index",
        on=("drop index",),
        phase=CONTRACT,
        lock=ACCESS,
        why="old code may be too slow without the index; its table is locked for a moment",
        instead="Run it in a later deployment, with RemoveIndexConcurrently",
        code=(
            "class Migration(migrations.Migration):\n"
            "    atomic = False\n"
            '    operations = [RemoveIndexConcurrently("<model>", "<name>")]'
        ),
        manual="sql-dropindex",
    ),
    ActionRule(
        name="drop-index-concurrently",
        on=("drop index concurrently",),
        phase=CONTRACT,
        lock=UPDATE,
        why="old code may be too slow without the index",
        instead="Run it in a later deployment",
        code="# in a later deployment",
        manual="sql-dropindex",
    ),
    ActionRule(
        name="rename-index",
        on=("rename index",),
        phase=EXPAND,
        lock="",
        why="code does not know the name of an index",
        manual="sql-alterindex",
    ),
    ActionRule(
        name="reindex",
        on=("reindex",),
        phase=EXPAND,
        lock=SHARE,
        scan=True,
        why="writers wait until the index is built anew, and readers who would use it",
        instead="Use REINDEX … CONCURRENTLY in a migration with atomic = False",
        code="migrations.RunSQL('REINDEX INDEX CONCURRENTLY \"<name>\"')",
        manual="sql-reindex",
    ),
    ActionRule(
        name="reindex-concurrently",
        on=("reindex concurrently",),
        phase=EXPAND,
        lock=UPDATE,
        scan=True,
        why="the index is built anew while all go on reading and writing",
        manual="sql-reindex",
    ),
)

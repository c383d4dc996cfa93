# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of django_migrate_safe share: a site, what is done with it, and how the database is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Means, ask, find_site
from ansible_collections.slipway.django.plugins.module_utils._migrations._options import read_options
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite

RELEASE = "0123456789ab-01234567"
NOTE = 'migrations.AddField("order", "note", models.TextField(null=True)),'
NUMBER_INDEX = 'models.Index(fields=["number"], name="number_idx")'
CONCURRENTLY = f'postgres.AddIndexConcurrently("order", {NUMBER_INDEX}),'
DEFAULTS: dict[str, Any] = {
    "project_directory": ".",
    "settings": "",
    "database": "default",
    "run_id": "r1",
    "acknowledged": {},
    "settled": {},
    "by_hand": {},
    "applied": None,
    "rehearsal_source": "",
    "accept_data_loss": False,
    "lock_timeout_ms": 300,
    "lock_budget": 20,
    "stall_budget": 20,
    "long_transaction": 10,
    "tripwire_rows": 100000,
    "progress_file": None,
    "statement_timeout_ms": 60000,
    "concurrent_timeout": 60,
    "phase": "all",
    "on_busy": "fail",
    "busy_timeout": 30,
    "timeout": 60,
}


def migrate(site: DjangoSite, state: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """What the module does, without Ansible around it."""
    values = {**DEFAULTS, **site.options(state, **options)}
    found = find_site(values["release_path"], values["project_directory"], values["settings"])
    request = read_options(values, found, check_mode=check, now=datetime.now(timezone.utc))
    return ask(found, request, Means(bundle(), str(site.release.parent), SystemRunner(), values["timeout"]))


def refusal(site: DjangoSite, state: str, **options: Any) -> SlipwayError:
    with pytest.raises(SlipwayError) as caught:
        migrate(site, state, **options)
    return caught.value


def names(result: dict[str, Any], key: str = "applied") -> list[str]:
    return [f"{each['app']}.{each['name']}" for each in result[key]]


def wait_until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def raised(flag: Path) -> Iterator[None]:
    """The file is there until the end of the block, whatever happens in it: no migration may wait for ever."""
    flag.touch()
    try:
        yield
    finally:
        flag.unlink()


@contextmanager
def open_transaction(site: DjangoSite, statement: str) -> Iterator[Any]:
    """Somebody's transaction that holds its locks until the end of the block."""
    with site.cluster.connect(site.database, user="shop") as connection, connection.transaction():
        connection.execute("SET application_name = 'nightly report'")
        connection.execute(statement.encode())
        yield connection


def schema(site: DjangoSite) -> list[tuple[Any, ...]]:
    """All columns, indexes and constraints, and what Django has recorded: equal lists are equal databases."""
    return site.query(
        "SELECT attrelid::regclass::text, attname::text, atttypid::regtype::text || attnotnull FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
        " AND NOT attisdropped AND relname NOT LIKE 'django_migrate_safe_journal%'"
        " UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND conrelid <> 0"
        " AND conrelid::regclass::text <> 'django_migrate_safe_journal'"
        " UNION ALL SELECT app, name, '' FROM django_migrations ORDER BY 1, 2, 3"
    )


def waits_for_lock(site: DjangoSite) -> bool:
    return bool(
        site.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    )


def runner_of(site: DjangoSite) -> int | None:
    """The process that runs the site's runner now."""
    python = str(site.release / "venv" / "bin" / "python").encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().split(b"\0")[0] == python:
                return int(entry.name)
        except OSError:
            continue
    return None

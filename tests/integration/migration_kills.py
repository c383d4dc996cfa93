# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing a run of migrations at a point of its journal, and holding what is there afterwards against the records.

What must hold, whatever was killed and when: an atomic migration is in the schema when it is recorded, and only then;
the next run goes on, or refuses and names the operation that is in doubt; when it has ended the schema is the same as
after a run that nobody has killed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration.django_site import Cluster, DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    DEFAULTS,
    RELEASE,
    migrate,
    runner_of,
    schema,
    wait_until,
)

CHILD = "ansible_collections.slipway.django.tests.integration.migration_child"
COLLECTIONS = Path(__file__).resolve().parents[2] / ".cache" / "collections"
# Whom to kill: the module, its runner (where Django is), the runner's process of the server (the server then restarts).
VICTIMS = ("module", "django", "server")

# By name: the operations, whether it is atomic, and what it brings, asked of the catalogs.
FILL = "def fill(apps, editor):\n    apps.get_model('orders', 'Order').objects.update(note='filled')\n"
PARCEL = (
    'migrations.CreateModel("Parcel", [("id", models.BigAutoField(primary_key=True)),'
    ' ("order", models.ForeignKey("orders.order", models.CASCADE))]),'
)


def index(name: str, column: str) -> str:
    return f'postgres.AddIndexConcurrently("order", models.Index(fields=["{column}"], name="{name}")),'


def text(model: str, name: str) -> str:
    return f'migrations.AddField("{model}", "{name}", models.TextField(null=True)),'


MIGRATIONS: dict[str, tuple[str, bool]] = {
    "0002_note": (text("order", "note") + text("line", "words"), True),
    "0003_parcel": (PARCEL + index("number_idx", "number") + text("order", "more"), False),
    "0004_fill": ("migrations.RunPython(fill, migrations.RunPython.noop)," + text("line", "later"), True),
    "0005_indexes": (index("state_idx", "state") + index("note_idx", "note"), False),
    "0006_last": (text("order", "last"), True),
}
COLUMN = "SELECT 1 FROM pg_attribute WHERE attrelid = '{}'::regclass AND attname = '{}' AND NOT attisdropped"
# Of the atomic ones: what is there when they are.
EFFECTS = {
    "0002_note": (COLUMN.format("orders_order", "note"), COLUMN.format("orders_line", "words")),
    "0004_fill": (COLUMN.format("orders_line", "later"), "SELECT 1 FROM orders_order WHERE note = 'filled' LIMIT 1"),
    "0006_last": (COLUMN.format("orders_order", "last"),),
}
# What a person types to take back what is in doubt, by the migration that the refusal names.
TAKEN_BACK = {
    "0003_parcel": "DROP TABLE IF EXISTS orders_parcel; DROP INDEX IF EXISTS number_idx;"
    " ALTER TABLE orders_order DROP COLUMN IF EXISTS more",
    "0005_indexes": "DROP INDEX IF EXISTS state_idx; DROP INDEX IF EXISTS note_idx",
}
REASONS = {"orders.0004_fill": "a test"}
DOUBT = re.compile(r"orders\.(\w+) is half applied since .*; operation \d may be done in part")
JOURNAL = "django_migrate_safe_journal"


@dataclass(frozen=True)
class Kill:
    """Whom, after how many rows of the journal, and how long after that."""

    victim: str
    rows: int
    delay_s: float

    def __str__(self) -> str:
        return f"{self.victim} killed {self.delay_s * 1000:.0f} ms after {self.rows} rows of the journal"


def make_site(directory: Path, cluster: Cluster, base: str) -> DjangoSite:
    """A site of its own with the migrations to come."""
    site = DjangoSite(directory / "releases" / RELEASE, cluster, cluster.create(template=base))
    for name, (operations, atomic) in MIGRATIONS.items():
        site.migration(name, operations, atomic=atomic, code=FILL)
    # Trap: a database that was copied has its sequences' word that the next values are in the log already, which they
    # are for the other database only: after a crash of the server they go back. A value that is set is logged.
    site.query(
        "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, last_value) FROM pg_sequences"
        " WHERE last_value IS NOT NULL"
    )
    return site


def apply(site: DjangoSite) -> dict[str, Any]:
    return migrate(site, "applied", acknowledged=REASONS, run_id="r1", on_busy="wait", busy_timeout=60)


def journal_rows(site: DjangoSite) -> int:
    """How far the run is that is to be killed."""
    try:
        return int(site.query(f"SELECT count(*) FROM {JOURNAL} WHERE run_id = 'r1'")[0][0])
    except psycopg.Error:
        return 0


def suffer(site: DjangoSite, kill: Kill, clean: list[tuple[Any, ...]]) -> list[str]:
    """Kill, look, go on, look again; return what has not held."""
    ended = _killed(site, kill)
    broken = _disagreements(site)
    for _ in range(4):
        try:
            apply(site)
        except SlipwayError as error:
            doubt = DOUBT.search(error.message)
            if doubt is None or doubt[1] not in TAKEN_BACK:
                return [*broken, f"the next run said: {error.message}"]
            site.execute(TAKEN_BACK[doubt[1]])
            with_reason = {f"orders.{doubt[1]}": "taken back by hand"}
            try:
                migrate(site, "applied", acknowledged=REASONS, run_id="r1", settled=with_reason)
            except SlipwayError as again:
                return [*broken, f"after a person had put it right: {again.message}"]
        else:
            break
    broken += _disagreements(site)
    if schema(site) != clean:
        broken.append(f"the schema is another one (the killed run said: {ended})")
    if migrate(site, "applied", acknowledged=REASONS, run_id="r1")["changed"]:
        broken.append("one more run changes something")
    return broken


def _killed(site: DjangoSite, kill: Kill) -> str:
    values = {**DEFAULTS, **site.options("applied", acknowledged=REASONS, run_id="r1")}
    process = subprocess.Popen(
        [sys.executable, "-m", CHILD],
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    json.dump([values, str(site.release.parent)], process.stdin)
    process.stdin.close()
    deadline = time.monotonic() + 60
    while process.poll() is None and journal_rows(site) < kill.rows and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(kill.delay_s)
    _strike(site, process.pid, kill.victim)
    said = _output(process)
    wait_until(lambda: _is_quiet(site), within_s=60)
    return said


def _output(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    with process:
        return process.stdout.read()[-500:]


def _strike(site: DjangoSite, module: int, victim: str) -> None:
    """Kill; who has ended already is beyond it, and the run counts all the same."""
    if victim == "module":
        _end(module)
    elif victim == "django":
        _end(runner_of(site))
    else:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'slipway migrate%' ORDER BY backend_start LIMIT 1"
        )
        found = site.query(query)
        _end(found[0][0] if found else None)


def _end(process: int | None) -> None:
    if process is not None:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return


def _is_quiet(site: DjangoSite) -> bool:
    """The server answers, and nothing of the run is at work on it."""
    try:
        return not site.query(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'slipway%'"
        )
    except psycopg.Error:
        return False


def _disagreements(site: DjangoSite) -> list[str]:
    """Where schema and record differ."""
    recorded = set(site.recorded())
    found = []
    for name, questions in EFFECTS.items():
        for question in questions:
            try:
                there = bool(site.query(question))
            except psycopg.errors.UndefinedColumn:
                there = False
            if there != (name in recorded):
                found.append(f"{name} is {'recorded' if name in recorded else 'not recorded'}, and: {question} {there}")
    return found

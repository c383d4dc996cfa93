# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/lock-queue.md, which it writes: what readers feel of a migration."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration.django_site import PASSWORD, ROLE, DjangoSite, running_cluster
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    RELEASE,
    migrate,
    open_transaction,
    wait_until,
    waits_for_lock,
)
from ansible_collections.slipway.django.tests.integration.readers import Read, Readers
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.timeout(1800)
PAGE = CHECKOUT / "docs" / "proof" / "lock-queue.md"
ROWS = 1_000_000
REPORT_S = 15.0
LOCK_TIMEOUTS_MS = (200, 500, 1000)
READERS = 8
EVERY_S = 0.02
# Beyond the lock timeout: the server notices it, rolls back, and lets the queue go, on a machine with other work.
SLACK_S = 0.25
FINE_S = 1.0
MANAGE = """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""
# Each looks like trouble on a large table, and is none as it is written here.
FINE = (
    (
        "0002_code",
        "migrations.RunSQL(\"ALTER TABLE orders_order ADD COLUMN code text DEFAULT 'none' NOT NULL\"),",
        True,
    ),
    ("0003_index", CONCURRENTLY, False),
    (
        "0004_state_check",
        'migrations.RunSQL("ALTER TABLE orders_order ADD CONSTRAINT named CHECK (state IS NOT NULL) NOT VALID"),',
        True,
    ),
    ("0005_state_valid", 'migrations.RunSQL("ALTER TABLE orders_order VALIDATE CONSTRAINT named"),', True),
)
TEMPLATE = """# What readers feel of a migration

Written by `make proof` (`tests/proof/test_lock_queue.py`); `tests/integration/test_django_migrate_safe.py` repeats a
part of it.

**{verdict}.**

A table of {rows:,} rows and {readers} readers with a connection each. A request of each is due every {every} ms,
whether or not the one before is answered, and counts from when it was due; none is repeated.

## Behind a long transaction

A report reads the table in one transaction for {report:g} s. Meanwhile `ALTER TABLE … ADD COLUMN` is to run: for a
moment's work it needs a lock that the report bars, and whoever comes after it waits behind it.

| the migration by | tries | requests | p50 ms | p99 ms | longest ms | over 1 s | afterwards |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
{queue}

## What only looks unsafe

On the same table, with writers whose transactions last 20 ms: a column with a default that is NOT NULL, an index
CONCURRENTLY, a CHECK added NOT VALID and then validated. None asks for an acknowledgement.

| | requests | p50 ms | p99 ms | longest ms | over 1 s |
| --- | ---: | ---: | ---: | ---: | ---: |
{fine}

{circumstances}
"""


@dataclass(frozen=True)
class Row:
    """What the readers have felt. ``limit_s``: what the longest request may take; None for the control."""

    name: str
    reads: Sequence[Read]
    limit_s: float | None
    tries: str = ""
    after: str = ""

    @property
    def longest_s(self) -> float:
        return max(read.s for read in self.reads)

    def at(self, share: float) -> float:
        found = sorted(read.s for read in self.reads)
        return found[min(len(found) - 1, int(share * len(found)))]

    def figures(self) -> str:
        cells = [
            f"{len(self.reads):,}",
            f"{self.at(0.5) * 1000:.1f}",
            f"{self.at(0.99) * 1000:.0f}",
            f"{self.longest_s * 1000:.0f}",
            str(sum(read.s > 1 for read in self.reads)),
        ]
        return " | ".join(cells)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DjangoSite]:
    with running_cluster() as cluster:
        path = tmp_path_factory.mktemp("queue") / "shop" / "releases" / RELEASE
        found = DjangoSite(path, cluster, cluster.create())
        (found.release / "src" / "manage.py").write_text(MANAGE)
        migrate(found, "applied", run_id="r0")
        found.execute(f"INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, {ROWS}) AS n")
        found.execute("VACUUM ANALYZE orders_order")
        yield found


def test_readers(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    queue = [in_the_queue(site, f"django_migrate_safe, lock_timeout_ms {each}", each) for each in LOCK_TIMEOUTS_MS]
    queue += [given_up(site), by_manage(site)]
    migrate(site, "reversed", applied=[{"app": "orders", "name": "0002_note"}])
    (site.release / "src" / "orders" / "migrations" / "0002_note.py").unlink()
    fine = [felt(site, "before", nothing), unsafe_looking(site)]
    broken = [
        f"{row.name}: a request took {row.longest_s:.2f} s, {row.limit_s:.2f} s were promised"
        for row in (*queue, *fine)
        if row.limit_s is not None and row.longest_s > row.limit_s
    ]
    control = queue[-1]
    if control.longest_s < REPORT_S * 0.8:
        broken.append(f"the control shows no queue: {control.longest_s:.1f} s")
    PAGE.write_text(page(queue, fine, broken, site), encoding="utf-8")
    assert broken == []


def nothing() -> dict[str, Any]:
    time.sleep(10)
    return {}


def felt(
    site: DjangoSite, name: str, work: Callable[[], dict[str, Any]], *, limit_s: float | None = None, after: str = ""
) -> Row:
    with Readers(site, count=READERS, every_s=EVERY_S) as readers:
        wait_until(lambda: readers.answered() > 20)
        result = work()
    tries = ", ".join(str(each["tries"]) for each in result.get("applied", ()))
    return Row(name, readers.reads, limit_s, tries, after)


def behind_a_report(site: DjangoSite, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work while a report reads; it ends after its time whatever becomes of the work."""
    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "SELECT count(*) FROM orders_order"):
            began = time.monotonic()
            run: Future[dict[str, Any]] = pool.submit(work)
            wait_until(lambda: waits_for_lock(site) or run.done())
            time.sleep(max(0.0, REPORT_S - (time.monotonic() - began)))
        return run.result(timeout=120)


def in_the_queue(site: DjangoSite, name: str, lock_timeout_ms: int) -> Row:
    def work() -> dict[str, Any]:
        # Old transactions are not waited for: this is about those that nobody has seen.
        budgets = {"lock_budget": 120, "stall_budget": 120, "long_transaction": 3600, "timeout": 300}
        return migrate(site, "applied", check=False, run_id="q", lock_timeout_ms=lock_timeout_ms, **budgets)

    row = felt(
        site, name, lambda: behind_a_report(site, work), limit_s=lock_timeout_ms / 1000 + SLACK_S, after="applied"
    )
    migrate(site, "reversed", run_id="q")
    return row


def given_up(site: DjangoSite) -> Row:
    seen: list[str] = []

    def work() -> dict[str, Any]:
        try:
            return migrate(site, "applied", run_id="g", lock_timeout_ms=500, lock_budget=5, long_transaction=3600)
        except SlipwayError as error:
            seen.append(error.message)
            return {"applied": [{"tries": error.facts["tries"]}]}

    name = "django_migrate_safe, lock_timeout_ms 500, lock_budget 5"
    row = felt(site, name, lambda: behind_a_report(site, work), limit_s=0.5 + SLACK_S, after="given up, report named")
    assert "nightly report" in seen[0]
    assert "note" not in site.columns()
    return row


def by_manage(site: DjangoSite) -> Row:
    def work() -> dict[str, Any]:
        known = {"DATABASE_NAME": site.database, "DATABASE_PASSWORD": PASSWORD, "SECRET_KEY": "x"}
        python = str(site.release / "venv" / "bin" / "python")
        subprocess.run(
            [python, "manage.py", "migrate", "--no-input"],
            cwd=site.release / "src",
            env={**os.environ, **known, "DATABASE_HOST": str(site.cluster.directory)},
            check=True,
            capture_output=True,
        )
        return {}

    return felt(site, "manage.py migrate", lambda: behind_a_report(site, work), after="applied")


def unsafe_looking(site: DjangoSite) -> Row:
    for name, operations, atomic in FINE:
        site.migration(name, operations, atomic=atomic)

    def work() -> dict[str, Any]:
        # A CHECK is for when no old code writes any more, whatever its lock: phase contract.
        assert migrate(site, "planned", phase="contract")["refused"] == []
        with Writers(site):
            return migrate(site, "applied", run_id="f", phase="contract", timeout=600, lock_budget=60)

    return felt(site, "during the four migrations", work, limit_s=FINE_S)


class Writers:
    """Two writers whose transactions last 20 ms each, one after the other."""

    def __init__(self, site: DjangoSite) -> None:
        self._site = site
        self._stop = False
        self._pool = ThreadPoolExecutor(2)

    def _write(self, number: int) -> None:
        with self._site.cluster.connect(self._site.database, user=ROLE) as connection:
            while not self._stop:
                with connection.transaction():
                    connection.execute("UPDATE orders_order SET amount = 1 WHERE id = %s", (number + 1,))
                    time.sleep(0.02)
                time.sleep(0.02)

    def __enter__(self) -> Writers:
        self._tasks = [self._pool.submit(self._write, number) for number in range(2)]
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop = True
        for task in self._tasks:
            task.result(timeout=60)


def page(queue: Sequence[Row], fine: Sequence[Row], broken: Sequence[str], site: DjangoSite) -> str:
    version = site.query("SHOW server_version")[0][0]
    django = ".".join(map(str, site.django_version()))
    return TEMPLATE.format(
        verdict="No reader waited longer than the migration was allowed to"
        if not broken
        else "NOT as promised: " + "; ".join(broken),
        rows=ROWS,
        readers=READERS,
        every=round(EVERY_S * 1000),
        report=REPORT_S,
        queue="\n".join(f"| {row.name} | {row.tries or '-'} | {row.figures()} | {row.after} |" for row in queue),
        fine="\n".join(f"| {row.name} | {row.figures()} |" for row in fine),
        circumstances=f"PostgreSQL {version}, Django {django}. {proof.machine_in_words()}",
    )

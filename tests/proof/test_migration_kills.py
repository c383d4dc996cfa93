# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/migrations-kills.md, which it writes."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite, running_cluster
from ansible_collections.slipway.django.tests.integration.migration_kills import (
    VICTIMS,
    Kill,
    apply,
    journal_rows,
    make_site,
    suffer,
)
from ansible_collections.slipway.django.tests.integration.migrations_world import RELEASE, migrate, schema
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.timeout(6 * 3600)
PAGE = CHECKOUT / "docs" / "proof" / "migrations-kills.md"
EACH = 60
LONGEST_DELAY_S = 0.04
TEMPLATE = """# A run of migrations may be killed at any point

Written by `make proof` (`tests/proof/test_migration_kills.py`); `tests/integration/test_migration_kills.py` repeats a
part of it.

**{verdict}.**

Five migrations, two of them without a transaction: columns, a table with a foreign key, Python code that fills a
column, three indexes made concurrently. Somebody is killed by SIGKILL at a random moment within {delay} ms of a random
row of the run's journal. What must hold: an atomic migration is in the schema when it is recorded, and only then; the
next run goes on, or refuses and names the operation that is in doubt, and goes on once a person has taken that back; in
the end the schema is the same as after a run that nobody has killed, and one more run changes nothing.

| killed | times | as promised |
| --- | ---: | ---: |
{rows}

Seed {seed}.

{circumstances}
"""
NAMES = {
    "module": "the module (its runner dies with it)",
    "django": "the runner, where Django is",
    "server": "the run's process of the server (which restarts and recovers)",
}


def test_kills(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    dice = random.Random(seed)
    times: Counter[str] = Counter()
    held: Counter[str] = Counter()
    broken: list[str] = []
    with running_cluster() as cluster:
        first = DjangoSite(tmp_path / "base" / "releases" / RELEASE, cluster, cluster.create())
        migrate(first, "applied", run_id="r0")
        first.execute("INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, 2000) AS n")
        site = make_site(tmp_path / "clean", cluster, first.database)
        apply(site)
        clean, last = schema(site), journal_rows(site)
        for number in range(EACH * len(VICTIMS)):
            kill = Kill(VICTIMS[number % len(VICTIMS)], dice.randrange(last), dice.uniform(0, LONGEST_DELAY_S))
            found = suffer(make_site(tmp_path / str(number), cluster, first.database), kill, clean)
            times[kill.victim] += 1
            held[kill.victim] += not found
            broken += [f"{kill}: {what}" for what in found]
    rows = "\n".join(f"| {NAMES[victim]} | {times[victim]} | {held[victim]} |" for victim in VICTIMS)
    verdict = f"All {sum(times.values())} held" if not broken else "NOT as promised: " + "; ".join(broken)
    page = TEMPLATE.format(
        verdict=verdict,
        rows=rows,
        seed=seed,
        delay=round(LONGEST_DELAY_S * 1000),
        circumstances=proof.machine_in_words(),
    )
    PAGE.write_text(page, encoding="utf-8")
    assert broken == []

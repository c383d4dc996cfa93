# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a run of migrations from hurting a site that serves, with a real PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    migrate,
    names,
    open_transaction,
    refusal,
    runner_of,
    schema,
    wait_until,
    waits_for_lock,
)

pytestmark = pytest.mark.timeout(240)

WIDER = 'migrations.AlterField("order", "number", models.CharField(max_length=40)),'
CREATE_PARCEL = (
    'migrations.CreateModel("Parcel", [("id", models.BigAutoField(primary_key=True)),'
    ' ("order", models.ForeignKey("orders.order", models.CASCADE))]),'
)
VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('number_idx')"


@pytest.fixture
def checked(site: DjangoSite) -> DjangoSite:
    """A CHECK that nobody has told Django of: PostgreSQL checks it anew when the type of its column changes."""
    site.execute("INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, 300000) AS n")
    site.execute("ALTER TABLE orders_order ADD CHECK (number <> '')")
    site.execute("ANALYZE orders_order")
    return site


@pytest.mark.parametrize("atomic", [True, False])
def test_work_that_nobody_foresaw_is_cancelled_at_once(checked: DjangoSite, atomic: bool) -> None:
    checked.migration("0002_wider", WIDER, atomic=atomic)
    before = schema(checked)

    error = refusal(checked, "applied")

    assert (
        "the server began to check all rows of orders_order (about 302,000 rows) under AccessExclusiveLock, which the"
        " plan did not foresee; it was cancelled at once" in error.seen
    )
    assert error.facts["sqlstate"] == "57014"
    assert "acknowledged: {app.name: {unforeseen-work: the reason" in error.message
    assert schema(checked) == before
    # Nothing is in the way of the same migration, once a person has answered for it.
    applied = migrate(checked, "applied", acknowledged={"orders.0002_wider": {"unforeseen-work": "it is fine"}})
    assert names(applied) == ["orders.0002_wider"]


def test_below_the_threshold_and_where_nobody_waits_it_runs(checked: DjangoSite) -> None:
    """Negative control. VALIDATE reads the whole table too, and blocks nobody."""
    checked.migration("0002_wider", WIDER)
    checked.execute("ALTER TABLE orders_order ADD CONSTRAINT c CHECK (amount > 0) NOT VALID")
    checked.migration("0003_valid", 'postgres.ValidateConstraint("order", "c"),', atomic=False)

    with_more = migrate(checked, "applied", tripwire_rows=1_000_000)

    assert names(with_more) == ["orders.0002_wider", "orders.0003_valid"]


def test_validating_is_not_cancelled(checked: DjangoSite) -> None:
    checked.execute("ALTER TABLE orders_order ADD CONSTRAINT c CHECK (amount > 0) NOT VALID")
    checked.migration("0002_valid", 'postgres.ValidateConstraint("order", "c"),', atomic=False)
    checked.migration("0003_index", CONCURRENTLY, atomic=False)

    assert len(migrate(checked, "applied", tripwire_rows=1)["applied"]) == 2


def test_a_long_transaction_is_waited_for_without_a_queue(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)

    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "SELECT * FROM orders_order WHERE number = 'card 4111'"):
            time.sleep(1.1)
            planned = migrate(site, "planned", long_transaction=1)
            run = pool.submit(migrate, site, "applied", long_transaction=1, lock_budget=60)
            wait_until(lambda: bool(site.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE '%guard'")))
            for _ in range(20):
                assert not waits_for_lock(site)
                time.sleep(0.1)
        applied = run.result(timeout=60)

    (transaction,) = planned["long_transactions"]
    assert (transaction["application"], transaction["user"]) == ("nightly report", "shop")
    assert transaction["age_s"] > 1
    assert transaction["query"] == "SELECT * FROM orders_order WHERE number = '…'"
    (entry,) = applied["applied"]
    assert entry["tries"] == 1
    assert entry["waited_ms"] > 1000


def test_a_killed_build_of_an_index_is_cleared_away_and_done_again(site: DjangoSite) -> None:
    text = 'migrations.AddField("line", "text", models.TextField(null=True)),'
    site.migration("0002_index", text + CONCURRENTLY, atomic=False)

    with ThreadPoolExecutor(1) as pool, open_transaction(site, "UPDATE orders_order SET amount = 1 WHERE id = 1"):
        run = pool.submit(migrate, site, "applied")
        wait_until(lambda: site.query(VALID) == [(False,)])
        os.kill(runner_of(site) or 0, signal.SIGKILL)
        with pytest.raises(SlipwayError, match="was killed by signal 9"):
            run.result(timeout=60)
        wait_until(lambda: not site.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'slipway%'"))
    assert site.query(VALID) == [(False,)]

    planned = migrate(site, "planned")
    checked = migrate(site, "applied", check=True)
    assert site.query(VALID) == [(False,)]
    applied = migrate(site, "applied")

    assert planned["half_done"][0]["continues_at"] == 1
    assert checked["reason"] == applied["reason"]
    assert applied["reason"].endswith(
        "orders.0002_index continues at operation 1, after the INVALID index number_idx, which it had left, is removed"
    )
    assert site.query(VALID) == [(True,)]
    assert [each["index"] for each in planned["plan"][0]["operations"]] == [1]
    assert site.recorded() == ["0001_initial", "0002_index"]
    assert not migrate(site, "applied")["changed"]


def test_what_an_operation_leaves_for_the_end_is_not_forgotten_when_it_is_continued(site: DjangoSite) -> None:
    """Trap: Django keeps foreign keys in memory until the end of a migration; a killed run takes them along."""
    site.migration("0002_both", CREATE_PARCEL + CONCURRENTLY + NOTE, atomic=False)
    clean = site.cluster.create(template=site.database)

    with ThreadPoolExecutor(1) as pool, open_transaction(site, "UPDATE orders_order SET amount = 1 WHERE id = 1"):
        run = pool.submit(migrate, site, "applied")
        wait_until(lambda: site.query(VALID) == [(False,)])
        os.kill(runner_of(site) or 0, signal.SIGKILL)
        with pytest.raises(SlipwayError):
            run.result(timeout=60)
        wait_until(lambda: not site.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'slipway%'"))
    migrate(site, "applied")
    found = schema(site)
    site.database = clean
    site.write_environment()
    migrate(site, "applied")

    assert found == schema(site)


def test_how_far_the_build_of_an_index_is(site: DjangoSite, tmp_path: Path) -> None:
    site.migration("0002_index", CONCURRENTLY, atomic=False)
    path = tmp_path / "progress"
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        if path.exists():
            seen.append(json.loads(path.read_text()))
        return any(each["phase"].startswith("index number_idx: waiting for writers") for each in seen)

    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "UPDATE orders_order SET amount = 1 WHERE id = 1"):
            run = pool.submit(migrate, site, "applied", progress_file=str(path))
            wait_until(look)
        run.result(timeout=60)

    last = seen[-1]
    assert (last["total"], last["unit"]) == (1, "transactions")
    assert last["text"].startswith("for process ")
    # Whoever has to end it ends the module, which takes its runner along.
    assert last["pid"] == os.getpid()


# --- can a release run on the schema as it is? ---


def verdict(site: DjangoSite) -> tuple[str, list[str]]:
    """What the release of the site, without the migrations of tomorrow, says of the schema."""
    result = migrate(site, "compatible")
    return result["verdict"], [*result["breaks"], *result["doubts"]]


MODELS = """
from django.db import models


class Order(models.Model):
    number = models.CharField(max_length=20)
    state = models.CharField(max_length=10, default="new")
    amount = models.IntegerField(null=True)


class Line(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
"""


@pytest.fixture
def modelled(site: DjangoSite) -> DjangoSite:
    (site.release / "src" / "orders" / "models.py").write_text(MODELS)
    return site


@pytest.mark.parametrize(
    ("operation", "rules", "expected", "why"),
    [
        (NOTE, [], "fits", []),
        (WIDER, [], "fits", []),
        (
            'migrations.RemoveField("order", "state"),',
            ["drop-column"],
            "differs",
            ["orders_order has no column state"],
        ),
        (
            'migrations.AddField("order", "must", models.IntegerField(default=1)),',
            ["add-column-required"],
            "differs",
            [
                "orders_order.must is required and has no default, and the release does not know it: INSERTs fail",
            ],
        ),
        (
            'migrations.AlterField("order", "amount", models.IntegerField(default=0)),',
            ["set-not-null", "update-rows"],
            "differs",
            ["orders_order.amount is NOT NULL, the release may write NULL"],
        ),
        ('migrations.RenameModel("Line", "Item"),', ["rename-table"], "differs", ["there is no table orders_line"]),
        (
            'migrations.AlterField("order", "number", models.CharField(max_length=20, unique=True)),',
            ["add-unique"],
            "doubtful",
            ["orders_order has a rule that the release does not know: UNIQUE (number)"],
        ),
    ],
)
def test_whether_the_older_release_can_run(
    modelled: DjangoSite, operation: str, rules: list[str], expected: str, why: list[str]
) -> None:
    site = modelled
    site.migration("0002_tomorrow", operation)
    migrate(site, "applied", acknowledged={"orders.0002_tomorrow": dict.fromkeys(rules, "a test")} if rules else {})
    (site.release / "src" / "orders" / "migrations" / "0002_tomorrow.py").unlink()
    before = schema(site)

    assert verdict(site) == (expected, why)
    assert schema(site) == before


def test_a_release_fits_the_schema_that_it_has_made(modelled: DjangoSite) -> None:
    """All of Django's own tables included, with their checks, unique sets and foreign keys."""
    modelled.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('auth', '9999_tomorrow', now())")

    assert verdict(modelled) == ("fits", [])
    result = migrate(modelled, "compatible", check=True)
    assert (result["changed"], result["ahead"]) == (False, ["auth.9999_tomorrow"])
    assert result["reason"] == "the release can run on this schema, which is ahead of it by auth.9999_tomorrow"

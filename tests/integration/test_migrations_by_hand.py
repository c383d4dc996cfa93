# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations that somebody has applied by hand are recorded once the schema is what they would have made."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.django_site import Cluster, DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    migrate,
    names,
    refusal,
    schema,
)

pytestmark = pytest.mark.timeout(240)
ADD_NOTE = "ALTER TABLE orders_order ADD COLUMN note text NULL"
BUILD = "CREATE INDEX CONCURRENTLY number_idx ON orders_order (number)"
ANNA = {"orders.0002_note": "Anna did it on Sunday"}
BOTH = {**ANNA, "orders.0003_index": "Anna built it on Sunday"}


@pytest.fixture(autouse=True)
def _may_create(cluster: Cluster) -> None:
    with cluster.connect() as connection:
        connection.execute("ALTER ROLE shop CREATEDB")


@pytest.fixture
def two(site: DjangoSite) -> DjangoSite:
    """Two migrations to come: a column and an index."""
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    return site


def journal(site: DjangoSite) -> list[tuple[str, str]]:
    return [
        (str(name), str(detail))
        for name, detail in site.query(
            "SELECT name, detail FROM django_migrate_safe_journal WHERE event = 'recorded' ORDER BY id"
        )
    ]


def test_check_record_check_record(two: DjangoSite) -> None:
    two.execute(ADD_NOTE)
    two.execute(BUILD)
    before = schema(two)
    options = two.options("recorded", by_hand=BOTH)

    checked = run_module("django_migrate_safe", options, check=True).succeeded()
    assert checked["changed"]
    assert checked["reason"] == "2 to record: orders.0002_note, orders.0003_index"
    assert schema(two) == before

    done = run_module("django_migrate_safe", options).succeeded()
    assert done["changed"]
    assert set(checked) == set(done)
    assert names(done) == ["orders.0002_note", "orders.0003_index"]
    assert two.recorded() == ["0001_initial", "0002_note", "0003_index"]
    assert journal(two) == [("0002_note", ANNA["orders.0002_note"]), ("0003_index", BOTH["orders.0003_index"])]
    assert [row for row in schema(two) if row not in before] == [
        ("orders", "0002_note", ""),
        ("orders", "0003_index", ""),
    ]

    assert not run_module("django_migrate_safe", options, check=True).succeeded()["changed"]
    again = run_module("django_migrate_safe", options).succeeded()
    assert not again["changed"]
    assert again["reason"] == "all of them are recorded already"
    assert not migrate(two, "applied")["changed"]


@pytest.mark.parametrize(
    ("by_hand", "difference"),
    [
        ([], "missing: column orders_order.note text"),
        (["ALTER TABLE orders_order ADD COLUMN note varchar(20)"], "missing: column orders_order.note text"),
        (["ALTER TABLE orders_order ADD COLUMN note text NOT NULL DEFAULT ''"], "missing: column orders_order.note"),
        ([ADD_NOTE, "CREATE INDEX number_index ON orders_order (number)"], "missing: index: CREATE INDEX number_idx"),
        ([ADD_NOTE, "CREATE INDEX number_idx ON orders_order (state)"], "missing: index: CREATE INDEX number_idx"),
    ],
)
def test_what_is_otherwise_is_named_and_nothing_recorded(two: DjangoSite, by_hand: list[str], difference: str) -> None:
    for statement in by_hand:
        two.execute(statement)

    error = refusal(two, "recorded", by_hand=BOTH)

    assert error.message.startswith("the schema is not what the migrations would have made: missing: ")
    assert difference in error.message
    assert "Nothing was recorded." in error.message
    assert two.recorded() == ["0001_initial"]


def test_what_should_be_gone_and_is_not(site: DjangoSite) -> None:
    site.migration("0002_amount", 'migrations.RemoveField("order", "amount"),')

    message = refusal(site, "recorded", by_hand={"orders.0002_amount": "dropped"}).message

    assert "still there: column orders_order.amount integer." in message


def test_what_else_was_done_to_the_database_does_not_matter(two: DjangoSite) -> None:
    two.execute("CREATE TABLE notes_of_anna (a int); CREATE INDEX ON orders_order (amount)")
    two.execute(ADD_NOTE)

    assert names(migrate(two, "recorded", by_hand=ANNA)) == ["orders.0002_note"]
    assert names(migrate(two, "applied", run_id="r2")) == ["orders.0003_index"]


def test_what_it_builds_on_must_be_there(two: DjangoSite) -> None:
    two.execute(BUILD)

    error = refusal(two, "recorded", by_hand={"orders.0003_index": "Anna built it"})

    assert "orders.0003_index needs orders.0002_note. Nothing was recorded. Apply that first" in error.message
    unknown = refusal(two, "recorded", by_hand={"orders.0009_none": "Anna"})
    assert "by_hand names what is no migration of this release: orders.0009_none" in unknown.message
    assert "by_hand" in refusal(two, "recorded").message


def test_for_rows_a_person_answers(site: DjangoSite) -> None:
    site.migration("0002_fill", "migrations.RunSQL(\"UPDATE orders_order SET state = 'old'\", migrations.RunSQL.noop),")
    by_hand = {"orders.0002_fill": "Anna"}

    error = refusal(site, "recorded", by_hand=by_hand)
    assert error.message.startswith(
        "no schema shows whether this was done: orders.0002_fill, operation 0 (Raw SQL operation). Nothing was"
    )

    vouched = {"orders.0002_fill": {"not-seen-in-schema": "Anna looked at all rows"}}
    assert names(migrate(site, "recorded", by_hand=by_hand, acknowledged=vouched)) == ["orders.0002_fill"]


def test_a_half_done_migration_that_was_finished_by_hand(site: DjangoSite) -> None:
    """Its second operation fails at first; a person does both the rest and the record."""
    site.migration("0002_note", f"{NOTE}\n{CONCURRENTLY}", atomic=False)
    site.execute("CREATE INDEX number_idx ON orders_order (state)")
    assert "is half done" in refusal(site, "applied").message
    site.execute("DROP INDEX number_idx")
    assert "missing: index" in refusal(site, "recorded", by_hand=ANNA).message
    site.execute(BUILD)

    assert names(migrate(site, "recorded", by_hand=ANNA)) == ["orders.0002_note"]
    assert not migrate(site, "applied", run_id="r2")["changed"]

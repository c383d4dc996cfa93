# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases of django_migrate_safe with a real PostgreSQL: what old and new code write is tried on the schema between."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.django_site import Cluster, DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    NOTE,
    RELEASE,
    migrate,
    names,
    refusal,
    schema,
)

pytestmark = pytest.mark.timeout(240)
DROP = 'migrations.RemoveField("order", "state"),'
BRIDGE = (
    "migrations.RunSQL('ALTER TABLE orders_order ALTER state SET DEFAULT $$new$$',"
    " 'ALTER TABLE orders_order ALTER state DROP DEFAULT'),"
)
OLD_CODE = "INSERT INTO orders_order (number, state, amount) VALUES ('old', 'new', 1)"
NEW_CODE = "INSERT INTO orders_order (number, amount, note) VALUES ('new', 1, 'x')"


def test_expand_then_contract_in_check_apply_check_apply(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE + BRIDGE)
    site.migration("0003_no_state", DROP)
    before = schema(site)

    checked = run_module("django_migrate_safe", site.options("applied", phase="expand"), check=True).succeeded()
    assert checked["changed"]
    assert schema(site) == before
    applied = run_module("django_migrate_safe", site.options("applied", phase="expand")).succeeded()

    assert names(applied) == ["orders.0002_note"]
    assert checked["later"] == applied["later"]
    (later,) = applied["later"]
    assert later["key"] == "orders.0003_no_state"
    assert later["why"].endswith("old code still reads and writes the column [drop-column]")
    assert applied["after"]["orders"] == checked["after"]["orders"] == ["0002_note"]
    # Both codes can live with what lies between.
    site.execute(OLD_CODE)
    site.execute(NEW_CODE)

    for check in (True, False):
        again = migrate(site, "applied", phase="expand", check=check)
        assert not again["changed"]
        assert again["reason"].startswith("nothing that runs with expand is left; for contract there is orders.0003")

    contracted = migrate(site, "applied", phase="contract", run_id="r2")
    assert names(contracted) == ["orders.0003_no_state"]
    assert "state" not in site.columns()
    with pytest.raises(psycopg.errors.UndefinedColumn):
        site.execute(OLD_CODE)
    site.execute(NEW_CODE)
    assert not migrate(site, "applied", phase="contract", run_id="r2")["changed"]


def test_a_column_that_new_code_can_not_leave_out_is_refused_with_the_bridge(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_no_state", DROP)

    error = refusal(site, "applied", phase="expand")

    statement = 'ALTER TABLE "orders_order" ALTER COLUMN "state" SET DEFAULT \'new\''
    assert "orders_order.state stays until orders.0003_no_state runs, is NOT NULL and has no default" in error.message
    bridge = {"migration": "orders.0003_no_state", "table": "orders_order", "column": "state", "statement": statement}
    assert error.facts["bridges"] == [bridge]
    assert "note" not in site.columns()
    # What it offers is what helps.
    site.execute(statement)
    migrate(site, "applied", phase="expand")
    site.execute(NEW_CODE)


def test_what_a_release_owes_is_told_to_the_next(cluster: Cluster, base: str, tmp_path: Path) -> None:
    database = cluster.create(template=base)
    first = DjangoSite(tmp_path / "shop" / "releases" / RELEASE, cluster, database)
    first.migration("0002_no_amount", 'migrations.RemoveField("order", "amount"),')
    noted = migrate(first, "applied", phase="expand")
    assert noted["changed"]
    assert names(noted) == []
    assert not migrate(first, "applied", phase="expand")["changed"]

    second = DjangoSite(tmp_path / "shop" / "releases" / "1123456789ab-01234567", cluster, database)
    second.migration("0002_no_amount", 'migrations.RemoveField("order", "amount"),')
    second.migration("0003_note", NOTE)

    error = refusal(second, "applied", phase="expand", run_id="r2")

    assert f"builds on orders.0002_no_amount, which release {RELEASE} still owes: run phase contract" in error.message
    assert migrate(second, "planned", phase="expand")["refused"] == ["orders.0003_note"]
    migrate(first, "applied", phase="contract")
    assert names(migrate(second, "applied", phase="expand", run_id="r2")) == ["orders.0003_note"]


def test_a_file_that_says_contract_is_left(site: DjangoSite) -> None:
    site.migration("0002_clean", "migrations.RunPython(print),")
    path = site.release / "src" / "orders" / "migrations" / "0002_clean.py"
    path.write_text(path.read_text() + "    slipway_phase = 'contract'\n")

    assert migrate(site, "applied", phase="expand")["later"] == [
        {"key": "orders.0002_clean", "why": "its file says so (slipway_phase)"}
    ]

    path.write_text(path.read_text().replace("'contract'", "'later'"))
    assert "slipway_phase is 'later', expected 'contract' or nothing" in refusal(site, "planned").message

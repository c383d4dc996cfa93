# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan offers in place of an operation is a migration that runs, on a real PostgreSQL, and comes to the same."""

from __future__ import annotations

import re

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import NUMBER_INDEX, migrate, names

pytestmark = pytest.mark.timeout(240)

IMPORTS = (
    "import django.db.models.deletion\n"
    "from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint\n"
)
# The argument is called otherwise before Django 5.1.
CHECK = """
import django
CHECK = models.CheckConstraint(**{
    "condition" if django.VERSION >= (5, 1) else "check": models.Q(amount__gte=0), "name": "positive",
})
"""
CASES = {
    "create-index": (
        f'migrations.AddIndex("order", {NUMBER_INDEX})',
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('number_idx')",
    ),
    "add-unique": (
        'migrations.AlterUniqueTogether("order", {("number", "state")})',
        "SELECT contype = 'u' FROM pg_constraint WHERE conname LIKE 'orders_order_number_state_%_uniq'",
    ),
    "create-unique-index": (
        (
            'migrations.AddConstraint("order", models.UniqueConstraint(\n'
            '    fields=["number"], condition=models.Q(state="new"), name="open_key"))'
        ),
        (
            "SELECT indisvalid AND indisunique AND indpred IS NOT NULL FROM pg_index"
            " WHERE indexrelid = to_regclass('open_key')"
        ),
    ),
    "add-check": (
        'migrations.AddConstraint("order", CHECK)',
        "SELECT convalidated FROM pg_constraint WHERE conname = 'positive'",
    ),
    "add-foreign-key": (
        (
            "migrations.RunSQL('ALTER TABLE orders_line ADD CONSTRAINT f FOREIGN KEY (order_id)"
            " REFERENCES orders_order (id)')"
        ),
        "SELECT convalidated FROM pg_constraint WHERE conname = 'f'",
    ),
    "add-column-required": (
        'migrations.AddField("order", "extra", models.CharField(max_length=9, default="x"))',
        (
            "SELECT NOT attnotnull AND format_type(atttypid, atttypmod) = 'character varying(9)' FROM pg_attribute"
            " WHERE attrelid = 'orders_order'::regclass AND attname = 'extra'"
        ),
    ),
    "drop-column": (
        'migrations.RemoveField("order", "number")',
        "SELECT count(*) = 0 FROM pg_attribute WHERE attrelid = 'orders_order'::regclass AND attname = 'number'",
    ),
    "required-left-behind": (
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("line", "order")])',
        "SELECT NOT attnotnull FROM pg_attribute WHERE attrelid = 'orders_line'::regclass AND attname = 'order_id'",
    ),
}


def offered(site: DjangoSite, rule: str, operation: str) -> str:
    """What the plan of a migration offers in its place."""
    site.migration("0002_first_try", f"{operation},", code=CHECK)
    (entry,) = migrate(site, "planned")["plan"]
    (code,) = {each["code"] for each in entry["operations"][0]["findings"] if each["rule"] == rule}
    (site.release / "src" / "orders" / "migrations" / "0002_first_try.py").unlink()
    return str(code)


def operations_of(code: str) -> str:
    """Its operations, as a migration holds them, one after another."""
    inside = re.search(r"operations = \[(.*)\]\Z", code, re.DOTALL)
    if inside:
        return f"{inside[1]},"
    return re.sub(r"(?m)^(\S.*|\))$", _closed, re.sub(r"(?m)\s*# .*$", "", code))


def _closed(line: re.Match[str]) -> str:
    return f"{line[0]}," if line[0].endswith(")") else line[0]


@pytest.mark.parametrize("rule", CASES)
def test_what_is_offered_instead_runs_and_comes_to_the_same(site: DjangoSite, rule: str) -> None:
    operation, shown = CASES[rule]
    code = offered(site, rule, operation)
    site.migration("0002_instead", operations_of(code), atomic=False, code=IMPORTS)

    applied = migrate(site, "applied", phase="contract")

    assert names(applied) == ["orders.0002_instead"]
    assert site.query(shown) == [(True,)]

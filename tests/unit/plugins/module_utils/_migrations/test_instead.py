# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._instead import STAND_INS, filled, names_of
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import judge
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Field, Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._rule import AnyRule
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULES

TABLE = Table("shop_order", 200, 65536)
NOTE = Field(
    "note", "CharField", null=False, column="note_text", definition="models.CharField(max_length=9)",
    nullable="models.CharField(max_length=9, null=True)",
)  # fmt: skip


def codes(kind: str, *sql: str, **more: object) -> dict[str, str]:
    """What stands instead, by rule."""
    given = {"model": "order", "table": TABLE, "tables": (TABLE,), **more}
    operation = Operation(0, kind, True, "…", sql=sql, **given)  # type: ignore[arg-type]
    migration = Migration("shop", "0009_more", True, False, (operation,))
    (verdict,) = judge(migration, first=False, acknowledged={}).verdicts
    return {each.rule: each.code for each in verdict.findings or (verdict,)}


def test_a_required_column_with_its_own_definition() -> None:
    sql = 'ALTER TABLE "shop_order" ADD COLUMN "note_text" varchar(9) DEFAULT \'\' NOT NULL;'
    drop = 'ALTER TABLE "shop_order" ALTER COLUMN "note_text" DROP DEFAULT;'
    found = codes("AddField", sql, drop, field=NOTE)
    assert found["add-column-required"].startswith(
        'migrations.AddField("order", "note", models.CharField(max_length=9, null=True))'
    )


def test_words_of_sql_stay_what_they_are() -> None:
    """Trap: TABLE and COLUMN are words of SQL as well."""
    dropped = codes("RunSQL", 'ALTER TABLE shop_order DROP COLUMN "Note"', model="", table=None, field=None)
    assert dropped["drop-column"].endswith('migrations.RunSQL(\'ALTER TABLE "shop_order" DROP COLUMN "Note"\')')
    elsewhere = codes("RunSQL", "DROP TABLE archive.shop_order", model="", table=None)
    assert elsewhere["drop-table"].endswith('migrations.RunSQL(\'DROP TABLE "archive"."shop_order"\')')
    unique = codes("AlterUniqueTogether", 'ALTER TABLE "shop_order" ADD CONSTRAINT "u" UNIQUE ("day", "place_id");')
    assert unique["add-unique"].splitlines()[1:] == [
        'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "u" ON "shop_order" ("day", "place_id")\')',
        'migrations.RunSQL(\'ALTER TABLE "shop_order" ADD CONSTRAINT "u" UNIQUE USING INDEX "u"\')',
    ]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            {"kind": "AddIndex", "definition": "models.Index(fields=['note'], name='by_note')"},
            "AddIndexConcurrently('order', models.Index(fields=['note'], name='by_note'))",
        ),
        (
            {"kind": "AlterField", "field": NOTE},
            "AddIndexConcurrently('order', models.Index(fields=['note'], name='i', opclasses=['text_pattern_ops']))",
        ),
        (
            {"kind": "RunSQL", "model": ""},
            'migrations.RunSQL(\'CREATE INDEX CONCURRENTLY "i" ON "shop_order" ("note_text" text_pattern_ops)\')',
        ),
    ],
)
def test_an_index_is_written_as_it_was_made(operation: dict[str, object], expected: str) -> None:
    sql = 'CREATE INDEX "i" ON "shop_order" ("note_text" text_pattern_ops);'
    found = codes(str(operation.pop("kind")), sql, **operation)
    assert found["create-index"].splitlines()[-1] == f"    operations = [{expected}]"


def test_a_name_that_django_refuses_is_left_to_people() -> None:
    sql = f'CREATE INDEX "{"n" * 31}" ON "shop_order" ("note_text");'
    assert "name='NAME'" in codes("AlterField", sql, field=NOTE)["create-index"]


def test_statements_keep_all_that_they_say() -> None:
    partial = 'CREATE UNIQUE INDEX "u" ON "shop_order" ("day") WHERE "state" IN (\'new\');'
    assert codes("AddConstraint", partial)["create-unique-index"] == (
        'migrations.RunSQL(\'CREATE UNIQUE INDEX CONCURRENTLY "u" ON "shop_order" ("day")'
        " WHERE \"state\" IN (\\'new\\')')"
    )
    key = (
        'ALTER TABLE "shop_order" ADD CONSTRAINT "f" FOREIGN KEY ("place_id") REFERENCES "place" ("id")'
        " DEFERRABLE INITIALLY DEFERRED"
    )
    assert codes("AlterField", f"{key};")["add-foreign-key"].splitlines() == [
        f"migrations.RunSQL('{key} NOT VALID')",
        "# in a migration after it:",
        'migrations.RunSQL(\'ALTER TABLE "shop_order" VALIDATE CONSTRAINT "f"\')',
    ]


def test_a_column_that_is_left_behind_is_named() -> None:
    operation = Operation(
        0, "SeparateDatabaseAndState", True, "…", required_left_behind="shop_order.place_id", model="order"
    )
    (verdict,) = judge(Migration("shop", "0009_more", True, False, (operation,)), first=False, acknowledged={}).verdicts
    found = next(each for each in verdict.findings or (verdict,) if each.rule == "required-left-behind")
    assert found.why.startswith("the new code no longer knows shop_order.place_id, which stays")
    assert found.code == 'migrations.RunSQL(\'ALTER TABLE "shop_order" ALTER COLUMN "place_id" DROP NOT NULL\')'


def test_the_migration_itself_is_named_where_another_one_follows_it() -> None:
    found = codes(
        "AddField", 'ALTER TABLE "shop_order" ADD COLUMN "n" text;', 'CREATE INDEX "i" ON "shop_order" ("n");'
    )
    assert found["work-under-lock"].endswith('dependencies = [("shop", "0009_more")]')


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.code], ids=lambda rule: rule.name)
def test_what_is_offered_is_python_with_names_and_without(rule: AnyRule) -> None:
    action = None
    operation = Operation(0, "AddField", True, "…", model="order", table=TABLE, field=NOTE)
    for known in ({}, names_of(operation, action, "shop.0009_more")):
        text = filled(rule.code, known)
        assert "<" not in text
        ast.parse(text.replace("models.…", "models.Field").replace("…", "None"))


def test_each_place_has_a_stand_in() -> None:
    assert all(filled(f"<{name}>", {}) == text for name, text in STAND_INS.items())
    assert filled("<table>", {"table": ""}) == "TABLE"

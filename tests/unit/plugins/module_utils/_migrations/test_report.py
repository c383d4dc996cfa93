# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._report import (
    heads_text,
    lines,
    outcome,
    plan_as_list,
    refusal_text,
    sql_text,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULES

INDEX = Operation(
    0,
    "AddIndex",
    True,
    "Create index number_idx",
    sql=('CREATE INDEX "number_idx" ON "orders_order" ("number");',),
    table=Table("orders_order", 12345, 3 << 20),
)
PYTHON = Operation(1, "RunPython", True, "Raw Python operation fill", opaque=True, reversible=False)
UNKNOWN = Operation(0, "AlterUniqueTogether", True, "Alter unique", problem="ValueError: not there yet")
CONCURRENTLY = 'CREATE INDEX CONCURRENTLY "number_idx" ON "orders_order" ("number")'
RUN_PYTHON = next(rule for rule in RULES if rule.name == "run-python")


def judged(*operations: Operation, reason: str = "") -> Judged:
    migration = Migration("orders", "0002_note", False, False, operations)
    return judge(migration, first=False, acknowledged={"orders.0002_note": reason} if reason else {})


def test_lines_for_people() -> None:
    assert lines([judged(INDEX, PYTHON)]) == [
        "orders.0002_note: unknown, unknown, not atomic: refused",
        "  0 Create index number_idx: expand, care",
        "      create-index: an index is built while writers wait",
        "        instead: Use AddIndexConcurrently in a migration of its own with atomic = False",
        "          class Migration(migrations.Migration):",
        "              atomic = False",
        f"              operations = [migrations.RunSQL({CONCURRENTLY!r})]",
        "      table orders_order: about 12,345 rows, 3 MiB",
        '      CREATE INDEX "number_idx" ON "orders_order" ("number");',
        "  1 Raw Python operation fill: unknown, unknown",
        f"      run-python: {RUN_PYTHON.why}",
        f"        instead: {RUN_PYTHON.instead}",
        "          def fill_in_batches(apps, editor):",
        '              rows = apps.get_model("orders", "MODEL").objects.using(editor.connection.alias)',
        "              while keys := list(rows.filter(FIELD=None).values_list('pk', flat=True)[:1000]):",
        "                  rows.filter(pk__in=keys).update(FIELD=…)  # with atomic = False each is a transaction",
    ]


def test_the_first_line_says_whether_it_may_run() -> None:
    assert lines([judged(INDEX)])[0] == "orders.0002_note: expand, care, not atomic: ready"
    assert lines([judged(PYTHON, reason="200 rows")])[0].endswith(": acknowledged: run-python: 200 rows")
    assert "      SQL not known: ValueError: not there yet" in lines([judged(UNKNOWN)])


def test_the_plan_for_machines() -> None:
    (entry,) = plan_as_list([judged(INDEX, PYTHON)])

    assert {key: entry[key] for key in ("app", "name", "atomic", "phase", "lock", "refused", "reversible")} == {
        "app": "orders",
        "name": "0002_note",
        "atomic": False,
        "phase": "unknown",
        "lock": "unknown",
        "refused": True,
        "reversible": False,
    }
    index, python = entry["operations"]
    assert (index["additive"], index["rule"], index["table"]["rows"]) == (True, "create-index", 12345)
    assert (index["lock_mode"], index["rewrite"], index["scan"]) == ("SHARE", False, True)
    assert [each["rule"] for each in index["findings"]] == ["create-index"]
    assert (python["additive"], python["opaque"], python["sql"]) == (False, True, [])


def test_the_refusal_names_operation_cause_and_what_to_do() -> None:
    assert refusal_text([judged(INDEX, PYTHON)]) == (
        "orders.0002_note, operation 1 (Raw Python operation fill): Python code: what it changes, and for how long it"
        " locks it, can't be known beforehand (Fill data in batches from a task outside of the deployment, or"
        " acknowledge the rule for this migration with the reason why old code can live with it) [run-python]"
    )
    assert refusal_text([judged(PYTHON, reason="200 rows")]) == ""


def test_sql_for_a_diff() -> None:
    assert sql_text([judged(INDEX, PYTHON)]) == (
        "-- orders.0002_note\n"
        "-- 0 Create index number_idx\n"
        'CREATE INDEX "number_idx" ON "orders_order" ("number");\n'
        "-- 1 Raw Python operation fill\n"
        "-- not known beforehand\n"
    )


def test_outcome_has_a_diff_only_when_asked() -> None:
    result = {
        "changed": True,
        "reason": "1 to apply",
        "heads_before": heads_text({"orders": ["0001_initial"]}),
        "heads_after": heads_text({"orders": ["0002_note"]}),
        "sql": "-- orders.0002_note\n",
    }

    assert outcome(result, diff=False) == {"changed": True, "reason": "1 to apply", "msg": "1 to apply"}
    heads, statements = outcome(result, diff=True)["diff"]
    assert (heads["before"], heads["after"]) == ("orders: 0001_initial\n", "orders: 0002_note\n")
    assert statements == {"prepared": "-- orders.0002_note\n"}

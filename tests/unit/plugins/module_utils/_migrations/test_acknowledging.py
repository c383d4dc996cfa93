# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import granted, refuse_idle
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from hypothesis import given
from hypothesis import strategies as st

DROP = Operation(0, "RemoveField", True, "Remove", sql=('ALTER TABLE "o" DROP COLUMN "a"',))
PYTHON = Operation(1, "RunPython", True, "Python", opaque=True)
INDEX = Operation(0, "AddIndex", True, "Index", sql=('CREATE INDEX "i" ON "o" ("a")',), tables=(Table("o", 1, 1),))
KEY = "orders.0002_note"


def judged(
    *operations: Operation,
    inventory: Mapping[str, str] | str = "",
    file: tuple[tuple[str, str], ...] = (),
    backwards: bool = False,
) -> Judged:
    migration = Migration("orders", "0002_note", False, backwards, operations, file)
    return judge(migration, first=False, acknowledged={KEY: inventory} if inventory else {})


def test_each_objecting_rule_needs_its_own_reason() -> None:
    assert judged(DROP, PYTHON).refused
    assert judged(DROP, PYTHON, inventory={"run-python": "200 rows"}).refused
    both = judged(DROP, PYTHON, inventory={"run-python": "200 rows"}, file=(("drop-column", "nobody reads it"),))
    assert not both.refused
    assert both.acknowledged == "drop-column: nobody reads it; run-python: 200 rows"
    assert [each.source for each in both.acknowledgements] == ["migration", "inventory"]


def test_one_sentence_will_do_for_one_rule_and_not_for_two() -> None:
    assert not judged(PYTHON, inventory="200 rows").refused
    assert judged(DROP, PYTHON, inventory="200 rows").refused


def test_what_is_let_pass_counts_as_additive() -> None:
    assert not judged(DROP).additive
    assert judged(DROP, inventory={"drop-column": "no code of the last two releases reads it"}).additive
    assert not judged(DROP, PYTHON, inventory={"drop-column": "nobody reads it"}).additive


@pytest.mark.parametrize(
    ("plan", "inventory", "named"),
    [
        (judged(DROP), {"run-python": "x"}, "orders.0002_note: run-python in the inventory"),
        (judged(DROP, file=(("run-python", "x"),)), {}, "orders.0002_note: run-python in the migration"),
        (judged(), "x", "orders.0002_note in the inventory (its rules that object: none)"),
    ],
)
def test_a_reason_that_no_rule_asks_for_is_refused(
    plan: Judged, inventory: Mapping[str, str] | str, named: str
) -> None:
    with pytest.raises(Refused) as caught:
        refuse_idle([plan], {KEY: inventory})

    assert f"acknowledged, but nothing objects: {named}" in caught.value.message
    assert "Nothing was changed" in caught.value.message
    assert ("its rules that object: drop-column" in caught.value.message) is bool(plan.verdicts)


def test_a_rule_that_objects_to_large_tables_only_may_be_let_pass_on_a_small_one() -> None:
    plan = judged(INDEX)

    assert not plan.refused
    refuse_idle([plan], {KEY: {"create-index": "built at night"}})


def test_undoing_is_not_let_pass_and_reasons_of_other_migrations_are_passed_over() -> None:
    refuse_idle([judged(DROP, backwards=True)], {KEY: {"drop-column": "x"}})
    refuse_idle([judged(DROP)], {"orders.0001_initial": {"run-python": "applied long ago"}})


RULES = st.sets(st.sampled_from(["a", "b", "c", "d"]))


@given(RULES, st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.text(min_size=1)), RULES)
def test_nothing_is_let_pass_without_a_reason_of_its_own(
    rules: set[str], inventory: dict[str, str], file: set[str]
) -> None:
    migration = Migration("orders", "0002_note", True, False, (), tuple((rule, "file") for rule in file))

    found = granted(migration, rules, inventory)

    assert {each.rule for each in found} == rules & (set(inventory) | file)
    assert all(each.reason == inventory.get(each.rule, "file") for each in found)


def test_unforeseen_work_may_be_let_pass_before_anybody_has_seen_it() -> None:
    migration = Migration("shop", "0002", True, False, ())

    (found,) = granted(migration, (), {"unforeseen-work": "a quiet night"})

    assert (found.rule, found.reason) == ("unforeseen-work", "a quiet night")

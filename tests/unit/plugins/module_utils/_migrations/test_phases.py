# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, judge, judge_all
from ansible_collections.slipway.django.plugins.module_utils._migrations._phases import DEFERRABLE, split
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULE_NAMES
from hypothesis import given
from hypothesis import strategies as st

TABLE = Table("o", 10, 8192)
KINDS = {
    "add": Operation(0, "AddField", True, "Add", sql=('ALTER TABLE "o" ADD COLUMN "a" int NULL',), tables=(TABLE,)),
    "drop": Operation(0, "RemoveField", True, "Remove", sql=('ALTER TABLE "o" DROP COLUMN "b"',), tables=(TABLE,)),
    "rename": Operation(0, "RenameField", True, "Rename", sql=('ALTER TABLE "o" RENAME COLUMN "c" TO "d"',)),
    "python": Operation(0, "RunPython", True, "Python", opaque=True),
    "options": Operation(0, "AlterModelOptions", True, "Options"),
    "unique": Operation(0, "AddConstraint", True, "Unique", sql=('ALTER TABLE "o" ADD CONSTRAINT u UNIQUE (a)',)),
}


def made(name: str, kind: str, **more: object) -> Judged:
    migration = Migration("shop", name, True, False, (KINDS[kind],))
    return judge(replace(migration, **more), first=False, acknowledged={})  # type: ignore[arg-type]


def chain(*kinds: str) -> tuple[list[Judged], dict[str, set[str]]]:
    """Migrations of which each builds on the one before it."""
    plan = [made(f"{number:04}", kind) for number, kind in enumerate(kinds, start=2)]
    keys = [judged.migration.key for judged in plan]
    return plan, {key: {before} for before, key in zip(keys, keys[1:])}


def test_what_old_code_can_live_with_runs_and_the_rest_says_why_it_waits() -> None:
    found = split(*chain("add", "drop"), {})

    assert found.now == {"shop.0002"}
    assert [(each.key, each.why) for each in found.later] == [
        ("shop.0003", "operation 0 (Remove): old code still reads and writes the column [drop-column]")
    ]
    assert (found.problems, found.bridges) == ((), ())
    assert found.lines() == [f"shop.0003: later: {found.later[0].why}"]


def test_what_builds_on_it_waits_too_when_new_code_can_do_without_it() -> None:
    found = split(*chain("drop", "options", "unique"), {})

    assert found.now == set()
    assert found.later[1].why == "it builds on shop.0002"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        (
            ("drop", "add"),
            "shop.0003: new code needs it [add-column], and it builds on shop.0002, which old code can't",
        ),
        (("rename",), "shop.0002: old code can't, or may not be able to, live with it, and new code may not"),
        (("python",), "shop.0002: old code can't, or may not be able to, live with it, and new code may not"),
    ],
)
def test_what_new_code_needs_is_not_left_for_later(kinds: tuple[str, ...], problem: str) -> None:
    found = split(*chain(*kinds), {})

    (only,) = found.as_dict()["problems"]
    assert only.startswith(problem)


def test_a_file_can_say_that_new_code_does_not_need_it() -> None:
    found = split([made("0002", "python", later=True)], {}, {})

    assert found.now == set()
    assert found.later[0].why == "its file says so (slipway_phase)"
    assert found.problems == ()
    # Also of what old code could live with.
    assert split([made("0002", "add", later=True)], {}, {}).now == set()


def test_what_an_earlier_release_owes_comes_first_or_the_plan_is_refused() -> None:
    plan, needs = chain("drop", "add")

    found = split(plan, needs, {"shop.0002": "r1"})

    assert found.later[0].why == "release r1 has left it for later and still owes it"
    (problem,) = found.as_dict()["problems"]
    assert problem.startswith("shop.0003: new code needs it [add-column], and it builds on shop.0002, which release r1")
    assert problem.endswith(" still owes: run phase contract with the live release first")
    # What does not build on it does not wait for it.
    assert split(plan, {}, {"shop.0002": "r1"}).now == {"shop.0003"}


def test_what_a_person_has_let_pass_runs() -> None:
    migration = Migration("shop", "0002", True, False, (KINDS["python"],), (("run-python", "2000 rows"),))

    assert split([judge(migration, first=False, acknowledged={})], {}, {}).now == {"shop.0002"}


def required(default_sql: str = "", *before: Operation) -> list[Judged]:
    drop = replace(KINDS["drop"], required=(("o", "b"),), default_sql=default_sql)
    migrations = [Migration("shop", f"{n:04}", True, False, (each,)) for n, each in enumerate((*before, drop), start=2)]
    return judge_all(migrations, first=False, acknowledged={"shop.0002": "a test"} if before else {})


def test_a_column_that_no_insert_can_leave_out_needs_a_bridge() -> None:
    (bridge,) = split(required("'new'"), {}, {}).bridges

    assert bridge.statement == 'ALTER TABLE "o" ALTER COLUMN "b" SET DEFAULT \'new\''
    assert split(required(), {}, {}).bridges[0].statement == 'ALTER TABLE "o" ALTER COLUMN "b" DROP NOT NULL'
    (problem,) = split(required(), {}, {}).as_dict()["problems"]
    assert problem.startswith(
        "shop.0002: o.b stays until shop.0002 runs, is NOT NULL and has no default: INSERTs of the"
    )
    assert problem.endswith('migrations.RunSQL(\'ALTER TABLE "o" ALTER COLUMN "b" DROP NOT NULL\')')


@pytest.mark.parametrize("action", ["DROP NOT NULL", "SET DEFAULT 3"])
def test_a_bridge_in_the_plan_counts_when_it_runs_with_expand(action: str) -> None:
    bridge = Operation(0, "RunSQL", True, "Bridge", sql=(f'ALTER TABLE o ALTER "b" {action}',))

    plan = required("", bridge)
    found = split(plan, {}, {})

    assert found.bridges == ()
    assert found.now == {"shop.0002"}
    # One that waits itself is none.
    later = [replace(plan[0], migration=replace(plan[0].migration, later=True)), plan[1]]
    assert len(split(later, {}, {}).bridges) == 1


def test_the_rules_of_the_split_are_rules() -> None:
    assert DEFERRABLE <= RULE_NAMES


def test_when_no_old_code_is_left_only_the_waiting_counts() -> None:
    large = Table("o", 9_000_000, 1 << 30)
    drop = Migration("shop", "0002", True, False, (KINDS["drop"],))
    unique = Migration("shop", "0003", True, False, (replace(KINDS["unique"], tables=(large,)),))

    judged = judge_all([drop, unique], first=False, acknowledged={}, old_code=False)

    assert [each.refused for each in judged] == [False, True]
    assert [each.refused for each in judge_all([drop, unique], first=False, acknowledged={})] == [True, True]


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[Judged], Mapping[str, set[str]]]:
    """Any plan in any order that its dependencies allow."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12))
    plan = [made(f"{number:04}", kind, later=draw(st.booleans())) for number, kind in enumerate(kinds)]
    keys = [judged.migration.key for judged in plan]
    needs = {key: draw(st.sets(st.sampled_from(keys[:number]))) for number, key in enumerate(keys) if number}
    return plan, needs


@given(plans())
def test_the_set_is_closed_and_livable_and_no_larger_one_is(
    given_plan: tuple[list[Judged], Mapping[str, set[str]]],
) -> None:
    plan, needs = given_plan

    found = split(plan, needs, {})

    livable = {each.migration.key for each in plan if each.additive and not each.migration.later}
    assert found.now <= livable
    assert all(needs.get(key, set()) <= found.now for key in found.now)
    # Whatever waits is not livable, or waits for one that waits.
    for key in livable - found.now:
        assert needs[key] - found.now
    assert [each.key for each in found.later] == [
        each.migration.key for each in plan if each.migration.key not in found.now
    ]
    assert all(each.why for each in found.later)


@given(plans())
def test_the_split_does_not_depend_on_the_order(
    given_plan: tuple[list[Judged], Mapping[str, set[str]]],
) -> None:
    """Two orders that the dependencies allow: the one that was drawn, and by depth."""
    plan, needs = given_plan

    def depth(key: str) -> int:
        return 1 + max((depth(each) for each in needs.get(key, ())), default=0)

    other = sorted(plan, key=lambda judged: (depth(judged.migration.key), judged.migration.key))

    assert split(plan, needs, {}).now == split(other, needs, {}).now


@given(plans())
def test_nothing_that_new_code_needs_waits_without_a_problem(
    given_plan: tuple[list[Judged], Mapping[str, set[str]]],
) -> None:
    plan, needs = given_plan
    by_key = {each.migration.key: each for each in plan}

    found = split(plan, needs, {})

    named = {key for key, _ in found.problems}
    for each in found.later:
        rules = {verdict.rule for verdict in by_key[each.key].verdicts}
        harmless = rules <= DEFERRABLE or by_key[each.key].migration.later
        assert (each.key in named) is not harmless

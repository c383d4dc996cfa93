# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A narrow state must give the SQL that the whole one gives. Django writes it here without a database."""

from __future__ import annotations

from typing import Any

import django
import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _facts
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._facts import Source, collect_one
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._narrow import Views, led
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._offline import (
    KnownTables,
    offline_connection,
)
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.state import ProjectState

KEY = ("id", models.BigAutoField(primary_key=True))


@pytest.fixture(scope="module")
def connection() -> Any:
    if not settings.configured:
        database = {"ENGINE": "django.db.backends.postgresql", "NAME": "nowhere"}
        settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["django.contrib.postgres"], USE_TZ=True)
        django.setup()
    return offline_connection("default", 15)


def shop() -> list[Any]:
    """Models that refer to each other by key, by field, by inheritance and by a table between."""
    create = migrations.CreateModel
    return [
        create("Town", [("code", models.CharField(max_length=9, primary_key=True)), ("name", models.TextField())]),
        create("Person", [KEY, ("mail", models.EmailField(unique=True)),
                          ("town", models.ForeignKey("shop.Town", models.CASCADE))]),
        create("Buyer", [("person", models.OneToOneField("shop.Person", models.CASCADE, primary_key=True))],
               options={"db_table": "buyers"}),
        create("Staff", [("person_ptr", models.OneToOneField("shop.Person", models.CASCADE, auto_created=True,
                                                             parent_link=True, primary_key=True))],
               bases=("shop.person",)),
        create("Tag", [KEY, ("parent", models.ForeignKey("self", models.CASCADE, null=True))]),
        create("Order", [KEY, ("buyer", models.ForeignKey("shop.Buyer", models.CASCADE)),
                         ("staff", models.ForeignKey("shop.Staff", models.CASCADE, null=True)),
                         ("mail", models.ForeignKey("shop.Person", models.CASCADE, to_field="mail", related_name="+")),
                         ("note", models.TextField(null=True))]),
        create("Line", [KEY, ("order", models.ForeignKey("shop.Order", models.CASCADE)),
                        ("tag", models.ForeignKey("shop.Tag", models.CASCADE))]),
        create("VipBuyer", [], options={"proxy": True}, bases=("shop.buyer",)),
    ]  # fmt: skip


CASES: dict[str, Any] = {
    "column": migrations.AddField("Order", "extra", models.IntegerField(null=True)),
    "reference": migrations.AddField("Line", "buyer", models.ForeignKey("shop.Buyer", models.CASCADE, null=True)),
    "reference to a field": migrations.AddField(
        "Line", "mail", models.ForeignKey("shop.Person", models.CASCADE, to_field="mail", null=True)
    ),
    "reference to a child": migrations.AddField(
        "Tag", "staff", models.ForeignKey("shop.Staff", models.CASCADE, null=True)
    ),
    "reference to a proxy": migrations.AddField(
        "Tag", "vip", models.ForeignKey("shop.VipBuyer", models.CASCADE, null=True)
    ),
    "many to many": migrations.AddField("Order", "tags", models.ManyToManyField("shop.Tag")),
    "many to many through": migrations.AddField(
        "Order", "marks", models.ManyToManyField("shop.Tag", through="shop.Line")
    ),
    "many to many with itself": migrations.AddField("Tag", "like", models.ManyToManyField("self")),
    "key": migrations.AlterField("Town", "code", models.CharField(max_length=20, primary_key=True)),
    "key to text": migrations.AlterField("Town", "code", models.TextField(primary_key=True)),
    "key of a parent": migrations.AlterField("Person", "id", models.AutoField(primary_key=True)),
    "unique field that is referred to": migrations.AlterField("Person", "mail", models.TextField(unique=True)),
    "rename": migrations.RenameField("Person", "mail", "address"),
    "remove reference": migrations.RemoveField("Order", "staff"),
    "remove model": migrations.DeleteModel("Line"),
    "table": migrations.AlterModelTable("Person", "people"),
    "together": migrations.AlterUniqueTogether("Line", {("order", "tag")}),
    "order": migrations.AlterOrderWithRespectTo("Line", "order"),
    "index": migrations.AddIndex("Order", models.Index(fields=["buyer", "-id"], name="i")),
    "constraint": migrations.AddConstraint("Order", models.UniqueConstraint(fields=["buyer", "mail"], name="c")),
    "rename model": migrations.RenameModel("Town", "City"),
    "rename model that is a target": migrations.RenameModel("Tag", "Label"),
    "rename model with a table": migrations.RenameModel("Line", "Row"),
}


def migration_of(name: str, operations: list[Any]) -> Any:
    found = type("Migration", (migrations.Migration,), {"operations": operations})
    return found(name, "shop")


def sql_of(connection: Any, operations: list[Any]) -> list[tuple[tuple[str, ...], str]]:
    """The statements of each operation, judged one after the other as a plan does it."""
    facts = collect_one(Source(connection, KnownTables()), migration_of("0001", operations), ProjectState())
    return [(operation.sql, operation.problem) for operation in facts.operations]


@pytest.mark.parametrize("name", CASES)
def test_the_sql_is_that_of_the_whole_state(connection: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    after = migrations.AddField("Order", "last", models.TextField(null=True))
    narrow = sql_of(connection, [*shop(), CASES[name], after])

    monkeypatch.setattr(_facts, "_narrowed", lambda _views, _app, step: step)
    monkeypatch.setattr(_facts, "_touched", lambda _app, _operation: None)
    plain = sql_of(connection, [*shop(), CASES[name], after])

    assert narrow == plain
    assert [sql for sql, _problem in narrow][-2] or name == "many to many through"
    assert {problem for _sql, problem in narrow} == {""}


def states() -> tuple[Any, Any]:
    state = ProjectState()
    for operation in shop():
        operation.state_forwards("shop", state)
    return state, migrations.AddField("Order", "extra", models.IntegerField(null=True))


def test_the_state_before_keeps_what_it_was() -> None:
    state, operation = states()
    person = state.models["shop", "person"]

    before = led(state, "shop", operation, [("shop", "order")])

    assert "extra" not in before.models["shop", "order"].fields
    assert "extra" in state.models["shop", "order"].fields
    assert state.models["shop", "person"] is person


def test_what_is_referred_to_is_there_with_its_key_alone(connection: Any) -> None:
    state, _operation = states()

    narrowed = Views().narrow(state, ("shop", "order"))

    fields = {name: sorted(model.fields) for (_app, name), model in narrowed.models.items()}
    assert fields == {
        "order": ["buyer", "id", "mail", "note", "staff"],
        "buyer": ["person"],
        "person": ["id", "mail"],
        "staff": ["person_ptr"],
    }


def test_one_state_is_made_once(connection: Any) -> None:
    state, operation = states()
    views = Views()
    first = views.narrow(state, ("shop", "order"))

    assert views.narrow(state, ("shop", "order")) is first
    before = led(state, "shop", operation, [("shop", "order")])
    assert views.narrow(before, ("shop", "order")) is first
    assert views.narrow(state, ("shop", "order")) is not first

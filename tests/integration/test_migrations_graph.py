# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a project may make of Django's graph of migrations: several databases with a router, a user model of its own,
``run_before``, squashed migrations. Each is planned, applied, undone, and judged without a database.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import (
    HEADER,
    INITIAL,
    PASSWORD,
    SETTINGS,
    Cluster,
    DjangoSite,
)
from ansible_collections.slipway.django.tests.integration.django_versions import Version, environment
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    RELEASE,
    migrate,
    names,
    refusal,
    schema,
)

pytestmark = pytest.mark.timeout(240)
LINT = "ansible_collections.slipway.django.plugins.module_utils._migrations.lint"
ARCHIVE = """
DATABASES["archive"] = {**DATABASES["default"], "NAME": os.environ["ARCHIVE_NAME"]}
DATABASE_ROUTERS = ["routers.Router"]
"""
ROUTER = '''
class Router:
    """Entries live in the archive, all else in the default database."""

    def db_for_read(self, model, **hints):
        return "archive" if model._meta.model_name == "entry" else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, model_name=None, target="default", **hints):
        return db == ("archive" if model_name == "entry" else target)
'''
ENTRY = """
migrations.CreateModel("Entry", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]),
"""
FILL = """
def fill(apps, editor):
    apps.get_model("orders", "entry").objects.using(editor.connection.alias).create(text="filled")
"""
FILLED = 'migrations.RunPython(fill, migrations.RunPython.noop, hints={"target": "archive"}),'
EMPTIED = 'migrations.RemoveField("entry", "text"),'


def add_app(site: DjangoSite, label: str, name: str, body: str) -> None:
    """Write a migration of another app."""
    directory = site.release / "src" / label / "migrations"
    directory.mkdir(parents=True, exist_ok=True)
    for package in (directory, directory.parent):
        (package / "__init__.py").touch()
    (directory / f"{name}.py").write_text(f"{HEADER}\n\nclass Migration(migrations.Migration):\n{body}\n")


def settings(site: DjangoSite, more: str) -> None:
    (site.release / "src" / "site_settings.py").write_text(SETTINGS + more)


def lint(site: DjangoSite, *argv: str, **environment: str) -> tuple[int, list[str]]:
    """Exit status and lines of the linter, which can't reach any database."""
    collections = next(each for each in sys.path if each.endswith(".cache/collections"))
    known = {"SECRET_KEY": "x", "DATABASE_NAME": "x", "DATABASE_PASSWORD": PASSWORD, "DATABASE_HOST": "nowhere.invalid"}
    python = str(site.release / "venv" / "bin" / "python")
    done = subprocess.run(
        [sys.executable, "-m", LINT, "--settings", "site_settings", "--python", python, *argv],
        cwd=site.release / "src",
        env={**os.environ, **known, "PYTHONPATH": collections, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, done.stdout.splitlines()


def rules(result: dict[str, object], name: str) -> list[str]:
    plan = result["plan"]
    assert isinstance(plan, list)
    (migration,) = [each for each in plan if each["name"] == name]
    return [operation["rule"] for operation in migration["operations"]]


@pytest.fixture
def two(site: DjangoSite, cluster: Cluster) -> DjangoSite:
    """The site with a second database, in which no migration was ever applied."""
    settings(site, ARCHIVE)
    (site.release / "src" / "routers.py").write_text(ROUTER)
    site.write_environment(ARCHIVE_NAME=cluster.create())
    site.migration("0002_entry", ENTRY)
    site.migration("0003_fill", FILLED, code=FILL)
    return site


def tables(site: DjangoSite, alias: str) -> set[str]:
    values = (line.partition("=") for line in (site.release / "env").read_text().splitlines())
    variable = {"default": "DATABASE_NAME", "archive": "ARCHIVE_NAME"}[alias]
    (database,) = [value.strip("\"'") for name, _equal, value in values if name == variable]
    found = site.cluster.query(database, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found}


def test_each_database_gets_what_the_router_gives_it(two: DjangoSite) -> None:
    planned = migrate(two, "planned")
    assert rules(planned, "0002_entry") == ["not-this-database"]
    assert rules(planned, "0003_fill") == ["not-this-database"]
    assert planned["refused"] == []

    migrate(two, "applied")
    migrate(two, "applied", database="archive", run_id="r2")

    assert "orders_entry" not in tables(two, "default")
    assert "orders_order" in tables(two, "default")
    assert tables(two, "archive") == {"orders_entry", "django_migrations", "django_migrate_safe_journal"}
    assert not migrate(two, "applied")["changed"]
    assert not migrate(two, "applied", database="archive", run_id="r2")["changed"]
    assert migrate(two, "compatible")["verdict"] == "fits"


def test_what_breaks_one_database_is_refused_there_alone(two: DjangoSite) -> None:
    migrate(two, "applied")
    migrate(two, "applied", database="archive")
    two.migration("0004_text", EMPTIED)

    assert migrate(two, "planned")["refused"] == []
    assert migrate(two, "planned", database="archive")["refused"] == ["orders.0004_text"]
    assert "[drop-column]" in refusal(two, "applied", database="archive").message
    # The linter holds each database apart too.
    assert lint(two, "orders.0004_text", ARCHIVE_NAME="x") == (0, [])
    status, lines = lint(two, "orders.0004_text", "--database", "archive", ARCHIVE_NAME="x")
    # What is indented is the code to write instead.
    assert (status, sum(not line.startswith(" ") for line in lines)) == (1, 1)
    assert "drop-column: orders.0004_text" in lines[0]


def test_one_database_is_undone_and_the_other_stays(two: DjangoSite) -> None:
    migrate(two, "applied", run_id="r1")
    migrate(two, "applied", database="archive", run_id="r1")

    undone = migrate(two, "reversed", database="archive", run_id="r1", accept_data_loss=True)

    assert len(undone["applied"]) == len(migrate(two, "planned", database="archive")["plan"])
    assert "orders_entry" not in tables(two, "archive")
    assert migrate(two, "planned")["pending"] == 0


BEFORE = """\
    run_before = [("orders", "0002_note")]
    operations = [{}]
"""
LEDGER = 'migrations.CreateModel("Ledger", [("id", models.BigAutoField(primary_key=True))])'
BREAKS = f"{LEDGER}, migrations.RunSQL('ALTER TABLE orders_order DROP COLUMN amount', migrations.RunSQL.noop)"


def test_run_before_orders_the_plan_and_holds_back_what_must_come_after(site: DjangoSite) -> None:
    settings(site, 'INSTALLED_APPS += ["billing"]\n')
    site.migration("0002_note", NOTE)
    add_app(site, "billing", "0001_initial", BEFORE.format(LEDGER))
    planned = migrate(site, "planned")
    assert [f"{each['app']}.{each['name']}" for each in planned["plan"]] == ["billing.0001_initial", "orders.0002_note"]
    assert lint(site, "billing.0001_initial", "orders.0002_note") == (0, [])

    # The code of today can't live with the one that must come first: neither runs with expand.
    add_app(site, "billing", "0001_initial", BEFORE.format(BREAKS))
    planned = migrate(site, "planned", phase="expand")
    assert planned["plan"] == []
    why = {each["key"]: each["why"] for each in planned["later"]}
    assert why["orders.0002_note"] == "it builds on billing.0001_initial"

    add_app(site, "billing", "0001_initial", BEFORE.format(LEDGER))
    assert names(migrate(site, "applied", run_id="r7")) == ["billing.0001_initial", "orders.0002_note"]
    assert names(migrate(site, "reversed", run_id="r7")) == ["orders.0002_note", "billing.0001_initial"]


PERSON = """\
    initial = True
    dependencies = [("auth", "__first__")]
    operations = [migrations.CreateModel("Person", [
        ("id", models.BigAutoField(primary_key=True)), ("password", models.CharField(max_length=128)),
        ("last_login", models.DateTimeField(null=True)), ("email", models.EmailField(unique=True)),
    ], options={"swappable": "AUTH_USER_MODEL"})]
"""
PERSON_MODEL = """
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models


class Person(AbstractBaseUser):
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"

    class Meta:
        swappable = "AUTH_USER_MODEL"
"""
OWNED = """\
    dependencies = [("orders", "0001_initial"), migrations.swappable_dependency("people.Person")]
    operations = [migrations.AddField(
        "order", "owner", models.ForeignKey("people.Person", models.CASCADE, null=True, db_constraint=False))]
"""


def test_a_user_model_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    site = DjangoSite(tmp_path / "shop" / "releases" / RELEASE, cluster, cluster.create())
    settings(site, 'INSTALLED_APPS += ["people"]\nAUTH_USER_MODEL = "people.Person"\n')
    migrations = site.release / "src" / "orders" / "migrations"
    add_app(site, "people", "0001_initial", PERSON)
    (site.release / "src" / "people" / "models.py").write_text(PERSON_MODEL)
    (migrations / "0002_owner.py").write_text(f"{HEADER}\n\nclass Migration(migrations.Migration):\n{OWNED}")

    first = names(migrate(site, "applied", run_id="r0"))
    assert first.index("people.0001_initial") < first.index("orders.0002_owner")
    assert "auth_user" not in {name for (name,) in site.query("SELECT tablename::text FROM pg_tables")}
    (kind,) = site.query(
        "SELECT format_type(atttypid, -1) FROM pg_attribute"
        " WHERE attname = 'owner_id' AND attrelid = 'orders_order'::regclass"
    )
    assert kind == ("bigint",)
    site.migration("0003_person", 'migrations.RemoveField("order", "owner"),')
    assert migrate(site, "planned")["refused"] == ["orders.0003_person"]
    assert lint(site, "orders.0003_person")[0] == 1


def squash(site: DjangoSite, name: str, operations: str, replaces: Sequence[str], depends: Sequence[str] = ()) -> None:
    path = site.release / "src" / "orders" / "migrations" / f"{name}.py"
    site.migration(name, operations, depends=list(depends))
    path.write_text(path.read_text() + f"    replaces = {[('orders', each) for each in replaces]!r}\n")


STATE = 'migrations.AddField("order", "extra", models.TextField(null=True)),'


def test_squashed_migrations_where_none_some_and_all_of_their_parts_are_applied(
    site: DjangoSite, cluster: Cluster, tmp_path: Path
) -> None:
    parts = ["0001_initial", "0002_note", "0003_extra"]
    fresh = DjangoSite(tmp_path / "fresh" / "releases" / RELEASE, cluster, cluster.create())
    for each in (site, fresh):
        each.migration("0002_note", NOTE)
        each.migration("0003_extra", STATE)
        squash(each, "0001_squashed", INITIAL + NOTE + STATE, parts)

    # Some: the parts that are left run, and the squashed one is recorded with the last of them.
    planned = migrate(site, "planned")
    assert [each["name"] for each in planned["plan"]] == ["0002_note", "0003_extra"]
    migrate(site, "applied", run_id="r2")
    assert site.recorded() == [*parts, "0001_squashed"]

    # None: it runs itself, and its parts are recorded with it.
    applied = [each for each in names(migrate(fresh, "applied", run_id="r2")) if each.startswith("orders.")]
    assert applied == ["orders.0001_squashed"]
    assert sorted(fresh.recorded()) == sorted([*parts, "0001_squashed"])
    assert [row for row in schema(fresh) if row[0].startswith("orders")] == [
        row for row in schema(site) if row[0].startswith("orders")
    ]

    # All: nothing is left, and what comes after it builds on it.
    for each in (site, fresh):
        assert not migrate(each, "applied", run_id="r3")["changed"]
        each.migration("0004_more", 'migrations.AddField("order", "more", models.TextField(null=True)),',
                       depends=["0001_squashed"])  # fmt: skip
        assert names(migrate(each, "applied", run_id="r4")) == ["orders.0004_more"]
        assert names(migrate(each, "reversed", run_id="r4")) == ["orders.0004_more"]
    assert lint(site, "orders.0004_more") == (0, [])


def test_the_oldest_django(
    cluster: Cluster, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of what tests/proof/test_django_versions.py does with each."""
    venv = environment(Version("4.2"), tmp_path_factory.getbasetemp())
    monkeypatch.setenv("SLIPWAY_TEST_VENV", str(venv))
    site = DjangoSite(tmp_path / "shop" / "releases" / RELEASE, cluster, cluster.create())
    assert site.django_version() == (4, 2)
    migrate(site, "applied", run_id="r0")
    before = schema(site)
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    site.migration("0004_amount", 'migrations.RemoveField("order", "amount"),')

    planned = migrate(site, "planned", phase="expand")
    assert [each["name"] for each in planned["plan"]] == ["0002_note", "0003_index"]
    assert [each["key"] for each in planned["later"]] == ["orders.0004_amount"]
    assert lint(site, "orders.0004_amount")[0] == 1
    migrate(site, "applied", phase="expand", run_id="r1")
    assert site.recorded() == ["0001_initial", "0002_note", "0003_index"]
    migrate(site, "reversed", run_id="r1")
    assert schema(site) == before

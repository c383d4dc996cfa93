# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations judged without a database: the command line as a CI system runs it, with a Django and no server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import (
    HEADER,
    INITIAL,
    SETTINGS,
)

pytestmark = pytest.mark.timeout(240)
MODULE = "ansible_collections.slipway.django.plugins.module_utils._migrations.lint"


class Project:
    """A repository with an app."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.migrations = directory / "orders" / "migrations"
        self.migrations.mkdir(parents=True)
        for package in (self.migrations, self.migrations.parent):
            (package / "__init__.py").touch()
        (directory / "site_settings.py").write_text(SETTINGS)
        self.add("0001_initial", INITIAL)

    def add(self, name: str, operations: str, *, more: str = "") -> None:
        earlier = max((path.stem for path in self.migrations.glob("0*.py") if path.stem < name), default="")
        needs = [("orders", earlier)] if earlier else []
        (self.migrations / f"{name}.py").write_text(
            f"{HEADER}\n\nclass Migration(migrations.Migration):\n    dependencies = {needs!r}\n"
            f"    operations = [\n{operations}\n    ]\n{more}"
        )

    def lint(self, *argv: str, settings: str = "site_settings", **environment: str) -> tuple[int, str, str]:
        path = next(each for each in sys.path if each.endswith(".cache/collections"))
        python = str(Path(os.environ.get("SLIPWAY_TEST_VENV", sys.prefix)) / "bin" / "python")
        secrets = {
            "SECRET_KEY": "x",
            "DATABASE_NAME": "x",
            "DATABASE_PASSWORD": "x",
            "DATABASE_HOST": "nowhere.invalid",
        }
        done = subprocess.run(
            [sys.executable, "-m", MODULE, "--settings", settings, "--python", python, *argv],
            cwd=self.directory,
            env={**os.environ, **secrets, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def test_what_is_refused_is_shown_where_it_stands_and_decides_the_exit_status(project: Project) -> None:
    project.add("0002_note", 'migrations.AddField("order", "note", models.TextField(null=True)),')
    assert project.lint("orders.0002_note") == (0, "", "")
    project.add("0003_state", 'migrations.AlterModelOptions("order", {}),\nmigrations.RemoveField("order", "state"),')
    path = "orders/migrations/0003_state.py"
    text = (project.migrations / "0003_state.py").read_text()
    line = text[: text.index("migrations.RemoveField")].count("\n") + 1

    status, plain, _ = project.lint("orders.0003_state")
    assert status == 1
    assert plain.startswith(
        f"{path}:{line}: drop-column: orders.0003_state: old code still reads and writes the column."
    )
    assert plain.endswith("""\n    migrations.RunSQL('ALTER TABLE "orders_order" DROP COLUMN "state"')\n""")
    _, github, _ = project.lint("orders.0003_state", "--format", "github")
    assert github.startswith(f"::error file={path},line={line},title=drop-column::orders.0003_state: old code still")
    _, gitlab, _ = project.lint("orders.0003_state", "--format", "gitlab")
    (entry,) = json.loads(gitlab)
    assert entry["location"] == {"path": path, "lines": {"begin": line}}
    assert (entry["check_name"], entry["severity"], len(entry["fingerprint"])) == ("drop-column", "major", 64)


def test_a_table_of_the_same_deployment_is_new_and_one_of_another_is_not(project: Project) -> None:
    project.add("0002_gift", 'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))]),')
    project.add("0003_number", 'migrations.AddField("gift", "number", models.IntegerField(default=0, db_index=True)),')

    assert project.lint("orders.0002_gift", "orders.0003_number")[0] == 0
    status, text, _ = project.lint("orders.0003_number")
    assert status == 1
    # What is indented is the code to write instead.
    assert {line.split(": ")[1] for line in text.splitlines() if not line.startswith(" ")} == {
        "add-column-required",
        "create-index",
        "work-under-lock",
    }
    # All, each for itself.
    assert project.lint()[0] == 1


def test_a_reason_in_the_file_counts(project: Project) -> None:
    project.add("0002_state", 'migrations.RemoveField("order", "state"),')
    assert project.lint("orders.0002_state")[0] == 1

    project.add("0002_state", 'migrations.RemoveField("order", "state"),', more=REASON)

    assert project.lint("orders.0002_state") == (0, "", "")


REASON = "    slipway_acknowledged = {'drop-column': 'nobody reads it'}\n"


def test_only_what_git_shows_as_changed(project: Project) -> None:
    project.add("0002_state", 'migrations.RemoveField("order", "state"),')

    def git(*argv: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *argv], cwd=project.directory, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "before")
    project.add("0003_note", 'migrations.AddField("order", "note", models.TextField(null=True)),')
    git("add", ".")

    assert project.lint("--since", "HEAD") == (0, "", "")
    status, _, error = project.lint("--since", "no-such-commit")
    assert status == 2
    assert "git does not tell what has changed since no-such-commit" in error


@pytest.mark.parametrize(
    ("argv", "settings", "message"),
    [
        (["orders.0009_none"], "site_settings", "there is no migration orders.0009_none"),
        (["--database", "other"], "site_settings", "the settings have no database 'other', only default"),
        ([], "no_such_settings", "the release can't be started"),
    ],
)
def test_what_can_not_be_judged_is_no_success(project: Project, argv: list[str], settings: str, message: str) -> None:
    status, text, error = project.lint(*argv, settings=settings)

    assert (status, text) == (2, "")
    assert message in error


def test_settings_with_another_engine_are_judged_as_postgresql(project: Project) -> None:
    settings = (project.directory / "site_settings.py").read_text()
    (project.directory / "site_settings.py").write_text(settings.replace("backends.postgresql", "backends.sqlite3"))
    project.add("0002_unique", 'migrations.AlterField("order", "number", models.CharField(max_length=9, unique=True)),')

    status, text, _ = project.lint("orders.0002_unique")

    assert status == 1
    assert "add-unique: " in text


HISTORY = {
    "0002_unique": (
        "add-unique",
        'migrations.AlterField("order", "number", models.CharField(max_length=20, unique=True)),',
    ),
    "0003_not_unique": (
        "drop-constraint",
        'migrations.AlterField("order", "number", models.CharField(max_length=20)),',
    ),
    "0004_together": ("add-unique", 'migrations.AlterUniqueTogether("order", {("number", "state")}),'),
    "0005_apart": ("drop-constraint", 'migrations.AlterUniqueTogether("order", set()),'),
    "0006_no_order": ("drop-column", 'migrations.RemoveField("line", "order"),'),
    "0007_bigger": (
        "change-type-larger-integer",
        'migrations.AlterField("order", "amount", models.BigIntegerField(null=True)),',
    ),
    "0008_not_null": ("set-not-null", 'migrations.AlterField("order", "amount", models.BigIntegerField(default=7)),'),
    "0009_text": (
        "drop-not-null",
        'migrations.AlterField("order", "number", models.CharField(max_length=20, null=True)),',
    ),
    "0010_index": ("create-index", 'migrations.AddIndex("order", models.Index(fields=["number"], name="i")),'),
    "0011_no_index": ("drop-index", 'migrations.RemoveIndex("order", "i"),'),
    "0012_check": ("add-check", "migrations.RunSQL('alter table ORDERS_ORDER add check (amount > 0)'),"),
    "0013_python": ("run-python", "migrations.RunPython(print),"),
    "0014_renamed": ("rename-table", 'migrations.RenameModel("Order", "Purchase"),'),
    "0015_gone": ("drop-table", 'migrations.DeleteModel("Purchase"),'),
}
GOOD = {
    "0016_gift": 'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))]),',
    "0017_name": 'migrations.AddField("gift", "name", models.CharField(max_length=9, null=True, default="it\'s 5%")),',
    "0018_wider": 'migrations.AlterField("gift", "name", models.CharField(max_length=10, null=True)),',
    "0019_extension": "postgres.TrigramExtension(),",
    "0020_comment": 'migrations.AlterModelTableComment("gift", "5% of it"),',
}


def test_a_history_with_what_django_asks_the_database_about(project: Project) -> None:
    """Names of constraints, extensions, quoting: nothing of it needs a server here."""
    for name, (_, operation) in HISTORY.items():
        project.add(name, operation)
    for name, operation in GOOD.items():
        project.add(name, operation)

    _, text, error = project.lint("--format", "gitlab")

    assert not error
    found: dict[str, set[str]] = {}
    for each in json.loads(text):
        found.setdefault(each["location"]["path"].rpartition("/")[2][: -len(".py")], set()).add(each["check_name"])
    assert {name: rule in found.get(name, ()) for name, (rule, _) in HISTORY.items()} == dict.fromkeys(HISTORY, True)
    # Those of Django itself are not the project's to mend.
    assert set(found) == set(HISTORY)
    assert not any("sql-not-known" in rules for rules in found.values())

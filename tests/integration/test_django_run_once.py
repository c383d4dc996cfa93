# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the site runs once in the life of its database, whoever asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module
from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite
from ansible_collections.slipway.django.tests.integration.migrations_world import migrate

pytestmark = pytest.mark.timeout(240)
SECRET = "mark-77ab password of the first"
COMMAND = """
import os
from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("state")

    def handle(self, *args, **options):
        print("moving with", os.environ.get("MOVE_TOKEN"))
        with connection.cursor() as cursor:
            cursor.execute("UPDATE orders_order SET amount = coalesce(amount, 0) + 1")
        if options["state"] == "bad":
            raise CommandError("the rest can't be moved")
"""


@pytest.fixture
def moving(site: DjangoSite) -> DjangoSite:
    directory = site.release / "src" / "orders" / "management" / "commands"
    directory.mkdir(parents=True)
    for package in (directory, directory.parent):
        (package / "__init__.py").touch()
    (directory / "move_amounts.py").write_text(COMMAND)
    return site


def options(site: DjangoSite, name: str, *command: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": list(command), "release_path": str(site.release), **more}


def moved(site: DjangoSite) -> int:
    return int(site.query("SELECT coalesce(max(amount), 0) FROM orders_order")[0][0])


def test_check_run_check_run(moving: DjangoSite) -> None:
    asked = options(moving, "amounts moved", "move_amounts", "all", run_id="d1")

    checked = run_module("django_run_once", asked, check=True).succeeded()
    assert checked["changed"]
    assert checked["reason"] == "amounts moved was never run here"
    assert moved(moving) == 0

    done = run_module("django_run_once", asked).succeeded()
    assert (done["changed"], set(done)) == (True, set(checked))
    assert moved(moving) == 1

    for check in (True, False):
        again = run_module("django_run_once", {**asked, "run_id": "d2"}, check=check).succeeded()
        assert not again["changed"]
        assert again["reason"].startswith("amounts moved is done: run at ")
        assert again["reason"].endswith(" by d1")
    assert moved(moving) == 1
    # Another name is another thing, and migrations go on beside the record.
    assert run_module("django_run_once", {**asked, "name": "amounts moved again"}).succeeded()["changed"]
    assert not migrate(moving, "applied")["changed"]


def test_what_has_failed_is_repeated_only_when_that_is_allowed(moving: DjangoSite) -> None:
    asked = options(moving, "amounts moved", "move_amounts", "bad", environment={"MOVE_TOKEN": SECRET})

    failed = run_module("django_run_once", asked).result
    assert failed["msg"].startswith("manage.py move_amounts ended with status 1. What it has done stays.")
    assert "the rest can't be moved" in failed["stderr"]
    assert SECRET not in str(failed)
    assert moved(moving) == 1

    refused = run_module("django_run_once", {**asked, "command": ["move_amounts", "all"]}).result
    assert refused["msg"].startswith("amounts moved was begun and did not end: failed with status 1, at ")
    assert "Nothing was run." in refused["msg"]
    assert moved(moving) == 1

    repeated = {**asked, "command": ["move_amounts", "all"], "after_failure": "repeat"}
    assert run_module("django_run_once", repeated).succeeded()["changed"]
    assert not run_module("django_run_once", repeated).succeeded()["changed"]
    assert moved(moving) == 2


def test_the_first_superuser(site: DjangoSite) -> None:
    variables = {
        "DJANGO_SUPERUSER_USERNAME": "admin",
        "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
        "DJANGO_SUPERUSER_PASSWORD": SECRET,
    }
    asked = options(site, "first superuser", "createsuperuser", "--no-input", environment=variables)

    done = run_module("django_run_once", asked).succeeded()

    assert done["changed"]
    assert SECRET not in str(done)
    assert site.query("SELECT username, is_superuser FROM auth_user") == [("admin", True)]
    # Also when the password is another one by now.
    later = {**asked, "environment": {**variables, "DJANGO_SUPERUSER_PASSWORD": "another"}}
    assert not run_module("django_run_once", later).succeeded()["changed"]


def test_a_command_that_there_is_not(site: DjangoSite, tmp_path: Path) -> None:
    failed = run_module("django_run_once", options(site, "nothing", "no_such_command")).result

    assert failed["msg"].startswith("manage.py no_such_command ended with status 1.")
    assert "Unknown command: 'no_such_command'" in failed["stderr"]

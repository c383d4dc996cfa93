# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations judged in a repository, without a database and without Ansible.

python3 -m ansible_collections.slipway.django.plugins.module_utils._migrations.lint --settings shop.settings

Ends with 0 when nothing is refused, 1 when something is, 2 when it could not be judged.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._annotations import FORMATS, notes, render
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    PLANNED,
    Request,
    read_answer,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner, SystemRunner

_FILE = re.compile(r"(?:\A|/)(?P<app>[^/]+)/migrations/(?P<name>[^/]+)\.py\Z")
_GOOD, _BAD, _UNKNOWN = 0, 1, 2


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lint", description="Judge Django migrations without a database.")
    parser.add_argument(
        "migration", nargs="*", help="app.name; together they are one deployment. Default: each of the project"
    )
    parser.add_argument("--installed", action="store_true", help="those of installed packages too")
    parser.add_argument("--project", default=".", help="where manage.py lies")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the project's Django")
    parser.add_argument("--settings", default=os.environ.get("DJANGO_SETTINGS_MODULE", ""), help="settings module")
    parser.add_argument("--database", default="default", help="alias of the database")
    parser.add_argument("--server", type=int, default=15, help="major version of the PostgreSQL that it is for")
    parser.add_argument(
        "--since", default="", help="only migrations whose files git shows as changed since this commit"
    )
    parser.add_argument("--format", choices=FORMATS, default="plain")
    parser.add_argument("--timeout", type=float, default=600)
    found = parser.parse_args(argv)
    if not found.settings:
        parser.error("--settings or DJANGO_SETTINGS_MODULE is needed")
    return found


def changed_since(commit: str, project: str, runner: Runner) -> list[str]:
    """Return the migrations, as ``app.name``, whose files were added or changed since a commit.

    The app's label is taken from its folder; an app with another label names its migrations itself.
    """
    command = ["git", "-C", project, "diff", "--name-only", "--diff-filter=AMR", "-z", commit, "--", "*.py"]
    done = runner.run(command, timeout_s=60)
    if done.returncode != 0:
        raise SlipwayError(
            f"git does not tell what has changed since {commit}: {done.stderr.strip()}",
            remedy="Fetch that commit; a shallow clone does not have it",
        )
    matches = (_FILE.search(path) for path in done.stdout.split("\0"))
    return [f"{match['app']}.{match['name']}" for match in matches if match and match["name"] != "__init__"]


def request_of(given: argparse.Namespace, only: Sequence[str] | None) -> Request:
    """Return the request for the runner: a plan, without a database."""
    return Request(
        state=PLANNED,
        check_mode=True,
        project=os.path.abspath(given.project),
        settings=given.settings,
        database=given.database,
        run_id="lint",
        release="",
        lock_timeout_ms=0,
        lock_budget_s=0,
        statement_timeout_ms=0,
        concurrent_timeout_s=0,
        on_busy="fail",
        busy_timeout_s=0,
        connect=False,
        only=None if only is None else tuple(only),
        installed=given.installed,
        server=given.server,
    )


def lint(given: argparse.Namespace, runner: Runner) -> tuple[int, str]:
    """Return the exit status and the text."""
    only = list(given.migration) or None
    if given.since:
        only = [*(only or ()), *changed_since(given.since, given.project, runner)]
    request = request_of(given, only)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "runner.zip")
        with open(path, "wb") as stream:
            stream.write(bundle())
        done = runner.run([given.python, path], timeout_s=given.timeout, stdin=request.to_json(), cwd=request.project)
    try:
        result = read_answer(done.stdout)
    except ValueError:
        raise SlipwayError(f"the project could not be asked: {done.stderr.strip()[-2000:]}") from None
    found = notes(result["plan"])
    return (_BAD if result["refused"] else _GOOD), render(found, given.format)


def main() -> None:
    given = arguments(sys.argv[1:])
    try:
        status, text = lint(given, SystemRunner())
    except SlipwayError as error:
        sys.stderr.write(f"{error.message}\n")
        status, text = _UNKNOWN, ""
    sys.stdout.write(text)
    raise SystemExit(status)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What judging migrations costs: CPU seconds, as ratios against named peers in one run.

The contenders work in turn over several rounds on the same project and the same server, so that what else the machine
does hits all of them. CPU seconds of the client's processes count: they hardly depend on the machine's other work.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    APPLIED,
    PLANNED,
    Request,
    read_answer,
)
from ansible_collections.slipway.django.tests.integration.django_site import running_cluster
from ansible_collections.slipway.django.tests.integration.real_project import (
    PROJECTS,
    Project,
    RealSite,
    environment,
)

CHECKOUT = Path(__file__).resolve().parents[2]
LINTER = "django-migration-linter==6.0.0"
SETTINGS = (
    '\nINSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter"]\nMIGRATION_LINTER_OPTIONS = {"no_cache": True}\n'
)
IDLE = ("nothing to do", "manage.py migrate --check", 1.3)
WHOLE = ("the whole history", "django-migration-linter", 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--project", choices=[project.name for project in PROJECTS], default="pretix")
    parser.add_argument("--write", type=Path, help="write the page here as well")
    given = parser.parse_args()
    project = next(each for each in PROJECTS if each.name == given.project)
    venv = environment(project, CHECKOUT / ".cache" / "benchmarks", LINTER)
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as directory:
        empty = RealSite.make(Path(directory), project, venv, cluster, SETTINGS)
        full = RealSite.make(Path(directory), project, venv, cluster, SETTINGS)
        full.manage("migrate", "--no-input")
        counts: dict[str, int] = {}
        contenders: dict[str, Callable[[], None]] = {
            "django_migrate_safe, nothing to do": lambda: ask(full, APPLIED, counts),
            "manage.py migrate --check": lambda: _good(full.manage("migrate", "--check")),
            "django_migrate_safe, the whole history": lambda: ask(empty, PLANNED, counts),
            "django-migration-linter": lambda: lint(full, counts),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(given.rounds):
            for name, run in contenders.items():
                times[name].append(cpu_of(run))
                print(f"round {number + 1}: {name}: {times[name][-1]:.2f} s", flush=True)
        text = page(times, counts, versions(full, project))
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


def ask(site: RealSite, state: str, counts: dict[str, int]) -> None:
    """Run the module's runner as the module does."""
    request = Request(
        state=state, check_mode=False, project=str(site.release / "src"), settings="site_settings",
        database="default", run_id="benchmark", release="r", lock_timeout_ms=1000, lock_budget_s=10,
        statement_timeout_ms=0, concurrent_timeout_s=600, on_busy="fail", busy_timeout_s=0,
    )  # fmt: skip
    with _archive() as path:
        done = subprocess.run(
            [str(site.venv / "bin" / "python"), str(path)],
            input=request.to_json(),
            env={**os.environ, **site.variables, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    result = read_answer(done.stdout)
    counts[state] = int(result["pending"])
    if state == APPLIED and result["changed"]:
        raise SystemExit("there was something to do")


@contextmanager
def _archive() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "runner.zip"
        path.write_bytes(bundle())
        yield path


def lint(site: RealSite, counts: dict[str, int]) -> None:
    """The peer on the same history; it ends with 1 when it finds something, and when it breaks off.

    It asks the database for names of constraints that later migrations have dropped, and it takes a name for another
    one that begins with it: what it can't judge for that it is told to pass over, else it ends there.
    """
    passed_over = ["--ignore-sqlmigrate-errors", "--ignore-name", *ambiguous_names(site.venv)]
    done = site.manage("lintmigrations", "--no-cache", *passed_over, check=False)
    judged = [line for line in done.stdout.splitlines() if line.startswith("(")]
    if done.returncode not in {0, 1} or not judged or "Error" in done.stderr.rstrip().rpartition("\n")[2]:
        raise SystemExit(f"the linter did not work: {done.stderr}")
    counts["linter"] = len(judged)


def ambiguous_names(venv: Path) -> list[str]:
    """Migrations of which another one of the same app has the whole name, and more, as squashed ones often have."""
    names = [(path.parent, path.stem) for path in venv.glob("lib/*/site-packages/**/migrations/[0-9]*.py")]
    return sorted(
        {n for app, n in names for other, longer in names if other == app and longer != n and longer.startswith(n)}
    )


def _good(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise SystemExit(done.stderr)


def cpu_of(run: Callable[[], None]) -> float:
    """CPU seconds of the processes that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def versions(site: RealSite, project: Project) -> str:
    program = "import importlib.metadata as m, sys; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    names = [project.requirements[0], "Django", "django-migration-linter", "psycopg"]
    return subprocess.check_output([str(site.venv / "bin" / "python"), "-c", program, *names], text=True).strip()


def page(times: Mapping[str, Sequence[float]], counts: Mapping[str, int], seen: str) -> str:
    """The page. Medians of the rounds are compared."""
    median = {name: statistics.median(found) for name, found in times.items()}
    rows = "\n".join(
        f"| {name} | {median[name]:.2f} | {min(found):.2f} | {max(found):.2f} |" for name, found in times.items()
    )
    goals = []
    for what, peer, limit in (IDLE, WHOLE):
        ratio = median[f"django_migrate_safe, {what}"] / median[peer]
        goals.append(
            f"| {what}, against {peer} | at most {limit:g} | {ratio:.2f} | {'yes' if ratio <= limit else 'NO'} |"
        )
    return (
        "# Results\n\nWritten by `make benchmark-migrations`; CPU seconds of the client's processes.\n\n"
        f"{seen}, Python {platform.python_version()}; {os.cpu_count()} CPUs;"
        f" {datetime.now(UTC):%Y-%m-%d}; {len(next(iter(times.values())))} rounds.\n\n"
        "| | median | least | most |\n| --- | ---: | ---: | ---: |\n" + rows + "\n\n"
        f"The module judged {counts.get(PLANNED, 0)} migrations, the linter {counts.get('linter', 0)}.\n\n"
        "| goal | | ratio | met |\n| --- | --- | ---: | --- |\n" + "\n".join(goals) + "\n"
    )


if __name__ == "__main__":
    main()

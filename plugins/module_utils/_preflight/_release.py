# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All rows that need the new code: one look at a release that is staged, or built in a scratch directory."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Site, process_environment
from ansible_collections.slipway.django.plugins.module_utils._preflight._audit import Auditing, audit_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._django import (
    Demands,
    ask_django,
    django_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import variable_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._keep_alive import (
    exec_start,
    keep_alive_row,
    program_of,
    static_rows,
    uvicorn_s,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._pinned import pinned_row
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, guarded
from ansible_collections.slipway.django.plugins.module_utils._preflight._scanner import secrets_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import TeamCommand, team_rows
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._release._layout import SLOTS, Layout
from ansible_collections.slipway.django.plugins.module_utils._release._static import plan_publication, static_names
from ansible_collections.slipway.django.plugins.module_utils._release._tree import walk_files

# The application itself stays unloaded: the settings are read as gunicorn reads them, its file included.
_GUNICORN = 'from gunicorn.app.wsgiapp import WSGIApplication as App; print("\\nkeepalive", App().cfg.keepalive)'
_ANSWER_S = 30.0


@dataclass(frozen=True)
class Wanted:
    """What a release is held against.

    :param unit_site: name of the site whose web unit tells how the release will be started; empty to ask nothing.
    :param balancer_keep_alive: seconds, None when nobody has told.
    :param static_root: the merged root on this host.
    :param static_releases: names of releases whose files must be there.
    """

    root: str
    demands: Demands
    variables: Sequence[str]
    requirements: str
    hashes: bool
    secrets_command: Sequence[str]
    secrets: str
    auditing: Auditing
    commands: Sequence[TeamCommand]
    unit_site: str
    balancer_keep_alive: float | None
    static_root: str
    static_releases: Sequence[str]
    timeout_s: float


def release_rows(site: Site, wanted: Wanted, runner: Runner, redact: Callable[[str], str]) -> list[Row]:
    """Make every look, whatever the one before it has said."""
    look = _Looks(site, wanted, runner, redact)
    return [
        *variable_rows(wanted.variables, (name for name, value in site.environment.items() if value)),
        *guarded("A3", "settings", "a release whose Django can be asked", look.django),
        *guarded("A3", "pinned", "a requirements file", look.pinned),
        *guarded("A3", "secrets", "a scan of the source", look.secrets),
        *guarded("A1", "pip-audit", "an audit of the packages", look.audit),
        *guarded("B5", "keep-alive", "the web server's settings", look.keep_alive),
        *guarded("B2", "static files", "static files that can be compared", look.static),
        *look.team(),
    ]


class _Looks:
    """The looks at one release."""

    def __init__(self, site: Site, wanted: Wanted, runner: Runner, redact: Callable[[str], str]) -> None:
        self._site = site
        self._wanted = wanted
        self._runner = runner
        self._redact = redact

    def django(self) -> Iterator[Row]:
        demands = self._wanted.demands
        answer = ask_django(
            self._site, self._runner, self._redact, reach_s=demands.reach_s, timeout_s=self._wanted.timeout_s
        )
        return django_rows(answer, demands, self._redact)

    def pinned(self) -> list[Row]:
        src = self._site.paths.src

        def read(name: str) -> str:
            with open(os.path.join(src, name), encoding="utf-8") as stream:
                return stream.read()

        def exists(name: str) -> bool:
            return os.path.exists(os.path.join(src, name))

        return [pinned_row(self._wanted.requirements, exists, read, hashes=self._wanted.hashes)]

    def secrets(self) -> Iterator[Row]:
        wanted = self._wanted
        return secrets_rows(
            self._site.paths.src, wanted.secrets_command, wanted.secrets, self._runner, wanted.timeout_s
        )

    def audit(self) -> Iterator[Row]:
        places = glob.glob(os.path.join(glob.escape(self._site.paths.venv), "lib", "python*", "site-packages"))
        if len(places) != 1:
            raise SlipwayError(f"{self._site.paths.venv} has {len(places)} directories of packages, expected one")
        return audit_rows(places[0], self._wanted.auditing, self._runner)

    def keep_alive(self) -> list[Row]:
        if not self._wanted.unit_site:
            return []
        unit = f"{self._wanted.unit_site}-web@{SLOTS[0]}.service"
        argv = ["systemctl", "show", "--property=ExecStart", "--", unit]
        command = exec_start(self._runner.run(argv, timeout_s=_ANSWER_S).check().stdout)
        server = program_of(command)
        kept: float | None = None
        if server == "gunicorn":
            kept = self._gunicorn(command[1:])
        elif server == "uvicorn":
            kept = uvicorn_s(command)
        return [keep_alive_row(server, kept, self._wanted.balancer_keep_alive)]

    def _gunicorn(self, arguments: Sequence[str]) -> float:
        # Slot and port come from the unit; nothing is bound here.
        environment = {**process_environment(self._site), "SLIPWAY_PORT": "1", "SLIPWAY_SLOT": SLOTS[0]}
        done = self._runner.run(
            [self._site.paths.python, "-c", _GUNICORN, *arguments],
            timeout_s=_ANSWER_S,
            env=environment,
            cwd=self._site.paths.src,
        )
        words = done.stdout.strip().rpartition("\n")[2].split()
        if done.returncode != 0 or len(words) != 2 or words[0] != "keepalive":
            last = self._redact(done.stderr.strip()).rpartition("\n")[2][:300]
            raise SlipwayError(f"gunicorn's settings can't be read, status {done.returncode}: {last}")
        return float(words[1])

    def static(self) -> Iterator[Row]:
        layout = Layout(self._wanted.root)
        found: dict[str, tuple[int, int]] = {}
        for name in self._wanted.static_releases:
            if not os.path.isdir(layout.release(name).path):
                raise SlipwayError(f"release {name} is not on this host")
            source = layout.release(name).static
            plan = plan_publication(source, self._wanted.static_root)
            # A name without a digest belongs to the release that was staged last: only what is not there is missed.
            found[name] = (len(plan.add), len(static_names(source)))
        return static_rows(found)

    def team(self) -> list[Row]:
        if not self._wanted.commands:
            return []
        before = _state(self._site.paths.src)
        rows = team_rows(
            self._wanted.commands,
            self._runner,
            self._redact,
            process_environment(self._site),
            self._site.project,
        )
        return [*rows, *_written(before, _state(self._site.paths.src))]


def _state(top: str) -> dict[str, tuple[int, int]]:
    seen = {name: os.lstat(os.path.join(top, name)) for name in walk_files(top)}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in seen.items()}


def _written(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> Iterator[Row]:
    """A release never changes: what a command of the team wrote into it would go live."""
    touched = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if touched:
        seen = f"{len(touched)} files, such as {', '.join(touched[:3])}"
        yield Row("A1", "release untouched", Mark.FAILED, seen, "commands that write nothing into the release")

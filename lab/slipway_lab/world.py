# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab with a user's project, its servers seen from outside, and load: what the demo and the tests work with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .engine import Engine
from .errors import LabError
from .fleet import Fleet
from .lab import Lab
from .project import Project
from .settings import Settings, from_environment
from .talk import Talk
from .traffic import Traffic

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class World:
    """The lab that the environment's ``LAB_*`` variables name."""

    settings: Settings
    lab: Lab
    fleet: Fleet
    traffic: Traffic
    project: Project
    talk: Talk

    def prepare(self) -> None:
        """Bring the servers up and provisioned, whatever is deployed on them; make the project anew."""
        self.lab.up([])
        self.project.make()
        if not self.fleet.is_provisioned():
            self.project.run("provision.yml").check()

    def ready(self, *, keep_releases: bool = False) -> None:
        """The same, with nothing deployed."""
        self.prepare()
        self.fleet.reset_site(keep_releases=keep_releases)

    def at_v1(self) -> str:
        """Bring the site to v1 with v1's schema, the load's user and data; return v1's release.

        Does only what is missing, so that tests one after another don't each pay for it.
        """
        self.prepare()
        if not self._serves("v1"):
            self.fleet.reset_site(keep_releases=True)
            self.deploy("v1")
        release = self.fleet.release_of("v1")
        if "shop.0002_order_channel" in self.fleet.migrations():
            self.fleet.undo_migrations()
        self.fleet.fill(release)
        return release

    def _serves(self, version: str) -> bool:
        """Whether each application server serves this version and nothing else, and no deployment is open."""
        try:
            wanted = [self.fleet.release_of(version)]
        except LabError:
            return False
        records, servers = self.fleet.records(), self.fleet.servers()
        # Whatever became of the last deployment: that it has ended is enough where all serve what they should.
        closed = bool(records) and records[-1]["verdict"] not in (None, "interrupted")
        serving = [name for name, server in servers.items() if server.has_traffic]
        each = sorted(name.partition("-")[0] for name in serving) == sorted(self.fleet.apps)
        return closed and each and all(found == wanted for found in self.fleet.releases().values())

    def deploy(self, version: str, **extra: str) -> float:
        """Deploy a version in the foreground and return the seconds that it took.

        :raises LabError: it did not end whole.
        """
        return self.project.run(extra={"slipway_version": version, **extra}).check().seconds


def open_world(environ: Mapping[str, str] | None = None, talk: Talk | None = None) -> World:
    """The lab of this checkout, as it is; nothing is touched yet.

    :raises LabError: the environment names no lab that can be.
    """
    settings = from_environment(os.environ if environ is None else environ, CHECKOUT)
    talk = talk or Talk()
    engine = Engine(settings)
    lab = Lab(settings, engine, talk)
    fleet = Fleet(lab, settings, engine)
    return World(settings, lab, fleet, Traffic(fleet, settings), Project(lab, settings), talk)

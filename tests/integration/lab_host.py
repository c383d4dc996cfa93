# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of the lab: a module is run there over SSH, and looked after as root."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.tests.integration.ansible_module import TOP, ModuleRun, run_task

LAB = str(TOP / "lab" / "bin" / "lab")


@dataclass(frozen=True)
class LabHost:
    """A server of the lab, as its inventory names it."""

    name: str
    inventory: str

    def root(self, script: str, *, timeout_s: float = 60) -> str:
        """Run a shell script as root there and return what it printed. It must succeed."""
        command = [LAB, "exec", self.name, "--", "bash", "-euo", "pipefail", "-s"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout_s, check=False)
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def module(self, name: str, options: Mapping[str, Any], *, check: bool = False) -> ModuleRun:
        """Run one of our modules there, as root."""
        return run_task(name, options, check=check, host=self.name, arguments=("-i", self.inventory, "--become"))


def lab_host(name: str) -> LabHost:
    """A host of the lab that is up. ``make test-integration`` brings it up; so does ``lab/bin/lab up``."""
    done = subprocess.run([LAB, "inventory"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    host = LabHost(name, done.stdout.strip())
    state = host.root("systemctl is-system-running --wait || true").strip()
    assert state in ("running", "degraded"), f"{name} of the lab is {state or 'not up'}: run lab/bin/lab up {name}"
    return host

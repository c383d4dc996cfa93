# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lab/bin/system-packages, on a machine whose package tools only write down what they are told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "lab" / "bin" / "system-packages"
DPKG_QUERY = """#!/bin/sh
for package; do :; done
case " $ABSENT " in
  *" $package "*) exit 1 ;;
  *) printf installed ;;
esac
"""
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
"""
# Whoever runs the tests: as root it is not asked for.
SUDO = """#!/bin/sh
exec "$@"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for name, script in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("sudo", SUDO)):
        program = tmp_path / name
        program.write_text(script)
        program.chmod(0o755)
    return tmp_path


def run(machine: Path, *packages: str, absent: str = "") -> tuple[str, list[str]]:
    """What the script printed, and the calls of apt-get."""
    environment = {
        "PATH": f"{machine}{os.pathsep}{os.environ['PATH']}",
        "ABSENT": absent,
        "CALLS": str(machine / "calls"),
    }
    done = subprocess.run(
        [str(SCRIPT), *packages],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    calls = machine / "calls"
    return done.stdout, calls.read_text().splitlines() if calls.exists() else []


def test_it_is_silent_and_does_nothing_when_all_is_there(machine: Path) -> None:
    assert run(machine) == ("", [])


def test_it_installs_what_is_absent_and_says_so(machine: Path) -> None:
    printed, calls = run(machine, absent="runc debootstrap")

    assert printed == "system-packages: installing runc debootstrap\n"
    assert calls[0].endswith(" update")
    assert calls[1].endswith(" install --no-install-recommends runc debootstrap")
    assert len(calls) == 2


def test_it_can_be_asked_for_some_only(machine: Path) -> None:
    printed, calls = run(machine, "python3-venv", absent="python3-venv podman")

    assert printed == "system-packages: installing python3-venv\n"
    assert calls[1].endswith(" python3-venv")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments with other versions of Django, and with other versions of Python, for a release of a test."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# The loader, the libraries and the interpreter of another Debian, without a container: a release's Python is one file.
WRAPPER = """#!/bin/bash
export PYTHONHOME={root}/usr PYTHONPATH={packages}${{PYTHONPATH:+:$PYTHONPATH}}
libraries={root}/lib/x86_64-linux-gnu
loader=($libraries/ld-linux-x86-64.so.2 --library-path $libraries:{root}/usr/lib/x86_64-linux-gnu)
# The loader of glibc 2.33 and newer tells Python under which name it was called.
"${{loader[0]}}" --argv0 x --version >/dev/null 2>&1 && loader+=(--argv0 "$0")
exec -a "$0" "${{loader[@]}}" {root}/usr/bin/python{python} "$@"
"""


@dataclass(frozen=True)
class Version:
    """A Django, and the Python that it runs on.

    :param debian: the Debian whose Python that is; empty for the Python of the tests.
    """

    django: str
    python: str = ""
    debian: str = ""

    @property
    def name(self) -> str:
        return f"django-{self.django}" + (f"-python-{self.python}" if self.python else "")


# All that the module promises: the oldest and the newest, with the Python that each can have at least and at most.
VERSIONS = (
    Version("4.2", "3.9", "bullseye"),
    Version("4.2"),
    Version("5.0"),
    Version("5.1"),
    Version("5.2"),
    Version("6.0", "3.13", "trixie"),
)


def environment(version: Version, cache: Path) -> Path:
    """Return a directory with ``bin/python``, made once; the newest patch release of that Django."""
    venv = cache / version.name
    if (venv / "installed").exists():
        return venv
    if version.debian:
        _of_debian(version, venv, cache / version.debian)
    else:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
        _install(version, "--python", str(venv / "bin" / "python"))
    (venv / "installed").touch()
    return venv


def _install(version: Version, *where: str, options: tuple[str, ...] = ()) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *where, "install", *options]
    subprocess.run([*pip, f"Django~={version.django}.0", "psycopg[binary]"], check=True)


def _of_debian(version: Version, venv: Path, root: Path) -> None:
    python = root / "usr" / "bin" / f"python{version.python}"
    if not python.exists():
        command = ["debootstrap", "--variant=minbase", "--include=python3", version.debian, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    packages = venv / "packages"
    wanted = ("--target", str(packages), "--python-version", version.python, "--only-binary", ":all:")
    _install(version, options=wanted)
    (venv / "bin").mkdir(exist_ok=True)
    start = venv / "bin" / "python"
    start.write_text(WRAPPER.format(root=root, packages=packages, python=version.python))
    start.chmod(0o755)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The development dependencies of pyproject.toml.

tools/lock.py bootstrap   print the group `bootstrap`
tools/lock.py write       install the group `chosen` into a new environment and pin all that it brought
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def group(name: str) -> list[str]:
    """The requirements of one dependency group, as they are written."""
    requirements = tomllib.loads(PROJECT.read_text())["dependency-groups"][name]
    return [requirement for requirement in requirements if isinstance(requirement, str)]


def project_name(requirement: str) -> str:
    """The normalised name: ``PyYAML==6`` is pyyaml."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=]", requirement)[0]).lower()


def brought() -> list[str]:
    """What the group ``chosen`` installs beside itself, pinned."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", *group("bootstrap"), *group("chosen")], check=True)
        frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    chosen = {project_name(requirement) for requirement in group("chosen")}
    return [line for line in frozen.splitlines() if project_name(line) not in chosen]


def write() -> None:
    """Replace the group ``brought``, leave the rest of the file as it is."""
    body = "".join(f'    "{requirement}",\n' for requirement in brought())
    text = PROJECT.read_text()
    changed, count = re.subn(r"(?ms)^brought = \[\n.*?^\]", lambda _: f"brought = [\n{body}]", text)
    if count != 1:
        sys.exit("pyproject.toml has no group `brought`")
    PROJECT.write_text(changed)


if __name__ == "__main__":
    if sys.argv[1:] == ["bootstrap"]:
        print(*group("bootstrap"))
    elif sys.argv[1:] == ["write"]:
        write()
    else:
        sys.exit(__doc__)

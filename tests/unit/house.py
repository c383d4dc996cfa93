# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the house share: where things lie, and how they are read."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())


def known_to_git() -> list[Path]:
    """The files that are or could be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def tasks_and_playbooks() -> list[Path]:
    return [
        path
        for folder in ("roles", "playbooks", "examples")
        for path in sorted((ROOT / folder).rglob("*.yml"))
        if not {"defaults", "meta", "vars"} & set(path.parts)
    ]


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those in blocks too."""
    for entry in node if isinstance(node, list) else []:
        yield entry
        for section in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
            yield from tasks(entry.get(section))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import MODULES, bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request

PREFIX = "ansible_collections.slipway.django.plugins.module_utils"


def test_the_archive_holds_all_that_its_files_import() -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle()))
    held = {name[: -len(".py")].replace("/", ".") for name in archive.namelist() if not name.endswith("__.py")}
    imported: set[str] = set()
    for name in archive.namelist():
        for node in ast.walk(ast.parse(archive.read(name))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PREFIX):
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= whole & held or {str(node.module)}

    assert imported == held == {module.__name__ for module in MODULES}


def test_the_archive_is_python_of_the_oldest_target() -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle()))

    for name in archive.namelist():
        ast.parse(archive.read(name), name, feature_version=(3, 9))


def test_the_archive_runs_by_itself_and_answers_on_its_own_descriptor(tmp_path: Path) -> None:
    """Trap: what the site prints goes to standard error, and an unusable release is an answer, not a crash."""
    path = tmp_path / "runner.zip"
    path.write_bytes(bundle())
    (tmp_path / "noisy.py").write_text("print('hello')\nimport sys\nsys.exit('the site is unwell')\n")
    request = Request("planned", True, str(tmp_path), "noisy", "default", "r", "r", 1, 1, 1, 1, "fail", 1)

    done = subprocess.run(
        [sys.executable, str(path)], input=request.to_json(), capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 0
    assert done.stdout.startswith('{"protocol": 1, "error": {"seen": "the release can\'t be started: SystemExit')
    assert "hello" not in done.stdout
    assert "hello" in done.stderr

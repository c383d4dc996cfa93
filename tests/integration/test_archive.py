# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive that is released: what is in it, and that it works by itself, away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {
    *("plugins", "roles", "playbooks", "meta", "docs", "examples", "changelogs"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "MANIFEST.json", "FILES.json"),
}


def ansible(home: Path, *argv: str) -> str:
    """Run one of Ansible's programs; it knows the collections under ``home`` and no others."""
    program = Path(sys.executable).parent / argv[0]
    environment = {"ANSIBLE_HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(home / "collections")}
    done = subprocess.run(
        [str(program), *argv[1:]],
        cwd=home,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    ansible(folder, "ansible-galaxy", "collection", "build", "--output-path", str(folder), str(ROOT))
    (built,) = folder.glob("slipway-django-*.tar.gz")
    return built


@pytest.fixture(scope="module")
def home(archive: Path) -> Path:
    """A folder where the archive is installed, without Galaxy."""
    folder = archive.parent
    collections = str(folder / "collections")
    ansible(folder, "ansible-galaxy", "collection", "install", "--offline", "-p", collections, str(archive))
    return folder


def test_it_holds_what_a_user_needs_and_nothing_else(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = tar.getnames()

    assert {name.partition("/")[0] for name in names} == SHIPPED
    assert [name for name in names if "cache" in name or name.endswith((".pyc", ".tar.gz"))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_a_playbook_is_found_by_its_full_name(home: Path, path: Path) -> None:
    output = ansible(
        home,
        "ansible-playbook",
        "--syntax-check",
        "-i",
        str(ROOT / "examples/site/prod"),
        f"slipway.django.{path.stem}",
    )

    assert f"playbook: {home}" in output


def test_every_module_and_role_is_documented(home: Path) -> None:
    modules = [f"slipway.django.{path.stem}" for path in sorted((ROOT / "plugins/modules").glob("*.py"))]
    roles = [f"slipway.django.{path.name}" for path in sorted((ROOT / "roles").iterdir())]

    listed = ansible(home, "ansible-doc", "--list", "slipway.django")
    assert [name for name in modules if name not in listed] == []
    ansible(home, "ansible-doc", *modules)
    ansible(home, "ansible-doc", "-t", "role", *roles)

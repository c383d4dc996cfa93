# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a connection are written once for programs, once for people; ansible-doc shows them in each module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._options import (
    CONNECTION_OPTIONS,
    MAINTENANCE_OPTIONS,
    connection,
)
from ansible_collections.slipway.django.plugins.modules import pg_backup, pg_restore, pg_swap
from ansible_collections.slipway.django.tests.unit.house import ROOT

MODULES: dict[str, dict[str, Any]] = {
    "pg_backup": pg_backup.ARGUMENTS,
    "pg_restore": pg_restore.ARGUMENTS,
    "pg_swap": pg_swap.ARGUMENTS,
}


@pytest.fixture(scope="module", name="documented")
def _documented() -> dict[str, Any]:
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-doc", "--json", *(f"slipway.django.{name}" for name in MODULES)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name.rpartition(".")[2]: entry["doc"]["options"] for name, entry in json.loads(done.stdout).items()}


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_every_option_as_the_module_takes_it(module: str, documented: dict[str, Any]) -> None:
    shown, taken = documented[module], MODULES[module]

    assert set(shown) == set(taken)
    for name, argument in taken.items():
        told = {key: shown[name].get(key) for key in ("type", "default", "choices", "required")}
        assert told["type"] == argument["type"], name
        assert told["default"] == argument.get("default"), name
        assert told["choices"] == argument.get("choices"), name
        assert bool(told["required"]) == bool(argument.get("required")), name


@pytest.mark.parametrize("module", MODULES)
def test_the_options_of_a_connection_have_one_source(module: str) -> None:
    shared = {**CONNECTION_OPTIONS, **({} if module == "pg_backup" else MAINTENANCE_OPTIONS)}
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")

    assert {name: MODULES[module][name] for name in shared} == shared
    assert not [name for name in shared if f'"{name}": {{' in source or f"\n  {name}:\n" in source]


def test_a_connection_is_made_of_them() -> None:
    params = {"host": "/run/pg", "port": 5433, "user": "keeper", "passfile": None, "state": "present"}

    assert connection(params, "shop") == Connection("shop", "/run/pg", 5433, "keeper", None)

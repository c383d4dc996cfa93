# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a balancer are written once for programs, once for people; ansible-doc shows them in each module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import ARGUMENTS
from ansible_collections.slipway.django.plugins.modules import lb_drain, lb_info, lb_pool
from ansible_collections.slipway.django.tests.unit.house import ROOT

MODULES: dict[str, dict[str, Any]] = {
    "lb_drain": lb_drain.ARGUMENTS,
    "lb_info": lb_info.ARGUMENTS,
    "lb_pool": lb_pool.ARGUMENTS,
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


def hold_together(shown: dict[str, Any], taken: dict[str, Any], where: str) -> None:
    assert set(shown) == set(taken), where
    for name, argument in taken.items():
        place = f"{where}.{name}"
        told = {key: shown[name].get(key) for key in ("type", "default", "choices", "elements")}
        assert told == {key: argument.get(key) for key in told}, place
        assert bool(shown[name].get("required")) == bool(argument.get("required")), place
        if "options" in argument:
            hold_together(shown[name]["suboptions"], argument["options"], place)


@pytest.mark.parametrize("module", MODULES)
def test_ansible_doc_shows_every_option_as_the_module_takes_it(module: str, documented: dict[str, Any]) -> None:
    hold_together(documented[module], MODULES[module], module)
    assert {name: MODULES[module][name] for name in ARGUMENTS} == ARGUMENTS

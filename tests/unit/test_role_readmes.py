# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's README names its entry points and shows a play that can be copied: both are held against the role."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.django.tests.unit.house import ROLES, ROOT, load, tasks

ROW = re.compile(r"^\| `(\w+)`( \*)? \|", re.MULTILINE)
EXAMPLE = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREFIX = "slipway.django."


def readme(role: Path) -> str:
    return (role / "README.md").read_text(encoding="utf-8")


def specifications(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def plays(role: Path) -> list[dict[str, Any]]:
    (example,) = EXAMPLE.findall(readme(role))
    found: list[dict[str, Any]] = yaml.safe_load(example)
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_names_each_entry_point_and_those_that_ask_for_the_lease(role: Path) -> None:
    rows = ROW.findall(readme(role))
    asks = {
        name
        for name in specifications(role)
        if "tasks_from: checkpoint" in (role / "tasks" / f"{name}.yml").read_text(encoding="utf-8")
    }

    assert {name for name, _star in rows} == set(specifications(role))
    assert {name for name, star in rows if star} == asks


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_play_in_the_readme_uses_options_that_exist_and_gives_those_that_must_be_given(role: Path) -> None:
    used = set()
    for play in plays(role):
        for task in tasks(play["tasks"]):
            if not (call := task.get("ansible.builtin.import_role")):
                continue
            name = call["name"].removeprefix(PREFIX)
            used.add(name)
            options = specifications(ROOT / "roles" / name)[call["tasks_from"]]["options"]
            given = {**play.get("vars", {}), **task.get("vars", {})}
            own = {option for option in given if option.startswith(f"{name}_")}
            required = {option for option, specification in options.items() if specification.get("required")}

            assert own <= set(options), task["name"]
            assert required <= own, task["name"]

    assert role.name in used

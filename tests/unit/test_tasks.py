# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of roles, playbooks and examples: what they name exists, and nothing waits for an answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.unit.house import (
    MODULES,
    ROLES,
    ROOT,
    load,
    name_of,
    tasks,
    tasks_and_playbooks,
)

MODULE_NAME = re.compile(r"[a-z_]+\.[a-z_]+\.[a-z_]+")
TAKES_ANY_OPTION = {"ansible.builtin.set_fact", "ansible.builtin.add_host"}


def used_options(task: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The module that a task names, with its options; nothing for a block or a play."""
    for name, value in task.items():
        if MODULE_NAME.fullmatch(name):
            yield name, {**(value if isinstance(value, dict) else {}), **task.get("args", {})}


def documented(names: set[str]) -> dict[str, dict[str, Any]]:
    """The options of modules, as ansible-doc tells them."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-doc"), "--json", "--type", "module", *sorted(names)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name: entry["doc"].get("options", {}) for name, entry in json.loads(done.stdout).items()}


def wrong_options(given: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    names = dict(known)
    names.update({alias: option for option in known.values() for alias in option.get("aliases", [])})
    for name, value in given.items():
        if name not in names:
            yield f"{name} is no option"
            continue
        choices = names[name].get("choices")
        if choices and isinstance(value, str) and "{{" not in value and value not in choices:
            yield f"{name}: {value} is none of {', '.join(map(str, choices))}"
    for name, option in known.items():
        if option.get("required") and not {name, *option.get("aliases", [])} & set(given):
            yield f"{name} is missing"


def test_a_task_gives_options_that_its_module_has() -> None:
    """ansible-lint's rule `args` sees no unknown option beside a templated one that is not a string (26.10)."""
    given = [
        (f"{name_of(path)}: {task.get('name')}", module, options)
        for path in tasks_and_playbooks()
        for task in tasks(load(path))
        for module, options in used_options(task)
        if options and module not in TAKES_ANY_OPTION
    ]
    ours = {f"slipway.django.{path.stem}" for path in MODULES}
    known = documented(
        {module for _where, module, _options in given if module in ours or not module.startswith("slipway.")}
    )

    assert [
        f"{where}: {module}: {wrong}"
        for where, module, options in given
        if module in known
        for wrong in wrong_options(options, known[module])
    ] == []


@pytest.mark.parametrize("path", tasks_and_playbooks(), ids=name_of)
def test_a_role_is_given_variables_that_its_entry_point_has(path: Path) -> None:
    """Ansible checks the types of a role's options and passes over a misspelt one."""
    wrong = []
    for task in tasks(load(path)):
        for module, given in used_options(task):
            if not module.endswith(("include_role", "import_role")) or "{{" in given["name"]:
                continue
            name = given["name"].rpartition(".")[2]
            entry_point = given.get("tasks_from", "main").removesuffix(".yml")
            known = load(ROOT / "roles" / name / "meta" / "argument_specs.yml")["argument_specs"][entry_point][
                "options"
            ]
            set_here = {variable for variable in task.get("vars", {}) if variable.startswith(f"{name}_")}
            wrong += [f"{task.get('name')}: {variable}" for variable in sorted(set_here - set(known))]

    assert wrong == []


@pytest.mark.parametrize("path", tasks_and_playbooks(), ids=name_of)
def test_nothing_waits_for_an_answer(path: Path) -> None:
    """Without a terminal Ansible's prompts go on by themselves: a confirmation is an exact extra variable."""
    assert not re.search(
        r"^\s*(-\s+)?(ansible\.builtin\.pause|vars_prompt):", path.read_text(encoding="utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("path", tasks_and_playbooks(), ids=name_of)
def test_every_name_of_ours_exists(path: Path) -> None:
    known = {
        *(module.stem for module in MODULES),
        *(role.name for role in ROLES),
        *(playbook.stem for playbook in (ROOT / "playbooks").glob("*.yml")),
        *(
            plugin.stem
            for kind in ("callback", "filter", "action")
            for plugin in (ROOT / "plugins" / kind).glob("*.py")
        ),
        "all",  # the action group
    }
    used = set(re.findall(r"slipway\.django\.(\w+)", path.read_text(encoding="utf-8")))

    assert used - known == set()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house that no linter knows: layers, lists that must agree, and what must not stand anywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.unit.house import MODULES, ROLES, ROOT, known_to_git, load, name_of

OURS = "ansible_collections.slipway.django.plugins"
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
MAIN_LINES = 40


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def imports(path: Path) -> Iterator[str]:
    """The full names of all modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{'.' * node.level}{node.module or ''}"


# --- the collection ---


def test_the_action_group_holds_every_module() -> None:
    groups = load(ROOT / "meta" / "runtime.yml")["action_groups"]

    assert groups["all"] == [path.stem for path in MODULES]


def test_the_development_dependencies_are_pinned_exactly() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    requirements = re.findall(r'^    "([^"]+)",', text.partition("[tool.")[0], flags=re.MULTILINE)

    assert len(requirements) > 50
    assert [line for line in requirements if not re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,]+\])?==[\w.]+", line)] == []


def test_no_other_collection_has_to_be_fetched() -> None:
    assert load(ROOT / "galaxy.yml")["dependencies"] == {}


# --- modules and their layers ---


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_has_a_short_main(path: Path) -> None:
    mains = [node for node in functions(path) if node.name == "main"]

    assert len(mains) == 1
    (main,) = mains
    assert main.end_lineno is not None
    assert main.end_lineno - main.lineno + 1 <= MAIN_LINES


# What a file may import of Ansible and of this collection, by the folder under plugins/.
ALLOWED = {
    "module_utils": (f"{OURS}.module_utils",),
    "modules": ("ansible.module_utils", f"{OURS}.module_utils"),
    "action": ("ansible", f"{OURS}.module_utils", f"{OURS}.plugin_utils"),
    "filter": ("ansible", f"{OURS}.module_utils", f"{OURS}.plugin_utils"),
    "callback": ("ansible", f"{OURS}.module_utils", f"{OURS}.plugin_utils"),
    # ansible.*: for the base that our action plugins share.
    "plugin_utils": ("ansible.errors", "ansible.plugins.action", f"{OURS}.module_utils", f"{OURS}.plugin_utils"),
    "doc_fragments": (),
}


@pytest.mark.parametrize("path", PLUGINS, ids=name_of)
def test_a_layer_imports_only_what_lies_below_it(path: Path) -> None:
    allowed = ALLOWED[path.relative_to(ROOT / "plugins").parts[0]]
    concerned = [name for name in imports(path) if name.startswith((".", "ansible"))]

    assert [name for name in concerned if not f"{name}.".startswith(tuple(f"{prefix}." for prefix in allowed))] == []


def test_every_python_file_says_whose_it_is() -> None:
    header = (
        "# Copyright (c) 2026 slipway.django contributors\n"
        "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)\n"
        "# SPDX-License-Identifier: GPL-3.0-or-later\n"
    )
    # lab/site is a site of a user, not a part of the collection.
    files = [path for path in known_to_git() if path.suffix == ".py" and ROOT / "lab" / "site" not in path.parents]

    assert files
    without = [
        name_of(path)
        for path in files
        if not re.sub(r"\A#!.*\n", "", path.read_text(encoding="utf-8")).startswith(header)
    ]
    assert without == []


# --- roles ---


def options(role: Path) -> dict[str, list[dict[str, Any]]]:
    """Each option's specification, once for each entry point that has it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry_point in load(role / "meta" / "argument_specs.yml")["argument_specs"].values():
        for option, specification in (entry_point.get("options") or {}).items():
            found.setdefault(option, []).append(specification)
    return found


def role_task_files(role: Path) -> list[Path]:
    return sorted((role / "tasks").glob("*.yml"))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_defaults_of_a_role_are_those_that_its_specification_says(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml") if (role / "defaults" / "main.yml").exists() else {}
    specified = {
        option: specification["default"]
        for option, specifications in options(role).items()
        for specification in specifications
        if "default" in specification
    }

    assert specified == (defaults or {})


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_an_option_has_a_type_a_description_and_one_default(role: Path) -> None:
    for option, specifications in options(role).items():
        assert option.startswith(f"{role.name}_"), option
        assert len({repr(specification.get("default")) for specification in specifications}) == 1, option
        for specification in specifications:
            assert {"type", "description"} <= set(specification), option
            assert ("default" in specification) != specification.get("required", False), option


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_is_specified(role: Path) -> None:
    """A file of tasks is an entry point, or another file of the role includes it."""
    specified = set(load(role / "meta" / "argument_specs.yml")["argument_specs"])
    files = role_task_files(role)
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    included = set(re.findall(r"(?:include|import)_tasks:\s*(?:\n\s*file:\s*)?(\w+)\.yml", text))

    assert specified <= {path.stem for path in files}
    assert {path.stem for path in files} - included <= specified


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_runs_no_shell_and_parses_no_output(role: Path) -> None:
    forbidden = re.compile(
        r"ansible\.builtin\.(shell|raw)\b|regex_(search|findall|replace)|\.stdout|\.stderr|from_(json|yaml)"
    )
    found = {
        f"{name_of(path)}: {match.group()}"
        for path in role_task_files(role)
        if (match := forbidden.search(path.read_text(encoding="utf-8")))
    }

    assert found == set()


# --- documents ---

ROW = re.compile(r"^\| ([A-D]\d+) \|(.*)\|$", re.MULTILINE)
ROWS = [f"{letter}{number}" for letter, last in zip("ABCD", (15, 17, 16, 12)) for number in range(1, last + 1)]


def runbook_rows() -> list[tuple[str, str]]:
    """The id and the last column, "shown by", of each row."""
    text = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    return [(row, cells.split("|")[-1].strip()) for row, cells in ROW.findall(text)]


def test_no_row_of_the_runbooks_is_dropped() -> None:
    assert [row for row, _shown_by in runbook_rows()] == ROWS


def test_what_shows_a_row_exists() -> None:
    named = [(row, path) for row, shown_by in runbook_rows() for path in re.findall(r"`([^`]+)`", shown_by)]

    assert [(row, path) for row, path in named if not (ROOT / path.partition("::")[0]).exists()] == []
    # A column that holds words and no path proves nothing.
    assert [row for row, shown_by in runbook_rows() if shown_by and "`" not in shown_by] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name_of(path)}: {target}"
        for path in known_to_git()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]

    assert broken == []


def test_nothing_depends_on_the_place_it_was_written_at() -> None:
    # Written in pieces, so that this file does not find itself.
    pages = r"\.\./share" + r"d/(?:anchors|craft|design|facts|hooks|research|runbooks|seeds)\b"
    folders = r"(?<![\w.>}])/(?:wor" + r"k|tmp/" + r"w)/"
    forbidden = re.compile(f"{pages}|{folders}")
    found = [
        f"{name_of(path)}: {match}"
        for path in known_to_git()
        for match in forbidden.findall(path.read_bytes().decode("utf-8", errors="replace"))
    ]

    assert found == []

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page on statistics is what its program writes; the simulation alone is not run again."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from ansible_collections.slipway.django.tests.unit.house import ROOT


@pytest.fixture(scope="module", name="tool")
def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gate_statistics", ROOT / "tools" / "gate_statistics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_its_program_writes_it(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change: PYTHONPATH=.cache/collections python tools/gate_statistics.py."""
    monkeypatch.setattr(tool, "phases_table", lambda _per_window: "PHASES")
    before, after = tool.page().split("PHASES")
    written = tool.PAGE.read_text(encoding="utf-8")
    assert written.startswith(before)
    assert written.endswith(after)


def test_the_exact_rule_is_the_one_of_the_gate(tool: ModuleType) -> None:
    assert tool.exact([(2, 15), (3, 15)])
    assert not tool.exact([(2, 15), (2, 15)])
    assert tool.in_a_row(3)([(1, 15)] * 3)
    assert not tool.in_a_row(3)([(1, 15), (0, 15)] * 5)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULES
from ansible_collections.slipway.django.tests.unit.house import ROOT


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("migration_rules", ROOT / "tools" / "migration_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_the_table_says(tool: ModuleType) -> None:
    """After a change of the table: python tools/migration_rules.py write."""
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page()


def test_each_rule_has_a_section(tool: ModuleType) -> None:
    text = tool.rules()

    for rule in RULES:
        assert text.count(f"#### {rule.name}\n") == 1


def test_each_rule_of_the_peers_is_here_or_a_matter_of_style(tool: ModuleType) -> None:
    known = {rule.name for rule in RULES} | {tool.STYLE}

    for peer, found in tool.PEERS.items():
        assert set(found.values()) <= known, peer

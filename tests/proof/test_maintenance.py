# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaign behind docs/proof/maintenance.md, which it writes."""

from __future__ import annotations

from pathlib import Path

from slipway_lab import closing, proof
from slipway_lab.world import World

WINDOWS = 5
PAGE = Path(__file__).resolve().parents[2] / "docs" / "proof" / "maintenance.md"


def test_five_windows_under_load(world: World) -> None:
    world.ready()
    seen = proof.circumstances(world.settings, world.fleet)
    shown = [closing.run_conclusive(world) for _ in range(WINDOWS)]
    PAGE.write_text(proof.render_maintenance(seen, shown), encoding="utf-8")
    assert [closing.shortfalls(one) for one in shown] == [[]] * WINDOWS
    assert [one.figures.why_not for one in shown] == [""] * WINDOWS

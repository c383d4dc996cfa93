# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._journal import HalfDone


def test_a_half_done_migration_is_described_exactly() -> None:
    half = HalfDone("shop", "0003_index", "r1", "2026-11-21 16:05:28+00", False, (0, 1), 2, "no space left")

    assert str(half) == (
        "shop.0003_index is half applied since 2026-11-21 16:05:28+00 (run r1): operations done: 0, 1;"
        " operation 2 may be done in part (no space left)"
    )

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._locking import Holder


def test_the_holder_of_the_lock_is_named() -> None:
    assert str(Holder(12, "shop", "slipway migrate r1", "10.0.0.1", 61.4)) == (
        "'slipway migrate r1' (user shop, from 10.0.0.1, process 12 of the server) for 61 s"
    )

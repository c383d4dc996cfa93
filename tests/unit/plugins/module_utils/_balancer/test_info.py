# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.slipway.django.plugins.module_utils._balancer._info import look
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out, Record
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._balancer.fake_balancer import (
    FakeBalancer,
    server,
)


def test_who_serves_who_is_out_and_what_was_forgotten(tmp_path: Path) -> None:
    record = Record(str(tmp_path / "record"))
    record.put(
        "shop",
        {
            "a": Out(Admin.MAINT, "2026-11-22T04:05:06Z", "ticket 7"),
            "b": Out(Admin.DRAIN, "2026-11-22T05:05:06Z"),
        },
    )
    balancer = FakeBalancer.of(server("a", Admin.MAINT), server("b"), server("c", up=False))
    (pool,) = look(balancer, record, None)
    assert pool.in_words() == (
        "In pool shop now serving: b; not serving: a (MAINT), c (DOWN). a is out since 2026-11-22T04:05:06Z for "
        "ticket 7. b was taken out at 2026-11-22T05:05:06Z, and the balancer has forgotten it"
    )
    seen = pool.as_dict()
    assert seen["serving"] == ["b"]
    assert seen["not_serving"] == ["a", "c"]
    assert seen["process"] == "100"
    assert seen["out"] == {
        "a": {"state": "maint", "since": "2026-11-22T04:05:06Z", "owner": "ticket 7", "kept": True},
        "b": {"state": "drain", "since": "2026-11-22T05:05:06Z", "owner": "", "kept": False},
    }
    assert balancer.orders == []

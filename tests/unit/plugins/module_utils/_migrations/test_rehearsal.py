# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, Verdict
from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    Lock,
    Measured,
    Statement,
    Work,
    find,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation, Table
from ansible_collections.slipway.django.plugins.module_utils._migrations._rehearsal import (
    Rehearsal,
    as_dict,
    lines,
    span,
)

LIVE = {"orders": Table("orders", 3_000_000, 300 << 20)}
COPY = {"orders": Table("orders", 1_000_000, 100 << 20)}
LOCK = Lock("orders", "AccessExclusiveLock")
ALTER = Statement(0, 'ALTER TABLE "orders" …', 2000.4, (LOCK,), (LOCK,), (Work("verify", "orders"),))


def rehearsal(**more: object) -> Rehearsal:
    operation = Operation(0, "AddField", True, "Add field n to order")
    plan = Judged(
        Migration("shop", "0002_n", True, False, (operation,)), (Verdict("add-field", "expand", "care", "why"),)
    )
    found = find(plan, Measured("shop.0002_n", 2011, (ALTER,)), LIVE, rows=True, first=False)
    return Rehearsal("shop_backup", (found,), COPY, LIVE, **more)  # type: ignore[arg-type]


def test_the_table_of_the_runbook() -> None:
    assert lines(rehearsal(back=True)) == [
        "rehearsed on a copy of shop_backup; the way back led to the schema of before",
        "migration    time here  time expected  rows       status",
        "shop.0002_n  2011 ms    4 s to 16 s    3,000,000  refused",
        "shop.0002_n: offline, downtime: refused",
        (
            "  differs: operation 0: the plan said care (add-field), measured downtime: verify on orders under"
            " AccessExclusiveLock on orders"
        ),
        '  2000.4 ms, downtime: ALTER TABLE "orders" …',
        "      locks AccessExclusiveLock on orders",
        "      work verify on orders",
    ]


def test_in_json_types() -> None:
    document = as_dict(rehearsal(back=False, why_not="no reverse"))

    assert document["table"] == [
        {"migration": "shop.0002_n", "ms": 2011, "estimate_ms": [3601, 15603], "rows": 3_000_000, "status": "refused"}
    ]
    (statement,) = document["migrations"][0]["statements"]
    assert statement["locks"] == [{"relation": "orders", "mode": "AccessExclusiveLock"}]
    assert statement["work"] == [{"kind": "verify", "table": "orders", "rows": None}]
    assert (document["back"], document["why_not_back"]) == (False, "no reverse")


def test_times_in_words() -> None:
    assert [span(each) for each in (None, [3, 9], [900, 2600], [60_000, 600_000])] == [
        "not known",
        "3 ms to 9 ms",
        "900 ms to 3 s",
        "60 s to 10 min",
    ]

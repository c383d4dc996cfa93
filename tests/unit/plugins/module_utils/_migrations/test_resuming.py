# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Migration, Operation
from ansible_collections.slipway.django.plugins.module_utils._migrations._resuming import Traces, resume

OPERATIONS = (
    Operation(0, "AddField", True, "Add field a"),
    Operation(1, "AddIndexConcurrently", True, "Create index i", ("CREATE INDEX CONCURRENTLY i …",)),
    Operation(2, "RunSQL", True, "Raw SQL", ("CREATE INDEX CONCURRENTLY j …", "CREATE INDEX CONCURRENTLY k …")),
)
MIGRATION = Migration("shop", "0002", False, False, OPERATIONS)
TITLES = (
    "operation 0 (Add field a)",
    "operation 1 (Create index i)",
    "operation 2 (Raw SQL)",
    "operation 3 (Deferred)",
)


def traces(count: int, doubtful: int | None = None, index: str = "", *, backwards: bool = False) -> Traces:
    return Traces(tuple(range(count)), TITLES[:count], doubtful, index, backwards)


@pytest.mark.parametrize(
    ("found", "state", "expected"),
    [
        # Between two operations.
        (traces(0), None, "shop.0002 continues at operation 0"),
        (traces(2), None, "shop.0002 continues at operation 2"),
        (traces(4), None, "shop.0002 continues at operation 4"),
        # In the build of an index.
        (traces(1, 1, "i"), None, "shop.0002 continues at operation 1"),
        (
            traces(1, 1, "i"),
            "invalid",
            "shop.0002 continues at operation 1, after the INVALID index i, which it had left, is removed",
        ),
        (traces(1, 1, "i"), "valid", "shop.0002 continues at operation 2"),
        # The first of two statements has ended: what of the second is there is not known.
        (traces(2, 2, "j"), "valid", None),
        (traces(2, 2, "j"), None, "shop.0002 continues at operation 2"),
        # Anything else.
        (traces(1, 1), None, None),
        (traces(3, 3), None, None),
        (traces(2, backwards=True), None, None),
        (Traces((0, 2), ("operation 0 (Add field a)", "operation 2 (Raw SQL)"), None, "", False), None, None),
        (Traces((0,), ("operation 0 (Add field b)",), None, "", False), None, None),
    ],
)  # fmt: skip
def test_it_goes_on_only_where_there_is_no_doubt(found: Traces, state: str | None, expected: str | None) -> None:
    resumption = resume(found, MIGRATION, state)

    assert (str(resumption) if resumption else None) == expected


def test_one_that_is_atomic_now_is_not_continued() -> None:
    assert resume(traces(1), Migration("shop", "0002", True, False, OPERATIONS), None) is None

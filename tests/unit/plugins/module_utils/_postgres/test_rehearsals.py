# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._rehearsals import (
    PREPARED,
    REHEARSING,
    is_marked,
    mark_of,
)
from hypothesis import given
from hypothesis import strategies as st

PHASES = (PREPARED, REHEARSING)


@pytest.mark.parametrize("phase", PHASES)
def test_a_database_is_known_by_its_mark(phase: str) -> None:
    assert [each for each in PHASES if is_marked(mark_of("shop", phase), "shop", each)] == [phase]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the shop's database",
        "[]",
        '{"tool": "slipway.django.pg_restore", "phase": "prepared", "database": "shop"}',
        '{"tool": "slipway.django.django_migrate_safe"}',
        '{"tool": "slipway.django.django_migrate_safe", "database": "shop"}',
        mark_of("other", PREPARED),
        mark_of("other", REHEARSING),
    ],
)
def test_all_else_is_never_taken_for_one(comment: str | None, phase: str) -> None:
    assert not is_marked(comment, "shop", phase)


@given(st.text(), st.text(), st.sampled_from(PHASES))
def test_no_comment_by_chance(comment: str, database: str, phase: str) -> None:
    assert not is_marked(comment, database, phase)

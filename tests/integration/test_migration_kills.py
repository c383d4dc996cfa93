# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few of the kills of tests/proof/test_migration_kills.py: each victim, in atomic and in other migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import Cluster
from ansible_collections.slipway.django.tests.integration.migration_kills import (
    VICTIMS,
    Kill,
    apply,
    journal_rows,
    make_site,
    suffer,
)
from ansible_collections.slipway.django.tests.integration.migrations_world import schema

pytestmark = pytest.mark.timeout(300)

CLEAN: dict[str, list[tuple[Any, ...]]] = {}


@pytest.fixture
def clean(cluster: Cluster, base: str, tmp_path: Path) -> list[tuple[Any, ...]]:
    """The schema after a run that nobody kills."""
    if base not in CLEAN:
        site = make_site(tmp_path / "clean", cluster, base)
        apply(site)
        CLEAN[base] = schema(site)
        # The points below are spread over all of it.
        assert 20 <= journal_rows(site) <= 26
    return CLEAN[base]


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize(
    ("rows", "delay_s"),
    [
        (0, 0.2),
        *(pytest.param(*point, marks=pytest.mark.long) for point in [(4, 0.0), (7, 0.002), (17, 0.0)]),
        (13, 0.005),
    ],
)
def test_the_next_run_goes_on_or_says_what_is_in_doubt(
    cluster: Cluster, base: str, clean: list[tuple[Any, ...]], tmp_path: Path, victim: str, rows: int, delay_s: float
) -> None:
    assert suffer(make_site(tmp_path / "site", cluster, base), Kill(victim, rows, delay_s), clean) == []

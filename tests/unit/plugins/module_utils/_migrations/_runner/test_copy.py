# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _copy
from ansible_collections.slipway.django.plugins.module_utils._migrations._runner._copy import is_marked, mark_of
from hypothesis import given
from hypothesis import strategies as st


def test_a_copy_is_known_by_its_mark() -> None:
    assert is_marked(mark_of("shop"), "shop")


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the shop's database",
        "[]",
        '{"tool": "slipway.django.pg_restore", "database": "shop"}',
        '{"tool": "slipway.django.django_migrate_safe"}',
        mark_of("other"),
    ],
)
def test_all_else_is_never_taken_for_one(comment: str | None) -> None:
    assert not is_marked(comment, "shop")


@given(st.text(), st.text())
def test_no_comment_by_chance(comment: str, database: str) -> None:
    assert not is_marked(comment, database)


def test_how_to_reach_the_server_goes_by_the_environment() -> None:
    parameters = {
        "host": "db1",
        "port": 5432,
        "user": "shop",
        "password": "secret",
        "dbname": "shop",
        "context": object(),
    }

    assert _copy._variables({**parameters, "sslmode": None}) == {
        "PGHOST": "db1",
        "PGPORT": "5432",
        "PGUSER": "shop",
        "PGPASSWORD": "secret",
    }

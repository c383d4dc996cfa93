# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.django.plugins.module_utils._migrations._runner import _copy


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

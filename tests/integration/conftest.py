# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the tests of django_migrate_safe. Other tests have a cluster of their own, under the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.django_site import Cluster, DjangoSite, running_cluster
from ansible_collections.slipway.django.tests.integration.migrations_world import RELEASE, migrate


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as started:
        yield started


@pytest.fixture(scope="session")
def base(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database after the first deployment, with some orders: the template of the others."""
    site = DjangoSite(tmp_path_factory.mktemp("base") / "releases" / RELEASE, cluster, cluster.create())
    migrate(site, "applied", run_id="r0")
    site.execute("INSERT INTO orders_order (number, state) SELECT n, 'new' FROM generate_series(1, 2000) AS n")
    with cluster.connect(site.database) as connection:
        connection.execute("ANALYZE")
    return site.database


@pytest.fixture
def site(cluster: Cluster, base: str, tmp_path: Path) -> DjangoSite:
    return DjangoSite(tmp_path / "shop" / "releases" / RELEASE, cluster, cluster.create(template=base))

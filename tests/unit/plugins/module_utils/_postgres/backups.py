# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups for tests."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest, write

ID = "20261121T160528.213Z"
ARCHIVE = b"PGDMP an archive"


def manifest(**changes: Any) -> Manifest:
    """A whole manifest, but for what is asked to be otherwise."""
    values: dict[str, Any] = {
        "id": ID,
        "label": "one",
        "site": "shop",
        "database": "shop",
        "started_at": "2026-11-21T16:05:28Z",
        "taken_at": "2026-11-21T16:05:29Z",
        "system_identifier": "7500000000000000001",
        "server_version": "15.18",
        "client_version": "15.18",
        "format": "custom",
        "compression": "gzip:1",
        "jobs": 1,
        "files": [{"path": "database.dump", "bytes": len(ARCHIVE), "sha256": sha256(ARCHIVE).hexdigest()}],
        "levels": ["list", "read"],
        "snapshot": {"lsn": "0/1A2B3C4", "at": "2026-11-21T16:05:29.123Z"},
        "tables": [{"schema": "public", "name": "orders", "rows": 3, "fingerprint": None}],
        "sequences": [{"schema": "public", "name": "orders_id_seq", "last_value": 3, "is_called": True}],
        "large_objects": 0,
        "fingerprint": "counts",
        "properties": {"database": {"datname": "shop"}, "settings": [], "extensions": [], "roles": [], "size": 1000},
        "django_migrations": [["shop", "0001_initial"]],
        "seconds": {"dump": 1.5, "verify": 0.25},
    }
    return Manifest(**{**values, **changes})


def put(directory: Path, backup: Manifest, *, archive: bytes = ARCHIVE) -> Path:
    """Lay a backup into the directory."""
    path = directory / backup.id
    path.mkdir(parents=True)
    (path / "database.dump").write_bytes(archive)
    write(backup, str(path))
    return path

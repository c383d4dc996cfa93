# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules are told which server they talk to; plugins/doc_fragments/postgres.py says it for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection

CONNECTION_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "host": {"type": "str"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    # A file's name is no secret.
    "passfile": {"type": "path", "no_log": False},
}
MAINTENANCE_OPTIONS: Final[dict[str, dict[str, Any]]] = {"maintenance_database": {"type": "str", "default": "postgres"}}


def connection(params: Mapping[str, Any], database: str) -> Connection:
    """Return how to reach a database with the options that a module was given."""
    return Connection(database, **{name: params[name] for name in CONNECTION_OPTIONS})

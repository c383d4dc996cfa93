# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An empty database that is like another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_name, quote_text


def create_statement(name: str, row: Mapping[str, Any]) -> str:
    """Return the statement that makes an empty database with the encoding and locale of another's row."""
    parts = [
        f"CREATE DATABASE {quote_name(name)} TEMPLATE template0 CONNECTION LIMIT 5",
        f"ENCODING {quote_text(row['encoding_name'])}",
        f"LC_COLLATE {quote_text(row['datcollate'])} LC_CTYPE {quote_text(row['datctype'])}",
    ]
    # Columns of pg_database that came with versions 15 and 17.
    locale = row.get("datlocale") or row.get("daticulocale")
    if row.get("datlocprovider") == "i" and locale:
        parts.append(f"LOCALE_PROVIDER icu ICU_LOCALE {quote_text(locale)}")
    elif row.get("datlocprovider") == "b" and locale:
        parts.append(f"LOCALE_PROVIDER builtin BUILTIN_LOCALE {quote_text(locale)}")
    return " ".join(parts)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of SQL that must not show values, and the statements that bear no transaction."""

from __future__ import annotations

import re

# The order matters: a dollar-quoted string may hold quotes, a quoted string may hold comment signs.
_TOKEN = re.compile(
    r"""
    (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)\$.*?(?:\$(?P=tag)\$|\Z)|\$\$.*?(?:\$\$|\Z))
  | (?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z))
  | (?P<string>(?:\b[bBxXnN]|\b[uU]&)?'(?:[^']|'')*(?:'|\Z))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z))
  | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<number>(?<![\w"$.])-?\d[\d_]*(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w"]))
    """,
    re.VERBOSE | re.DOTALL,
)
_MASK = "'…'"
_HEAD = 80

UNKNOWN = "unknown"


def mask(statement: str) -> str:
    """Return the statement with its literals masked and without comments: both may hold secrets."""
    return _TOKEN.sub(_masked, statement)


def _masked(match: re.Match[str]) -> str:
    if match.lastgroup == "name":
        return match.group()
    if match.lastgroup == "comment":
        return " "
    return "?" if match.lastgroup == "number" else _MASK


def head(statement: str) -> str:
    """Return the beginning of a masked statement on one line, at most 80 characters."""
    # Masked before it is cut: the rest of a literal that was cut in two could not be told from SQL.
    text = " ".join(mask(statement).split())
    return text if len(text) <= _HEAD else text[: _HEAD - 1] + "…"


def mask_detail(detail: str) -> str:
    """Mask the values in what PostgreSQL adds to an error: ``Key (email)=(…) is duplicated.``"""
    return re.sub(
        r"=\(.*?\)(?=\s|\.|,|\Z)",
        "=(…)",
        re.sub(r"(Failing row contains) \(.*\)", r"\1 (…)", detail, flags=re.S),
        flags=re.S,
    )


def is_concurrent(statement: str) -> bool:
    """True for statements that build or drop an index without blocking writers; no transaction may be open."""
    return (
        re.match(
            r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+(?:\([^)]*\)\s*)?\w+)\s+CONCURRENTLY\b",
            mask(statement),
            re.I,
        )
        is not None
    )


def created_index(statement: str) -> str | None:
    """Return the name of the index that a CREATE INDEX CONCURRENTLY makes, None for all else and without a name."""
    match = re.match(
        r"""\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?
        (?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>(?!ON\b)\w+))\s+ON\b""",
        mask(statement),
        re.I | re.X,
    )
    if match is None:
        return None
    return match["quoted"].replace('""', '"') if match["quoted"] else match["plain"].lower()


def needs_autocommit(statement: str) -> bool:
    """True for statements that PostgreSQL refuses in a transaction."""
    pattern = r"""\s*(?:VACUUM|ALTER\s+SYSTEM|(?:CREATE|DROP)\s+(?:DATABASE|TABLESPACE)|CLUSTER\s*;?\s*\Z
    |REINDEX\s+(?:\([^)]*\)\s*)?(?:DATABASE|SYSTEM|SCHEMA)|ALTER\s+TABLE\b.*\bDETACH\s+PARTITION\b.*\bCONCURRENTLY)"""
    return is_concurrent(statement) or re.match(pattern, mask(statement), re.I | re.X | re.S) is not None

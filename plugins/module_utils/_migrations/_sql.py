# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading SQL just enough: the actions of statements that Django wrote, and texts that must not show values.

This is no parser of SQL. What it does not know it calls unknown; nothing is judged harmless by it unless
every action in the statement is on a list.
"""

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

_ACTIONS = (
    ("create table", r"CREATE TABLE\b"),
    ("create unique index concurrently", r"CREATE UNIQUE INDEX CONCURRENTLY\b"),
    ("create index concurrently", r"CREATE INDEX CONCURRENTLY\b"),
    ("create unique index", r"CREATE UNIQUE INDEX\b"),
    ("create index", r"CREATE INDEX\b"),
    ("create extension", r"CREATE EXTENSION\b"),
    ("create collation", r"CREATE COLLATION\b"),
    ("comment", r"COMMENT ON (?:TABLE|COLUMN)\b"),
    ("set constraints", r"SET CONSTRAINTS\b"),
    ("rename index", r"ALTER INDEX \S+ RENAME TO\b"),
    ("drop index concurrently", r"DROP INDEX CONCURRENTLY\b"),
    ("drop index", r"DROP INDEX\b"),
    ("drop table", r"DROP TABLE\b"),
    ("update", r"UPDATE\b"),
)
_TABLE_ACTIONS = (
    ("add column", r"ADD COLUMN\b"),
    ("add foreign key", r"ADD CONSTRAINT \S+ FOREIGN KEY\b"),
    ("add check not valid", r"ADD CONSTRAINT \S+ CHECK\b.*NOT VALID\s*\Z"),
    ("add check", r"ADD CONSTRAINT \S+ CHECK\b"),
    ("add unique", r"ADD CONSTRAINT \S+ UNIQUE\b"),
    ("validate", r"VALIDATE CONSTRAINT\b"),
    ("set default", r"ALTER COLUMN \S+ SET DEFAULT\b"),
    ("drop default", r"ALTER COLUMN \S+ DROP DEFAULT\b"),
    ("set not null", r"ALTER COLUMN \S+ SET NOT NULL\b"),
    ("drop not null", r"ALTER COLUMN \S+ DROP NOT NULL\b"),
    ("change type", r"ALTER COLUMN \S+ TYPE\b"),
    ("drop column", r"DROP COLUMN\b"),
    ("drop constraint", r"DROP CONSTRAINT\b"),
    ("rename column", r"RENAME COLUMN\b"),
    ("rename table", r"RENAME TO\b"),
)
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


def actions(statement: str) -> tuple[str, ...]:
    """Return what a statement of Django's schema editor does, ``unknown`` for what is not on the list.

    >>> actions('ALTER TABLE "t" ALTER COLUMN "c" TYPE varchar(9), ALTER COLUMN "c" SET NOT NULL;')
    ('change type', 'set not null')
    """
    found: list[str] = []
    for part in _split(_plain(statement), ";"):
        table = re.match(r"ALTER TABLE (?:ONLY )?\S+ (?P<rest>.*)\Z", part, re.DOTALL)
        if table is None:
            found.append(_first(part, _ACTIONS))
        else:
            found.extend(_first(action, _TABLE_ACTIONS) for action in _split(table["rest"], ","))
    return tuple(found)


def _plain(statement: str) -> str:
    """Masked, on one line, and with names that hold no blank, comma or semicolon."""
    masked = _TOKEN.sub(lambda match: "name" if match.lastgroup == "name" else _masked(match), statement)
    return " ".join(masked.split())


def _first(part: str, table: tuple[tuple[str, str], ...]) -> str:
    return next((name for name, pattern in table if re.match(pattern, part)), UNKNOWN)


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no parentheses. Literals are masked already."""
    parts = [""]
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a statement does, action by action: those of Django's schema editor and those written by hand.

This is no parser of SQL. It knows the statements that change a schema or its rows, in any case and with any
quoting; a statement or a clause that it does not know is the action ``unknown``, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from ansible_collections.slipway.django.plugins.module_utils._migrations._sql import UNKNOWN

_TOKEN = re.compile(
    r"""
    (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)\$.*?(?:\$(?P=tag)\$|\Z)|\$\$.*?(?:\$\$|\Z))
  | (?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z))
  | (?P<string>(?:\b[bBxXnN]|\b[uU]&)?'(?:[^']|'')*(?:'|\Z))
  | (?P<name>"(?:[^"]|"")*(?:"|\Z))
  | (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    """,
    re.VERBOSE | re.DOTALL,
)
# In the canonical text: blanks are single, words are upper case, strings are '', a quoted name is its number.
_PART = r'(?:"\d+"|[\w$]+)'
_NAME = rf"{_PART}(?:\.{_PART})*"
_R = rf"(?P<relation>{_NAME})"
_T = rf"(?P<target>{_NAME})"
_F = rf"(?P<refers>{_NAME})"
_IF = r"(?:IF (?:NOT )?EXISTS )?"
_IN_TABLE = rf"ALTER (?:FOREIGN )?TABLE {_IF}(?:ONLY )?{_R}(?: \*)? (?P<rest>.*)\Z"


@dataclass(frozen=True)
class Action:
    """One thing that a statement does.

    :param kind: a name of the lists below, or ``unknown``.
    :param relation: the table, index or view that it works on, as PostgreSQL folds names; ``""``: not known.
    :param target: the column, constraint or new name.
    :param refers: the table that a foreign key of it points to.
    :param proves: the column of which a check says that it is not NULL, and nothing else.
    :param words: all of it in canonical form, for rules that look closer.
    :param columns: those that an index or a key is made of, when these are plain columns.
    :param text: the statement as it was written, without its end; empty when it does more than this.
    """

    kind: str
    relation: str = ""
    target: str = ""
    refers: str = ""
    proves: str = ""
    words: str = ""
    columns: tuple[str, ...] = ()
    text: str = ""

    def has(self, pattern: str) -> bool:
        """Whether the canonical words hold the pattern."""
        return re.search(pattern, self.words) is not None


def _patterns(*pairs: tuple[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((kind, re.compile(pattern, re.DOTALL)) for kind, pattern in pairs)


_TEMP = r"(?:(?:GLOBAL |LOCAL )?TEMP(?:ORARY)? )"
_STATEMENTS = _patterns(
    ("create temporary table", rf"CREATE {_TEMP}TABLE {_IF}{_R}"),
    ("create table as", rf"CREATE (?:UNLOGGED )?TABLE {_IF}{_R}(?: \([^()]*\))? AS\b"),
    ("create partition", rf"CREATE (?:UNLOGGED )?TABLE {_IF}{_R} PARTITION OF {_F}"),
    ("create table", rf"CREATE (?:UNLOGGED )?TABLE {_IF}{_R} ?\("),
    ("drop table", rf"DROP TABLE {_IF}{_R}(?P<more>,)?"),
    ("truncate", rf"TRUNCATE (?:TABLE )?(?:ONLY )?{_R}"),
    ("create unique index concurrently", rf"CREATE UNIQUE INDEX CONCURRENTLY {_IF}(?:{_T} )?ON (?:ONLY )?{_R}"),
    ("create index concurrently", rf"CREATE INDEX CONCURRENTLY {_IF}(?:{_T} )?ON (?:ONLY )?{_R}"),
    ("create unique index", rf"CREATE UNIQUE INDEX {_IF}(?:{_T} )?ON (?:ONLY )?{_R}"),
    ("create index", rf"CREATE INDEX {_IF}(?:{_T} )?ON (?:ONLY )?{_R}"),
    ("drop index concurrently", rf"DROP INDEX CONCURRENTLY {_IF}{_R}"),
    ("drop index", rf"DROP INDEX {_IF}{_R}"),
    ("rename index", rf"ALTER INDEX {_IF}{_R} RENAME TO {_T}"),
    ("reindex concurrently", rf"REINDEX (?:\([^()]*\) )?\w+ CONCURRENTLY {_R}"),
    ("reindex concurrently", rf"REINDEX \([^()]*\bCONCURRENTLY\b[^()]*\) \w+ {_R}"),
    ("reindex", rf"REINDEX (?:\([^()]*\) )?\w+ {_R}"),
    ("create extension", r"CREATE EXTENSION\b"),
    ("drop extension", r"DROP EXTENSION\b"),
    ("change attribute", rf"ALTER TYPE {_T} (?:ADD|DROP|ALTER|RENAME) ATTRIBUTE\b"),
    ("create collation", r"CREATE COLLATION\b"),
    ("create schema", r"CREATE SCHEMA\b(?!.*\bCREATE\b)"),
    ("rename schema", r"ALTER SCHEMA \S+ RENAME TO\b"),
    ("drop schema", r"DROP SCHEMA\b"),
    ("drop database", r"DROP DATABASE\b"),
    ("comment on table", rf"COMMENT ON TABLE {_R} IS\b"),
    ("comment on column", rf"COMMENT ON COLUMN {_R} IS\b"),
    ("comment", r"COMMENT ON\b"),
    ("set constraints", r"SET CONSTRAINTS\b"),
    ("set limit", r"SET (?:SESSION |LOCAL )?(?P<target>\w*_TIMEOUT)\b"),
    ("set parameter", rf"SET (?:SESSION |LOCAL )?{_T} ?(?:=|TO\b)"),
    ("transaction control", r"(?:BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK|ABORT|PREPARE TRANSACTION)\b"),
    ("lock table", rf"LOCK (?:TABLE )?(?:ONLY )?{_R}"),
    ("update", rf"UPDATE (?:ONLY )?{_R}"),
    ("delete", rf"DELETE FROM (?:ONLY )?{_R}"),
    ("insert", rf"INSERT INTO {_R}"),
    ("merge", rf"MERGE INTO (?:ONLY )?{_R}"),
    ("copy in", rf"COPY {_R}.* FROM\b"),
    ("select", r"(?:SELECT|VALUES|TABLE)\b"),
    ("vacuum full", rf"VACUUM (?:FULL|\([^()]*\bFULL\b[^()]*\))(?: \w+)*? {_R}\Z"),
    ("vacuum full", r"VACUUM (?:FULL|\([^()]*\bFULL\b)"),
    ("vacuum", r"VACUUM\b"),
    ("analyze", r"ANALY[ZS]E\b"),
    ("cluster", rf"CLUSTER (?:VERBOSE |\([^()]*\) )?{_R}"),
    ("cluster", r"CLUSTER\b"),
    ("refresh materialized view concurrently", rf"REFRESH MATERIALIZED VIEW CONCURRENTLY {_R}"),
    ("refresh materialized view", rf"REFRESH MATERIALIZED VIEW {_R}"),
    ("create materialized view", rf"CREATE MATERIALIZED VIEW {_IF}{_R}"),
    ("drop materialized view", rf"DROP MATERIALIZED VIEW {_IF}{_R}"),
    ("replace view", rf"CREATE OR REPLACE (?:TEMP(?:ORARY)? )?(?:RECURSIVE )?VIEW {_R}"),
    ("create view", rf"CREATE (?:TEMP(?:ORARY)? )?(?:RECURSIVE )?VIEW {_R}"),
    ("drop view", rf"DROP VIEW {_IF}{_R}"),
    ("create trigger", rf"CREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER {_T} .*? ON {_R}"),
    ("drop trigger", rf"DROP TRIGGER {_IF}{_T} ON {_R}"),
    ("create rule", r"CREATE (?:OR REPLACE )?RULE\b"),
    ("create policy", rf"CREATE POLICY {_T} ON {_R}"),
    ("drop policy", rf"DROP POLICY {_IF}{_T} ON {_R}"),
    ("replace function", r"CREATE OR REPLACE (?:FUNCTION|PROCEDURE|AGGREGATE)\b"),
    ("create function", r"CREATE (?:FUNCTION|PROCEDURE|AGGREGATE)\b"),
    ("drop function", r"DROP (?:FUNCTION|PROCEDURE|ROUTINE|AGGREGATE)\b"),
    ("create type", r"CREATE TYPE\b"),
    ("create domain", r"CREATE DOMAIN\b"),
    ("create sequence", r"CREATE SEQUENCE\b"),
    ("drop sequence", r"DROP SEQUENCE\b"),
    ("create statistics", r"CREATE STATISTICS\b.* FROM (?P<relation>" + _NAME + r")"),
    ("add enum value", rf"ALTER TYPE {_T} ADD VALUE\b"),
    ("rename enum value", rf"ALTER TYPE {_T} RENAME VALUE\b"),
    ("rename type", rf"ALTER TYPE {_T} (?:RENAME TO|SET SCHEMA)\b"),
    ("drop type", r"DROP (?:TYPE|DOMAIN)\b"),
    ("add domain constraint not valid", rf"ALTER DOMAIN {_T} ADD\b.*\bNOT VALID\Z"),
    ("add domain constraint", rf"ALTER DOMAIN {_T} (?:ADD|SET NOT NULL|VALIDATE)\b"),
    ("alter sequence", r"ALTER SEQUENCE\b"),
    ("rename table", rf"ALTER (?:MATERIALIZED )?VIEW {_IF}{_R} RENAME TO {_T}"),
    ("grant", r"GRANT\b"),
    ("revoke", r"REVOKE\b"),
    ("do block", r"(?:DO|CALL)\b"),
)
_PROPERTY = rf"ADD (?:CONSTRAINT {_T} )?"
_IN_COLUMN = rf"ALTER (?:COLUMN )?{_T} "
_TABLE_ACTIONS = _patterns(
    ("add foreign key not valid", rf"{_PROPERTY}FOREIGN KEY\b.*? REFERENCES {_F}\b.*(?:NOT VALID|NOT ENFORCED)\Z"),
    ("add foreign key", rf"{_PROPERTY}FOREIGN KEY\b.*? REFERENCES {_F}"),
    ("add check not valid", rf"ADD (?:CONSTRAINT {_T} )?CHECK\b.*(?:NOT VALID|NOT ENFORCED)\Z"),
    ("add check", rf"ADD (?:CONSTRAINT {_T} )?CHECK\b"),
    ("add not null not valid", rf"ADD (?:CONSTRAINT {_T} )?NOT NULL \S+ NOT VALID\Z"),
    ("set not null", rf"ADD (?:CONSTRAINT \S+ )?NOT NULL {_T}\Z"),
    ("add unique using index", rf"{_PROPERTY}UNIQUE USING INDEX\b"),
    ("add unique", rf"{_PROPERTY}UNIQUE\b"),
    ("add primary key using index", rf"{_PROPERTY}PRIMARY KEY USING INDEX\b"),
    ("add primary key", rf"{_PROPERTY}PRIMARY KEY\b"),
    ("add exclude", rf"{_PROPERTY}EXCLUDE\b"),
    ("validate", rf"VALIDATE CONSTRAINT {_T}"),
    ("rename constraint", rf"RENAME CONSTRAINT {_T} TO\b"),
    ("drop constraint", rf"DROP CONSTRAINT {_IF}{_T}"),
    ("alter constraint", rf"ALTER CONSTRAINT {_T}"),
    ("add column", rf"ADD (?:COLUMN )?{_IF}{_T} "),
    ("drop column", rf"DROP (?:COLUMN )?{_IF}{_T}(?: CASCADE| RESTRICT)?\Z"),
    ("set default", rf"{_IN_COLUMN}SET DEFAULT\b"),
    ("drop default", rf"{_IN_COLUMN}DROP DEFAULT\Z"),
    ("set not null", rf"{_IN_COLUMN}SET NOT NULL\Z"),
    ("drop not null", rf"{_IN_COLUMN}DROP NOT NULL\Z"),
    ("change type", rf"{_IN_COLUMN}(?:SET DATA )?TYPE\b"),
    ("add identity", rf"{_IN_COLUMN}ADD GENERATED\b.* AS IDENTITY\b"),
    ("change identity", rf"{_IN_COLUMN}(?:SET GENERATED|SET (?:INCREMENT|START|CACHE)|RESTART)\b"),
    ("drop identity", rf"{_IN_COLUMN}DROP IDENTITY\b"),
    ("set expression", rf"{_IN_COLUMN}SET EXPRESSION\b"),
    ("drop expression", rf"{_IN_COLUMN}DROP EXPRESSION\b"),
    ("set statistics", rf"{_IN_COLUMN}SET STATISTICS\b"),
    ("set column option", rf"{_IN_COLUMN}(?:SET|RESET) \("),
    ("set column storage", rf"{_IN_COLUMN}SET (?:STORAGE|COMPRESSION)\b"),
    ("rename table", rf"RENAME TO {_T}"),
    ("rename column", rf"RENAME (?:COLUMN )?{_T} TO\b"),
    ("set schema", r"SET SCHEMA\b"),
    ("set tablespace", r"SET TABLESPACE\b"),
    ("set access method", r"SET ACCESS METHOD\b"),
    ("set logged", r"SET (?:UN)?LOGGED\Z"),
    ("set storage parameter", r"(?:SET|RESET) \("),
    ("detach partition concurrently", rf"DETACH PARTITION {_F} (?:CONCURRENTLY|FINALIZE)\Z"),
    ("detach partition", rf"DETACH PARTITION {_F}"),
    ("attach partition", rf"ATTACH PARTITION {_F}"),
    ("inherit", r"(?:NO )?INHERIT\b"),
    ("switch trigger", r"(?:ENABLE|DISABLE) (?:ALWAYS |REPLICA )?TRIGGER\b"),
    ("row security", r"(?:ENABLE|DISABLE|FORCE|NO FORCE) ROW LEVEL SECURITY\b"),
    ("owner", r"OWNER TO\b"),
    ("replica identity", r"REPLICA IDENTITY\b"),
    ("cluster on", r"(?:CLUSTER ON|SET WITHOUT CLUSTER)\b"),
)
KINDS = frozenset({kind for kind, _rest in (*_STATEMENTS, *_TABLE_ACTIONS)} | {UNKNOWN})


def _spaced(match: re.Match[str]) -> str:
    return " (" if match[1] == "(" else f"{match[1]} "


class _Canon:
    """A text without literals and comments, its quoted names put aside."""

    def __init__(self, statement: str) -> None:
        self.names: list[str] = []
        # The casing of a whole text at once: no literal is left in it, and the numbers of names have no case.
        text = _TOKEN.sub(self._replace, statement).upper()
        text = re.sub(r"\s*\.\s*", ".", " ".join(text.split()))
        self.text = re.sub(r" ?([(),;]) ?", _spaced, text)
        self.text = " ".join(self.text.replace("( ", "(").replace(" )", ")").split())

    def _replace(self, match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "comment":
            return " "
        if kind != "name":
            return "''"
        self.names.append(match.group()[1:].removesuffix('"').replace('""', '"'))
        return f'"{len(self.names) - 1}"'

    def name(self, text: str | None) -> str:
        """The name as PostgreSQL has it: quoted as it is, else in lower case."""
        return "" if text is None else ".".join(map(self._part, text.split(".")))

    def _part(self, part: str) -> str:
        return self.names[int(part[1:-1])] if part.startswith('"') else part.lower()


@lru_cache(maxsize=4096)
def parse(statement: str) -> tuple[Action, ...]:
    """Return what a text of statements does; empty for a text without any.

    >>> [action.kind for action in parse('alter table "T" alter c type varchar(9), alter c set not null;')]
    ['change type', 'set not null']
    """
    canon = _Canon(statement)
    found: list[Action] = []
    for part in _split(canon.text, ";"):
        found.extend(_of_statement(canon, part))
    if len(found) == 1:
        return (replace(found[0], text=statement.strip().rstrip("; \n")),)
    return tuple(found)


def kinds(statement: str) -> tuple[str, ...]:
    """Return the kinds of the actions alone."""
    return tuple(action.kind for action in parse(statement))


def _of_statement(canon: _Canon, text: str) -> list[Action]:
    table = re.match(_IN_TABLE, text, re.DOTALL)
    if table is None:
        return [_first(canon, text, _STATEMENTS, "")]
    relation = canon.name(table["relation"])
    return [_first(canon, each, _TABLE_ACTIONS, relation) for each in _split(table["rest"], ",")]


def _first(canon: _Canon, text: str, table: tuple[tuple[str, re.Pattern[str]], ...], relation: str) -> Action:
    for kind, pattern in table:
        match = pattern.match(text)
        if match is not None:
            groups = match.groupdict()
            return _refined(canon, kind, text, groups, relation)
    return Action(UNKNOWN, relation, words=text)


def _refined(canon: _Canon, kind: str, text: str, groups: Mapping[str, str | None], relation: str) -> Action:
    relation = relation or canon.name(groups.get("relation"))
    refers = canon.name(groups.get("refers"))
    if groups.get("more"):
        relation = ""  # several at once: none of them is looked at alone
    if kind in {"add column", "create table"} and not refers:
        points = re.search(rf"\bREFERENCES {_F}", text)
        refers = canon.name(points["refers"]) if points else ""
    if kind == "comment on column":
        relation = relation.rpartition(".")[0]
    check = re.search(rf"\bCHECK \((?:\()?(?P<column>{_PART}) IS NOT NULL\)", text) if "check" in kind else None
    proves = canon.name(check["column"]) if check else ""
    columns = tuple(map(canon.name, _columns(kind, text)))
    return Action(kind, relation, canon.name(groups.get("target")), refers, proves, text, columns)


_LIST = rf"\((?P<columns>{_PART}(?:, {_PART})*)\)"
_KEY_COLUMNS = re.compile(rf"\b(?:UNIQUE(?: NULLS NOT DISTINCT)?|PRIMARY KEY|FOREIGN KEY) {_LIST}")
_INDEX_COLUMNS = re.compile(rf"\bON (?:ONLY )?{_NAME}(?: USING \w+)? {_LIST}")


def _columns(kind: str, text: str) -> list[str]:
    if not kind.startswith(("create index", "create unique", "add unique", "add primary", "add foreign")):
        return []
    found = (_INDEX_COLUMNS if "index" in kind and kind.startswith("create") else _KEY_COLUMNS).search(text)
    return found["columns"].split(", ") if found else []


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no parentheses. Literals and names are put aside already."""
    if separator not in text:
        return [text] if text else []
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == separator and depth <= 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


# --- closer looks at single actions ---

_CONSTRAINTS = (
    r"(?:NOT NULL|NULL|PRIMARY KEY|UNIQUE|CHECK|REFERENCES|CONSTRAINT|COLLATE|GENERATED|DEFERRABLE|INITIALLY)\b"
)
_STABLE = re.compile(
    r"(?:''|[-+]? ?[\d._]+(?:E[-+]?\d+)?|TRUE|FALSE|NULL|CURRENT_TIMESTAMP|CURRENT_DATE|CURRENT_TIME|LOCALTIMESTAMP"
    r"|(?:STATEMENT_TIMESTAMP|TRANSACTION_TIMESTAMP|NOW) ?\(\)|ARRAY\[\])"
    r"(?: ?:: ?[\w\" ]+(?: ?\([\d, ]+\))?(?:\[\])*)?(?: WITH TIME ZONE)?\Z"
)


def default_of(action: Action) -> str:
    """What a new column's default is: ``none``, ``constant`` (the same for all rows) or ``volatile``."""
    found = re.search(rf" DEFAULT (?P<value>.*?)(?= {_CONSTRAINTS}|\Z)", action.words)
    if found is None:
        return "none"
    value = found["value"].strip()
    while value.startswith("(") and value.endswith(")"):
        value = value[1:-1].strip()
    return "constant" if _STABLE.match(value) else "volatile"


def outside_parentheses(words: str) -> str:
    """The words with what stands in parentheses taken out."""
    kept, depth = [], 0
    for character in words:
        if character == ")":
            depth -= 1
        if depth <= 0:
            kept.append(character)
        if character == "(":
            depth += 1
    return "".join(kept)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases that we made bear a mark: their comment. Only what bears it is ever dropped or renamed back.

The state of a restore is read from the server's own catalogue: names, oids and marks. No file has to agree with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_name, quote_text

TOOL: Final = "slipway.django.pg_restore"
# NAMEDATALEN - 1. The server would cut a longer name, and then it is another one.
LONGEST: Final = 63

# A copy that is being filled, and one that was compared with its backup.
RESTORING: Final = "restoring"
VERIFIED: Final = "verified"
# What was live before a swap, and what was live before the swap was reverted.
OLD: Final = "old"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Mark:
    """What the comment of one of our databases says."""

    phase: str
    # The name of the live database that it is a copy of, or was.
    database: str
    # The backup that was restored: its directory and its id.
    owner: str
    backup: str
    taken_at: str
    system_identifier: str
    # Where the server's log stood when the phase began: of a copy, at its backup's snapshot.
    lsn: str | None
    at: str
    # The comment that it has, or had, under the live name.
    comment: str | None = None
    verified: str = ""
    # The name it came from, or that of the copy that took its place, and that one's oid.
    candidate: str = ""
    replaced_by: int = 0

    def text(self) -> str:
        """The comment."""
        return json.dumps({"tool": TOOL, **asdict(self)}, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class Seen:
    """A database as the server tells of it. ``size`` is None where this role may not ask."""

    name: str
    oid: int
    owner: str
    connectable: bool
    template: bool
    comment: str | None
    sessions: int
    size: int | None
    owned: bool
    mark: Mark | None = None


def parse(comment: str | None) -> Mark | None:
    """Return the mark that a comment is, or None when it is none of ours."""
    try:
        document = json.loads(comment or "")
    except ValueError:
        return None
    if not isinstance(document, dict) or document.pop("tool", None) != TOOL:
        return None
    known = {field.name for field in fields(Mark)}
    try:
        return Mark(**{name: value for name, value in document.items() if name in known})
    except TypeError:
        return None


def question(names: Iterable[str]) -> str:
    """Ask for the databases with these names and all that bear a mark."""
    listed = ", ".join(quote_text(name) for name in names)
    return f"""
    SELECT coalesce(json_agg(json_build_object(
      'name', d.datname, 'oid', d.oid::bigint, 'owner', pg_get_userbyid(d.datdba), 'connectable', d.datallowconn,
      'template', d.datistemplate, 'comment', shobj_description(d.oid, 'pg_database'),
      'sessions', (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid),
      'size', CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
        THEN pg_database_size(d.oid) END,
      'owned', pg_has_role(d.datdba, 'USAGE')) ORDER BY d.datname), '[]')
    FROM pg_database d
    WHERE d.datname IN ({listed})
      OR strpos(shobj_description(d.oid, 'pg_database'), {quote_text(TOOL)}) > 0
    """


def read(rows: Iterable[Mapping[str, Any]]) -> dict[str, Seen]:
    """Return the databases of the answer by their names."""
    return {row["name"]: Seen(**{**row, "mark": parse(row["comment"])}) for row in rows}


def before(databases: Mapping[str, Seen], live: Seen | None, phase: str) -> Seen | None:
    """Return the database in whose place the live one stands, when it has this phase."""
    found = [
        database
        for database in databases.values()
        if live is not None
        and database.mark is not None
        and database.mark.phase == phase
        and database.mark.database == live.name
        and database.mark.replaced_by == live.oid
    ]
    return max(found, key=lambda database: database.mark.at if database.mark else "") if found else None


def derived_name(database: str, kind: str, stamp: str) -> str:
    """Return the name of a database that stands beside another: ``shop__old_20261121t160528z``.

    A name that would be too long is cut and told from others by a digest.
    """
    suffix = f"__{kind}_{stamp.lower()}"
    if len((database + suffix).encode()) <= LONGEST:
        return database + suffix
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    room = LONGEST - len(suffix.encode()) - len(digest) - 1
    return database.encode()[:room].decode("utf-8", "ignore") + "_" + digest + suffix


def stamp(now: datetime) -> str:
    """Return the part of a name that says when."""
    return now.strftime("%Y%m%dT%H%M%SZ")


def iso(now: datetime) -> str:
    """Return a moment as marks and results have it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def comment_statement(database: str, text: str | None) -> str:
    """Return the statement that gives a database its comment."""
    return f"COMMENT ON DATABASE {quote_name(database)} IS {'NULL' if text is None else quote_text(text)}"


def require_name(option: str, name: str) -> None:
    """Refuse a name that the server would cut, or psql would take for something else.

    :raises InvalidOption: it is one.
    """
    too_long = len(name.encode()) > LONGEST
    if not name or too_long or "=" in name or "://" in name or not name.isprintable():
        raise InvalidOption(option, name, f"the name of a database, at most {LONGEST} bytes, without = and ://")

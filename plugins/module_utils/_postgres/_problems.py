# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that stands in the way of a backup, as sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._files import size_in_words
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, client_for
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Request
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import Source

_OLDEST: Final = 13
# How many names a message lists before it says how many more there are.
_NAMED: Final = 10


def problems(
    source: Source, clients: Iterable[Client], request: Request, levels: Iterable[str], free_bytes: int | None
) -> list[str]:
    """Return all that stands in the way.

    :param free_bytes: None when no archive is to be written.
    """
    writes = free_bytes is not None
    return [
        *_problems_of_versions(source, clients),
        *_problems_of_level(source, levels),
        *(_problems_of_rights(source) if writes else []),
        *(_problems_of_locks(source, request) if writes else []),
        *_problems_of_space(source, request, free_bytes),
    ]


def warnings(source: Source) -> list[str]:
    """Return what a backup of this source will lack without being wrong."""
    return [
        f"prepared transaction {row['gid']!r} of {row['owner']} is neither committed nor rolled back since "
        f"{row['since']}: what it wrote is not in this backup"
        for row in source.prepared
    ]


def _problems_of_versions(source: Source, clients: Iterable[Client]) -> Iterable[str]:
    if source.major < _OLDEST:
        yield f"the server is PostgreSQL {source.version}, and {_OLDEST} is the oldest that is served"
    if client_for(source.major, clients) is None:
        there = ", ".join(f"{client.version} in {client.directory}" for client in clients) or "none"
        yield (
            f"the server is PostgreSQL {source.version} and this host has no pg_dump of version {source.major} "
            f"(there is {there}): install postgresql-client-{source.major}"
        )


def _problems_of_level(source: Source, levels: Iterable[str]) -> Iterable[str]:
    highest = next((level for level in ("restore", "schema") if level in levels), None)
    if highest is None:
        return
    instead = "or say verify: checksum, the highest level that is possible now"
    if source.standby:
        yield (
            f"the server is a standby, where no database can be made for the level {highest}: ask the primary, "
            f"{instead}"
        )
    elif not source.createdb:
        yield (
            f"the level {highest} restores into a throw-away database, and role {source.user} may not make one: "
            f'ALTER ROLE "{source.user}" CREATEDB, {instead}'
        )


def _problems_of_rights(source: Source) -> Iterable[str]:
    role = f'TO "{source.user}"'
    if source.schemas:
        yield f"role {source.user} may not use schemas: GRANT USAGE ON SCHEMA {_named(source.schemas)} {role}"
    if source.tables:
        yield f"role {source.user} may not read tables: GRANT SELECT ON {_named(source.tables)} {role}"
    if source.sequences:
        yield f"role {source.user} may not read sequences: GRANT SELECT ON SEQUENCE {_named(source.sequences)} {role}"
    if source.row_security:
        yield (
            f"row security hides rows of {_named(source.row_security)} from role {source.user}: "
            f'ALTER ROLE "{source.user}" BYPASSRLS, or take the backup as a superuser'
        )
    if source.large_objects:
        yield (
            f"role {source.user} may not read {source.large_objects} large objects (pg_read_all_data does not cover "
            f"them): GRANT SELECT ON LARGE OBJECT … {role}, or take the backup as their owner or a superuser"
        )
    if source.standby and source.unlogged:
        yield f"unlogged tables can't be read on a standby ({_named(source.unlogged)}): ask the primary"


def _problems_of_locks(source: Source, request: Request) -> Iterable[str]:
    """Who holds a lock and does nothing will hold it for longer than anybody waits."""
    for row in source.locks:
        if row["pid"] is None:
            yield (
                f"table {row['table']} is locked by prepared transaction {row['gid']!r} of {row['user']}, which ends "
                f"only by COMMIT PREPARED or ROLLBACK PREPARED"
            )
        elif _forgotten(row) and row["seconds"] > request.lock_wait_timeout_s:
            yield (
                f"table {row['table']} is locked by pid {row['pid']} ({row['application'] or row['user']}), which is "
                f"idle in a transaction that began {row['seconds']:.0f} s ago, longer than lock_wait_timeout: end it"
            )


def _forgotten(row: Mapping[str, Any]) -> bool:
    return str(row["state"]).startswith("idle in transaction")


def _problems_of_space(source: Source, request: Request, free_bytes: int | None) -> Iterable[str]:
    needed = int(source.size * request.free_space_factor)
    if free_bytes is not None and free_bytes < needed:
        yield (
            f"{size_in_words(free_bytes)} are free in {request.directory} and {size_in_words(needed)} are wanted "
            f"({request.free_space_factor:g} × the {size_in_words(source.size)} of the database): make room, or lower "
            "free_space_factor if you know that the archive will be smaller"
        )


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

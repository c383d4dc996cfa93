# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore needs, and all that stands in its way: decided by what the server has, before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ansible_collections.slipway.django.plugins.module_utils._errors import (
    InvalidOption,
    Refused,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres import _marks as marks
from ansible_collections.slipway.django.plugins.module_utils._postgres import _properties as properties
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Client,
    Connection,
    client_for,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._loss import (
    size,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import Seen
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_work import Check
from ansible_collections.slipway.django.plugins.module_utils._postgres._room import SPACE_FACTOR, Measured
from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_text

_MEMORY: Final = re.compile(r"[1-9][0-9]*(kB|MB|GB)")
# An empty database may differ from its template by a little.
_SLACK: Final = 1 << 20
TEMPLATE: Final = "template0"


@dataclass(frozen=True)
class Request:
    """What is wanted. ``connection`` is to a database that is neither live nor the target."""

    connection: Connection
    directory: str
    database: str
    state: str = "present"
    backup: str = ""
    source_database: str = ""
    target: str = ""
    jobs: int = 1
    verify: str = "counts"
    checks: tuple[Check, ...] = ()
    keep_failed: bool = False
    again: bool = False
    count_rows: bool = True
    maintenance_work_mem: str = "256MB"
    timeout_s: float = 3600.0
    progress_file: str | None = None

    @property
    def source(self) -> str:
        """The database that was backed up."""
        return self.source_database or self.database

    def validate(self) -> None:
        """Refuse what can't be meant, before anything is asked.

        :raises InvalidOption: a value is not accepted.
        """
        marks.require_name("database", self.database)
        if self.target:
            marks.require_name("target", self.target)
        named = bool(self.backup or (self.state == "absent" and self.target))
        maintenance = self.connection.database
        for option, value, holds, accepted in [
            ("directory", self.directory, os.path.isabs(self.directory), "an absolute path"),
            ("backup", self.backup, named, "the id or label of a backup, or latest"),
            ("target", self.target, self.target != self.database, "another database than the live one"),
            (
                "maintenance_database", maintenance, maintenance not in (self.database, self.target),
                "a database that is neither live nor the target",
            ),
            (
                "maintenance_work_mem", self.maintenance_work_mem, bool(_MEMORY.fullmatch(self.maintenance_work_mem)),
                "a size as 256MB",
            ),
            ("jobs", self.jobs, self.jobs >= 1, "a number that is at least 1"),
            ("timeout", self.timeout_s, self.timeout_s >= 1, "a number that is at least 1"),
        ]:  # fmt: skip
            if not holds:
                raise InvalidOption(option, value, accepted)
        for check in self.checks:
            # psql would take it for a command of its own.
            if "\\" in check.sql:
                raise InvalidOption("checks", check.sql, "SQL without a backslash")
        self.connection.validate()


@dataclass(frozen=True)
class Server:
    """The server, as far as a restore is concerned with it."""

    version_num: int
    version: str
    standby: bool
    user: str
    superuser: bool
    createdb: bool
    system_identifier: str
    lsn: str | None
    # Of those that the backup names: the roles that exist, those whose database this role may make, the extensions
    # with whether it may make them.
    roles: list[str]
    may_own: list[str]
    extensions: Mapping[str, bool]
    tablespaces: list[str]
    # Where its files would lie; None where this role may not ask.
    path: str | None
    databases: Mapping[str, Seen]

    @property
    def major(self) -> int:
        return self.version_num // 10000


def question(manifest: Manifest | None) -> str:
    """Ask for all of it but the databases."""
    wanted = None if manifest is None else properties.read(manifest.properties)
    roles = _listed(needed_roles(manifest) if manifest else [])
    extensions = _listed([] if manifest is None else [row["name"] for row in manifest.properties.get("extensions", [])])
    tablespace = quote_text((wanted.tablespace if wanted else None) or "pg_default")
    return f"""
    SELECT json_build_object(
      'version_num', current_setting('server_version_num')::int,
      'version', current_setting('server_version'),
      'standby', pg_is_in_recovery(),
      'user', current_user,
      'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
      'createdb', (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user),
      'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
      'lsn', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END,
      'roles', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles WHERE rolname IN ({roles})),
      'may_own', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles
        WHERE rolname IN ({roles}) AND pg_has_role(oid, 'MEMBER')),
      'extensions', (SELECT coalesce(json_object_agg(name, able), '{{}}') FROM (
        SELECT v.name, bool_or(NOT v.superuser OR v.trusted OR r.rolsuper) AS able
        FROM pg_available_extension_versions v, pg_roles r
        WHERE r.rolname = current_user AND v.name IN ({extensions}) GROUP BY v.name) e),
      'tablespaces', (SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace WHERE spcname = {tablespace}),
      'path', (SELECT coalesce(nullif(pg_tablespace_location(t.oid), ''),
          CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END)
        FROM pg_tablespace t WHERE t.spcname = {tablespace}))
    """


def _listed(names: list[str]) -> str:
    return ", ".join(quote_text(name) for name in names) or "NULL"


def needed_roles(manifest: Manifest) -> list[str]:
    """Return the roles without which the backup can't be restored as it was."""
    named = {*manifest.properties.get("roles", []), *properties.roles(properties.read(manifest.properties))}
    return sorted(name for name in named if not name.startswith("pg_"))


@dataclass(frozen=True)
class Plan:
    """What has to be done: ``restore``, ``drop`` or ``none``; and what has to go first."""

    action: str
    target: str
    reason: str
    drop: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.action != "none"


def make_plan(server: Server, request: Request, manifest: Manifest | None) -> Plan:
    """Decide by the names and marks that are there. Pure.

    :raises Refused: what has the target's name is not ours to drop.
    """
    target = request.target or target_name(request.database, manifest.id if manifest else request.backup)
    there = server.databases.get(target)
    if request.state == "absent":
        if there is None:
            return Plan("none", target, f"there is no database {target}")
        _require_ours(there, server, request, None)
        return Plan("drop", target, f"{target} is a restored copy of {request.database}", (target,))
    if manifest is None:
        raise ValueError("a restore needs a backup")
    if there is not None and _require_ours(there, server, request, manifest) == marks.VERIFIED:
        return Plan("none", target, f"{target} is the verified copy of backup {manifest.id}")
    live = server.databases.get(request.database)
    before = marks.before(server.databases, live, marks.OLD)
    if before is not None and before.mark and before.mark.backup == manifest.id and not request.again:
        return Plan(
            "none",
            target,
            f"{request.database} itself has been the copy of backup {manifest.id} since {before.mark.at}",
        )
    leftovers = {target} if there is not None else set()
    why = f"{target} is what a restore that died has left" if leftovers else f"there is no copy of backup {manifest.id}"
    return Plan("restore", target, why, tuple(sorted(leftovers | set(_leftovers(server, request)))))


def _leftovers(server: Server, request: Request) -> Iterator[str]:
    """Copies from this directory for this database that are not whole: nobody works on them while we hold its lock."""
    for name, seen in server.databases.items():
        mark = seen.mark
        if mark is None or mark.phase != marks.RESTORING or mark.database != request.database:
            continue
        if os.path.dirname(mark.owner) == request.directory:
            yield name


def target_name(database: str, backup_id: str) -> str:
    """Return the name of the database that a backup is restored into."""
    return marks.derived_name(database, "restore", re.sub(r"[^0-9A-Za-z]", "", backup_id))


def _require_ours(there: Seen, server: Server, request: Request, manifest: Manifest | None) -> str:
    """Return the phase of a database that bears our mark."""
    mark = there.mark
    owner = None if manifest is None else os.path.join(request.directory, manifest.id)
    if mark is None and _is_shell(there, server.databases.get(TEMPLATE)):
        return marks.RESTORING
    if mark is None:
        seen = f"The database {there.name} is there and was not made by pg_restore: it bears no mark"
    elif mark.database != request.database or (owner is not None and mark.owner != owner):
        seen = f"The database {there.name} is a copy of {mark.database} from {mark.owner}"
    elif mark.phase not in (marks.RESTORING, marks.VERIFIED):
        seen = f"The database {there.name} is kept from a swap (phase {mark.phase})"
    else:
        return mark.phase
    raise Refused(
        seen,
        untouched="Nothing was changed",
        remedy="Give another target, or look at that database and drop it by hand",
        facts={"target": there.name},
    )


def _is_shell(there: Seen, template: Seen | None) -> bool:
    """Whether a run died between making the database and marking it: it let nobody in, so nothing can be in it."""
    if there.connectable or there.comment is not None or template is None:
        return False
    return there.size is not None and template.size is not None and there.size <= template.size + _SLACK


def problems(
    server: Server, request: Request, manifest: Manifest, clients: list[Client], free_bytes: int | None
) -> list[str]:
    """Return all that stands in the way, as sentences that say what to do. Pure."""
    return [
        *_problems_of_backup(manifest, request),
        *_problems_of_server(server, manifest, clients),
        *_problems_of_roles(server, manifest),
        *_problems_of_extensions(server, manifest),
        *_problems_of_space(manifest, server, free_bytes),
    ]


def _problems_of_backup(manifest: Manifest, request: Request) -> Iterator[str]:
    if manifest.encryption is not None:
        yield f"backup {manifest.id} is encrypted: fetch it with pg_backup_copy and the identity file first"
    if request.verify == "content" and manifest.fingerprint != "content":
        yield (
            f"backup {manifest.id} has no digests of its tables' contents (its fingerprint is {manifest.fingerprint}): "
            "say verify: counts"
        )


def _problems_of_server(server: Server, manifest: Manifest, clients: list[Client]) -> Iterator[str]:
    taken = int(manifest.server_version.split(".")[0])
    if server.standby:
        yield "the server is a standby, where no database can be made: ask the primary"
    if server.major != taken:
        yield (
            f"the backup is of PostgreSQL {manifest.server_version} and the server is {server.version}: restore it on "
            f"a server of version {taken}"
        )
    if client_for(server.major, clients) is None:
        there = ", ".join(f"{client.version} in {client.directory}" for client in clients) or "none"
        yield (
            f"the server is PostgreSQL {server.version} and this host has no pg_restore of version {server.major} "
            f"(there is {there}): install postgresql-client-{server.major}"
        )
    if not server.createdb:
        yield f'role {server.user} may not make a database: ALTER ROLE "{server.user}" CREATEDB'


def _problems_of_roles(server: Server, manifest: Manifest) -> Iterator[str]:
    missing = [name for name in needed_roles(manifest) if name not in server.roles]
    if missing:
        yield (
            f"these roles own something or have rights in the backup and do not exist: {', '.join(missing)}: make them "
            "(globals.sql beside the backup, where it could be written, has them)"
        )
    owner = properties.read(manifest.properties).owner
    if owner in server.roles and not server.superuser and owner not in server.may_own:
        yield (
            f"role {server.user} may not make a database for {owner}, to whom it belongs: "
            f'GRANT "{owner}" TO "{server.user}", or restore as a superuser'
        )


def _problems_of_extensions(server: Server, manifest: Manifest) -> Iterator[str]:
    names = [row["name"] for row in manifest.properties.get("extensions", [])]
    missing = [name for name in names if name not in server.extensions]
    if missing:
        yield f"the server has no files for these extensions: {', '.join(missing)}: install their packages"
    # plpgsql is in every new database.
    denied = [name for name in names if not server.extensions.get(name, True) and name != "plpgsql"]
    if denied:
        yield f"role {server.user} may not make these extensions: {', '.join(denied)}: restore as a superuser"
    tablespace = properties.read(manifest.properties).tablespace
    if tablespace is not None and tablespace not in server.tablespaces:
        yield f"there is no tablespace {tablespace}, where the database lay: make it"


def space_in_words(manifest: Manifest, measured: Measured) -> str:
    """Say what is known of the room for a copy."""
    if measured.free is None:
        return f"not known: {measured.unknown}"
    needed = int(manifest.properties.get("size", 0) * SPACE_FACTOR)
    return f"{size(measured.free)} are free in {measured.path} and {size(needed)} are wanted"


def _problems_of_space(manifest: Manifest, server: Server, free_bytes: int | None) -> Iterator[str]:
    needed = int(manifest.properties.get("size", 0) * SPACE_FACTOR)
    if free_bytes is not None and free_bytes < needed:
        yield (
            f"{size(free_bytes)} are free in {server.path} and {size(needed)} are wanted ({SPACE_FACTOR:g} × the "
            f"{size(manifest.properties['size'])} that the database had): make room"
        )

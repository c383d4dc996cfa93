# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be backed up, and all that stands in the way: asked in one go, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_ANSWER_LIMIT_S: Final = 60.0

# Rights are asked for with the same functions that the server itself uses. What belongs to an extension is not dumped,
# but for its configuration tables. Large objects have no function before version 18, and pg_read_all_data does not
# cover them. A table under row security would be dumped in part or not at all.
QUESTION: Final = """
WITH me AS (SELECT * FROM pg_roles WHERE rolname = current_user),
dumped AS (
  SELECT c.oid, c.relkind, c.relpersistence, c.oid::regclass::text AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (NOT EXISTS (SELECT FROM pg_depend e
           WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
         OR EXISTS (SELECT FROM pg_extension x WHERE c.oid = ANY (x.extconfig)))
),
this AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
-- The first superuser is pinned: no dependency on it is written down.
roles AS (
  SELECT pg_get_userbyid(s.refobjid) AS name FROM pg_shdepend s, this
  WHERE s.refclassid = 'pg_authid'::regclass
    AND (s.dbid = this.oid OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = this.oid))
  UNION SELECT pg_get_userbyid(datdba) FROM this
  UNION SELECT pg_get_userbyid(setrole) FROM pg_db_role_setting, this WHERE setdatabase = this.oid AND setrole <> 0
  UNION SELECT pg_get_userbyid(10)
    WHERE EXISTS (SELECT FROM pg_class WHERE relowner = 10 AND oid >= 16384)
       OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = 10 AND oid >= 16384)
       OR EXISTS (SELECT FROM pg_proc WHERE proowner = 10 AND oid >= 16384)
)
SELECT json_build_object(
  'version_num', current_setting('server_version_num')::int,
  'version', current_setting('server_version'),
  'standby', pg_is_in_recovery(),
  'user', current_user,
  'createdb', (SELECT rolsuper OR rolcreatedb FROM me),
  'size', pg_database_size(current_database()),
  'data_directory', CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,
  'relations', (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm') AND oid >= 16384),
  'elsewhere', (SELECT coalesce(json_agg(json_build_object('path', path, 'bytes', bytes) ORDER BY path), '[]') FROM (
    SELECT pg_tablespace_location(reltablespace) AS path, coalesce(sum(pg_relation_size(oid)), 0) AS bytes
    FROM pg_class WHERE reltablespace <> 0 AND NOT relisshared GROUP BY reltablespace) t WHERE path <> ''),
  'database', (SELECT to_jsonb(d) || jsonb_build_object(
      'encoding_name', pg_encoding_to_char(d.encoding), 'owner', pg_get_userbyid(d.datdba),
      'comment', shobj_description(d.oid, 'pg_database'),
      'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
      'acl', (SELECT coalesce(jsonb_agg(jsonb_build_object(
          'grantee', CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
          'privilege', a.privilege_type, 'grantable', a.is_grantable) ORDER BY a.grantee, a.privilege_type), '[]')
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a))
    FROM pg_database d WHERE d.datname = current_database()),
  'settings', (SELECT coalesce(json_agg(json_build_object(
      'role', CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END, 'settings', s.setconfig)), '[]')
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()),
  'extensions', (SELECT coalesce(json_agg(json_build_object(
      'name', extname, 'version', extversion) ORDER BY extname), '[]') FROM pg_extension),
  'roles', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM roles WHERE name !~ '^pg_'),
  'prepared', (SELECT coalesce(json_agg(json_build_object(
      'gid', gid, 'owner', owner, 'since', date_trunc('second', prepared)) ORDER BY gid), '[]')
    FROM pg_prepared_xacts WHERE database = current_database()),
  'locks', (SELECT coalesce(json_agg(json_build_object(
      'pid', l.pid, 'gid', p.gid, 'table', d.name, 'user', coalesce(a.usename, p.owner),
      'application', a.application_name, 'state', a.state,
      'seconds', extract(epoch FROM now() - coalesce(a.xact_start, p.prepared))) ORDER BY d.name), '[]')
    FROM pg_locks l JOIN dumped d ON d.oid = l.relation JOIN this ON this.oid = l.database
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
        AND x.locktype = 'transactionid'
      LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted),
  'unlogged', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM dumped WHERE relpersistence = 'u'),
  'schemas', (SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT has_schema_privilege(oid, 'USAGE')),
  'tables', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM dumped
    WHERE relkind <> 'S' AND NOT has_table_privilege(oid, 'SELECT')),
  'sequences', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM dumped
    WHERE relkind = 'S' AND NOT has_table_privilege(oid, 'SELECT')),
  'row_security', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM dumped
    WHERE CASE WHEN relkind = 'S' THEN false ELSE row_security_active(oid) END),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata l, me
    WHERE NOT me.rolsuper AND NOT pg_has_role(l.lomowner, 'USAGE') AND NOT EXISTS (
      SELECT FROM aclexplode(l.lomacl) a
      WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE'))))
)
"""

# Who holds or awaits what a dump must wait for. The text of a query may hold data, so it is not asked for.
LOCK_QUESTION: Final = """
SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
  'pid', a.pid, 'application', a.application_name, 'user', a.usename, 'state', a.state,
  'since', date_trunc('second', a.xact_start), 'table', l.relation::regclass::text)), '[]')
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
WHERE l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation' AND d.datname = current_database()
"""


@dataclass(frozen=True)
class Source:
    """The server, the database, and what the role lacks."""

    version_num: int
    version: str
    standby: bool
    user: str
    createdb: bool
    size: int
    # Where a new database lies; None where this role may not ask.
    data_directory: str | None
    # How many tables and indexes there are, and what of the size lies in tablespaces that they name: path and bytes.
    relations: int
    elsewhere: list[Mapping[str, Any]]
    # The row of pg_database and what belongs to the database but is in no dump of it.
    database: Mapping[str, Any]
    settings: list[Mapping[str, Any]]
    extensions: list[Mapping[str, str]]
    # Owners, grantees and those with settings of their own: a restore needs them.
    roles: list[str]
    prepared: list[Mapping[str, Any]]
    # Who holds a lock that a dump must wait for.
    locks: list[Mapping[str, Any]]
    unlogged: list[str]
    # What the role may not use or read.
    schemas: list[str]
    tables: list[str]
    sequences: list[str]
    row_security: list[str]
    large_objects: int

    @property
    def major(self) -> int:
        return self.version_num // 10000


class Database:
    """Asks and orders by psql."""

    def __init__(self, psql: str, connection: Connection, runner: Runner) -> None:
        self._psql = psql
        self._connection = connection
        self._runner = runner

    def ask(self, question: str) -> Any:
        """Return the JSON document that a query answers with.

        :raises SlipwayError: it failed; the message is the server's.
        """
        output = self._run(question)
        try:
            return json.loads(output)
        except ValueError as error:
            raise SlipwayError(
                f"psql answered with what is no JSON: {output[:300]!r}", untouched="Nothing was changed"
            ) from error

    def order(self, statement: str, *, timeout_s: float = _ANSWER_LIMIT_S) -> None:
        """Carry out one statement, outside a transaction.

        :raises SlipwayError: it failed; the message is the server's.
        """
        self._run(statement, timeout_s=timeout_s)

    def source(self) -> Source:
        """Look at everything a backup needs to know."""
        return Source(**self.ask(QUESTION))

    def _run(self, sql: str, *, timeout_s: float = _ANSWER_LIMIT_S) -> str:
        # An empty search path makes every name a full one, and keeps objects of others from being called.
        script = f"SET search_path = '';\nSET standard_conforming_strings = on;\n{sql.strip()};\n"
        done = self._runner.run(
            [
                self._psql,
                "--no-psqlrc",
                "--no-password",
                "--quiet",
                "--no-align",
                "--tuples-only",
                "--set=ON_ERROR_STOP=1",
                "--file=-",
            ],
            timeout_s=timeout_s,
            stdin=script,
            # Otherwise psql speaks the database's own encoding.
            env={**self._connection.environment(), "PGCLIENTENCODING": "UTF8"},
        )
        if done.returncode != 0:
            raise SlipwayError(
                f"PostgreSQL refused ({self._connection.in_words()}): {_first_error(done.stderr)}",
                untouched="Nothing was changed",
                remedy=_remedy(done.returncode),
                facts={"database": self._connection.database, "stderr": done.stderr.strip()[-2000:]},
            )
        return done.stdout.strip()


def _first_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # psql puts the name of its input and a line number before it.
    return next((line.partition("ERROR:")[2].strip() or line for line in lines), "no reason was given")


def _remedy(status: int) -> str:
    # 2: the connection failed or was lost (psql's manual).
    if status == 2:
        return "See that the server runs, the name of the database, and that the role may log in without being asked"
    return ""


def quote_name(name: str) -> str:
    """Return the name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return the text as SQL writes it, with standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"

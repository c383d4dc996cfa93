#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Take a PostgreSQL backup that is whole, digested and verified
version_added: 0.1.0
description:
  - Sees to it that a verified backup of one database with a given label exists.
  - The archive is written under a name that nobody takes for a backup, digested as it is written, made durable, read
    back, verified, and only then published by a rename. Whatever dies on the way, nothing is left that looks like a
    backup.
  - Looks before it writes, and names everything that stands in the way in one message (versions, rights, row
    security, space).
  - A backup with this label that is there already is never replaced. The one from before a migration stays the one
    from before.
  - Run it on the database's host, or where its client programs are.
author:
  - slipway.django contributors (@slipway)
requirements:
  - PostgreSQL 13 or newer
  - psql, pg_dump and pg_restore of the server's own major version, in C(/usr/lib/postgresql/N/bin),
    C(/usr/pgsql-N/bin) or C(PATH)
attributes:
  check_mode:
    description: Can run in check mode and predict what would change.
    support: full
    details: Looks and refuses as without it; writes nothing.
  diff_mode:
    description: Returns details on what has changed, or would change, in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details: By O(label). The digest of the backup that is there is checked each time.
  platform:
    description: Systems that it runs on.
    support: full
    platforms: linux
options:
  state:
    description: V(present) means that a verified backup with this O(label) exists.
    type: str
    choices: [present]
    default: present
  site:
    description: Name of the site. It is written into the manifest.
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  host:
    description: Host name of the server, or the directory of its UNIX socket. Without it the local socket is used.
    type: str
  port:
    description: Port of the server.
    type: int
  user:
    description:
      - Role that takes the backup. Without it the name of the system user.
      - It must be able to read everything in the database. A superuser can; C(pg_read_all_data) does not cover large
        objects and tables under row security.
      - For O(verify=schema) it must be able to make a database.
    type: str
  passfile:
    description:
      - Password file of PostgreSQL's programs, readable by its owner only.
      - There is no option for a password. It would be seen by others.
    type: path
  directory:
    description:
      - Directory of the backups. It is made when only its last part is missing.
      - Each backup is a directory below it, with C(database.dump) (custom format) and C(manifest.json).
    type: path
    required: true
  label:
    description:
      - What the backup is for, such as the id of the deployment that it belongs to.
      - One backup of a database has a label. When it is there and undamaged, nothing is changed.
    type: str
    required: true
  verify:
    description:
      - How far the backup is verified before it counts. Each level includes those before it.
      - V(list) reads the table of contents. It finds a file of a wrong kind and nothing else.
      - V(read) reads the archive to its end with C(pg_restore). It finds one that was cut.
      - V(checksum) reads it once more and compares SHA-256 with what was written. zstd archives have no checksum of
        their own.
      - V(schema) restores the schema into a throw-away database on the same server. It finds archives that are whole
        and can't be restored, because of a missing role, an extension, or a function that is called without its
        schema.
    type: str
    choices: [list, read, checksum, schema]
    default: schema
  timeout:
    description: Seconds that everything together may take.
    type: float
    default: 3600
  lock_wait_timeout:
    description: Seconds to wait for a table that somebody has locked.
    type: float
    default: 30
  free_space_factor:
    description: Share of the database's size that must be free in O(directory).
    type: float
    default: 0.5
notes:
  - Compression is C(zstd:1) with a client of version 16 or newer, else C(gzip:1).
  - What belongs to a database but is in no dump of it (its settings, rights, comment) is written into the manifest.
  - Do not build or change indexes meanwhile. C(CREATE INDEX CONCURRENTLY) waits for a running dump, and an C(ALTER
    TABLE) that waits for the dump blocks everybody behind it.
"""

EXAMPLES = r"""
- name: Take the backup from before the migrations
  slipway.django.pg_backup:
    site: shop
    database: shop
    directory: /var/backups/shop
    label: "{{ deployment.id }}"
  become: true
  become_user: postgres

- name: Take a backup of a managed database, where no database can be made to try it in
  slipway.django.pg_backup:
    site: shop
    database: shop
    host: db.example.com
    user: shop_backup
    passfile: /etc/shop/pgpass
    directory: /var/backups/shop
    label: before-the-sale
    verify: checksum
"""

RETURN = r"""
msg:
  description: What was done or would be done, in words.
  returned: always
  type: str
reason:
  description: Why something was done, or why not.
  returned: success
  type: str
backup:
  description: The backup with this label. In check mode, what it would be.
  returned: success
  type: dict
  contains:
    id:
      description: Its id, which is the time at which it began (UTC).
      type: str
      sample: 20261121T160528.213Z
    path:
      description: Its directory.
      type: str
      sample: /var/backups/shop/20261121T160528.213Z
    label:
      description: Its label.
      type: str
    site:
      description: Name of the site.
      type: str
    database:
      description: Name of the database.
      type: str
    taken_at:
      description: When it was written (UTC).
      type: str
      sample: "2026-11-21T16:05:29Z"
    bytes:
      description: Size of the archive; null in check mode when it would be taken.
      type: int
    sha256:
      description: Digest of the archive; null in check mode when it would be taken.
      type: str
    levels:
      description: The levels of O(verify) that it has reached.
      type: list
      elements: str
    server_version:
      description: Version of the server.
      type: str
    client_version:
      description: Version of pg_dump.
      type: str
    compression:
      description: How the archive is compressed.
      type: str
      sample: zstd:1
    seconds:
      description: How long it took.
      type: dict
      contains:
        dump:
          description: To write the archive.
          type: float
        verify:
          description: To verify it.
          type: float
    warnings:
      description: What pg_dump said although it succeeded.
      type: list
      elements: str
removed:
  description: What runs that had died left behind (directories, throw-away databases) and was removed.
  returned: success
  type: list
  elements: str
problems:
  description: All that stands in the way, one sentence each.
  returned: failure, when the backup can't be taken
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import SystemDumper
from ansible_collections.slipway.django.plugins.module_utils._postgres._backup import Request, Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present"], "default": "present"},
    "site": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    "passfile": {"type": "path", "no_log": False},
    "directory": {"type": "path", "required": True},
    "label": {"type": "str", "required": True},
    "verify": {"type": "str", "choices": ["list", "read", "checksum", "schema"], "default": "schema"},
    "timeout": {"type": "float", "default": 3600},
    "lock_wait_timeout": {"type": "float", "default": 30},
    "free_space_factor": {"type": "float", "default": 0.5},
}


def as_result(result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    after = {name: result.backup[name] for name in ("id", "label", "levels")}
    return {
        "changed": result.plan.changed,
        "msg": result.words,
        "reason": result.plan.reason,
        "backup": result.backup,
        "removed": list(result.removed),
        "diff": {"before": result.before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        request = Request(
            connection=Connection(
                database=params["database"],
                host=params["host"],
                port=params["port"],
                user=params["user"],
                passfile=params["passfile"],
            ),
            directory=params["directory"],
            label=params["label"],
            site=params["site"],
            verify=params["verify"],
            timeout_s=params["timeout"],
            lock_wait_timeout_s=params["lock_wait_timeout"],
            free_space_factor=params["free_space_factor"],
        )
        clock = SystemClock()
        tools = Tools(
            runner=SystemRunner(),
            clock=clock,
            dumper=SystemDumper(clock),
            lock=lambda: directory_lock(request.directory, clock, timeout_s=5),
        )
        result = run(request, tools, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

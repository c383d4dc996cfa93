#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Take, verify, keep and remove PostgreSQL backups that are whole
version_added: 0.1.0
description:
  - Sees to it that a verified backup of one database with a given label exists, that one that is there is still whole,
    that one is gone, or that no more are kept than rules ask for.
  - The rows are of one moment, which is held still while they are counted and dumped. The archive is written under a
    name that nobody takes for a backup, made durable, digested, read back, verified, and only then published by a
    rename. Whatever dies on the way, nothing is left that looks like a backup.
  - Looks before it writes, and names everything that stands in the way in one message (versions, rights, row
    security, locks, space).
  - A backup with this label that is there already is never replaced. The one from before a migration stays the one
    from before.
  - Run it on the database's host, or where its client programs are.
author:
  - slipway.django contributors (@slipway)
requirements:
  - PostgreSQL 13 or newer
  - psql, pg_dump, pg_dumpall and pg_restore of the server's own major version, in C(/usr/lib/postgresql/N/bin),
    C(/usr/pgsql-N/bin) or C(PATH)
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.retention
  - slipway.django.postgres
attributes:
  check_mode:
    support: full
    details: Looks and refuses as without it; writes nothing. Says what retention would remove.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: By O(label). The digests of the backup that is there are checked each time.
  platform:
    support: full
    platforms: linux
options:
  state:
    description:
      - V(present) means that a verified backup with this O(label) exists.
      - V(verified) means that the backup that O(backup) names is whole and has reached the level O(verify). All its
        files are read each time. Something changes only when a new level is reached.
      - V(absent) means that the backup that O(backup) names is gone.
      - V(pruned) means that no backup is there that none of the rules O(keep_last), O(keep_days), O(keep_daily),
        O(keep_weekly) and O(keep_monthly) keeps.
    type: str
    choices: [present, verified, absent, pruned]
    default: present
  site:
    description: Name of the site. It is written into the manifest. Needed for O(state=present).
    type: str
  database:
    description: Name of the database.
    type: str
    required: true
  directory:
    description:
      - Directory of the backups. It is made when only its last part is missing.
      - Each backup is a directory below it, with C(manifest.json) and its digest, C(database.dump) or the directory
        C(database), and C(globals.sql) with the roles and tablespaces of the server, without passwords, where the role
        may see them.
    type: path
    required: true
  label:
    description:
      - What the backup is for, such as the id of the deployment that it belongs to. Needed for O(state=present).
      - One backup of a database has a label. When it is there and undamaged, nothing is changed.
    type: str
  backup:
    description:
      - Which backup is meant by O(state=verified) and O(state=absent). Its id, its label, or V(latest), which
        O(state=absent) does not accept.
    type: str
  verify:
    description:
      - How far the backup is verified before it counts. Each level includes those before it. At every level all files
        are read back and compared with their digests first.
      - V(list) reads the table of contents. It finds a file of a wrong kind and nothing else.
      - V(read) reads the archive to its end with C(pg_restore). It finds one that was cut.
      - V(checksum) promises that SHA-256 of every file is that of what was written. zstd archives have no checksum of
        their own.
      - V(schema) restores the schema into a throw-away database on the same server. It finds archives that are whole
        and can't be restored, because of a missing role, an extension, or a function that is called without its
        schema.
      - V(restore) restores everything into a throw-away database on the same server, which must have room for it, and
        compares what is there with what was counted when the dump was taken.
      - The room for V(schema) and V(restore) is looked at first when the server is of this host (RV(space)).
    type: str
    choices: [list, read, checksum, schema, restore]
    default: schema
  fingerprint:
    description:
      - What is counted in the moment of the dump, and compared after a restore.
      - V(counts) counts the rows of each table. V(content) also adds up a hash of each row, which costs about two
        thirds of what the dump costs the server. V(none) counts nothing.
    type: str
    choices: [none, counts, content]
    default: counts
  jobs:
    description:
      - How many processes dump tables at the same time. With more than one the archive is a directory.
      - It helps when no table holds most of the data, and needs as many connections more.
    type: int
    default: 1
  pin:
    description:
      - V(true) pins the backup, so that no retention removes it. V(false) takes the pin away.
      - Without it the pin stays as it is.
    type: bool
  force_pinned:
    description: Lets O(state=absent) remove a backup that is pinned.
    type: bool
    default: false
  shrink_guard:
    description:
      - Share of the rows, or of the size, of the backup before that the new one must have. Otherwise nothing is
        published. A backup of an emptied database must not push the good ones out.
      - V(0) turns it off.
    type: float
    default: 0.5
  allow_shrink:
    description: Takes the backup although O(shrink_guard) would refuse it. Retention removes nothing then.
    type: bool
    default: false
  keep_last:
    description:
      - Keeps so many of the newest backups. A backup stays when any rule keeps it.
      - With at least one of the rules O(state=present) removes what none of them keeps, last of all, and only when
        O(verify) is at least V(checksum).
      - The newest backup, a pinned one, the newest that has reached a level, and what is damaged or of another
        database always stay.
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
  progress_file:
    description: A file that says how far the work is, written at most once a second. Another program may read it.
    type: path
notes:
  - The role must be able to read everything in the database. A superuser can; C(pg_read_all_data) does not cover large
    objects and tables under row security. For O(verify=schema) and O(verify=restore) it must be able to make a
    database.
  - Compression is C(zstd:1) with a client of version 16 or newer, else C(gzip:1).
  - What belongs to a database but is in no dump of it (its settings, rights, comment) is written into the manifest.
  - Do not build or change indexes meanwhile. C(CREATE INDEX CONCURRENTLY) waits for a running dump, and an C(ALTER
    TABLE) that waits for the dump blocks everybody behind it.
  - A sequence is of no moment. After a restore it may be ahead of what the manifest says.
seealso:
  - module: slipway.django.pg_backup_info
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
    pin: true

- name: Take the backup of the night, restore it once, and keep two weeks, eight Sundays and a year
  slipway.django.pg_backup:
    site: shop
    database: shop
    directory: /var/backups/shop
    label: "night-{{ ansible_date_time.date }}"
    fingerprint: content
    verify: restore
    keep_days: 14
    keep_weekly: 8
    keep_monthly: 12
  become: true
  become_user: postgres

- name: See that the newest backup is still what was written
  slipway.django.pg_backup:
    state: verified
    database: shop
    directory: /var/backups/shop
    backup: latest
    verify: checksum
  become: true
  become_user: postgres

- name: Remove a backup
  slipway.django.pg_backup:
    state: absent
    database: shop
    directory: /var/backups/shop
    backup: before-the-sale
    force_pinned: true
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
  description:
    - The backup that is meant. In check mode, what it would be, with null for what only the work can tell.
    - Empty with O(state=absent) and O(state=pruned).
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
    started_at:
      description: When the run began (UTC).
      type: str
      sample: "2026-11-21T16:05:28Z"
    taken_at:
      description: Of which moment its rows are (UTC).
      type: str
      sample: "2026-11-21T16:05:29Z"
    format:
      description: Format of the archive.
      type: str
      sample: custom
    compression:
      description: How the archive is compressed.
      type: str
      sample: zstd:1
    jobs:
      description: How many processes wrote it.
      type: int
    files:
      description: Its files, without the manifest.
      type: list
      elements: dict
      contains:
        path:
          description: Name below RV(backup.path).
          type: str
          sample: database.dump
        bytes:
          description: Size.
          type: int
        sha256:
          description: Digest.
          type: str
    bytes:
      description: Size of all files together. In check mode an estimate by the backup before, null without one.
      type: int
    rows:
      description: Rows of all tables together; null with O(fingerprint=none).
      type: int
    large_objects:
      description: How many large objects it has.
      type: int
    fingerprint:
      description: What was counted.
      type: str
    snapshot:
      description: Where the server's log stood in that moment, and when it was.
      type: dict
      contains:
        lsn:
          description: Position in the server's log.
          type: str
          sample: 0/1A2B3C4
        at:
          description: The moment (UTC).
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
    system_identifier:
      description: Number of the database cluster; empty where it may not be asked for.
      type: str
    encryption:
      description: How its files are encrypted; null when they are not.
      type: dict
    seconds:
      description: How long it took.
      type: dict
      contains:
        dump:
          description: To count and to write the archive.
          type: float
        verify:
          description: To verify it.
          type: float
    warnings:
      description: What it lacks without being wrong, and what pg_dump said although it succeeded.
      type: list
      elements: str
space:
  description:
    - What is known of the room where the server's data lie, when the backup is tried there; else empty.
    - It begins with C(not known) when the server is of another host, or may not be asked.
  returned: success
  type: str
  sample: 40960 MiB are free in /var/lib/postgresql/15/main and 1843 MiB are wanted
removed:
  description: What runs that had died left behind (directories, throw-away databases) and was removed.
  returned: success
  type: list
  elements: str
retention:
  description: What became of the other backups by the rules that were given; null when none was.
  returned: success
  type: dict
  contains:
    kept:
      description: Those that stay.
      type: list
      elements: dict
      contains: &decision
        id:
          description: Its id.
          type: str
        label:
          description: Its label.
          type: str
        reason:
          description: Why.
          type: str
    removed:
      description: Those that were removed, or would be.
      type: list
      elements: dict
      contains: *decision
    skipped:
      description: Why nothing was removed at all; else empty.
      type: str
problems:
  description: All that stands in the way, one sentence each.
  returned: failure, when the backup can't be taken
  type: list
  elements: str
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import SystemDumper
from ansible_collections.slipway.django.plugins.module_utils._postgres._backup import STATES, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._options import CONNECTION_OPTIONS, connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._plan import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Progress
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

RULES = ("keep_last", "keep_days", "keep_daily", "keep_weekly", "keep_monthly")
ARGUMENTS = {
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "site": {"type": "str"},
    "database": {"type": "str", "required": True},
    **CONNECTION_OPTIONS,
    "directory": {"type": "path", "required": True},
    "label": {"type": "str"},
    "backup": {"type": "str"},
    "verify": {"type": "str", "choices": ["list", "read", "checksum", "schema", "restore"], "default": "schema"},
    "fingerprint": {"type": "str", "choices": ["none", "counts", "content"], "default": "counts"},
    "jobs": {"type": "int", "default": 1},
    "pin": {"type": "bool"},
    "force_pinned": {"type": "bool", "default": False},
    "shrink_guard": {"type": "float", "default": 0.5},
    "allow_shrink": {"type": "bool", "default": False},
    **{name: {"type": "int"} for name in RULES},
    "min_keep": {"type": "int", "default": 2},
    "timeout": {"type": "float", "default": 3600},
    "lock_wait_timeout": {"type": "float", "default": 30},
    "free_space_factor": {"type": "float", "default": 0.5},
    "progress_file": {"type": "path"},
}
REQUIRED_IF = [
    ("state", "present", ("site", "label")),
    ("state", "verified", ("backup",)),
    ("state", "absent", ("backup",)),
]


def as_request(params: dict[str, Any]) -> Request:
    """Return what is wanted by the options."""
    return Request(
        connection=connection(params, params["database"]),
        directory=params["directory"],
        label=params["label"] or "",
        site=params["site"] or "",
        reference=params["backup"] or "",
        rules=Rules(**{name: params[name] for name in (*RULES, "min_keep")}),
        timeout_s=params["timeout"],
        lock_wait_timeout_s=params["lock_wait_timeout"],
        **{
            name: params[name]
            for name in (
                "verify", "fingerprint", "jobs", "pin", "force_pinned", "shrink_guard", "allow_shrink",
                "free_space_factor",
            )
        },
    )  # fmt: skip


def as_result(result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    kept = result.retention
    return {
        "changed": result.changed,
        "msg": result.words,
        "reason": result.plan.reason,
        "backup": result.backup,
        "space": result.space,
        "removed": list(result.removed),
        "retention": None if kept is None else {**asdict(kept), "skipped": result.retention_skipped},
        "diff": {
            "before": {**result.before, **({"removed": []} if kept else {})},
            "after": {
                **{name: result.backup[name] for name in ("id", "label", "levels") if name in result.backup},
                **({"removed": [decision.id for decision in kept.removed]} if kept else {}),
            },
        },
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, required_if=REQUIRED_IF, supports_check_mode=True)
    clock = SystemClock()
    try:
        request = as_request(module.params)
        tools = Tools(
            runner=SystemRunner(),
            clock=clock,
            dumper=SystemDumper(clock),
            lock=lambda: directory_lock(request.directory, clock, timeout_s=5),
            progress=Progress(module.params["progress_file"], clock),
        )
        result = run(request, tools, check_mode=module.check_mode, state=module.params["state"])
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

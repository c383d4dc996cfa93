#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a backup into a database of its own and compare it
version_added: 0.1.0
description:
  - Sees to it that a verified copy of a backup exists as a database of its own, beside the live one. The live database
    is read to say what would be lost, and never written to.
  - Looks before it begins, and names everything that stands in the way in one message (versions, roles, extensions,
    rights, space, damaged files).
  - The copy is made closed and bears a mark in its comment. What belongs to a database and is in no dump of it (owner,
    privileges, settings) is put back. Its rows are compared with the manifest, and only then the mark says that it is
    verified.
  - Never restores into a database that is there. Only databases that bear its mark are dropped.
  - M(slipway.django.pg_swap) lets the copy take the place of the live database.
author:
  - slipway.django contributors (@slipway)
requirements:
  - PostgreSQL 13 or newer, of the same major version as the server that was backed up
  - psql and pg_restore of that version, in C(/usr/lib/postgresql/N/bin), C(/usr/pgsql-N/bin) or C(PATH)
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.postgres
  - slipway.django.postgres.maintenance
attributes:
  check_mode:
    support: full
    details: Looks and refuses as without it, and reads all files of the backup; makes no database.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: By the mark. A copy that is verified is not restored again, and not compared again.
  platform:
    support: full
    platforms: linux
options:
  state:
    description:
      - V(present) means that a verified copy of O(backup) exists.
      - V(absent) means that there is no copy, whole or not.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description: Directory of the backups, as M(slipway.django.pg_backup) wrote it.
    type: path
    required: true
  backup:
    description:
      - Id or label of the backup, or V(latest). It is never guessed.
      - For O(state=absent) either this or O(target) is needed.
    type: str
  database:
    description: Name of the live database that the copy is meant for. It need not exist.
    type: str
    required: true
  source_database:
    description:
      - Name of the database that was backed up, when it is not O(database). For a copy of production on another server.
    type: str
  target:
    description:
      - Name of the copy. Without it, O(database) with C(__restore_) and the backup's id.
    type: str
  jobs:
    description: How many processes restore at once.
    type: int
    default: 1
  verify:
    description:
      - What is compared with the manifest. V(counts) compares the rows of each table, sequences and large objects,
        V(content) also a digest of all rows, which the backup must have (its fingerprint is V(content)).
    type: str
    choices: [none, counts, content]
    default: counts
  checks:
    description: Questions to the copy which must have the expected answer. They can only read.
    type: list
    elements: dict
    default: []
    suboptions:
      sql:
        description: A query that answers with one value.
        type: str
        required: true
      expected:
        description: The answer, as PostgreSQL writes it as text.
        type: str
        required: true
  keep_failed:
    description: Leave a copy that failed where it is, to be looked at. The next run drops it.
    type: bool
    default: false
  again:
    description:
      - Restore although the live database came from this backup by a swap. Without this nothing is done then, so that
        a task that is repeated does not take back what was written since.
    type: bool
    default: false
  count_rows:
    description: Count the rows of the live database to say what would be lost.
    type: bool
    default: true
  maintenance_work_mem:
    description: Memory that each process may use to build an index.
    type: str
    default: 256MB
  timeout:
    description: Seconds that everything together may take.
    type: float
    default: 3600
  progress_file:
    description: File that says how far it is, written at most once a second while it works.
    type: path
notes:
  - The role is a superuser, or has C(CREATEDB), is a member of all owners, and needs no extension that only a superuser
    can make.
  - Subscriptions are not restored. They would connect to another server by themselves.
  - The directory of the backups is locked meanwhile. No backup is taken or removed there.
"""

EXAMPLES = r"""
- name: Restore the backup from before the deployment
  slipway.django.pg_restore:
    database: shop
    directory: /var/backups/shop
    backup: "{{ deployment.id }}"
    jobs: 4
  become: true
  become_user: postgres
  register: restored

- name: Try last night's backup and drop the copy
  block:
    - name: Restore and ask the copy
      slipway.django.pg_restore:
        database: shop_drill
        source_database: shop
        directory: /var/backups/shop
        backup: latest
        verify: content
        checks:
          - sql: SELECT count(*) > 0 FROM public.orders WHERE created > now() - interval '2 days'
            expected: "true"
      become: true
      become_user: postgres
  always:
    - name: Drop the copy
      slipway.django.pg_restore:
        state: absent
        database: shop_drill
        source_database: shop
        directory: /var/backups/shop
        backup: latest
      become: true
      become_user: postgres
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
target:
  description: Name of the copy.
  returned: success
  type: str
  sample: shop__restore_20261121t160528213z
backup:
  description:
    - The backup, as RV(slipway.django.pg_backup#module:backup) has it. Null when a copy is dropped.
  returned: success
  type: dict
live_from:
  description:
    - C(backup) that the live database itself came from by a swap, and C(since) when; null when it did not, or when what
      was live before has been dropped.
  returned: success
  type: dict
loss:
  description:
    - What the live database has and the copy has not, as RV(slipway.django.pg_swap#module:loss) has it. Null when there
      is no live database.
  returned: success
  type: dict
migrations_lost:
  description:
    - Migrations that the live database has applied and the backup has not. The code that runs may need them.
  returned: success
  type: list
  elements: str
  sample: ["shop.0002_discount"]
space:
  description:
    - What is known of the room where the server's data lie, when there is something to restore; else empty.
    - It begins with C(not known) when the server is of another host, or may not be asked.
  returned: success
  type: str
  sample: 40960.0 MiB are free in /var/lib/postgresql/15/main and 1843.0 MiB are wanted
compared:
  description: What was compared, in words; empty when nothing was restored.
  returned: success
  type: str
seconds:
  description: How long C(restore), C(analyze) and C(verify) took; empty when nothing was restored.
  returned: success
  type: dict
warnings_of_restore:
  description: What pg_restore said although it succeeded.
  returned: success
  type: list
  elements: str
dropped:
  description: Copies that were dropped, or would be. What a restore that died had left is among them.
  returned: success
  type: list
  elements: str
problems:
  description: All that stands in the way, one sentence each.
  returned: failure, when something does
  type: list
  elements: str
differences:
  description: In what the copy is not what was backed up.
  returned: failure, when it was restored and compared
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._options import (
    CONNECTION_OPTIONS,
    MAINTENANCE_OPTIONS,
    connection,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore import Tools, as_result, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_plan import Request
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_work import Check
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "directory": {"type": "path", "required": True},
    "backup": {"type": "str"},
    "database": {"type": "str", "required": True},
    "source_database": {"type": "str"},
    "target": {"type": "str"},
    "jobs": {"type": "int", "default": 1},
    "verify": {"type": "str", "choices": ["none", "counts", "content"], "default": "counts"},
    "checks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"sql": {"type": "str", "required": True}, "expected": {"type": "str", "required": True}},
    },
    "keep_failed": {"type": "bool", "default": False},
    "again": {"type": "bool", "default": False},
    "count_rows": {"type": "bool", "default": True},
    "maintenance_work_mem": {"type": "str", "default": "256MB"},
    "timeout": {"type": "float", "default": 3600},
    "progress_file": {"type": "path"},
    **MAINTENANCE_OPTIONS,
    **CONNECTION_OPTIONS,
}
# Options that the logic has under the same name.
SAME = (
    "state", "directory", "database", "jobs", "verify", "keep_failed", "again", "count_rows", "maintenance_work_mem",
    "progress_file",
)  # fmt: skip


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ["backup"]), ("state", "absent", ["backup", "target"], True)],
        supports_check_mode=True,
    )
    params = module.params
    try:
        request = Request(
            connection=connection(params, params["maintenance_database"]),
            backup=params["backup"] or "",
            source_database=params["source_database"] or "",
            target=params["target"] or "",
            checks=tuple(Check(**check) for check in params["checks"]),
            timeout_s=params["timeout"],
            **{name: params[name] for name in SAME},
        )
        clock = SystemClock()
        tools = Tools(SystemRunner(), clock, lambda: directory_lock(request.directory, clock, timeout_s=5))
        result = run(request, tools, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

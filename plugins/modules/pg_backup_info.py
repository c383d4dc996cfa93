#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_info
short_description: Which PostgreSQL backups are in a directory, how old they are and how far they are verified
version_added: 0.1.0
description:
  - Lists the backups of M(slipway.django.pg_backup) in a directory, the newest first, and what is damaged or was left
    by a run that died.
  - Reads manifests and the sizes of files. Whether a file is still what was written is not read here; that is
    O(slipway.django.pg_backup#module:state=verified).
  - Changes nothing.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Reads only.
    support: none
  idempotent:
    description: Reads only.
    support: full
  platform:
    support: full
    platforms: linux
options:
  directory:
    description: Directory of the backups. One that is not there holds none.
    type: path
    required: true
  database:
    description: Lists the backups of this database only.
    type: str
  label:
    description: Lists the backups with this label only.
    type: str
  id:
    description: Lists the backup with this id only.
    type: str
seealso:
  - module: slipway.django.pg_backup
"""

EXAMPLES = r"""
- name: Which backups are there?
  slipway.django.pg_backup_info:
    directory: /var/backups/shop
    database: shop
  become: true
  become_user: postgres
  register: backups

- name: Refuse to go on when the newest backup is older than a day
  ansible.builtin.assert:
    that: backups.latest is not none and backups.latest.age < 86400
    fail_msg: "{{ backups.msg }}"
"""

RETURN = r"""
msg:
  description: The answer in one sentence.
  returned: always
  type: str
  sample: 3 backups, the newest is 20261121T160528.213Z (night-2026-11-21), 5 h old in /var/backups/shop
backups:
  description: The backups that are asked for, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id. RV(slipway.django.pg_backup#module:backup) has the other keys of a backup.
      type: str
    age:
      description: Seconds since the moment of its rows.
      type: int
    pinned:
      description: Why it is pinned; null when it is not.
      type: str
    complete:
      description: Whether all its files are there in their sizes.
      type: bool
latest:
  description: The newest of RV(backups) that is complete; null when there is none.
  returned: success
  type: dict
damaged:
  description:
    - Directories that look like a backup and are none, because their manifest is missing or damaged. Their database and
      label are not known, so that they are listed whatever is asked for, but for another O(id).
  returned: success
  type: list
  elements: dict
  contains: &entry
    name:
      description: Name of the directory.
      type: str
    path:
      description: Path of the directory.
      type: str
    problem:
      description: What is wrong.
      type: str
leftovers:
  description: What a run that works now, or has died, has there. The next one removes it.
  returned: success
  type: list
  elements: dict
  contains: *entry
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._listing import Wanted, look

ARGUMENTS = {
    "directory": {"type": "path", "required": True},
    "database": {"type": "str"},
    "label": {"type": "str"},
    "id": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    wanted = Wanted(database=params["database"], label=params["label"], id=params["id"])
    try:
        found = look(params["directory"], wanted, SystemClock().utcnow())
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        values = asdict(found)
        values.pop("directory")
        module.exit_json(changed=False, msg=found.words, latest=found.latest, **values)


if __name__ == "__main__":
    main()

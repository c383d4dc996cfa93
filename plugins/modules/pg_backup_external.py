#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_external
short_description: See that a backup that another program takes is whole and young enough
version_added: 0.1.0
description:
  - Asks pgBackRest, Barman, or any command that prints JSON, such as a provider's, for its backups, and succeeds when
    the newest one is whole and not older than O(max_age). It can then stand in for one of
    M(slipway.django.pg_backup).
  - No answer, an answer that is not understood, no backup, a newest one that failed, and one from the future are
    failures. A backup that is being taken is passed over.
  - The program's word is taken. What it says of its backups nobody here has read.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes
attributes:
  check_mode:
    support: full
    details: Changes nothing. The program is asked all the same.
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
options:
  kind:
    description:
      - Which program takes the backups.
      - V(pgbackrest) runs C(pgbackrest info --output=json). A backup with damaged pages is not whole.
      - V(barman) runs C(barman --format json list-backups). Only C(DONE) is whole.
      - V(json) runs O(command), and O(keys) says what its answer means.
    type: str
    required: true
    choices: [pgbackrest, barman, json]
  name:
    description: Stanza of pgBackRest, needed when there is more than one, or server of Barman.
    type: str
  command:
    description:
      - What is run instead, with its arguments, such as C(ssh) to the host of the backups before the same words. Its
        output must be that of O(kind).
      - No shell takes part, and everybody on the host sees the arguments. No secret belongs here.
    type: list
    elements: str
    default: []
  keys:
    description: Where the answer of O(kind=json) has what must be known of a backup.
    type: dict
    default: {}
    suboptions:
      list:
        description: Key of the list of backups. Without it the document is the list, or one backup.
        type: str
        default: ''
      id:
        description: Key of a backup's id.
        type: str
        default: id
      finished_at:
        description:
          - Key of the time at which it ended, in seconds since 1970, or by ISO 8601 with its zone.
          - A backup that has none does not count.
        type: str
        default: finished_at
      state:
        description: Key of its state.
        type: str
        default: state
      good:
        description: States of a backup that is whole. Needed with O(kind=json).
        type: list
        elements: str
        default: []
  max_age:
    description: Seconds since the end of the newest backup.
    type: float
    default: 86400
  before:
    description:
      - The backup must have ended before this time, and O(max_age) is counted to it. For a further attempt of a
        deployment whose first one may have changed the database.
      - By ISO 8601 with its zone, also as a deployment's id begins.
    type: str
    default: ''
  timeout:
    description: Seconds within which the program must have answered.
    type: float
    default: 60
notes:
  - Run it as the user that takes those backups, where the program is.
seealso:
  - module: slipway.django.pg_backup
"""

EXAMPLES = r"""
- name: See that last night's backup is there
  slipway.django.pg_backup_external:
    kind: pgbackrest
    name: shop
    max_age: 90000
  become: true
  become_user: postgres

- name: Ask the host of the backups
  slipway.django.pg_backup_external:
    kind: barman
    name: shop
    command: [ssh, backup.example.com, barman, --format, json, list-backups, shop]

- name: See that the provider has a snapshot of the last six hours
  slipway.django.pg_backup_external:
    kind: json
    command: [aws, rds, describe-db-snapshots, --db-instance-identifier, shop, --output, json]
    keys:
      list: DBSnapshots
      id: DBSnapshotIdentifier
      finished_at: SnapshotCreateTime
      state: Status
      good: [available]
    max_age: 21600
"""

RETURN = r"""
msg:
  description: Which backup stands in, in words.
  returned: always
  type: str
backup:
  description: The newest finished one.
  returned: success
  type: dict
  contains:
    id:
      description: Its id, as its program has it.
      type: str
      sample: 20260920-010002F_20260921-010003D
    by:
      description: As O(kind).
      type: str
    state:
      description: What its program says of it.
      type: str
      sample: DONE
    finished_at:
      description: When it ended (UTC).
      type: str
      sample: "2026-11-21T01:04:30Z"
    age:
      description: Seconds since then, up to O(before) when that is given.
      type: float
    bytes:
      description: Size, when the program says it.
      type: int
    way_back:
      description: What a person would run to bring it back. Nothing in this collection does.
      type: str
passed_over:
  description: Ids of newer ones, which are being taken or ended after O(before).
  returned: success
  type: list
  elements: str
external:
  description: Why no backup stands in.
  returned: failure, when the answer was understood
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._external import (
    KINDS,
    Found,
    Keys,
    Request,
    check,
)
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "kind": {"type": "str", "required": True, "choices": list(KINDS)},
    "name": {"type": "str"},
    "command": {"type": "list", "elements": "str", "default": []},
    "keys": {
        "type": "dict",
        "default": {},
        "no_log": False,
        "options": {
            "list": {"type": "str", "default": ""},
            "id": {"type": "str", "default": "id"},
            "finished_at": {"type": "str", "default": "finished_at"},
            "state": {"type": "str", "default": "state"},
            "good": {"type": "list", "elements": "str", "default": []},
        },
    },
    "max_age": {"type": "float", "default": 86400},
    "before": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 60},
}


def as_request(params: dict[str, Any]) -> Request:
    """Return what is wanted by the options."""
    return Request(
        kind=params["kind"],
        max_age_s=params["max_age"],
        name=params["name"] or "",
        command=tuple(params["command"]),
        before=params["before"],
        keys=Keys(**params["keys"]),
        timeout_s=params["timeout"],
    )


def as_result(found: Found, request: Request) -> dict[str, object]:
    """Return the values of the RETURN section."""
    one = found.backup
    return {
        "changed": False,
        "msg": found.words(request),
        "backup": {
            "id": one.id,
            "by": request.kind,
            "state": one.state,
            "finished_at": found.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "age": round(found.age_s, 3),
            "bytes": one.bytes,
            "way_back": request.way_back(one.id),
        },
        "passed_over": list(found.passed_over),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        request = as_request(module.params)
        found = check(request, SystemRunner(), SystemClock())
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(found, request))


if __name__ == "__main__":
    main()

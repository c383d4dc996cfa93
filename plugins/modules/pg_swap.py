#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_swap
short_description: Let a restored database take the place of the live one, and go back
version_added: 0.1.0
description:
  - Exchanges two databases by renaming them in one transaction. Whatever dies on the way, the live name belongs to one
    whole database, the old or the new.
  - Clients are locked out for as long as the server needs to see that all sessions have ended, about a tenth of a
    second. They wait at the door and are not refused, but those whose sessions end have to log in again.
  - What was live is kept under a dated name, frozen (nobody can log in), with a mark in its comment. State is read from
    these marks, never from a file.
  - Says in numbers what would be lost, and wants O(accept_data_loss) for it.
  - Only databases that bear a mark of M(slipway.django.pg_restore) are ever renamed to the live name or dropped.
author:
  - slipway.django contributors (@slipway)
requirements:
  - PostgreSQL 13 or newer
  - psql, in C(/usr/lib/postgresql/N/bin), C(/usr/pgsql-N/bin) or C(PATH)
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.postgres
  - slipway.django.postgres.maintenance
attributes:
  check_mode:
    support: full
    details: Looks and refuses as without it, and counts what would be lost; changes nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
options:
  state:
    description:
      - V(swapped) means that O(candidate) bears the live name, and what was live is kept.
      - V(reverted) means that what was live before the last swap is live again, and what came by it is kept.
      - V(dropped) means that nothing is kept from before any swap or revert.
    type: str
    choices: [swapped, reverted, dropped]
    required: true
  database:
    description: Name of the live database.
    type: str
    required: true
  candidate:
    description: Name of the restored database, as RV(slipway.django.pg_restore#module:target) says it.
    type: str
  accept_data_loss:
    description:
      - What was written to the live database since the backup (or, for O(state=reverted), since the swap) is not in
        the one that comes. Without this the task fails and says how much that is.
    type: bool
    default: false
  count_rows:
    description: Count the rows of all tables of both databases to say what would be lost.
    type: bool
    default: true
  max_wait:
    description:
      - Seconds in which all sessions must have ended; new logins wait meanwhile. The server itself waits for 5 at most.
    type: float
    default: 5
  attempts:
    description: How often it is tried when a session does not end. Each time all is rolled back.
    type: int
    default: 3
  older_than:
    description: With O(state=dropped), drop only what was kept for so many days.
    type: float
    default: 0
notes:
  - The role is a superuser, or the owner of the databases with C(CREATEDB). To end the sessions of others it must be a
    member of C(pg_signal_backend).
  - An application has to connect again once. In Django, C(CONN_HEALTH_CHECKS) or C(CONN_MAX_AGE=0) does that.
  - A server or pooler that names databases by their oid, and tools that keep a list of databases, must be told.
"""

EXAMPLES = r"""
- name: Let the restored database take the place of the live one
  slipway.django.pg_swap:
    state: swapped
    database: shop
    candidate: "{{ restored.target }}"
    accept_data_loss: true
  become: true
  become_user: postgres

- name: Go back to what was live before
  slipway.django.pg_swap:
    state: reverted
    database: shop
    accept_data_loss: true
  become: true
  become_user: postgres

- name: Drop what was kept for more than a week
  slipway.django.pg_swap:
    state: dropped
    database: shop
    older_than: 7
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
kept:
  description: Name of the database that was live before, or would be; null when there is none.
  returned: success
  type: str
  sample: shop__old_20261121t160528z
outage_ms:
  description:
    - Milliseconds from the last answer of the one database to the first of the other, as a client saw it that logged in
      again and again. Null when nothing was exchanged, or the role may not log in to the live database.
  returned: success
  type: int
sessions_ended:
  description: How many sessions were ended for it.
  returned: success
  type: int
attempts:
  description: How often it was tried; 0 when nothing had to be exchanged.
  returned: success
  type: int
dropped:
  description: Names of the databases that were dropped, or would be.
  returned: success
  type: list
  elements: str
loss:
  description:
    - What the live database has and the one that comes has not; null when nothing is exchanged.
    - Returned by a refusal too, when O(accept_data_loss) was not given.
  returned: success
  type: dict
  contains:
    since:
      description: Of which moment the database that comes is (UTC).
      type: str
    age:
      description: Seconds since then.
      type: int
    wal_bytes:
      description: Bytes of this server's log since then, all its databases together; null on another server.
      type: int
    tables:
      description: Tables with another number of rows; null when they were not counted.
      type: list
      elements: dict
      contains:
        table:
          description: Schema and name.
          type: str
        rows_live:
          description: Rows in the live database; null when it has no such table.
          type: int
        rows_kept:
          description: Rows in the one that comes; null when it has no such table.
          type: int
    text:
      description: All of it in a sentence.
      type: str
databases:
  description: All databases of this server that bear a mark and belong to this one.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    phase:
      description:
        - C(restoring), C(verified) (could be swapped in), C(old) (was live before a swap) or C(failed) (was live before
          a revert).
      type: str
    backup:
      description: Id of the backup that was restored in the same go.
      type: str
    at:
      description: Since when it is in this phase (UTC).
      type: str
    bytes:
      description: Its size; null where the role may not ask.
      type: int
problems:
  description: All that stands in the way, one sentence each.
  returned: failure, when something does
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._options import (
    CONNECTION_OPTIONS,
    MAINTENANCE_OPTIONS,
    connection,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap import Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap_plan import Request
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "state": {"type": "str", "choices": ["swapped", "reverted", "dropped"], "required": True},
    "database": {"type": "str", "required": True},
    "candidate": {"type": "str"},
    "accept_data_loss": {"type": "bool", "default": False},
    "count_rows": {"type": "bool", "default": True},
    "max_wait": {"type": "float", "default": 5},
    "attempts": {"type": "int", "default": 3},
    "older_than": {"type": "float", "default": 0},
    **MAINTENANCE_OPTIONS,
    **CONNECTION_OPTIONS,
}


def as_result(result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    plan = result.plan
    incoming = plan.incoming.name if plan.incoming else None
    return {
        "changed": plan.changed,
        "msg": result.words,
        "reason": plan.reason,
        "kept": plan.exchange.outgoing_name if plan.exchange else incoming,
        "outage_ms": result.outage.outage_ms if result.outage else None,
        "sessions_ended": result.outage.ended if result.outage else 0,
        "attempts": result.attempts,
        "dropped": list(result.dropped),
        "loss": result.loss.as_result() if result.loss else None,
        "databases": result.databases_as_result(),
        "diff": result.diff(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("state", "swapped", ["candidate"])], supports_check_mode=True
    )
    params = module.params
    try:
        request = Request(
            connection=connection(params, params["maintenance_database"]),
            database=params["database"],
            state=params["state"],
            candidate=params["candidate"] or "",
            accept_data_loss=params["accept_data_loss"],
            count_rows=params["count_rows"],
            max_wait_s=params["max_wait"],
            attempts=params["attempts"],
            older_than_days=params["older_than"],
        )
        result = run(request, Tools(SystemRunner(), SystemClock()), check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

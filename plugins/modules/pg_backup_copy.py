#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_copy
short_description: Keep copies of PostgreSQL backups in an S3-compatible storage, and bring them back
version_added: 0.1.0
description:
  - Sends a backup of M(slipway.django.pg_backup) to a bucket, brings one back, and removes those that no rule keeps.
  - A backup is digested before it is sent. Each object carries SHA-256, and the storage is asked afterwards what it
    holds. Last of all C(copy.json) is written. Without it there is no copy, so whatever dies on the way, nothing in the
    bucket looks like a copy that is none.
  - What is there already is not sent again. A run after an interrupted one goes on with the files that are missing; a
    copy that was damaged is repaired.
  - A backup that is brought back appears in the directory as a whole or not at all.
author:
  - slipway.django contributors (@slipway)
requirements:
  - boto3 1.36 or newer, for the Python that runs the module (C(ansible_python_interpreter))
  - a storage that speaks S3 and takes SHA-256 checksums with what is sent
  - age, for O(recipients) and O(identity)
extends_documentation_fragment:
  - slipway.django.attributes
attributes:
  check_mode:
    support: full
    details: Asks the storage as without it; sends, writes and removes nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: By the digests of the files. Each time the backup here is read, and the storage is asked for its checksums.
  platform:
    support: full
    platforms: linux
options:
  state:
    description:
      - V(sent) means that a whole copy of O(backup) is in the storage.
      - V(fetched) means that O(backup) is in O(directory), undamaged, as it was sent. One that is there and differs is
        never replaced.
      - V(pruned) means that copies of this site's database that no rule keeps are gone. The newest one, pinned ones and
        the newest that was verified by each level always stay. Copies that are not complete are left alone, as their
        upload may be running.
    type: str
    choices: [sent, fetched, pruned]
    required: true
  site:
    description: Name of the site. Only backups of it are meant.
    type: str
    required: true
  database:
    description: Name of the database. Only backups of it are meant.
    type: str
    required: true
  directory:
    description: Directory of the backups. Needed for O(state=sent) and O(state=fetched).
    type: path
  backup:
    description: Id or label of the backup, or V(latest).
    type: str
    default: latest
  bucket:
    description: Name of the bucket. It must be there.
    type: str
    required: true
  prefix:
    description:
      - What the names of all objects begin with, without a slash at its end.
      - Give each cluster a prefix of its own.
    type: str
    default: ""
  endpoint_url:
    description: Address of the storage. Without it Amazon's own.
    type: str
  region:
    description: Region of the bucket. Without it what the credentials' configuration says.
    type: str
  ca_bundle:
    description: File with the authorities that the storage's certificate is checked with. It is always checked.
    type: path
  addressing_style:
    description: Whether the bucket stands in the path or in the host name of an address.
    type: str
    choices: [auto, path, virtual]
    default: auto
  server_side_encryption:
    description: How the storage is asked to encrypt what it keeps. O(recipients) is independent of it.
    type: str
    choices: [AES256, "aws:kms"]
  kms_key_id:
    description: Key for O(server_side_encryption=aws:kms), when it is not the bucket's own.
    type: str
  profile:
    description: Profile in the shared credentials file.
    type: str
  credentials_file:
    description:
      - Shared credentials file in the format of Amazon's programs, readable by its owner only.
      - With neither this nor O(profile) nor O(access_key), credentials are looked for as Amazon's programs do, in the
        environment, in the user's own file, and in the role of the instance.
    type: path
  access_key:
    description: Access key, together with O(secret_key).
    type: str
  secret_key:
    description: Secret key. It goes to the module as all options do, and to no program and no message.
    type: str
  recipients:
    description:
      - Public keys (C(age1…), C(ssh-ed25519 …)) to which every file is encrypted before it leaves the host, the
        manifest too. C(copy.json) stays readable; it holds names, times, sizes and digests.
      - A plain copy never takes the place of an encrypted one.
    type: list
    elements: str
    default: []
  identity:
    description: File with the secret key of one of the recipients, readable by its owner only; for O(state=fetched).
    type: path
  keep_last:
    description: The newest so many copies are kept. A copy stays when any of the rules keeps it.
    type: int
  keep_days:
    description: Copies of backups of the last so many days are kept.
    type: int
  keep_daily:
    description: The last one of each of the newest so many days that have one (UTC) is kept.
    type: int
  keep_weekly:
    description: The last one of each of the newest so many weeks that have one (ISO 8601, UTC) is kept.
    type: int
  keep_monthly:
    description: The last one of each of the newest so many months that have one (UTC) is kept.
    type: int
  min_keep:
    description: The newest so many stay whatever the rules say. It is no rule by itself.
    type: int
    default: 2
  timeout:
    description: Seconds that everything together may take.
    type: float
    default: 3600
  progress_file:
    description:
      - File that says how far the work is while it runs, at most once a second.
      - The action plugin of this module sets it, and shows what it says.
    type: path
notes:
  - The rights that are needed are to list the bucket, and to read, write and remove below the prefix. Removing is
    needed for O(state=pruned) and to repair a copy. Who may also list and abort interrupted uploads lets go of those.
  - Who may write to the bucket can put another backup in place of this one. Digests find accidents; against intruders
    use the storage's own object lock, and credentials that only write.
seealso:
  - module: slipway.django.pg_backup
"""

EXAMPLES = r"""
- name: Send the newest backup away, encrypted
  slipway.django.pg_backup_copy:
    state: sent
    site: shop
    database: shop
    directory: /var/backups/shop
    bucket: example-backups
    prefix: prod/shop
    profile: backup
    recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p]
  become: true
  become_user: postgres
  vars:
    slipway_tools_python: /opt/slipway/venv/bin/python
    ansible_python_interpreter: "{{ slipway_tools_python }}"

- name: Keep copies of a fortnight, of eight weeks and of a year
  slipway.django.pg_backup_copy:
    state: pruned
    site: shop
    database: shop
    bucket: example-backups
    prefix: prod/shop
    profile: backup
    keep_days: 14
    keep_weekly: 8
    keep_monthly: 12

- name: Bring back the backup of a deployment from a storage of one's own
  slipway.django.pg_backup_copy:
    state: fetched
    site: shop
    database: shop
    directory: /var/backups/shop
    backup: 20261121T160528Z-3f2a9c1
    bucket: example-backups
    prefix: prod/shop
    endpoint_url: https://storage.example.com
    credentials_file: /etc/shop/storage-credentials
    identity: /etc/shop/backup-identity
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
copy:
  description: The copy that is meant; empty for O(state=pruned).
  returned: success
  type: dict
  contains: &copy
    id:
      description: Id of the backup.
      type: str
      sample: 20261121T160528.213Z
    label:
      description: Label of the backup.
      type: str
    site:
      description: Name of the site.
      type: str
    database:
      description: Name of the database.
      type: str
    taken_at:
      description: When the backup was taken (UTC).
      type: str
      sample: "2026-11-21T16:05:29Z"
    sent_at:
      description: When the copy was sent (UTC). In check mode, now.
      type: str
    pinned:
      description: Why the backup is pinned, or null.
      type: str
    levels:
      description: The levels by which the backup was verified when it was sent.
      type: list
      elements: str
    bytes:
      description: Size of all objects; null in check mode when it would be sent.
      type: int
    encryption:
      description: Method and recipients, or null.
      type: dict
copies:
  description: All whole copies of this site's database that are there now, or would be, the oldest first.
  returned: success
  type: list
  elements: dict
  contains: *copy
incomplete:
  description: Ids of which something is there that is no copy, because its upload runs or has died, or its mark is
    damaged.
  returned: success
  type: list
  elements: str
transferred:
  description: The files of the backup that were sent or fetched, or would be.
  returned: success
  type: list
  elements: str
backup_path:
  description: Directory of the backup on this host; null for O(state=pruned).
  returned: success
  type: str
kept:
  description: For O(state=pruned), what stays and why.
  returned: success
  type: list
  elements: dict
  contains: &decision
    id:
      description: Id of the backup.
      type: str
    label:
      description: Its label.
      type: str
    reason:
      description: Why, in words.
      type: str
removed:
  description: For O(state=pruned), what was removed or would be, and why.
  returned: success
  type: list
  elements: dict
  contains: *decision
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._run import run, system_tools
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._s3 import Credentials, Place
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._work import Request, Result
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules

ARGUMENTS = {
    "state": {"type": "str", "choices": ["sent", "fetched", "pruned"], "required": True},
    "site": {"type": "str", "required": True},
    "database": {"type": "str", "required": True},
    "directory": {"type": "path"},
    "backup": {"type": "str", "default": "latest"},
    "bucket": {"type": "str", "required": True},
    "prefix": {"type": "str", "default": ""},
    "endpoint_url": {"type": "str"},
    "region": {"type": "str"},
    "ca_bundle": {"type": "path"},
    "addressing_style": {"type": "str", "choices": ["auto", "path", "virtual"], "default": "auto"},
    "server_side_encryption": {"type": "str", "choices": ["AES256", "aws:kms"]},
    "kms_key_id": {"type": "str", "no_log": False},
    "profile": {"type": "str"},
    "credentials_file": {"type": "path", "no_log": False},
    "access_key": {"type": "str", "no_log": True},
    "secret_key": {"type": "str", "no_log": True},
    "recipients": {"type": "list", "elements": "str", "default": []},
    "identity": {"type": "path"},
    "keep_last": {"type": "int"},
    "keep_days": {"type": "int"},
    "keep_daily": {"type": "int"},
    "keep_weekly": {"type": "int"},
    "keep_monthly": {"type": "int"},
    "min_keep": {"type": "int", "default": 2},
    "timeout": {"type": "float", "default": 3600},
    "progress_file": {"type": "path"},
}
CHECKS = [("state", "sent", ["directory"]), ("state", "fetched", ["directory"])]
RULES = ("keep_last", "keep_days", "keep_daily", "keep_weekly", "keep_monthly", "min_keep")
PLACE = (
    "bucket", "prefix", "endpoint_url", "region", "ca_bundle", "addressing_style", "server_side_encryption",
    "kms_key_id",
)  # fmt: skip


def as_result(result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    return {
        "changed": result.changed,
        "msg": result.words,
        "reason": result.reason,
        "copy": result.copy,
        "copies": [copy.summary() for copy in result.copies],
        "incomplete": list(result.incomplete),
        "transferred": list(result.transferred),
        "backup_path": result.path,
        "kept": [vars(decision) for decision in result.kept],
        "removed": [vars(decision) for decision in result.removed],
        "diff": {"before": result.before, "after": result.after},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, required_if=CHECKS, supports_check_mode=True)
    params = module.params
    try:
        request = Request(
            state=params["state"],
            site=params["site"],
            database=params["database"],
            directory=params["directory"],
            backup=params["backup"],
            recipients=tuple(params["recipients"]),
            identity=params["identity"],
            rules=Rules(**{name: params[name] for name in RULES}),
            timeout_s=params["timeout"],
        )
        credentials = Credentials(
            params["profile"], params["credentials_file"], params["access_key"], params["secret_key"]
        )
        place = Place(**{name: params[name] for name in PLACE})
        tools = system_tools(place, credentials, SystemClock(), params["progress_file"])
        result = run(request, tools, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        for warning in result.warnings:
            module.warn(warning)
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

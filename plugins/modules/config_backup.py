#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_backup
short_description: Back up the configuration of a host, and bring it back
version_added: 0.1.0
description:
  - Sees to it that a backup of declared files and directories with a given label exists, or that they are again as such
    a backup has them.
  - A backup is one tar with a manifest of digests. It is written under a name that nobody takes for a backup, made
    durable, read back, and only then published by a rename. Whatever dies on the way, nothing is left that looks like a
    backup.
  - A backup with this label that is there already is never replaced.
  - Environment files hold secrets. The directory of the backups must be its owner's alone, and no result, diff or
    message has anything of what is in a file.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.retention
attributes:
  check_mode:
    support: full
    details: Looks and refuses as without it; writes nothing.
  diff_mode:
    support: full
    details: Paths, kinds, modes and owners. Never contents.
  idempotent:
    support: full
    details: By O(label). The digest of the backup that is there is checked each time.
  platform:
    support: full
    platforms: linux
options:
  state:
    description:
      - V(present) means that a backup with this O(label) exists.
      - V(restored) means that the paths of the backup that O(backup) names are as it has them. What is there before is
        backed up first, and its id is RV(saved). What the backup does not have stays as it is.
    type: str
    choices: [present, restored]
    default: present
  site:
    description: Name of the site. Backups of other sites in the same directory are not looked at.
    type: str
    required: true
  directory:
    description:
      - Directory of the backups, with mode 0700. It is made when only its last part is missing.
      - Each backup is a directory below it, with C(configuration.tar), C(manifest.json) and its digest.
    type: path
    required: true
  paths:
    description:
      - What is configuration on this host. O(state=restored) writes nothing outside of it.
      - Symbolic links on the way to a path are resolved. Below the first part that is a pattern, and below a directory,
        no link is followed. A link that is found is backed up as a link.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - A file, a directory with all that lies below it, a link, or a pattern with C(*), C(?) and C([]) for some.
          - A pattern finds hidden names only when it says so.
        type: path
        required: true
      optional:
        description:
          - Whether it may be missing. Nothing is backed up of it then, and nothing is said.
          - When its directory is gone at O(state=restored), it is left out and stands in RV(skipped).
        type: bool
        default: false
  label:
    description:
      - What the backup is for, such as the id of the deployment that it belongs to. Needed for O(state=present).
      - One backup of a site has a label. When it is there and undamaged, nothing is changed.
    type: str
  backup:
    description: >-
      Which backup is brought back, by its id, its label, or V(latest), which is none that O(state=restored) has made.
      Needed for O(state=restored).
    type: str
  only:
    description: Which paths of the backup are brought back, each with all that lies below it. Without it all are.
    type: list
    elements: path
    default: []
  keep_last:
    description:
      - Keeps so many of the newest backups. A backup stays when any rule keeps it.
      - With at least one of the rules O(state=present) removes what none of them keeps, last of all. The newest always
        stays.
  max_bytes:
    description: How much all files together may hold. More than that is data and no configuration.
    type: int
    default: 67108864
notes:
  - Owner, group, mode and time of each path are kept; access control lists and extended attributes are not.
  - It must run as root to read what others own and to give it back to them.
  - Nothing is reloaded. systemd, nginx and HAProxy go on with what they have read.
seealso:
  - module: slipway.django.pg_backup
"""

EXAMPLES = r"""
- name: Keep the configuration from before the deployment
  slipway.django.config_backup:
    site: shop
    directory: /var/backups/shop-configuration
    label: "{{ deployment.id }}"
    paths: &paths
      - path: /etc/nginx/conf.d/shop.conf
      - path: /etc/slipway/shop
      - path: /etc/systemd/system/shop-*
      - path: /srv/shop/releases/*/env
        optional: true
    keep_last: 20
  become: true

- name: Bring nginx's configuration back
  slipway.django.config_backup:
    state: restored
    site: shop
    directory: /var/backups/shop-configuration
    backup: latest
    paths: *paths
    only: [/etc/nginx/conf.d/shop.conf]
  become: true
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
  description: The backup that is meant. In check mode, what it would be.
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
      sample: /var/backups/shop-configuration/20261121T160528.213Z
    label:
      description: Its label.
      type: str
    site:
      description: Name of the site.
      type: str
    host:
      description: Name that the host gives itself.
      type: str
    taken_at:
      description: When it was taken (UTC).
      type: str
      sample: "2026-11-21T16:05:28Z"
    paths:
      description: What was declared.
      type: list
      elements: str
    absent:
      description: What was declared, optional, and not there.
      type: list
      elements: str
    bytes:
      description: Size of the archive; 0 in check mode when it is not there.
      type: int
    sha256:
      description: Digest of the archive; empty in check mode when it is not there.
      type: str
    files:
      description: What it has.
      type: list
      elements: dict
      contains:
        path:
          description: Where it belongs.
          type: str
        kind:
          description: V(file), V(directory) or V(symlink).
          type: str
        mode:
          description: Its mode; empty for a link.
          type: str
          sample: "0600"
        owner:
          description: Name of its owner, a number when there is none.
          type: str
        group:
          description: Name of its group, a number when there is none.
          type: str
        bytes:
          description: Size of a file.
          type: int
changes:
  description: What was brought back, or would be; empty with O(state=present).
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
    differs:
      description: In what it differed.
      type: list
      elements: str
      sample: [content, mode 0644 instead of 0600]
skipped:
  description: What is in the backup, optional, and can't be brought back, with the reason.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
    reason:
      description: Why.
      type: str
not_in_backup:
  description: What is declared and there, and not in the backup. It was left as it is.
  returned: success
  type: list
  elements: str
saved:
  description: Id of the backup of what was there before O(state=restored); empty when nothing was changed.
  returned: success
  type: str
removed:
  description: What runs that had died left behind and was removed.
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
problems:
  description: All that stands in the way, one sentence each.
  returned: failure, when it can't be backed up or brought back
  type: list
  elements: str
"""

import os
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._configuration._backup import (
    STATES,
    Request,
    Result,
    Tools,
    run,
)
from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import Declared
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._archive import free
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules

RULES = ("keep_last", "keep_days", "keep_daily", "keep_weekly", "keep_monthly")
ARGUMENTS = {
    "state": {"type": "str", "choices": list(STATES), "default": "present"},
    "site": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "paths": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"path": {"type": "path", "required": True}, "optional": {"type": "bool", "default": False}},
    },
    "label": {"type": "str"},
    "backup": {"type": "str"},
    "only": {"type": "list", "elements": "path", "default": []},
    **{name: {"type": "int"} for name in RULES},
    "min_keep": {"type": "int", "default": 2},
    "max_bytes": {"type": "int", "default": 67108864},
}
REQUIRED_IF = [("state", "present", ("label",)), ("state", "restored", ("backup",))]


def as_request(params: dict[str, Any]) -> Request:
    """Return what is wanted by the options."""
    return Request(
        directory=params["directory"],
        site=params["site"],
        paths=tuple(Declared(**one) for one in params["paths"]),
        label=params["label"] or "",
        reference=params["backup"] or "",
        only=tuple(params["only"]),
        rules=Rules(**{name: params[name] for name in (*RULES, "min_keep")}),
        max_bytes=params["max_bytes"],
    )


def as_result(result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    plan = result.restore
    return {
        "changed": result.changed,
        "msg": result.words,
        "reason": result.reason,
        "backup": result.backup,
        "changes": [{"path": one.entry.path, "differs": list(one.what)} for one in plan.changes] if plan else [],
        "skipped": [{"path": path, "reason": reason} for path, reason in plan.skipped] if plan else [],
        "not_in_backup": list(plan.extra) if plan else [],
        "saved": result.saved,
        "removed": list(result.removed),
        "retention": None if result.retention is None else asdict(result.retention),
        "diff": result.diff,
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, required_if=REQUIRED_IF, supports_check_mode=True)
    clock = SystemClock()
    try:
        request = as_request(module.params)
        tools = Tools(
            clock=clock,
            host=os.uname().nodename,
            lock=lambda: directory_lock(request.directory, clock, timeout_s=30),
            free=free,
        )
        result = run(request, tools, check_mode=module.check_mode, state=module.params["state"])
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result))


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Refuse a host that is not ready for a deployment
version_added: 0.1.0
description:
  - Holds a host against a checklist (user, free disk, directories, systemd units, commands) and reports all rows that
    do not pass at once.
  - Reads only.
author:
  - slipway.django contributors (@slipway)
attributes:
  check_mode:
    description: Can run in check mode and predict what would change.
    support: full
  diff_mode:
    description: Returns details on what has changed, or would change, in diff mode.
    support: none
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Systems that it runs on.
    support: full
    platforms: posix
options:
  root:
    description: Root directory of the site.
    type: path
    required: true
  user:
    description: System user that owns the site's files.
    type: str
    required: true
  free_mib:
    description: Free disk space, in MiB, that must be left at O(root).
    type: int
    default: 512
  directories:
    description: Directories that must exist and belong to O(user).
    type: list
    elements: path
    default: []
  units:
    description: Unit files that systemd must have.
    type: list
    elements: str
    default: []
  commands:
    description: Commands that must be found.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse an app host that is not ready
  slipway.django.host_check:
    root: /srv/shop
    user: shop
    free_mib: 1024
    directories: [/srv/shop/releases, /srv/shop/slots]
    units: [shop-web@.service]
    commands: [git]
"""

RETURN = r"""
rows:
  description: The checklist, also returned when a row did not pass.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: What was looked at.
      type: str
    passed:
      description: Whether the row passed.
      type: bool
    seen:
      description: What was found.
      type: str
    expected:
      description: What must be there.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import SystemHost, Wanted, check_host


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "free_mib": {"type": "int", "default": 512},
            "directories": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        rows = check_host(SystemHost(), Wanted(**module.params))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, rows=[vars(row) for row in rows])


if __name__ == "__main__":
    main()

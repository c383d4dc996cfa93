#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_check
short_description: Refuse an inventory or a selection of hosts that a deployment can't use
version_added: 0.1.0
description:
  - Finds what Ansible passes over in silence. An inventory that does not exist, a group that is empty or misspelt, a
    variable whose
    name is a near-miss of a known one, and a run that is narrowed by C(--limit), C(--tags) or C(--skip-tags).
  - Reports all findings at once. Connects to nothing and changes nothing; runs on the controller.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
options:
  groups:
    description: Hosts of each group of the inventory.
    type: dict
    required: true
  required_groups:
    description: Groups that must have at least one host.
    type: list
    elements: str
    default: [app, balancer, database]
  control_host:
    description: Inventory name of the host that keeps the lease.
    type: str
    required: true
  variables:
    description: Names of all variables of all hosts.
    type: list
    elements: str
    required: true
  known_variables:
    description: Names that are known besides the shared C(slipway_*) ones, for example the options of the roles.
    type: list
    elements: str
    default: []
  allowed_variables:
    description: Names of the project's own that look like a slip of a known name and are none.
    type: list
    elements: str
    default: []
  settings:
    description: Values of the shared variables that must be set.
    type: dict
    default: {}
  limit:
    description: The run's C(--limit), empty without one.
    type: str
    default: ""
  run_tags:
    description: The run's C(--tags), V(all) without them.
    type: list
    elements: str
    default: [all]
  skip_tags:
    description: The run's C(--skip-tags).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse an inventory that can't be used
  slipway.django.inventory_check:
    groups: "{{ groups }}"
    control_host: "{{ groups['database'] | first }}"
    variables: "{{ groups['all'] | map('extract', hostvars) | map('list') | flatten | unique }}"
    settings:
      slipway_site: "{{ slipway_site | default('') }}"
    limit: "{{ ansible_limit | default('') }}"
    run_tags: "{{ ansible_run_tags }}"
    skip_tags: "{{ ansible_skip_tags }}"
"""

RETURN = r"""
findings:
  description: What is wrong, a sentence each. Empty when the inventory can be used.
  returned: always
  type: list
  elements: str
  sample: ["group app is empty; the inventory has the groups: balancer, database, web"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._inventory import Inventory, refuse_unusable


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "groups": {"type": "dict", "required": True},
            "required_groups": {"type": "list", "elements": "str", "default": ["app", "balancer", "database"]},
            "control_host": {"type": "str", "required": True},
            "variables": {"type": "list", "elements": "str", "required": True},
            "known_variables": {"type": "list", "elements": "str", "default": []},
            "allowed_variables": {"type": "list", "elements": "str", "default": []},
            "settings": {"type": "dict", "default": {}},
            "limit": {"type": "str", "default": ""},
            "run_tags": {"type": "list", "elements": "str", "default": ["all"]},
            "skip_tags": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        refuse_unusable(Inventory(**module.params))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, findings=[])


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_check
short_description: Hold a host against the checklist of a deployment
version_added: 0.1.0
description:
  - Looks at user, disk, inodes, directories, units, services, live release, variables, addresses, certificates and
    commands of the team, and reports all rows of the checklist at once.
  - A row that could not be looked at is no pass.
  - Reads only. Commands of the team are run in check mode too; what they do is theirs.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
  - slipway.django.checklist
  - slipway.django.checklist.team
  - slipway.django.checklist.variables
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
  free_inodes:
    description: Free inodes that must be left at O(root). A file system that counts none passes.
    type: int
    default: 10000
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
  services:
    description: Units that must run.
    type: list
    elements: str
    default: []
  site:
    description: Name of the site, for its units C(<site>-web@blue.service) and the like. Empty to ask nothing of them.
    type: str
    default: ""
  kinds:
    description: Kinds of the site's processes that this host has.
    type: list
    elements: str
    choices: [web, asgi, worker, beat]
    default: []
  live_release:
    description: Release that must be live here and run. Empty when that is not known.
    type: str
    default: ""
  longest_task:
    description:
      - Seconds that the longest task of a worker takes. The worker's C(TimeoutStopSec) must be above it.
      - V(0) asks nothing.
    type: int
    default: 0
  reach:
    description: Addresses C(host:port) that must take connections from here.
    type: list
    elements: str
    default: []
  certificates:
    description: Certificates that must hold, each asked for by TLS from here.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name that the certificate must be for; it is sent to the server.
        type: str
        required: true
      address:
        description: Where the server is asked. Without it at O(certificates[].name).
        type: str
      port:
        description: Port of the server.
        type: int
        default: 443
      days:
        description: Days that must be left.
        type: int
        default: 14
      ca_path:
        description: File of the authorities that are accepted. Without it those of the system.
        type: path
  reach_timeout:
    description: Seconds for all addresses and certificates together, which are asked at once.
    type: float
    default: 10
  here:
    description: Name of this host; commands that name another place are left out.
    type: str
    default: ""
  haproxy_configuration:
    description: Configuration of HAProxy, from which RV(haproxy_idle) is read. Empty to read none.
    type: str
    default: ""
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
    required_variables: [SECRET_KEY, DATABASE_URL]
    environment: "{{ slipway_environment }}"
    reach: ["db1:5432", "db1:6379"]

- name: Refuse a certificate that ends soon
  slipway.django.host_check:
    root: /srv/shop
    user: shop
    services: [haproxy.service]
    certificates:
      - name: shop.example.com
        address: 127.0.0.1
        days: 21
"""

RETURN = r"""
rows:
  description: The checklist, also returned when a row refuses.
  returned: always
  type: list
  elements: dict
  contains:
    step:
      description: Step of the runbooks, C(A1) and so on.
      type: str
    check:
      description: What was looked at.
      type: str
    mark:
      description: V(passed), V(not asked), V(failed) or V(could not be checked). The last two refuse.
      type: str
    seen:
      description: What was found.
      type: str
    expected:
      description: What must be there.
      type: str
haproxy_idle:
  description: Seconds for which HAProxy keeps an idle connection at most. V(null) when it is not known.
  returned: always
  type: float
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._preflight._host import SystemHost, Wanted
from ansible_collections.slipway.django.plugins.module_utils._preflight._host_check import Checks, Means, check_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._keep_alive import idle_of
from ansible_collections.slipway.django.plugins.module_utils._preflight._network import read_address, read_certificate
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import refuse
from ansible_collections.slipway.django.plugins.module_utils._preflight._services import Services
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import TEAM_OPTIONS, read_commands
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction, take_secrets

CERTIFICATE = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str"},
    "port": {"type": "int", "default": 443},
    "days": {"type": "int", "default": 14},
    "ca_path": {"type": "path"},
}
ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "user": {"type": "str", "required": True},
    "free_mib": {"type": "int", "default": 512},
    "free_inodes": {"type": "int", "default": 10000},
    "directories": {"type": "list", "elements": "path", "default": []},
    "units": {"type": "list", "elements": "str", "default": []},
    "commands": {"type": "list", "elements": "str", "default": []},
    "services": {"type": "list", "elements": "str", "default": []},
    "site": {"type": "str", "default": ""},
    "kinds": {"type": "list", "elements": "str", "choices": ["web", "asgi", "worker", "beat"], "default": []},
    "live_release": {"type": "str", "default": ""},
    "longest_task": {"type": "int", "default": 0},
    "required_variables": {"type": "list", "elements": "str", "default": []},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "reach": {"type": "list", "elements": "str", "default": []},
    "certificates": {"type": "list", "elements": "dict", "default": [], "options": CERTIFICATE},
    "reach_timeout": {"type": "float", "default": 10},
    "haproxy_configuration": {"type": "str", "default": ""},
    "here": {"type": "str", "default": ""},
    "team_commands": {"type": "list", "elements": "dict", "default": [], "options": TEAM_OPTIONS},
}


def checks_of(params: Mapping[str, Any], environment: Mapping[str, object]) -> Checks:
    """Return what the host is held against, each part checked."""
    services = Services(
        root=params["root"],
        site=params["site"],
        kinds=params["kinds"],
        live=params["live_release"],
        running=params["services"],
        longest_task=params["longest_task"],
    )
    wanted = Wanted(
        root=params["root"],
        user=params["user"],
        free_mib=params["free_mib"],
        free_inodes=params["free_inodes"],
        directories=params["directories"],
        units=params["units"],
        commands=params["commands"],
        variables=params["required_variables"],
        given=[name for name, value in environment.items() if str(value)],
    )
    return Checks(
        host=wanted,
        services=services,
        reach=[read_address(f"reach[{index}]", text) for index, text in enumerate(params["reach"])],
        certificates=[read_certificate(f"certificates[{i}]", each) for i, each in enumerate(params["certificates"])],
        reach_s=params["reach_timeout"],
        commands=read_commands(params["team_commands"], params["here"]),
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    environment = take_secrets(module.params, module.no_log_values, ["environment"])["environment"]
    redact = Redaction({name: str(value) for name, value in environment.items()}, shown=[module.params["root"]])
    idle = None
    try:
        checks = checks_of(module.params, environment)
        idle, unread = idle_of(module.params["haproxy_configuration"])
        rows = [*check_rows(checks, Means(SystemHost(), SystemRunner(), SystemClock(), redact)), *unread]
        refuse(
            rows,
            untouched="Nothing was changed on this host",
            remedy="Run the provision playbook, or correct the host, and try again",
        )
    except SlipwayError as error:
        module.fail_json(msg=error.message, haproxy_idle=idle, **error.facts)
    module.exit_json(changed=False, haproxy_idle=idle, rows=[row.to_json() for row in rows])


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_check
short_description: Hold a built release against the checklist, before it serves
version_added: 0.1.0
description:
  - Looks at what needs the new code (settings, C(check --deploy), databases, caches and broker as the release reaches
    them, secrets in the source, vulnerable and unpinned packages, the web server's keep-alive, static files, commands
    of the team) and reports all rows of the checklist at once.
  - A row that could not be looked at is no pass.
  - Reads only. Commands of the team are run in check mode too; one that writes into the release is a failure.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
  - slipway.django.checklist.team
  - slipway.django.checklist.variables
requirements:
  - for the scan of secrets bc-detect-secrets 1.5 or detect-secrets 1.5
  - for the audit pip-audit 2.10, and an index that has its data
options:
  root:
    description: Root directory of the site.
    type: path
    required: true
  release_path:
    description: Directory of the release, staged or in a scratch directory.
    type: path
    required: true
  project_directory:
    description: Where C(manage.py) lies, seen from the release's source.
    type: str
    default: "."
  settings:
    description: Settings module. Without it as the environment or C(manage.py) says.
    type: str
    default: ""
  host:
    description: Name that C(ALLOWED_HOSTS) must take. Empty for none.
    type: str
    default: ""
  any_host:
    description: Whether C(*) in C(ALLOWED_HOSTS) is borne.
    type: bool
    default: false
  fail_level:
    description: Level of a message of C(check --deploy) from which on it refuses.
    type: str
    choices: [DEBUG, INFO, WARNING, ERROR, CRITICAL]
    default: WARNING
  allowed_checks:
    description: Ids of messages of C(check --deploy) that are borne, such as V(security.W004).
    type: list
    elements: str
    default: []
  reach_timeout:
    description: Seconds for the databases, caches and the broker together, which are asked at once.
    type: float
    default: 10
  requirements:
    description: Requirements file of the release, as role release has it. Empty when it installs none.
    type: str
    default: requirements.txt
  hashes:
    description: Whether each requirement must bear a digest of its content, not its version alone.
    type: bool
    default: false
  secrets:
    description:
      - Whether the source is scanned for secrets. V(always) makes a scanner that is not installed a failure.
      - Findings that stand in the repository's C(.secrets.baseline) are borne.
    type: str
    choices: [never, when_installed, always]
    default: when_installed
  secrets_command:
    description: The scanner, and arguments that stand before C(scan).
    type: list
    elements: str
    default: [detect-secrets]
  audit:
    description: Whether the packages are audited. V(always) makes a program that is not installed a failure.
    type: str
    choices: [never, when_installed, always]
    default: when_installed
  audit_command:
    description: The program, and further arguments of it, for example C([pip-audit, --vulnerability-service, osv]).
    type: list
    elements: str
    default: [pip-audit]
  audit_allowed:
    description: Ids or aliases of vulnerabilities that are borne.
    type: list
    elements: str
    default: []
  audit_no_data:
    description: What it means when the data can't be reached, in whole or for some packages.
    type: str
    choices: [fail, accept]
    default: fail
  unit_site:
    description: Name of the site whose web unit tells how the release will be started. Empty to ask nothing.
    type: str
    default: ""
  balancer_keep_alive:
    description:
      - Seconds for which the balancer keeps an idle connection, see RV(slipway.django.host_check#module:haproxy_idle).
    type: float
  static_releases:
    description: Names of releases whose static files must be in the merged static root.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds for each of the looks that start a program, but for the commands of the team.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Refuse a release that must not serve
  slipway.django.release_check:
    root: /srv/shop
    release_path: /srv/shop/releases/3f2a9c1d2e4f-0a1b2c3d
    host: shop.example.com
    required_variables: [SECRET_KEY]
    secrets: always
    team_commands:
      - name: migrations are made
        argv: [python, manage.py, makemigrations, --check, --dry-run]
        timeout: 60
  become: true
  become_user: shop
"""

RETURN = r"""
rows:
  description: The checklist, with the keys of RV(slipway.django.host_check#module:rows), also when a row refuses.
  returned: always
  type: list
  elements: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import find_site
from ansible_collections.slipway.django.plugins.module_utils._preflight._audit import Auditing
from ansible_collections.slipway.django.plugins.module_utils._preflight._django import LEVELS, Demands
from ansible_collections.slipway.django.plugins.module_utils._preflight._release import Wanted, release_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import refuse
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import TEAM_OPTIONS, read_commands
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction

WHEN = {"type": "str", "choices": ["never", "when_installed", "always"], "default": "when_installed"}
ARGUMENTS = {
    "root": {"type": "path", "required": True},
    "release_path": {"type": "path", "required": True},
    "project_directory": {"type": "str", "default": "."},
    "settings": {"type": "str", "default": ""},
    "host": {"type": "str", "default": ""},
    "any_host": {"type": "bool", "default": False},
    "fail_level": {"type": "str", "choices": list(LEVELS), "default": "WARNING"},
    "allowed_checks": {"type": "list", "elements": "str", "default": []},
    "reach_timeout": {"type": "float", "default": 10},
    "required_variables": {"type": "list", "elements": "str", "default": []},
    "requirements": {"type": "str", "default": "requirements.txt"},
    "hashes": {"type": "bool", "default": False},
    "secrets": WHEN,
    "secrets_command": {"type": "list", "elements": "str", "default": ["detect-secrets"], "no_log": False},
    "audit": WHEN,
    "audit_command": {"type": "list", "elements": "str", "default": ["pip-audit"]},
    "audit_allowed": {"type": "list", "elements": "str", "default": []},
    "audit_no_data": {"type": "str", "choices": ["fail", "accept"], "default": "fail"},
    "unit_site": {"type": "str", "default": ""},
    "balancer_keep_alive": {"type": "float"},
    "static_releases": {"type": "list", "elements": "str", "default": []},
    "team_commands": {"type": "list", "elements": "dict", "default": [], "options": TEAM_OPTIONS},
    "timeout": {"type": "int", "default": 120},
}


def wanted_of(params: Mapping[str, Any]) -> Wanted:
    """Return what the release is held against, each part checked."""
    return Wanted(
        root=params["root"],
        demands=Demands(
            fail_level=params["fail_level"],
            allowed=params["allowed_checks"],
            host=params["host"],
            any_host=params["any_host"],
            reach_s=params["reach_timeout"],
        ),
        variables=params["required_variables"],
        requirements=params["requirements"],
        hashes=params["hashes"],
        secrets_command=params["secrets_command"],
        secrets=params["secrets"],
        auditing=Auditing(
            command=params["audit_command"],
            when=params["audit"],
            allowed=params["audit_allowed"],
            no_data=params["audit_no_data"],
            timeout_s=params["timeout"],
        ),
        commands=read_commands(params["team_commands"], "release"),
        unit_site=params["unit_site"],
        balancer_keep_alive=params["balancer_keep_alive"],
        static_root=f"{params['root']}/static",
        static_releases=params["static_releases"],
        timeout_s=params["timeout"],
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        wanted = wanted_of(params)
        site = find_site(params["release_path"], params["project_directory"], params["settings"])
        redact = Redaction(site.environment, shown=[params["root"], site.paths.path, params["host"]])
        rows = refuse(
            release_rows(site, wanted, SystemRunner(), redact),
            untouched="Nothing live was changed",
            remedy="Correct the release and try again",
        )
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, rows=[row.to_json() for row in rows])


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: site_check
short_description: Hold a deployment against what only the controller knows
version_added: 0.1.0
description:
  - Looks at the time (windows, freezes), the sign-off, the previous deployment, the rehearsal on another site and
    commands of the team, and reports all rows of the checklist at once.
  - A row that could not be looked at is no pass.
  - Reads only. Commands of the team are run in check mode too; what they do is theirs.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
  - slipway.django.checklist
  - slipway.django.checklist.team
options:
  subject:
    description: Site and version, as a sign-off must name them.
    type: str
    required: true
  commit:
    description: Full commit id of the version.
    type: str
    default: ""
  deployment:
    description: Id of the deployment that asks. Empty for none.
    type: str
    default: ""
  deployments:
    description:
      - Result of M(slipway.django.deployment_info) on the control host. Without it nothing is asked of the past.
    type: dict
  previous_whole:
    description: Whether a deployment after one that did not end whole is refused too. Such a one usually mends it.
    type: bool
    default: false
  measured:
    description:
      - Figures from before by the name of their measure, as C(baseline) of the filter
        P(slipway.django.gate_summary#filter). With O(not_measured) a row.
    type: dict
  not_measured:
    description: Why there are none, by the name of the measure. The filter's C(missing).
    type: dict
  baseline_required:
    description: Whether it is refused when figures are missing. A site without traffic has none.
    type: bool
    default: false
  windows:
    description: Hours in which a deployment may begin. Without any it may at any time.
    type: list
    elements: dict
    default: []
    suboptions:
      days:
        description: Days on which it begins, V(mon) to V(sun).
        type: list
        elements: str
        required: true
      begins:
        description: Time at which it begins, in quotes, V("09:00").
        type: str
        required: true
      ends:
        description: Time at which it ends, no longer part of it. One before O(windows[].begins) is of the next day.
        type: str
        required: true
      zone:
        description: Time zone of both.
        type: str
        default: UTC
  freezes:
    description: Times in which nothing is deployed.
    type: list
    elements: dict
    default: []
    suboptions:
      begins:
        description: First day, V(2026-12-21), or first minute, V(2026-12-21 18:00).
        type: str
        required: true
      ends:
        description: Last day or minute, still part of it.
        type: str
        required: true
      zone:
        description: Time zone of both.
        type: str
        default: UTC
      reason:
        description: Why.
        type: str
        required: true
  exception:
    description: Why it is deployed outside of the windows or in a freeze all the same. It is shown in the report.
    type: str
    default: ""
  sign_off_required:
    description: Whether a person must have signed off.
    type: bool
    default: false
  sign_off:
    description: The sign-off, exactly C(<subject> by <name>).
    type: str
    default: ""
  rehearsal_log:
    description:
      - Folder of the deployment logs of another site, such as C(staging/log), where this commit must have been
        deployed and rolled back, both whole. Empty to ask nothing.
    type: path
  rehearsal_days:
    description: Days within which that must have been.
    type: int
    default: 14
  places:
    description:
      - All places where commands of the team are run. One with another O(team_commands[].where) would be run nowhere,
        and is a row that could not be checked. This module runs those of V(controller).
    type: list
    elements: str
    default: [controller]
"""

EXAMPLES = r"""
- name: Refuse a deployment at the wrong time
  slipway.django.site_check:
    subject: shop v2
    windows:
      - days: [mon, tue, wed, thu]
        begins: "09:00"
        ends: "16:00"
        zone: Europe/Berlin
    freezes:
      - begins: 2026-12-21
        ends: 2027-01-03
        zone: Europe/Berlin
        reason: nobody is there
    team_commands:
      - name: unit tests
        argv: [make, test]
        directory: /home/ci/shop
        timeout: 900
  delegate_to: localhost
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
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock, SystemClock
from ansible_collections.slipway.django.plugins.module_utils._preflight._calendar import read_freezes, read_windows
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import refuse
from ansible_collections.slipway.django.plugins.module_utils._preflight._site import Wanted, site_rows
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import (
    TEAM_OPTIONS,
    lost_rows,
    read_commands,
)
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction, take_secrets

CONTROLLER = "controller"
WINDOW = {
    "days": {"type": "list", "elements": "str", "required": True},
    "begins": {"type": "str", "required": True},
    "ends": {"type": "str", "required": True},
    "zone": {"type": "str", "default": "UTC"},
}
FREEZE = {
    "begins": {"type": "str", "required": True},
    "ends": {"type": "str", "required": True},
    "zone": {"type": "str", "default": "UTC"},
    "reason": {"type": "str", "required": True},
}
ARGUMENTS = {
    "subject": {"type": "str", "required": True},
    "commit": {"type": "str", "default": ""},
    "deployment": {"type": "str", "default": ""},
    "deployments": {"type": "dict"},
    "previous_whole": {"type": "bool", "default": False},
    "measured": {"type": "dict"},
    "not_measured": {"type": "dict"},
    "baseline_required": {"type": "bool", "default": False},
    "windows": {"type": "list", "elements": "dict", "default": [], "options": WINDOW},
    "freezes": {"type": "list", "elements": "dict", "default": [], "options": FREEZE},
    "exception": {"type": "str", "default": ""},
    "sign_off_required": {"type": "bool", "default": False},
    "sign_off": {"type": "str", "default": ""},
    "rehearsal_log": {"type": "path"},
    "rehearsal_days": {"type": "int", "default": 14},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "places": {"type": "list", "elements": "str", "default": [CONTROLLER]},
    "team_commands": {"type": "list", "elements": "dict", "default": [], "options": TEAM_OPTIONS},
}


def wanted_of(params: Mapping[str, Any], clock: Clock) -> Wanted:
    """Return what the deployment is held against, each part checked."""
    return Wanted(
        subject=params["subject"],
        commit=params["commit"],
        deployment=params["deployment"],
        deployments=params["deployments"],
        previous_whole=params["previous_whole"],
        measured=params["measured"],
        not_measured=params["not_measured"],
        baseline_required=params["baseline_required"],
        windows=read_windows(params["windows"]),
        freezes=read_freezes(params["freezes"]),
        exception=params["exception"].strip(),
        sign_off_required=params["sign_off_required"],
        sign_off=params["sign_off"],
        rehearsal_log=params["rehearsal_log"] or "",
        rehearsal_days=params["rehearsal_days"],
        lost=lost_rows(params["team_commands"], params["places"]),
        commands=read_commands(params["team_commands"], CONTROLLER),
        now=clock.utcnow(),
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    environment = take_secrets(module.params, module.no_log_values, ["environment"])["environment"]
    redact = Redaction({name: str(value) for name, value in environment.items()}, shown=[module.params["subject"]])
    try:
        rows = refuse(
            site_rows(wanted_of(module.params, SystemClock()), SystemRunner(), redact),
            untouched="Nothing was changed",
            remedy="See to what the rows say and run it again",
        )
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, rows=[row.to_json() for row in rows])


if __name__ == "__main__":
    main()

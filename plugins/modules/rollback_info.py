#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback_info
short_description: Decide whereto a site can go back
version_added: 0.1.0
description:
  - Reads the records of a site's deployments on its control host and decides which release a rollback brings back.
    Changes nothing.
  - The release before is the one that the deployment of the live release has replaced. A second rollback goes further
    back, never
    forward to the release that the first one left.
  - Refused when migrations may have been applied since that are not known to leave older code working; the refusal
    names the alternatives.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
options:
  root:
    description: Root directory of the site on the control host.
    type: path
    required: true
  release:
    description: Release to go back to, which must have served before. Empty for the one before the live one.
    type: str
    default: ""
  accept_schema:
    description: Exactly the migrations, comma-separated, that would block the way back and are known to do no harm.
    type: str
    default: ""
  schema:
    description:
      - What the live schema says of that release, which M(slipway.django.django_migrate_safe) asks with
        C(state=compatible).
      - V(fits) lets pass migrations of phase C(contract); those of which no catalog tells what they did to data still
        block the way. V(differs) blocks it whatever the records say. V(doubtful) and V(unasked) leave it to the
        records.
      - V(later) refuses nothing for the sake of the schema and tells RV(blocking), so that it can be asked.
    type: str
    choices: [unasked, later, fits, differs, doubtful]
    default: unasked
  schema_reason:
    description: The same in words, for the refusal; with V(unasked) why there is no answer.
    type: str
    default: ""
seealso:
  - module: slipway.django.deployment_info
"""

EXAMPLES = r"""
- name: Decide whereto
  slipway.django.rollback_info:
    root: /srv/shop
  become: true
  become_user: shop
  register: decided
"""

RETURN = r"""
release:
  description: Release to go back to.
  returned: success
  type: str
  sample: 3f2a9c1d2e4f-0a1b2c3d
version:
  description: Version that it was deployed as.
  returned: success
  type: str
  sample: v1
commit:
  description: Its commit.
  returned: success
  type: str
reason:
  description: From where to where, and what becomes of the schema.
  returned: success
  type: str
blocking:
  description: Migrations that would block the way by the records. Only with O(schema=later).
  returned: success
  type: list
  elements: str
migrations:
  description: Migrations that stay applied although the older release does not know them.
  returned: success
  type: list
  elements: str
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._deployment._rollback import (
    UNASKED,
    VERDICTS,
    Schema,
    decide,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._store import CONTROL, Store
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "release": {"type": "str", "default": ""},
            "accept_schema": {"type": "str", "default": ""},
            "schema": {"type": "str", "choices": list(VERDICTS), "default": UNASKED},
            "schema_reason": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        records = Store(module.params["root"], CONTROL).observe(SystemClock()).records
        decision = decide(
            records,
            release=module.params["release"],
            accept_schema=module.params["accept_schema"],
            schema=Schema(module.params["schema"], module.params["schema_reason"]),
        )
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    module.exit_json(changed=False, msg=decision.reason, **asdict(decision))


if __name__ == "__main__":
    main()

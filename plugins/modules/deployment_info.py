#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_info
short_description: What a site's control host remembers of its deployments
version_added: 0.1.0
description:
  - Tells who holds the lease and until when, which release serves, what was interrupted, and what was deployed before.
  - Reads the files that M(slipway.django.deployment) writes on the control host. A file that can't be understood is
    an error.
options:
  root:
    description: Absolute path of the site's directory. It must exist.
    type: path
    required: true
  limit:
    description: How many deployments RV(history) holds, the newest first.
    type: int
    default: 10
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Reads only.
  idempotent:
    support: full
    description: Reads only.
  platform:
    support: full
    platforms: posix
    description: Linux, with Python 3.9 or later.
seealso:
  - module: slipway.django.deployment
author:
  - slipway.django contributors (@slipway)
"""

EXAMPLES = r"""
- name: Ask the control host
  slipway.django.deployment_info:
    root: /srv/shop
  delegate_to: db1
  become: true
  become_user: shop
  register: known

- name: Show which version serves
  ansible.builtin.debug:
    msg: "{{ known.current.version | default('none yet') }}"
"""

RETURN = r"""
msg:
  description: The state in one sentence.
  returned: always
  type: str
lease:
  description:
    - The lease, V(null) when nobody holds one. A lease that ran out is shown until the next deployment is opened.
  returned: success
  type: dict
  contains:
    id:
      description: Id of the deployment that holds it.
      returned: when a lease is held
      type: str
    token:
      description: Its fencing token.
      returned: when a lease is held
      type: int
    site:
      description: Name of the site.
      returned: when a lease is held
      type: str
    kind:
      description: V(deploy), V(rollback), V(backup) or V(restore).
      returned: when a lease is held
      type: str
    version:
      description: The version that is being deployed.
      returned: when a lease is held
      type: str
    release:
      description: The release that is being deployed.
      returned: when a lease is held
      type: str
    actor:
      description: Who deploys.
      returned: when a lease is held
      type: str
    controller:
      description: The machine that Ansible runs on.
      returned: when a lease is held
      type: str
    reason:
      description: Why it is deployed.
      returned: when a lease is held
      type: str
    started_at:
      description: When the deployment was opened.
      returned: when a lease is held
      type: str
    step:
      description: The step that the deployment is in.
      returned: when a lease is held
      type: str
    step_since:
      description: When that step began.
      returned: when a lease is held
      type: str
    renewed_at:
      description: When the last checkpoint was made.
      returned: when a lease is held
      type: str
    expires_at:
      description: When the lease runs out.
      returned: when a lease is held
      type: str
    live:
      description: Whether it has not run out.
      returned: when a lease is held
      type: bool
    seconds_left:
      description: Whole seconds until it runs out.
      returned: when a lease is held
      type: int
    clock_went_back:
      description: Whether the last checkpoint lies in the future, because the clock was set back.
      returned: when a lease is held
      type: bool
interrupted:
  description:
    - The newest deployment, when it did not close by itself and no other one followed, with the keys of
      RV(slipway.django.deployment#module:deployment.interrupted). Otherwise V(null).
  returned: success
  type: dict
current:
  description:
    - The newest deployment after which its release serves (V(whole) or V(completed_with_errors)), with the keys of
      RV(slipway.django.deployment#module:deployment). V(null) before the first.
  returned: success
  type: dict
origin:
  description: What a deployment that is opened now would go back to if no attempt is pending, read off RV(current).
  returned: success
  type: dict
history:
  description: Deployments, the newest first, with the keys of RV(slipway.django.deployment#module:deployment).
  returned: success
  type: list
  elements: dict
lost:
  description:
    - Hosts that a deployment left behind and that no later one brought back, with C(host), C(deployment) and
      C(reason).
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._deployment._operations import info
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "limit": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **info(module.params["root"], module.params["limit"], SystemClock()))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()

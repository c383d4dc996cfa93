#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment
short_description: Lease, fencing token and journal of a deployment
version_added: 0.1.0
description:
  - Keeps two deployments of a site apart, and remembers what each of them did.
  - On the control host it keeps a lease with an owner, a reason and an expiry, one record and one journal for each
    deployment. On each other host it keeps the highest token that was seen, and a journal of what happened there.
  - A run opens a deployment, makes a checkpoint before each step that changes something, and closes the deployment
    with a verdict. A checkpoint is refused to a run that holds no lease, so a run that skipped its first play can't
    change anything.
  - The files are written in an order that tells the truth after each write, whatever kills the module or the
    controller. What is unreadable is never taken for absent.
  - Times are those of the control host, in UTC. A clock that is set back makes a lease last longer; then O(takeover)
    helps. A clock that is set forward can end a lease early; then the token, which does not follow the clock, keeps
    the first run off.
  - Do not put secrets into O(reason) or O(facts); both are stored and shown.
options:
  state:
    description:
      - V(opened) begins a deployment and takes the lease. It makes a new deployment each time.
        It is refused while another deployment holds a lease that has not run out.
        A deployment whose lease ran out, or was taken over, is closed as V(interrupted); the new one is a further
        attempt and inherits its origin.
      - V(checkpoint) begins a step. With O(scope=control) the lease must be this deployment's; it is extended by
        O(limit). With O(scope=host) no newer deployment may have been on this host.
      - V(closed) writes the verdict and gives the lease back.
    type: str
    required: true
    choices: [opened, checkpoint, closed]
  scope:
    description:
      - V(control) is the control host, V(host) is a host that the deployment changes.
      - O(state=opened) and O(state=closed) concern the control host alone.
    type: str
    default: control
    choices: [control, host]
  root:
    description: Absolute path of the site's directory. It must exist.
    type: path
    required: true
  site:
    description: Name of the site.
    type: str
    required: true
  id:
    description:
      - Id of the deployment, from RV(deployment.id) of O(state=opened). Needed by O(state=checkpoint) and
        O(state=closed).
      - It is not marked as required, so that a run without one is told why it has none.
    type: str
  token:
    description:
      - Fencing token, a number, from RV(deployment.token) of O(state=opened). Needed by O(state=checkpoint) and
        O(state=closed).
    type: str
  kind:
    description:
      - What is opened. V(backup), V(restore) and V(contract) hold the lease while they work on the database,
        V(configuration) while it brings files back, V(maintenance) while it opens or closes the site to visitors, and
        O(release) is the one that serves and stays. They are no attempts at a deployment.
    type: str
    default: deploy
    choices: [deploy, rollback, backup, restore, configuration, contract, maintenance]
  version:
    description: The version as a person names it, a tag, a branch or a commit. Needed by O(state=opened).
    type: str
  commit:
    description: Commit of the version, 7 to 64 hexadecimal digits. Needed by O(state=opened).
    type: str
  release:
    description: Name of the release that is to serve at the end. Needed by O(state=opened).
    type: str
  hosts:
    description: Hosts that the deployment is for, at least one. Needed by O(state=opened).
    type: list
    elements: str
    default: []
  actor:
    description: Who deploys. Shown to everybody who is refused meanwhile.
    type: str
    default: ""
  controller:
    description: The machine that Ansible runs on. Shown to everybody who is refused meanwhile.
    type: str
    default: ""
  reason:
    description:
      - With O(state=opened), why this is deployed. Shown to everybody who is refused meanwhile.
      - With O(state=closed), why the verdict is what it is.
    type: str
    default: ""
  limit:
    description:
      - Seconds that the step which begins now may take. The lease runs out after them unless a checkpoint extends it.
    type: int
    default: 120
  takeover:
    description:
      - With O(state=opened), the exact id of the deployment whose live lease is taken over, because its controller is
        known to be dead.
      - Another id than that of the lease's holder is refused; without a live lease the option does nothing.
    type: str
    default: ""
  command:
    description:
      - The command that a person would run again, shown in a refusal; for example V(ansible-playbook deploy.yml -i
        prod).
    type: str
  step:
    description: Name of the step that begins now. Needed by O(state=checkpoint).
    type: str
  facts:
    description:
      - Values to keep in the deployment's record, with O(state=checkpoint) and O(state=closed).
      - They are merged key by key; V(null) removes a key.
      - The key C(lost) (a host's name to a reason) marks hosts that the deployment had to leave behind.
    type: dict
    default: {}
  verdict:
    description:
      - How the deployment ended. Needed by O(state=closed).
      - After V(whole) and V(completed_with_errors) its release serves, and it is the origin of the next deployment.
        After V(rolled_back) and V(failed) the next one is a further attempt with the same origin.
    type: str
    choices: [whole, rolled_back, failed, completed_with_errors]
attributes:
  check_mode:
    support: full
    description:
      - Writes nothing and refuses what it would refuse. O(state=opened) predicts id and token; a checkpoint of that
        id is then accepted.
  diff_mode:
    support: full
    description: Shows holder, step, verdict and facts before and after, never an expiry.
  idempotent:
    support: partial
    details:
      - A repeated checkpoint of the same step, and closing again with the same verdict, change nothing.
        O(state=opened) always begins a deployment.
    description: A lease that is only extended is not reported as changed.
  platform:
    support: full
    platforms: posix
    description: Linux, with Python 3.9 or later.
seealso:
  - module: slipway.django.deployment_info
author:
  - slipway.django contributors (@slipway)
"""

EXAMPLES = r"""
- name: Begin a deployment
  slipway.django.deployment:
    state: opened
    root: /srv/shop
    site: shop
    version: v2
    commit: 3f2a9c1d4e5f60718293a4b5c6d7e8f901234567
    release: 3f2a9c1d4e5f-0a1b2c3d
    hosts: "{{ groups['app'] }}"
    actor: "{{ lookup('ansible.builtin.env', 'USER') }}"
    reason: release 2
    takeover: "{{ takeover | default('') }}"
  delegate_to: db1
  become: true
  become_user: shop
  register: opened

- name: Ask for the lease before a step of at most five minutes
  slipway.django.deployment:
    state: checkpoint
    root: /srv/shop
    site: shop
    id: "{{ opened.deployment.id }}"
    token: "{{ opened.deployment.token }}"
    step: drain of app1
    limit: 300
  delegate_to: db1
  become: true
  become_user: shop

- name: Ask this host whether a newer deployment has been here
  slipway.django.deployment:
    state: checkpoint
    scope: host
    root: /srv/shop
    site: shop
    id: "{{ opened.deployment.id }}"
    token: "{{ opened.deployment.token }}"
    step: drain of app1
  become: true
  become_user: shop

- name: Write the verdict and give the lease back
  slipway.django.deployment:
    state: closed
    root: /srv/shop
    site: shop
    id: "{{ opened.deployment.id }}"
    token: "{{ opened.deployment.token }}"
    verdict: completed_with_errors
    reason: app3 was lost
    facts:
      lost:
        app3: unreachable at its drain
  delegate_to: db1
  become: true
  become_user: shop
"""

RETURN = r"""
msg:
  description:
    - In words, why something was changed or not; of a failure, what was seen, what was left untouched and what to do.
  returned: always
  type: str
  sample: "Step 'drain of app1' begins; before it was 'backup of shop'."
deployment:
  description: The deployment. With O(scope=host) and with a failure only what the module was given.
  returned: success
  type: dict
  contains:
    id:
      description: Its id, UTC time and short commit.
      returned: success
      type: str
      sample: 20261121T160528Z-3f2a9c1
    token:
      description: Its fencing token; it grows with every deployment.
      returned: success
      type: int
      sample: 7
    attempt:
      description: 1, or more when the deployment before did not end whole.
      returned: O(scope=control)
      type: int
    first_attempt:
      description:
        - Id of the first attempt of the chain, its own id for attempt 1. It names what belongs to the whole chain.
      returned: O(scope=control)
      type: str
    backup_label:
      description:
        - Label of the backup that the way back would start from.
        - Its own id, but after an attempt that may have changed the schema that attempt's, so that the backup is from
          before the first migration.
      returned: O(scope=control)
      type: str
    site:
      description: Name of the site.
      returned: O(scope=control)
      type: str
    kind:
      description: As O(kind).
      returned: O(scope=control)
      type: str
    version:
      description: The version as it was asked for.
      returned: O(scope=control)
      type: str
    commit:
      description: Commit of the version.
      returned: O(scope=control)
      type: str
    release:
      description: Name of the release.
      returned: O(scope=control)
      type: str
    hosts:
      description: Hosts that it is for.
      returned: O(scope=control)
      type: list
      elements: str
    actor:
      description: Who deploys.
      returned: O(scope=control)
      type: str
    controller:
      description: The machine that Ansible runs on.
      returned: O(scope=control)
      type: str
    reason:
      description: Why it is deployed.
      returned: O(scope=control)
      type: str
    origin:
      description:
        - What the deployment goes back to when it fails, with the keys C(release), C(version), C(commit),
          C(deployment) and C(hosts). V(null) for the first deployment of a site.
        - C(contracted) names the migrations that earlier attempts may have applied and that its code need not be
          able to live with. As long as it is not empty, the schema is to be asked before anything goes back.
      returned: O(scope=control)
      type: dict
    interrupted:
      description:
        - What the deployment before left, when it did not close by itself, with C(id), C(how) (V(expired),
          V(taken_over) or V(lost)), C(step), C(last_seen), C(facts) and who it was. Otherwise V(null).
      returned: O(scope=control)
      type: dict
    started_at:
      description: When it was opened.
      returned: O(scope=control)
      type: str
    expires_at:
      description: When its lease runs out; V(null) when it holds none.
      returned: O(scope=control)
      type: str
    step:
      description: The step it is in, or was in at the end.
      returned: O(scope=control)
      type: str
    status:
      description: V(open), or how it ended.
      returned: O(scope=control)
      type: str
    verdict:
      description: How it ended, V(null) while it is open.
      returned: O(scope=control)
      type: str
    closed_at:
      description: When it was closed.
      returned: O(scope=control)
      type: str
    close_reason:
      description: Why its verdict is what it is.
      returned: O(scope=control)
      type: str
    facts:
      description: What its checkpoints kept.
      returned: O(scope=control)
      type: dict
step:
  description: The step that begins or goes on.
  returned: O(state=checkpoint)
  type: str
deployment_log:
  description: What the callback P(slipway.django.deployment_log#callback) writes about it.
  returned: success
  type: dict
holder:
  description:
    - Who holds the lease, with C(id), C(actor), C(controller), C(reason), C(started_at), C(step), C(step_since),
      C(expires_at).
  returned: when O(state=opened) is refused because of a live lease
  type: dict
takeover:
  description: The id that O(takeover) would have to be.
  returned: when O(state=opened) is refused because of a live lease
  type: str
refused:
  description:
    - Why it was refused, one of V(no_lease), V(held), V(taken), V(closed), V(unknown), V(other_site), V(stale_token),
      V(token_twice).
  returned: when the rules refused it
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._deployment._operations import run
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock

ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "required": True, "choices": ["opened", "checkpoint", "closed"]},
    "scope": {"type": "str", "default": "control", "choices": ["control", "host"]},
    "root": {"type": "path", "required": True},
    "site": {"type": "str", "required": True},
    "id": {"type": "str"},
    # Text, so that an empty one is answered with what it means and not with a type error.
    "token": {"type": "str", "no_log": False},
    "kind": {
        "type": "str",
        "default": "deploy",
        "choices": ["deploy", "rollback", "backup", "restore", "configuration", "contract", "maintenance"],
    },
    "version": {"type": "str"},
    "commit": {"type": "str"},
    "release": {"type": "str"},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "actor": {"type": "str", "default": ""},
    "controller": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "limit": {"type": "int", "default": 120},
    "takeover": {"type": "str", "default": ""},
    "command": {"type": "str"},
    "step": {"type": "str"},
    "facts": {"type": "dict", "default": {}},
    "verdict": {"type": "str", "choices": ["whole", "rolled_back", "failed", "completed_with_errors"]},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        required_if=[
            ("state", "opened", ["version", "commit", "release"]),
            ("state", "checkpoint", ["step"]),
            ("state", "closed", ["verdict"]),
        ],
    )
    try:
        module.exit_json(**run(module.params, SystemClock(), check_mode=module.check_mode))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()

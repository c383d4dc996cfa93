#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: service_slot
short_description: Run a release in one of the two slots of a host, beside the one that serves
version_added: 0.1.0
author: slipway.django contributors (@slipway)
description:
  - A host has two slots, V(blue) and V(green). Each is a symbolic link to a release, and an instance of the systemd
    units C(<site>-web@.service), C(<site>-asgi@.service), C(<site>-worker@.service) and C(<site>-beat@.service), which
    the role C(slipway.django.provision) installs.
  - The slot whose unit is enabled is the live one. The links and the enabled units are the only truth on a host; the
    module keeps nothing of its own.
  - A slot's link is never moved while anything of the slot runs, and the live slot is never touched by a start.
extends_documentation_fragment:
  - slipway.django.attributes
attributes:
  check_mode:
    support: full
    details: A release that is not on the host yet is no error then, since an earlier task would have brought it.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
    details: Linux with systemd 239 or newer.
requirements:
  - systemd
  - C(setpriv) of util-linux, for O(ready_command)
options:
  state:
    description:
      - V(started) runs O(release) in a slot, the one that holds it already or else the idle one, and waits until it is
        ready. The unit is not enabled yet. What serves in the other slot goes on, but for O(kind=beat), of which never
        two run. A unit that does not become ready is stopped again.
      - V(live) enables the unit of O(release), which must run, then disables and stops the one in the other slot.
      - V(stopped) disables and stops the unit in O(slot).
    type: str
    choices: [started, live, stopped]
    required: true
  site:
    description: Name of the site, first part of its units' names.
    type: str
    required: true
  root:
    description: Directory of the site. V(/srv/<site>) by default.
    type: path
  kind:
    description: Which of the site's services.
    type: str
    choices: [web, asgi, worker, beat]
    required: true
  release:
    description: Name of the release. Required for O(state=started) and O(state=live).
    type: str
  slot:
    description: The slot to stop. Required for O(state=stopped).
    type: str
    choices: [blue, green]
  ports:
    description:
      - TCP port of each slot, as its unit is told. Required for O(kind=web) and O(kind=asgi).
      - The service is ready when its own process listens there. When another one does, the start is refused.
    type: dict
    default: {}
  timeout:
    description: Seconds that the release has to become ready.
    type: float
    default: 60
  stop_timeout:
    description:
      - Seconds to wait for the end of a unit that is stopped. Longer than the C(TimeoutStopSec) of the unit, after
        which systemd ends its processes by force.
    type: float
    default: 60
  stop_signal:
    description:
      - Signal for all processes of a unit right before it is stopped. By default there is none, and the unit is
        stopped as its file says. V(SIGKILL) is for tests that want to see whether a drained service really had nothing
        to do.
    type: str
  ready_command:
    description:
      - Command that ends with status 0 when the service is ready, run again and again as O(user) in the release's
        C(src) with the release's environment. A relative path as its first word lies in the release. C(%i) is replaced
        by the slot.
      - Without it a worker or a scheduler is ready when it has run for 5 seconds.
    type: list
    elements: str
    default: []
  user:
    description: The user that the site's services run as. The name of the site by default.
    type: str
seealso:
  - module: slipway.django.health_gate
  - module: slipway.django.lb_drain
  - module: slipway.django.release
"""

EXAMPLES = r"""
- name: Start the new release beside the one that serves
  slipway.django.service_slot:
    state: started
    site: shop
    kind: web
    release: 4f1c2d9a7b30-9e01aa42
    ports:
      blue: 8001
      green: 8002
  become: true
  register: started

- name: Show where it runs
  ansible.builtin.debug:
    msg: "{{ inventory_hostname }}-{{ started.slot }} listens on {{ started.port }}"

- name: Make it the live one, after it has got the traffic
  slipway.django.service_slot:
    state: live
    site: shop
    kind: web
    release: 4f1c2d9a7b30-9e01aa42
    ports:
      blue: 8001
      green: 8002
    stop_timeout: 330
  become: true

- name: Start a worker and wait until it answers
  slipway.django.service_slot:
    state: started
    site: shop
    kind: worker
    release: 4f1c2d9a7b30-9e01aa42
    ready_command: [venv/bin/celery, -A, config, inspect, ping, -d, "worker-%i@app1"]
  become: true

- name: Stop what a failed deployment left
  slipway.django.service_slot:
    state: stopped
    site: shop
    kind: web
    slot: green
    ports:
      blue: 8001
      green: 8002
  become: true
"""

RETURN = r"""
slot:
  description: The slot of the release, or the one that was stopped. Also the end of its server's name in the balancer.
  returned: success
  type: str
  sample: green
other:
  description: The other slot.
  returned: success
  type: str
  sample: blue
unit:
  description: Name of the unit in this slot.
  returned: success
  type: str
  sample: shop-web@green.service
release:
  description: The release of this slot.
  returned: success
  type: str
  sample: 4f1c2d9a7b30-9e01aa42
port:
  description: Port of this slot; null for kinds without one.
  returned: success
  type: int
  sample: 8002
pid:
  description: Main process of the unit; null when it does not run.
  returned: success
  type: int
  sample: 4711
reason:
  description: Why this slot, and what was done or would be done.
  returned: success
  type: str
  sample: slot green is the idle one, blue is enabled; web in green linked to the release; web in green started
deployment_log:
  description: What the deployment log keeps of it.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.plugins.module_utils._service._operations import Host, run
from ansible_collections.slipway.django.plugins.module_utils._service._options import read_wanted
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Processes
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Systemd

ARGUMENT_SPEC = {
    "state": {"type": "str", "choices": ["started", "live", "stopped"], "required": True},
    "site": {"type": "str", "required": True},
    "root": {"type": "path"},
    "kind": {"type": "str", "choices": ["web", "asgi", "worker", "beat"], "required": True},
    "release": {"type": "str"},
    "slot": {"type": "str", "choices": ["blue", "green"]},
    "ports": {"type": "dict", "default": {}},
    "timeout": {"type": "float", "default": 60},
    "stop_timeout": {"type": "float", "default": 60},
    "stop_signal": {"type": "str"},
    "ready_command": {"type": "list", "elements": "str", "default": []},
    "user": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[
            ("state", "started", ("release",)),
            ("state", "live", ("release",)),
            ("state", "stopped", ("slot",)),
        ],
        supports_check_mode=True,
    )
    runner = SystemRunner()
    try:
        wanted = read_wanted(module.params, predicting=module.check_mode)
        module.exit_json(**run(wanted, Host(Systemd(runner), Processes(), runner, SystemClock())))
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_maintenance
short_description: Switch a site's maintenance page on and off at its balancer
version_added: 0.1.0
description:
  - Lets a balancer answer visitors with status 503, C(Retry-After) and a page of your own, and lets them in again.
    Health checks and operators pass as ever. Nothing is reloaded.
  - The switch outlives a reload and a restart of the balancer. Beside it lies who has switched it, when and why.
  - Nothing is believed because it was ordered. The balancer is asked as a visitor would ask it, before and after.
  - The balancer must be prepared, by the playbook C(provision) or by C(prepare) of role C(maintenance).
  - Run it on the balancer's host, on each one when there are several; role C(maintenance) sees to it that all of them
    are switched or none.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes
attributes:
  check_mode:
    support: full
    details: Reads, asks and refuses as without it; writes nothing and sends no order.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A page that is on already keeps its owner, its reason and its time.
  platform:
    support: full
    platforms: posix
options:
  driver:
    description:
      - Kind of the balancer.
      - V(haproxy) tells a map of HAProxy 2.4 or newer over its runtime API, and writes its file.
      - V(nginx_flag) makes and removes a file that nginx looks for with each request.
    type: str
    choices: [haproxy, nginx_flag]
    default: haproxy
  directory:
    description:
      - Absolute path of the directory that holds the switch. It is the one in the balancer's configuration.
      - The user that runs the task may make files in it.
    type: path
    required: true
  socket:
    description:
      - The runtime API of HAProxy, as the absolute path of a UNIX socket or as V(host:port), with C(level admin).
      - For O(driver=haproxy) only.
    type: str
    default: /run/haproxy/admin.sock
  state:
    description:
      - V(on) answers visitors with the maintenance page.
      - V(off) lets visitors in, and withdraws what was announced.
      - V(announced) changes nothing for visitors and remembers when maintenance is planned, for those who ask.
    type: str
    choices: ["on", "off", announced]
    required: true
  owner:
    description:
      - Who it is for, such as the id of a deployment.
      - With O(state=off), it is switched off only when that owner has switched it on; without an owner, in any case.
    type: str
    default: ""
  reason:
    description: Why. It is shown to whoever asks, so it holds no secret.
    type: str
    default: ""
  window_from:
    description: From when maintenance is planned, in UTC, with O(state=announced).
    type: str
    default: ""
  window_until:
    description: Until when maintenance is planned, in UTC, with O(state=announced).
    type: str
    default: ""
  probe_url:
    description: The balancer's own address, as its host reaches it. Any path will do; no request reaches the site.
    type: str
    default: http://127.0.0.1/
  probe_host:
    description: Host header of that request; by default that of O(probe_url).
    type: str
    default: ""
  timeout:
    description: Seconds within which a visitor must notice.
    type: float
    default: 5
notes:
  - Requests that are under way when it is switched on end as they would have. Open WebSockets stay.
  - Two tasks on one balancer are kept apart by a lock on O(directory).
"""

EXAMPLES = r"""
- name: Close the site to visitors
  slipway.django.lb_maintenance:
    directory: /var/lib/slipway/maintenance/shop
    probe_host: shop.example
    state: "on"
    owner: ada
    reason: a new database server

- name: Let visitors in again
  slipway.django.lb_maintenance:
    directory: /var/lib/slipway/maintenance/shop
    probe_host: shop.example
    state: "off"

- name: Remember when it is planned
  slipway.django.lb_maintenance:
    driver: nginx_flag
    directory: /var/lib/slipway/maintenance/shop
    state: announced
    window_from: 2026-11-22T22:00Z
    window_until: 2026-11-22T23:00Z
    reason: a new database server
"""

RETURN = r"""
msg:
  description: What was done or would be done, in words; of a failure, what was seen, what visitors get now, what to do.
  returned: always
  type: str
  sample: It is switched off; it was on since 2026-11-22 22:00:07 UTC, by ada
maintenance:
  description: The state now; in check mode, the one that would be.
  returned: success
  type: dict
  contains: &state
    state:
      description: One of V(on), V(off), V(announced).
      type: str
    since:
      description: When it was switched there, by the clock of the balancer; V(null) when nobody ever did.
      type: str
      sample: "2026-11-22T22:00:07.125000Z"
    owner:
      description: Who it is for.
      type: str
    reason:
      description: Why.
      type: str
    window:
      description: When it was planned, with the keys C(from) and C(until), or V(null).
      type: dict
before:
  description: The state before.
  returned: success
  type: dict
  contains: *state
closed:
  description: Whether visitors got the maintenance page when this task began.
  returned: success
  type: bool
waited:
  description: Seconds until a visitor noticed.
  returned: success
  type: float
deployment_log:
  description: What the callback P(slipway.django.deployment_log#callback) writes about it.
  returned: when something was switched
  type: dict
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import SocketSender
from ansible_collections.slipway.django.plugins.module_utils._deployment._request import one_line
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._maintenance._haproxy import HaproxySwitch
from ansible_collections.slipway.django.plugins.module_utils._maintenance._nginx import NginxSwitch
from ansible_collections.slipway.django.plugins.module_utils._maintenance._plan import (
    Memory,
    Request,
    State,
    read_window,
)
from ansible_collections.slipway.django.plugins.module_utils._maintenance._probe import ask, read_probe
from ansible_collections.slipway.django.plugins.module_utils._maintenance._switch import Driver, Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock

ARGUMENTS: dict[str, dict[str, Any]] = {
    "driver": {"type": "str", "choices": ["haproxy", "nginx_flag"], "default": "haproxy"},
    "directory": {"type": "path", "required": True},
    "socket": {"type": "str", "default": "/run/haproxy/admin.sock"},
    "state": {"type": "str", "choices": ["on", "off", "announced"], "required": True},
    "owner": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "window_from": {"type": "str", "default": ""},
    "window_until": {"type": "str", "default": ""},
    "probe_url": {"type": "str", "default": "http://127.0.0.1/"},
    "probe_host": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 5},
}


def make_driver(params: Mapping[str, Any]) -> Driver:
    """Return the switch of this kind of balancer."""
    if params["driver"] == "nginx_flag":
        return NginxSwitch(params["directory"])
    return HaproxySwitch(params["directory"], SocketSender(params["socket"]))


def as_result(result: Result, *, check_mode: bool) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    plan, before = result.plan, result.before
    return {
        "changed": plan.changed,
        "msg": plan.reason,
        "maintenance": plan.memory.to_json(),
        "before": before.memory.to_json(),
        "closed": before.closed,
        "waited": round(result.waited_s, 3),
        "diff": {"before": shown(before.memory, before.closed), "after": shown(plan.memory, plan.closed)},
        **({} if check_mode or not plan.changed else {"deployment_log": logged(plan.memory)}),
    }


def shown(memory: Memory, closed: bool) -> dict[str, object]:
    """Return what decides over C(changed), for the diff."""
    return {**memory.to_json(), "since": None, "visitors": "maintenance page" if closed else "site"}


def logged(memory: Memory) -> dict[str, object]:
    """Return what the log of the deployment is to hold."""
    return {"event": "maintenance.switched", **memory.to_json()}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    clock = SystemClock()
    try:
        probe = read_probe(params["probe_url"], params["probe_host"])
        request = Request(
            state=State(params["state"]),
            owner=one_line(params["owner"]),
            reason=one_line(params["reason"]),
            window=read_window(params["window_from"], params["window_until"]),
        )
        tools = Tools(
            driver=make_driver(params),
            directory=params["directory"],
            ask=lambda: ask(probe, clock),
            clock=clock,
            lock=lambda: directory_lock(params["directory"], clock, timeout_s=15),
        )
        result = run(request, tools, timeout_s=params["timeout"], check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(result, check_mode=module.check_mode))


if __name__ == "__main__":
    main()

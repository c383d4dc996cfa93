#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_pool
short_description: Let one of two pools of a balancer get all requests of a site
version_added: 0.1.0
description:
  - Blue-green. Two sets of servers, each a pool of the balancer, of which one is live.
  - Refuses before it changes anything when the set that is wanted has too few healthy servers, when a name is unknown,
    or when rights are missing.
  - Asks the balancer afterwards, waits until the set from before has no open request, and switches back when that or
    O(through) fails.
author:
  - slipway.django contributors (@slipway)
attributes:
  check_mode:
    support: full
    details: Reads and refuses as without it; sends no order and does not wait.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A second run still waits until the other set has no open request.
  platform:
    support: full
    platforms: posix
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.balancer
  - slipway.django.balancer.traffic
options:
  name:
    description:
      - What is switched.
      - With O(driver=haproxy) a key of the map in O(file), as C(use_backend %[str(shop),map(FILE)]) looks it up.
      - With O(driver=nginx_include) the variable of the map in O(file), without C($).
      - With O(driver=nginx_flag) the first part of the directory C(NAME.live) below O(nginx_flag.directory), in which a
        file with the name of the second set makes that one live.
    type: str
    required: true
  sets:
    description: The pool of each of the two sets, by the set's name. With O(driver=nginx_flag) the order counts.
    type: dict
    required: true
  live:
    description: Name of the set that shall get the requests.
    type: str
    required: true
  file:
    description:
      - With O(driver=haproxy) the map's file, as HAProxy's configuration names it.
      - With O(driver=nginx_include) a file that nginx includes, with C(map $host $NAME { default POOL; }).
    type: path
  min_healthy:
    description: How many servers of the set must be healthy. A number, or a share of the set such as V(50%).
    type: str
    default: 100%
  force:
    description: Switch although O(min_healthy) is not kept.
    type: bool
    default: false
  through:
    description: Requests are sent through the balancer until three in a row were answered by servers of the set, as
      they should. Otherwise it is switched back.
  timeout:
    description: Seconds until the set answers, and until the other one has no open request.
    type: float
    default: 60
  on_timeout:
    description:
      - What to do when requests are still open on the other set then.
      - V(fail) switches back and fails. V(wait) goes on waiting until O(wait_timeout), and fails then. V(cut) leaves
        them there and says how many.
notes:
  - A switch loses no request where it needs no reload (HAProxy's map, nginx with flag files).
seealso:
  - module: slipway.django.lb_drain
"""

EXAMPLES = r"""
- name: Let green take over, as long as all of its servers are healthy and answer with the new release
  slipway.django.lb_pool:
    name: shop
    sets: {blue: shop_blue, green: shop_green}
    live: green
    file: /var/lib/slipway/live.map
    through:
      url: http://127.0.0.1/health/ready
      host: shop.example.com
      release: 3f2a9c1d2e4f-0a1b2c3d

- name: Back at once, whatever is open
  slipway.django.lb_pool:
    name: shop
    sets: {blue: shop_blue, green: shop_green}
    live: blue
    file: /var/lib/slipway/live.map
    timeout: 1
    on_timeout: cut
"""

RETURN = r"""
msg:
  description: What was done or would be done, in words.
  returned: always
  type: str
  sample: green takes the requests over from blue; of blue after 1.3 s none of its requests is left
reason:
  description: The same as RV(msg).
  returned: success
  type: str
live:
  description: The set that is live, or would be.
  returned: success
  type: str
before:
  description: The set that was live.
  returned: success
  type: str
left:
  description: Requests that were still open on the other set, with O(on_timeout=cut).
  returned: success
  type: int
waited:
  description: Seconds that it took.
  returned: success
  type: float
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import read_through
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import ARGUMENTS as BALANCER
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import (
    THROUGH,
    read_balancer,
    read_switch,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy
from ansible_collections.slipway.django.plugins.module_utils._balancer._switch import (
    Switched,
    SwitchRequest,
    SwitchTools,
    run_switch,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS: dict[str, Any] = {
    **BALANCER,
    "name": {"type": "str", "required": True},
    "sets": {"type": "dict", "required": True},
    "live": {"type": "str", "required": True},
    "file": {"type": "path"},
    "min_healthy": {"type": "str", "default": "100%"},
    "force": {"type": "bool", "default": False},
    "through": THROUGH,
    "timeout": {"type": "float", "default": 60},
    "on_timeout": {"type": "str", "choices": [one.value for one in AtDeadline], "default": "fail"},
    "wait_timeout": {"type": "float", "default": 3600},
}


def read_request(params: dict[str, Any]) -> SwitchRequest:
    """Return what is wanted.

    :raises InvalidOption: a value can't be used.
    """
    return SwitchRequest(
        wanted=params["live"],
        sets={name: str(pool) for name, pool in params["sets"].items()},
        min_healthy=MinHealthy.parse(params["min_healthy"]),
        force=params["force"],
        at_deadline=AtDeadline(params["on_timeout"]),
        timeout_s=params["timeout"],
        wait_timeout_s=max(params["wait_timeout"], params["timeout"]),
    )


def as_result(switched: Switched) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    plan = switched.plan
    return {
        "changed": plan.changed,
        "msg": switched.reason,
        "reason": switched.reason,
        "live": plan.after,
        "before": plan.before,
        "left": switched.left,
        "waited": round(switched.waited_s, 3),
        "diff": {"before": {"live": plan.before}, "after": {"live": plan.after}},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    clock, runner = SystemClock(), SystemRunner()
    try:
        request = read_request(module.params)
        request.validate()
        through = None if module.params["through"] is None else read_through(module.params["through"])
        balancer = read_balancer(module.params, clock, runner)
        switch = read_switch(module.params, clock, runner)
        tools = SwitchTools(switch, balancer.driver, clock, balancer.lock, through)
        switched = run_switch(request, tools, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(switched))


if __name__ == "__main__":
    main()

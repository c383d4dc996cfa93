#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_info
short_description: Say who serves in a balancer's pools, who is out, and since when
version_added: 0.1.0
description:
  - Reads the pools of a balancer with their servers, and what M(slipway.django.lb_drain) remembers of those that it
    took out.
  - Changes nothing. With HAProxy a socket of C(level user) is enough.
author:
  - slipway.django contributors (@slipway)
extends_documentation_fragment:
  - slipway.django.attributes.reads_only
  - slipway.django.balancer
options:
  pool:
    description: Names of the pools. Without it, all that the balancer knows.
    type: list
    elements: str
seealso:
  - module: slipway.django.lb_drain
"""

EXAMPLES = r"""
- name: See who serves
  slipway.django.lb_info:
    pool: shop
    state_file: /var/lib/slipway/haproxy.state
  register: balancer

- name: Refuse to go on when somebody has taken a server out
  ansible.builtin.assert:
    that: balancer.pools.shop.out == {}
    fail_msg: "{{ balancer.msg }}"
"""

RETURN = r"""
msg:
  description: Who serves and who is out, in words.
  returned: always
  type: str
  sample: >-
    In pool shop now serving: app1-blue, app2-blue; not serving: app3-blue (MAINT). app3-blue is out since
    2026-11-22T04:05:06Z for ticket 4711
pools:
  description: Each pool by its name.
  returned: success
  type: dict
  contains:
    servers:
      description: Its servers, in the balancer's order, with the keys of
        RV(slipway.django.lb_drain#module:servers[].before).
      type: list
      elements: dict
    serving:
      description: Names of those that serve.
      type: list
      elements: str
    not_serving:
      description: Names of the other ones.
      type: list
      elements: str
    out:
      description: Those that are remembered as taken out, each with C(state), C(since) (UTC), C(owner), and C(kept),
        which is false when the balancer has forgotten it and sends it requests again.
      type: dict
    process:
      description: Process id of the balancer, 0 where there is none on this host. Several where they share the work.
      type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._balancer._info import PoolInfo, look
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import ARGUMENTS as BALANCER
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import read_balancer
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS: dict[str, Any] = {**BALANCER, "pool": {"type": "list", "elements": "str"}}


def as_result(pools: tuple[PoolInfo, ...]) -> dict[str, object]:
    """Return the values of the RETURN section."""
    return {
        "changed": False,
        "msg": ". ".join(pool.in_words() for pool in pools) or "The balancer has no pool",
        "pools": {pool.name: pool.as_dict() for pool in pools},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        # The driver `readiness` has one pool, which bears the name that it is given.
        named = {**params, "pool": next(iter(params["pool"] or ()), None)}
        balancer = read_balancer(named, SystemClock(), SystemRunner())
        pools = look(balancer.driver, balancer.record, params["pool"])
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(pools))


if __name__ == "__main__":
    main()

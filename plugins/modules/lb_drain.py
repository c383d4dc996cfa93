#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_drain
short_description: Take servers out of a balancer's pool and bring them back without losing a request
version_added: 0.1.0
description:
  - Takes servers out of a pool when their last request has ended, and brings them back when the balancer's own health
    check is content.
  - Nothing is believed because it was ordered. Every answer of the balancer is judged, every order is read back.
  - Refuses before it changes anything when a name is unknown, when rights are missing, or when too few healthy
    servers would be left.
  - Run it on the balancer's host; with O(driver=readiness) on the server's own, with O(driver=alb) where AWS is
    reached.
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
    details: Judged by what the servers are told and by their weight. A second run still waits until no session is
      left.
  platform:
    support: full
    platforms: posix
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.balancer
  - slipway.django.balancer.traffic
options:
  pool:
    description:
      - Name of the pool. A C(backend) of HAProxy, an C(upstream) group of nginx, a target group of AWS.
      - With O(driver=readiness) any name.
    type: str
    required: true
  server:
    description: Names of the servers in the pool.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(drained) lets no new session on to the servers, waits until none is open, and leaves them in C(DRAIN). Their
        health checks go on. Clients with a persistence cookie still reach them.
      - V(maintenance) does the same, then leaves them in C(MAINT), where no client reaches them and no check is made.
        With O(driver=alb) the two are one.
      - V(ready) starts the health checks, waits for their success, gives the servers their configured weight and new
        sessions, and waits until they are exactly C(UP).
    type: str
    choices: [drained, ready, maintenance]
    required: true
  weight:
    description:
      - With O(state=ready), the share of the pool's requests in percent that the servers shall have together, as
        V(25%).
      - The weight that comes nearest is given to each of them, the other servers keep theirs. RV(share) says what share
        that is.
      - HAProxy and O(driver=nginx_include) can do that.
    type: str
  owner:
    description:
      - Who keeps the servers out, or brings them back. A name, a ticket, a deployment.
      - Servers that were taken out for an owner are only brought back by the same one, or with O(force).
    type: str
    default: ""
  through:
    description:
      - With O(state=ready), requests are sent through the balancer until each of the servers has answered one as it
        should. When none has until O(timeout), the servers are put back as they were and the task fails.
      - An answer of another release from one of these servers ends it at once.
  timeout:
    description:
      - Seconds until the state must be reached.
      - On the way out it must be longer than the slowest request; with O(driver=alb), than the deregistration delay.
    type: float
    default: 60
  on_timeout:
    description:
      - What to do when sessions are still open after O(timeout) on the way out. RV(running) counts and names them.
      - V(fail) puts the servers back as they were and fails.
      - V(wait) goes on waiting until O(wait_timeout), and fails then.
      - V(cut) goes on. RV(cut) says how many sessions were left. They may still end by themselves until the service
        behind is stopped; WebSockets end with it.
      - A server that is lost answers no more, its sessions do not end before HAProxy's own timeouts. V(cut) is for
        that too.
  interval:
    description: Seconds between two observations.
    type: float
    default: 0.1
  confirm:
    description: For how many intervals in a row no session may be seen.
    type: int
    default: 3
  stable:
    description: Seconds for which a server must be exactly C(UP) before it counts as V(ready).
    type: float
    default: 0.5
  min_healthy:
    description:
      - How many other servers of the pool must serve without those that are taken out. A number, or a share of the
        pool such as V(50%), rounded up.
      - Serving means ready, exactly C(UP), and a weight above 0. The pool is counted without servers in maintenance
        and without backups.
      - A server that does not serve can always be taken out.
      - Should fewer be left while sessions end, the servers are put back as they were, and the task fails.
    type: str
    default: "1"
  force:
    description:
      - Take servers out although O(min_healthy) would not be kept, an outage that is wanted.
      - Bring servers back although the balancer has no health check for them, or although another O(owner) keeps them
        out.
    type: bool
    default: false
notes:
  - HAProxy takes the B(port) of each server, and the address of one that is given by name, from the state file and no
    longer from its configuration. After changing these in the configuration, delete that server's line from the state
    file before the reload.
  - One line that HAProxy can't read makes it ignore the whole state file, with only a warning in its log.
  - After a reload the old process finishes its sessions unseen. A reload while sessions end is noticed, and the task
    fails.
  - Two tasks on one balancer are kept apart by a lock on the directory of the UNIX socket, of the file or of the flags,
    else of O(state_file) or O(record_file). It is held while servers are told something, not while they are awaited.
  - With nginx the connections from this host to a server are counted. Idle ones that nginx keeps (C(keepalive)) count
    too, until the application closes them.
  - With O(driver=nginx_include) a server is out when also the old workers of nginx are gone. A WebSocket to another
    server can keep one for long.
  - With C(fall 1) HAProxy calls a server healthy as soon as it leaves maintenance, before any check. Such a server's
    health is set to down first, so that a check must pass.
"""

EXAMPLES = r"""
- name: Take a server out when its last request has ended
  slipway.django.lb_drain:
    pool: shop
    server: app1-blue
    state: maintenance
    min_healthy: 50%
    timeout: 90
    state_file: /var/lib/haproxy/server-state

- name: Give it traffic again
  slipway.django.lb_drain:
    pool: shop
    server: app1-blue
    state: ready
    state_file: /var/lib/haproxy/server-state

- name: Let a canary answer a twentieth of the requests, when it is the right release
  slipway.django.lb_drain:
    pool: shop
    server: app1-green
    state: ready
    weight: 5%
    through:
      url: http://127.0.0.1/health/ready
      host: shop.example.com
      release: 3f2a9c1d2e4f-0a1b2c3d

- name: Keep a server out for a repair, nginx without a reload
  slipway.django.lb_drain:
    driver: nginx_flag
    nginx_flag:
      file: /etc/nginx/conf.d/shop-upstreams.conf
      directory: /var/lib/slipway/nginx
      health:
        path: /health/ready
        host: shop.example.com
    pool: shop
    server: app2-blue
    state: maintenance
    owner: new memory, ticket 4711

- name: Deregister a target of AWS
  slipway.django.lb_drain:
    driver: alb
    alb:
      region: eu-central-1
      targets:
        app1: i-0123456789abcdef0:8001
        app2: i-0fedcba9876543210:8001
    record_file: /var/lib/slipway/alb.out.json
    pool: shop
    server: app1
    state: drained
    timeout: 120
  delegate_to: localhost

- name: Take a lost server out, whatever is still open on it
  slipway.django.lb_drain:
    socket: 127.0.0.1:9999
    pool: shop
    server: [app2-blue, app2-green]
    state: maintenance
    timeout: 5
    on_timeout: cut
"""

RETURN = r"""
msg:
  description: What was done or would be done, in words.
  returned: always
  type: str
  sample: app1-blue goes from ready to maint; no session left after 1.3 s (4 at first, 6 at most)
reason:
  description: The same as RV(msg).
  returned: success
  type: str
pool:
  description: Name of the pool.
  returned: success
  type: str
servers:
  description: The servers that were named, in that order. In check mode RV(servers[].after) is what would be.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the server.
      type: str
    before:
      description: How it was.
      type: dict
      contains: &server
        name:
          description: Name of the server.
          type: str
        address:
          description: Address and port.
          type: str
        admin:
          description: What it is told, one of V(ready), V(drain), V(maint).
          type: str
        status:
          description: How it is, in the balancer's words.
          type: str
          sample: UP 1/3
        check:
          description: Result of its last health check.
          type: str
          sample: L7OK 200 Layer7 check passed
        serving:
          description: Whether it counts for O(min_healthy).
          type: bool
        weight:
          description: Its weight.
          type: int
        sessions:
          description: Open sessions, null where the balancer does not say.
          type: int
        queued:
          description: Requests that wait for it.
          type: int
        held:
          description: What else may still send requests to it, in words; empty when nothing does.
          type: str
    after:
      description: How it is now.
      type: dict
      contains: *server
sessions:
  description:
    - Open and queued sessions of these servers while they were awaited; zeros in check mode and with
      O(state=ready).
  returned: success
  type: dict
  contains:
    first:
      description: At the first observation.
      type: int
    last:
      description: At the last one.
      type: int
    max:
      description: The most that were seen.
      type: int
cut:
  description: Sessions that were still open at the deadline, with O(on_timeout=cut).
  returned: success
  type: int
running:
  description: What was still open at O(timeout), as far as the balancer names it. Empty when nothing was.
  returned: success, and failure over the time
  type: list
  elements: dict
  contains:
    server:
      description: Name of the server.
      type: str
    kind:
      description:
        - V(WebSocket) or V(request), as HAProxy tells of the first hundred, V(session) for more of them.
        - V(connection) where the balancer is not asked.
      type: str
    source:
      description: Who has opened it.
      type: str
      sample: 198.51.100.7:41234
    seconds:
      description: Since when, null where the balancer does not say.
      type: float
out_before:
  description: Which of these servers were remembered as out when the task began.
  returned: success
  type: dict
  sample: {app1-blue: {state: maint, since: "2026-11-22T04:05:06Z", owner: ""}}
share:
  description: With O(weight), what was wanted, what it is, and the weight that makes it.
  returned: success
  type: dict
  sample: {wanted: 25.0, real: 24.81, weight: 33}
waited:
  description: Seconds that it took.
  returned: success
  type: float
healthy:
  description: Servers of the pool that serve.
  returned: success
  type: dict
  contains:
    before:
      description: Before the change.
      type: int
    after:
      description: After it, as planned.
      type: int
    required:
      description: How many had to be left; 0 when nothing that serves was taken out, or with O(force).
      type: int
serving:
  description: Servers of the pool that serve, when the task failed.
  returned: failure, when the balancer answered
  type: list
  elements: str
not_serving:
  description: The other ones.
  returned: failure, when the balancer answered
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import read_through
from ansible_collections.slipway.django.plugins.module_utils._balancer._drain import Result, run
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Server
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import ARGUMENTS as BALANCER
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import THROUGH, read_balancer
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import AtDeadline, MinHealthy, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._share import parse_share
from ansible_collections.slipway.django.plugins.module_utils._balancer._work import Tools
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

STATES = {"drained": Admin.DRAIN, "ready": Admin.READY, "maintenance": Admin.MAINT}

ARGUMENTS = {
    **BALANCER,
    "pool": {"type": "str", "required": True},
    "server": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "required": True},
    "weight": {"type": "str"},
    "owner": {"type": "str", "default": ""},
    "through": THROUGH,
    "timeout": {"type": "float", "default": 60},
    "on_timeout": {"type": "str", "choices": [one.value for one in AtDeadline], "default": "fail"},
    "wait_timeout": {"type": "float", "default": 3600},
    "interval": {"type": "float", "default": 0.1},
    "confirm": {"type": "int", "default": 3},
    "stable": {"type": "float", "default": 0.5},
    "min_healthy": {"type": "str", "default": "1"},
    "force": {"type": "bool", "default": False},
}


def read_request(params: dict[str, Any]) -> Request:
    """Return what is wanted.

    :raises InvalidOption: a value can't be used.
    """
    if params["through"] is not None and params["state"] != "ready":
        raise InvalidOption("through", params["through"]["url"], "state: ready beside it: others get no requests")
    return Request(
        pool=params["pool"],
        servers=tuple(params["server"]),
        wanted=STATES[params["state"]],
        min_healthy=MinHealthy.parse(params["min_healthy"]),
        force=params["force"],
        share=None if params["weight"] is None else parse_share(params["weight"]),
        owner=params["owner"],
        at_deadline=AtDeadline(params["on_timeout"]),
        timeout_s=params["timeout"],
        wait_timeout_s=max(params["wait_timeout"], params["timeout"]),
        interval_s=params["interval"],
        confirm=params["confirm"],
        stable_s=params["stable"],
    )


def as_result(request: Request, result: Result) -> dict[str, object]:
    """Return the values of the RETURN section, and the diff."""
    servers = [
        {"name": before.name, "before": before.as_dict(), "after": after.as_dict()}
        for before, after in zip(result.before, result.after)
    ]
    plan = result.plan
    return {
        "changed": plan.changed,
        "msg": result.reason,
        "reason": result.reason,
        "pool": request.pool,
        "servers": servers,
        "sessions": vars(result.sessions),
        "cut": result.cut,
        "running": [one.as_dict() for one in result.left.running] if result.left else [],
        "out_before": {name: entry.as_dict() for name, entry in result.out_before},
        "share": plan.share.as_dict() if plan.share else {},
        "waited": round(result.waited_s, 3),
        "healthy": {"before": plan.healthy_before, "after": plan.healthy_after, "required": plan.required},
        "diff": {"before": told(result.before), "after": told(result.after)},
    }


def told(servers: tuple[Server, ...]) -> dict[str, object]:
    """Return what decides over C(changed), for the diff."""
    return {server.name: {"state": server.admin.value, "weight": server.weight} for server in servers}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    clock = SystemClock()
    try:
        request = read_request(module.params)
        through = None if module.params["through"] is None else read_through(module.params["through"])
        balancer = read_balancer(module.params, clock, SystemRunner())
        tools = Tools(balancer.driver, clock, balancer.record, balancer.lock)
        result = run(request, tools, check_mode=module.check_mode, through=through)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(request, result))


if __name__ == "__main__":
    main()

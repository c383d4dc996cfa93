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
  - Run it on the balancer's host.
author:
  - slipway.django contributors (@slipway)
attributes:
  check_mode:
    description: Can run in check mode and predict what would change.
    support: full
    details: Reads and refuses as without it; sends no order and does not wait.
  diff_mode:
    description: Returns details on what has changed, or would change, in diff mode.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
    details: Judged by what the servers are told and by their weight. A second run still waits until no session is
      left.
  platform:
    description: Systems that it runs on.
    support: full
    platforms: posix
options:
  driver:
    description:
      - Kind of the balancer.
      - V(haproxy) speaks the runtime API of HAProxy 2.4 or newer.
    type: str
    choices: [haproxy]
    default: haproxy
  socket:
    description:
      - The runtime API of HAProxy, as the absolute path of a UNIX socket or as V(host:port).
      - It needs C(level admin) in HAProxy's configuration, and the user that runs the task needs rights on it.
      - The protocol knows no password. Offer it by TCP on the loopback address only.
    type: str
    default: /run/haproxy/admin.sock
  pool:
    description: Name of the pool, a C(backend) in HAProxy's configuration.
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
      - V(ready) starts the health checks, waits for their success, gives the servers their configured weight and new
        sessions, and waits until they are exactly C(UP).
    type: str
    choices: [drained, ready, maintenance]
    required: true
  timeout:
    description:
      - Seconds until the state must be reached.
      - On the way out it must be longer than the slowest request.
    type: float
    default: 60
  on_timeout:
    description:
      - What to do when sessions are still open after O(timeout) on the way out.
      - V(fail) puts the servers back as they were and fails.
      - V(cut) goes on. RV(cut) says how many sessions were left. They may still end by themselves until the service
        behind is stopped.
      - A server that is lost answers no more, its sessions do not end before HAProxy's own timeouts. V(cut) is for
        that too.
    type: str
    choices: [fail, cut]
    default: fail
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
      - Bring servers back although the balancer has no health check for them.
    type: bool
    default: false
  state_file:
    description:
      - File to write the balancer's state to after each change, in one step.
      - HAProxy forgets drain, maintenance and weights when it is restarted or reloaded, unless it finds them in its
        C(server-state-file), with C(load-server-state-from-file global) in its configuration.
    type: path
notes:
  - HAProxy takes the B(port) of each server, and the address of one that is given by name, from the state file and no
    longer from its configuration. After changing these in the configuration, delete that server's line from the state
    file before the reload.
  - One line that HAProxy can't read makes it ignore the whole state file, with only a warning in its log.
  - After a reload the old process finishes its sessions unseen. A reload while sessions end is noticed, and the task
    fails.
  - Two tasks on one balancer are kept apart by a lock on the directory of the UNIX socket, else of O(state_file).
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
          description: Open sessions.
          type: int
        queued:
          description: Requests that wait for it.
          type: int
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

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._balancer._drain import Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import HaproxyDriver, SocketSender
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, Server
from ansible_collections.slipway.django.plugins.module_utils._balancer._plan import MinHealthy, Request
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock

STATES = {"drained": Admin.DRAIN, "ready": Admin.READY, "maintenance": Admin.MAINT}

ARGUMENTS = {
    "driver": {"type": "str", "choices": ["haproxy"], "default": "haproxy"},
    "socket": {"type": "str", "default": "/run/haproxy/admin.sock"},
    "pool": {"type": "str", "required": True},
    "server": {"type": "list", "elements": "str", "required": True},
    "state": {"type": "str", "choices": list(STATES), "required": True},
    "timeout": {"type": "float", "default": 60},
    "on_timeout": {"type": "str", "choices": ["fail", "cut"], "default": "fail"},
    "interval": {"type": "float", "default": 0.1},
    "confirm": {"type": "int", "default": 3},
    "stable": {"type": "float", "default": 0.5},
    "min_healthy": {"type": "str", "default": "1"},
    "force": {"type": "bool", "default": False},
    "state_file": {"type": "path"},
}


def lock_directory(socket: str, state_file: str | None) -> str | None:
    """Return the directory whose lock keeps two tasks on this balancer apart."""
    owner = socket if socket.startswith("/") else state_file
    return os.path.dirname(owner) if owner else None


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
        "waited": round(result.waited_s, 3),
        "healthy": {"before": plan.healthy_before, "after": plan.healthy_after, "required": plan.required},
        "diff": {"before": told(result.before), "after": told(result.after)},
    }


def told(servers: tuple[Server, ...]) -> dict[str, object]:
    """Return what decides over C(changed), for the diff."""
    return {server.name: {"state": server.admin.value, "weight": server.weight} for server in servers}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        request = Request(
            pool=params["pool"],
            servers=tuple(params["server"]),
            wanted=STATES[params["state"]],
            min_healthy=MinHealthy.parse(params["min_healthy"]),
            force=params["force"],
            cut=params["on_timeout"] == "cut",
            timeout_s=params["timeout"],
            interval_s=params["interval"],
            confirm=params["confirm"],
            stable_s=params["stable"],
        )
        clock = SystemClock()
        directory = lock_directory(params["socket"], params["state_file"])
        tools = Tools(
            driver=HaproxyDriver(SocketSender(params["socket"])),
            clock=clock,
            state_file=StateFile(params["state_file"]),
            lock=lambda: directory_lock(directory, clock, timeout_s=15),
        )
        result = run(request, tools, check_mode=module.check_mode)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**as_result(request, result))


if __name__ == "__main__":
    main()

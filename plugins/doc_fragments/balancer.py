# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options of module_utils/_balancer/_options.py, as people read them; a test holds the two together."""

    DOCUMENTATION = r"""
options:
  driver:
    description:
      - Kind of the balancer. The guide C(docs/balancers.md) compares them.
      - V(haproxy) speaks the runtime API of HAProxy 2.4 or newer, by O(socket).
      - V(nginx_flag) has nginx choose one of several upstream groups by flag files, without a reload.
      - V(nginx_include) writes the upstream groups that nginx includes, and reloads it. A reload itself costs clients
        with open connections some requests.
      - V(readiness) needs no access to the balancer. The site's own health endpoint takes the server out.
      - V(alb) registers and deregisters targets of an AWS target group. It needs boto3 for the Python that runs the
        module.
    type: str
    choices: [haproxy, nginx_flag, nginx_include, readiness, alb]
    default: haproxy
  socket:
    description:
      - For O(driver=haproxy), the runtime API, as the absolute path of a UNIX socket or as V(host:port).
      - It needs C(level admin) in HAProxy's configuration, and the user that runs the task needs rights on it.
      - The protocol knows no password. Offer it by TCP on the loopback address only.
      - Where several processes share the work, the sockets of all of them. Each is told the same, sessions are summed
        up, and a server that one of them still sends requests to is not out.
    type: list
    elements: str
    default: [/run/haproxy/admin.sock]
  state_file:
    description:
      - For O(driver=haproxy), file to write the balancer's state to after each change, in one step.
      - HAProxy forgets drain, maintenance and weights when it is restarted or reloaded, unless it finds them in its
        C(server-state-file), with C(load-server-state-from-file global) in its configuration.
    type: path
  nginx_flag:
    description: Options of O(driver=nginx_flag).
    type: dict
    suboptions:
      file:
        description:
          - File with the upstream groups, which nginx includes. It is only read.
          - One server a line, its name behind C(#). A group C(shop) has all servers; for each set of them that may be
            out together, a group without them is named after it, as C(shop--app1-blue--app2-blue).
        type: path
        required: true
      directory:
        description:
          - Directory in which a file C(POOL/SERVER) takes that server out. nginx must be able to find files in it.
        type: path
        required: true
      pid_file:
        description: Where nginx keeps the id of its master process.
        type: path
        default: /run/nginx.pid
      health: &health
        description: How the module asks a server whether it is well, since nginx does not. Without it, whether it takes
          a connection.
        type: dict
        suboptions:
          path:
            description: Path of a GET request. Without it a connection is enough.
            type: str
          host:
            description: Host header. Without it the server's address.
            type: str
          status:
            description: Status of a server that is well.
            type: int
            default: 200
          timeout:
            description: Seconds for the whole answer.
            type: float
            default: 3
  nginx_include:
    description: Options of O(driver=nginx_include).
    type: dict
    suboptions:
      file:
        description:
          - File with the upstream groups, which nginx includes. Lines of servers are rewritten, all else stays.
          - One server a line, its name behind C(#).
        type: path
        required: true
      command:
        description: The program, and what stands before its options C(-t) and C(-s reload), for example C(sudo).
        type: list
        elements: str
        default: [/usr/sbin/nginx]
      pid_file:
        description: Where nginx keeps the id of its master process.
        type: path
        default: /run/nginx.pid
      health: *health
  readiness:
    description: Options of O(driver=readiness). The task runs on the host of the servers that it takes out.
    type: dict
    suboptions:
      servers:
        description: Address of each server by its name, as V(192.0.2.1:8001), also of those on other hosts.
        type: dict
        required: true
      directory:
        description: Directory in which a file with the server's name makes its health endpoint say that it is out.
        type: path
        required: true
      notice:
        description:
          - Seconds until the balancer has certainly noticed. The number of failed checks that it wants, times the time
            between two of them, and the time that one may take.
          - It can't be observed from here.
        type: float
        required: true
      health:
        description: The endpoint that the balancer asks.
        type: dict
        required: true
        suboptions:
          path:
            description: Path of a GET request.
            type: str
            required: true
          host:
            description: Host header. Without it the server's address.
            type: str
          status:
            description: Status of a server that is well.
            type: int
            default: 200
          timeout:
            description: Seconds for the whole answer.
            type: float
            default: 3
  alb:
    description: Options of O(driver=alb).
    type: dict
    suboptions:
      targets:
        description:
          - Target of each server by its name, as V(i-0123456789abcdef0:8001) or V(10.0.0.5:8001).
          - A target that is not registered now can only be found here.
        type: dict
        default: {}
      region:
        description: AWS region.
        type: str
      profile:
        description: Profile of the credentials. Without it boto3 looks where it always does, as at the host's role.
        type: str
      endpoint_url:
        description: Another address of the API.
        type: str
  record_file:
    description:
      - File in which the module remembers who was taken out, since when and for whom. No balancer does.
      - Without it, C(.out.json) is added to O(state_file) or O(nginx_include.file), or lies in O(nginx_flag.directory)
        or O(readiness.directory). Where there is none of these, nothing is remembered.
    type: path
"""

    # Of the modules that send traffic elsewhere. What a request through the balancer is for, and what the deadline
    # does, each of them says itself.
    TRAFFIC = r"""
options:
  through:
    type: dict
    suboptions:
      url:
        description: Address of the balancer with the path of a page that every server answers.
        type: str
        required: true
      host:
        description: Host header. Without it the host of O(through.url).
        type: str
      status:
        description: Status that the answer must have.
        type: int
        default: 200
      release:
        description: Release that the answer must name in O(through.release_header).
        type: str
      release_header:
        description: Header with the release.
        type: str
        default: X-Release
      server_header:
        description: Header that names the server, by its name in the pool or its address.
        type: str
        default: X-Served-By
  on_timeout:
    type: str
    choices: [fail, wait, cut]
    default: fail
  wait_timeout:
    description: With O(on_timeout=wait), seconds from the begin until also that ends.
    type: float
    default: 3600
"""

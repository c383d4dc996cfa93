#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: health_gate
short_description: Let a deployment go on only when the site proves that it is well
version_added: 0.1.0
author: slipway.django contributors (@slipway)
description:
  - Asks one or more addresses again and again until each has answered well so many times in a row, until it is
    clear that it can't become well, or until the deadline.
  - All checks are asked at the same time, the first time at once. The gate passes at the moment when the newest
    O(successes) samples of every check are good.
  - "The verdict is V(pass), V(hold) or V(rollback). V(rollback): the application was seen to be bad. V(hold): too
    little was seen, or the probe itself is broken (a name that can't be resolved, no route, no free port). No
    sample at all is V(hold), never V(pass)."
  - The module runs where the view is wanted from, for example on the balancer to see a server as the balancer does.
    It needs nothing but Python and the network.
attributes:
  check_mode:
    support: full
    description: Can run in check mode and returns what it would have returned. It only looks.
  diff_mode:
    support: none
    description: Will return details on what has changed, or possibly needs changing in check mode, when in diff mode.
    details: Nothing is changed.
  idempotent:
    support: full
    description:
      - When run twice in a row outside check mode, with the same arguments, the second run indicates no change.
  platform:
    support: full
    description: Target operating systems that the module works on.
    platforms: posix
options:
  checks:
    description: What to ask. Each check must pass.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the check in messages and in the log. No two checks have the same.
        type: str
        required: true
      kind:
        description: How to ask.
        type: str
        choices: [http]
        default: http
      url:
        description:
          - Address, V(http://) or V(https://). It is shown in messages and in the log.
          - Redirects are not followed. A user and a password in it are refused, see O(checks[].secret_headers).
        type: str
        required: true
      host:
        description:
          - Value of the C(Host) header, to ask one server for a site by its public name. With TLS also the name that
            is asked for and that the certificate must have. By default taken from O(checks[].url).
        type: str
      method:
        description: Method of the request.
        type: str
        choices: [GET, HEAD]
        default: GET
      status:
        description: A good answer has one of these.
        type: list
        elements: int
        default: [200]
      release:
        description:
          - A good answer bears this release in its header O(checks[].release_header). An empty value is refused,
            since it would switch the check off.
        type: str
      release_header:
        description: Header in which the site tells its release.
        type: str
        default: X-Release
      json:
        description:
          - A good answer is a JSON object that has these keys with these values. Other keys may be there.
          - A value that differs is shown in messages.
        type: dict
        default: {}
      text:
        description: A good answer holds this text.
        type: str
      headers:
        description: Headers to send. They are shown in the invocation of the task.
        type: dict
        default: {}
      secret_headers:
        description: Headers to send whose values are never shown, for example C(Authorization).
        type: dict
        default: {}
      timeout:
        description:
          - Seconds for one sample as a whole, from the resolution of the name to the last byte of the answer. A server
            that sends a byte now and then does not prolong it. A sample that is not whole by then is bad.
        type: float
        default: 5
      ca_path:
        description: File with the certificates, in PEM, that are trusted instead of the system's.
        type: path
      validate_certs:
        description:
          - Whether the certificate must be valid for the name. The result tells it in
            RV(ignore:checks[].tls_verified).
        type: bool
        default: true
  successes:
    description: Good samples in a row that each check must show. A sample that failed to be taken breaks the row too.
    type: int
    default: 3
  failures_allowed:
    description:
      - Bad samples that each check may show. One more is V(rollback) at once.
      - By default there is no limit before the deadline, since a site that is starting answers badly for a while.
        Whoever watches a site that is already well sets it to V(0) or a little more.
    type: int
  wrong_release_limit:
    description:
      - When another release than O(checks[].release) has answered a check so many times, the verdict is V(rollback) at
        once. With V(0) this never happens, which is right where old servers still answer too.
    type: int
    default: 3
  interval:
    description: Seconds between the starts of two samples of a check.
    type: float
    default: 1
  initial_delay:
    description: Seconds to wait before the first samples.
    type: float
    default: 0
  deadline:
    description: Seconds after which the gate ends, whatever the servers do. Contains O(initial_delay).
    type: float
    default: 60
  fail_on:
    description: Verdicts that fail the task. With an empty list the task always succeeds and RV(verdict) is to be read.
    type: list
    elements: str
    choices: [rollback, hold]
    default: [rollback, hold]
seealso:
  - module: slipway.django.lb_drain
  - module: slipway.django.service_slot
"""

EXAMPLES = r"""
- name: Wait until the new release answers on its own port, as the balancer sees it
  slipway.django.health_gate:
    checks:
      - name: app1
        url: http://app1.internal:8002/health/ready
        host: shop.example.com
        release: 4f1c2d9a7b30-9e01aa42
        json:
          status: ok
    successes: 3
    deadline: 60
  delegate_to: lb1

- name: Watch the public site for half a minute, bearing no error
  slipway.django.health_gate:
    checks:
      - name: front page
        url: https://shop.example.com/
        text: Add to basket
      - name: the API is closed for strangers
        url: https://shop.example.com/api/orders/
        status: [401, 403]
    successes: 30
    failures_allowed: 0
    wrong_release_limit: 0
    deadline: 60

- name: Ask with a token, and decide by the verdict
  slipway.django.health_gate:
    checks:
      - name: internal health
        url: https://10.0.0.11:8443/health/detail
        host: shop.example.com
        ca_path: /etc/ssl/internal-ca.pem
        secret_headers:
          Authorization: "Bearer {{ health_token }}"
    fail_on: [rollback]
  register: gate
"""

RETURN = r"""
verdict:
  description: The worst verdict of the checks.
  returned: when the options are valid
  type: str
  choices: [pass, hold, rollback]
  sample: pass
code:
  description:
    - Why, for machines. V(passed); V(wrong_release), V(too_many_failures), V(not_healthy_in_time) for V(rollback);
      V(probe_error), V(no_data), V(too_few_samples), V(waiting) for V(hold).
  returned: when the options are valid
  type: str
  sample: passed
reason:
  description: Why, in words.
  returned: when the options are valid
  type: str
  sample: all 2 checks passed
vantage:
  description: Name of the host that asked.
  returned: when the options are valid
  type: str
  sample: lb1
started_at:
  description: When the gate began, in UTC.
  returned: when the options are valid
  type: str
  sample: "2026-11-21T16:05:28Z"
finished_at:
  description: When the gate ended, in UTC.
  returned: when the options are valid
  type: str
  sample: "2026-11-21T16:05:30Z"
elapsed_s:
  description: Seconds from beginning to end.
  returned: when the options are valid
  type: float
  sample: 2.031
stopped_early:
  description: Whether the verdict stood before the deadline.
  returned: when the options are valid
  type: bool
  sample: true
expected:
  description: What each check had to show.
  returned: when the options are valid
  type: dict
  sample: {successes: 3, failures_allowed: null, deadline_s: 60}
checks:
  description: The evidence of each check.
  returned: when the options are valid
  type: list
  elements: dict
  contains:
    name:
      description: The check's name.
      type: str
      returned: always
    kind:
      description: How it asked.
      type: str
      returned: always
    url:
      description: Where it asked.
      type: str
      returned: always
    host:
      description: Value of the C(Host) header.
      type: str
      returned: always
    tls_verified:
      description: Whether the certificate was checked; null without TLS.
      type: bool
      returned: always
    verdict:
      description: The check's own verdict.
      type: str
      returned: always
    code:
      description: Why, for machines.
      type: str
      returned: always
    reason:
      description: Why, in words.
      type: str
      returned: always
    expected:
      description: What a good answer has, in words.
      type: str
      returned: always
    samples:
      description: How many samples were C(good), C(bad), C(no_data), C(error).
      type: dict
      returned: always
    last_status:
      description: Status of the newest answer; null when there was none.
      type: int
      returned: always
    last_fault:
      description: Code and words of the newest sample that was not good; null when all were.
      type: dict
      returned: always
    faults:
      description: How many samples had each fault, by its code.
      type: dict
      returned: always
      sample: {refused: 2, status: 1}
    releases:
      description: All releases that answered.
      type: list
      elements: str
      returned: always
    latency_ms:
      description: Median, 95th percentile (nearest rank) and maximum of the C(n) answers, in milliseconds.
      type: dict
      returned: always
      sample: {n: 3, p50: 4.1, p95: 5.2, max: 5.2}
    recent:
      description: The newest ten samples, oldest first.
      type: list
      elements: dict
      returned: always
deployment_log:
  description: What the deployment log keeps of it.
  returned: when the options are valid
  type: dict
"""

import socket

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._gate._options import read_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._report import conclude
from ansible_collections.slipway.django.plugins.module_utils._gate._run import http_probe, run_gate
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock

CHECK_SPEC = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["http"], "default": "http"},
    "url": {"type": "str", "required": True},
    "host": {"type": "str"},
    "method": {"type": "str", "choices": ["GET", "HEAD"], "default": "GET"},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "release": {"type": "str"},
    "release_header": {"type": "str", "default": "X-Release"},
    "json": {"type": "dict", "default": {}},
    "text": {"type": "str"},
    "headers": {"type": "dict", "default": {}},
    "secret_headers": {"type": "dict", "default": {}, "no_log": True},
    "timeout": {"type": "float", "default": 5},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
}

ARGUMENT_SPEC = {
    "checks": {"type": "list", "elements": "dict", "required": True, "options": CHECK_SPEC},
    "successes": {"type": "int", "default": 3},
    "failures_allowed": {"type": "int"},
    "wrong_release_limit": {"type": "int", "default": 3},
    "interval": {"type": "float", "default": 1},
    "initial_delay": {"type": "float", "default": 0},
    "deadline": {"type": "float", "default": 60},
    "fail_on": {"type": "list", "elements": "str", "choices": ["rollback", "hold"], "default": ["rollback", "hold"]},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    clock = SystemClock()
    try:
        gate = read_gate(module.params)
        result = run_gate(gate, http_probe(clock), clock)
        facts = conclude(gate, result, socket.gethostname())
        module.exit_json(changed=False, msg=f"{facts['verdict']}: {facts['reason']}", **facts)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()

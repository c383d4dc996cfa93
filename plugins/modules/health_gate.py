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
  - Takes samples of one or more checks again and again until each was good so many times in a row, until it is
    clear that one can't become well, or until the deadline.
  - All checks are asked at the same time, the first time at once; but one with O(checks[].after) waits for the login
    that it uses. The gate passes at the moment when the newest O(successes) samples of every check are good.
  - "The verdict is V(pass), V(hold) or V(rollback). V(rollback): the application was seen to be bad. V(hold): too
    little was seen, or the probe itself is broken (a name that can't be resolved, no route, a measuring instrument
    that is away). No sample at all is V(hold), never V(pass)."
  - A rate is judged by the size of its sample. It is above a threshold when the exact lower bound of Clopper and
    Pearson is, below when the upper bound is, and otherwise neither, so few requests make neither a pass nor a
    rollback. Against a baseline Fisher's exact test decides.
  - The module runs where the view is wanted from, for example on the balancer to see a server as the balancer does.
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
requirements:
  - nothing but Python for the kinds V(http), V(tcp), V(tls), V(websocket), V(redis), V(prometheus), V(file)
  - psql, of any version, for V(postgres), V(sql) and V(statements); systemd for V(service); the site's own Python for
    V(celery)
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
        description:
          - How to ask. An option that does not belong to the kind is refused.
          - V(http), V(websocket), V(tcp), V(tls) connect. V(redis) sends one command.
          - V(postgres) looks at the server's own state and V(sql) at the value of one query; both by C(psql), in a
            transaction that can only read, under a limit of its own on the server.
          - V(statements) holds how long each query takes against how long it took before, by the differences of the
            extension C(pg_stat_statements), in the same way.
          - V(celery) asks the workers over the broker, by the Python of the site.
          - V(prometheus) judges the value of one query, or a rate of two counts.
          - V(command) runs a program, V(file) looks at a path, V(service) at units of systemd on the host, V(journal)
            counts lines in their journal.
        type: str
        choices:
          - http
          - tcp
          - tls
          - websocket
          - postgres
          - sql
          - statements
          - redis
          - celery
          - prometheus
          - command
          - file
          - service
          - journal
        default: http
      timeout:
        description:
          - Seconds for one sample as a whole, from the resolution of the name to the last byte of the answer. A server
            that sends a byte now and then does not prolong it. A sample that is not whole by then is bad.
        type: float
        default: 5
      action:
        description:
          - What a bad sample asks for. V(hold) lets people look at it. With V(notify) people are told
            (RV(notices)) and the gate may pass.
          - Without data, or with a broken probe, the check is held whatever stands here.
        type: str
        choices: [rollback, hold, notify]
        default: rollback
      successes:
        description: O(successes) of this check alone. A V(prometheus) check has 1, since its samples overlap.
        type: int
      failures_allowed:
        description: O(failures_allowed) of this check alone. A V(prometheus) check has 0.
        type: int
      after:
        description:
          - Name of a check above this one whose cookies and token (O(checks[].token)) it shows. It is asked as soon as
            that one was good, and not at all when it was not. Both are of kind V(http) and of the same server.
        type: str
      url:
        description:
          - Address, V(http://) or V(https://), with kind V(websocket) V(ws://) or V(wss://), with V(prometheus) that of
            its server. It is shown in messages and in the log.
          - A user and a password in it are refused, see O(checks[].secret_headers) and O(checks[].secret_query).
        type: str
      host:
        description:
          - Value of the C(Host) header, to ask one server for a site by its public name. With TLS also the name that
            is asked for and that the certificate must have. By default taken from O(checks[].url) or
            O(checks[].address).
        type: str
      headers:
        description: Headers to send. They are shown in the invocation of the task.
        type: dict
        default: {}
      secret_headers:
        description: Headers to send whose values are never shown, for example C(Authorization).
        type: dict
        default: {}
      ca_path:
        description: File with the certificates, in PEM, that are trusted instead of the system's.
        type: path
      validate_certs:
        description: Whether the certificate must be valid for the name.
        type: bool
        default: true
      method:
        description:
          - Method of the request. One that may change something is not sent in check mode, nor what comes after it.
        type: str
        choices: [GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE]
        default: GET
      secret_query:
        description: Parameters that are added to the address and never shown.
        type: dict
        default: {}
      body:
        description: Fields to send.
        type: dict
      secret_body:
        description: More fields to send, whose values are never shown, for example a password.
        type: dict
        default: {}
      body_format:
        description: How the fields are sent.
        type: str
        choices: [json, form]
        default: json
      upload:
        description:
          - A small file to send as a browser does it, as C(multipart/form-data); O(checks[].body) and
            O(checks[].secret_body) are the other fields. For the path of uploads.
        type: dict
        suboptions:
          field:
            description: Name of the field.
            type: str
            required: true
          filename:
            description: Name that the file is given.
            type: str
            default: slipway.txt
          text:
            description: What is in it. By default one line.
            type: str
          path:
            description: File on the host that asks, whose contents are sent in place of a text, for example an image.
            type: path
      csrf:
        description:
          - Send Django's cookie C(csrftoken), which the check named by O(checks[].after) was given, back as a header.
        type: bool
        default: false
      token:
        description:
          - Where in the JSON of the answer a token stands, for example V(access) or V(data.token). The checks after
            this one show it.
        type: str
      token_scheme:
        description: How they show it in C(Authorization), for example V(Bearer) or V(Token).
        type: str
        default: Bearer
      status:
        description:
          - A good answer has one of these. By default 200; with O(checks[].redirect) that of a redirect.
          - Redirects are not followed.
        type: list
        elements: int
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
          - A good answer is a JSON object that has these keys with these values. Other keys may be there. A key may be
            a path, V(checks.database).
          - A value that differs is shown in messages.
        type: dict
        default: {}
      text:
        description:
          - A good answer holds this text. With kind V(websocket) the first message does, with V(command) the output.
        type: str
      response_headers:
        description:
          - A good answer has these headers, and in the value of each the regular expression is found. The value that
            was seen is not shown.
        type: dict
        default: {}
      absent_headers:
        description: A good answer has none of these headers.
        type: list
        elements: str
        default: []
      redirect:
        description: A good answer sends to an address in which this regular expression is found.
        type: str
      max_latency:
        description: Seconds that a good answer may take.
        type: float
      within:
        description:
          - So many requests are sent one after the other for one sample, until one has the wanted answer. For a limit
            that must be reached, O(checks[].status=[429]).
        type: int
        default: 1
      value_of:
        description:
          - Where in the JSON of the answer a value stands that is held against O(checks[].equals), O(checks[].min),
            O(checks[].max) or O(checks[].thresholds). V(.) is all of it. Of a list or an object its length is taken.
        type: str
      address:
        description:
          - Name or address of the server, or the absolute path of its UNIX socket (with the kinds V(postgres), V(sql)
            and V(statements) of the directory of the socket). With V(redis) by default V(127.0.0.1), with those three
            the local socket.
        type: str
      port:
        description: Port of the server. With V(tls) by default 443, with V(redis) 6379.
        type: int
      min_days:
        description: Days that the certificate must still be valid.
        type: float
        default: 14
      send:
        description: Text message to send after the handshake.
        type: str
      user:
        description: Role or user to log in as. PostgreSQL takes the system user without it.
        type: str
      passfile:
        description: Password file of PostgreSQL's programs, readable by its owner only.
        type: path
      password:
        description: Password of Redis.
        type: str
      tls:
        description: Whether Redis is spoken to by TLS.
        type: bool
        default: false
      database:
        description: Database to log in to.
        type: str
      max_replication_lag:
        description:
          - Seconds that the slowest standby, or this standby, may be behind. This and the next, and
            O(checks[].max_query_age), need a member of C(pg_monitor).
        type: float
      min_replicas:
        description: Standbys that must be streaming.
        type: int
      max_lock_wait:
        description: Seconds that a session may have waited for a lock.
        type: float
      max_query_age:
        description: Seconds that a query or a transaction of a client may have taken.
        type: float
      max_invalid_indexes:
        description: Invalid indexes that there may be in the database. One that is being built does not count.
        type: int
      max_connection_use:
        description: Share of C(max_connections) that may be in use, between 0 and 1.
        type: float
      of_database:
        description:
          - With V(statements), the database whose queries are looked at. By default O(checks[].database).
          - The extension counts the queries of all databases of the server, and need be in one alone.
        type: str
      min_calls:
        description: With V(statements), calls that a query must have had before and since to be judged.
        type: int
        default: 100
      min_ms:
        description: With V(statements), milliseconds that a query must take now to be judged.
        type: float
        default: 1
      remembered:
        description: With V(statements), how many queries a baseline has, those that took the most time together.
        type: int
        default: 50
      query:
        description:
          - With V(sql) a query that gives one row with one column, which must not be NULL. It is seen in the list of
            processes.
          - With O(checks[].uses_index) any query that C(EXPLAIN) takes; it is planned, not run.
          - With V(prometheus) a query that gives one series. V($window) in it is replaced, see O(checks[].window).
        type: str
      uses_index:
        description:
          - With V(sql), the index that the plan of O(checks[].query) must use. A planner that finds the table too small
            for its index does not use it.
        type: str
      command:
        description:
          - With V(redis) a command that only looks. By default V(PING), which C(PONG) must answer.
          - With V(command) a program and its arguments, never a line for a shell. It is not run in check mode.
          - With V(celery) the Python of the site's virtual environment.
        type: list
        elements: str
      directory:
        description: Where the program runs.
        type: path
      environment_file:
        description: Environment file of a release that the program gets. It must be readable by the user of the task.
        type: path
      return_codes:
        description: Good ends of the program.
        type: list
        elements: int
        default: [0]
      app:
        description: The Celery application as for C(celery -A).
        type: str
      min_workers:
        description: Workers that must answer.
        type: int
        default: 1
      workers:
        description: Parts of names, such as hosts. Of each a worker must answer.
        type: list
        elements: str
        default: []
      tasks:
        description: Tasks that every worker which answers must know.
        type: list
        elements: str
        default: []
      queues:
        description: Queues that a worker must consume.
        type: list
        elements: str
        default: []
      max_queue_length:
        description: Tasks that may wait in each of the queues.
        type: int
      bad:
        description:
          - Query for the number of bad requests, without C(rate) and without a division, for example
            V(sum(increase(requests_total{status=~"5.."}[$window]))). No series is no bad request, if there is a total.
        type: str
      total:
        description: Query for the number of all requests.
        type: str
      window:
        description:
          - What replaces V($window), in seconds or with V(s), V(m), V(h), V(d). Since O(since) it is shorter while the
            release is younger, so that requests of the one before do not count.
          - With V(journal) how far it is looked back, in the same way.
        type: raw
        default: 5m
      min_total:
        description: With fewer requests in the window there is no data.
        type: int
        default: 1
      confidence:
        description: Confidence of the bounds.
        type: float
        default: 0.95
      path:
        description: Path that must be there.
        type: path
      min_free_percent:
        description: Percent that its file system must have free for ordinary users.
        type: float
      min_free_mib:
        description: MiB that its file system must have free for ordinary users.
        type: int
      max_entries:
        description: How many entries the folder O(checks[].path) may have. For what should have been cleared away.
        type: int
      matching:
        description: Pattern of the shell for the names of the entries that count, such as V(*.partial). By default all.
        type: str
      max_age:
        description: How long ago it may have been written, in seconds or with V(s), V(m), V(h), V(d).
        type: raw
      units:
        description:
          - Units of systemd. With V(service), one that has failed, or that was restarted since the gate began, is
            V(rollback) at once.
        type: list
        elements: str
        default: []
      pattern:
        description:
          - With V(journal), a regular expression of PCRE that no line of the units may hold, case being told apart.
            With O(checks[].max) so many lines may. The lines are counted and never shown.
          - The user of the task must be able to read the whole journal, as root and the members of C(systemd-journal)
            are.
        type: str
      max_restarts:
        description:
          - With V(service), how often systemd may have restarted the units, all together, since they were started by
            somebody. A gate that looks for a second does not see a service that dies every minute; its counter does.
        type: int
      running:
        description: How many of them must be active, no more and no fewer. By default all.
        type: int
      equals:
        description: The value must be this. Numbers are compared as such.
        type: raw
      min:
        description: The value must not be below.
        type: float
      max:
        description: The value must not be above.
        type: float
      thresholds:
        description:
          - The ladder. Rungs that count from an age of the release on, which is taken from O(since); without it only
            those from 0. All rungs that count are asked; the gravest that is exceeded decides.
        type: list
        elements: dict
        default: []
        suboptions:
          from:
            description: Age from which on it counts, in seconds or with V(s), V(m), V(h), V(d).
            type: raw
            default: 0
          above:
            description: Exceeded by a value, or a rate between 0 and 1, above this.
            type: float
          below:
            description: Exceeded by a value below this.
            type: float
          times_baseline:
            description:
              - Exceeded by more than so many times O(checks[].baseline). V(1.2) allows a fifth more. For a rate, and
                with V(statements) for the mean time of a query, only when chance does not explain it.
            type: float
          below_baseline:
            description:
              - Exceeded by a value of less than so many times O(checks[].baseline). V(0.5) asks for half of what was
                there. For values, not for a rate.
            type: float
          action:
            description: What it asks for, as O(checks[].action).
            type: str
            choices: [rollback, hold, notify]
            default: rollback
      baseline:
        description: What was measured before the deployment, either C(value), or C(bad) and C(total). With
          V(statements) the RV(checks[].figures) that a look without a baseline has returned.
        type: dict
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
  duration:
    description: Seconds that the gate goes on at least, even if all is well. It ends earlier with V(rollback) only.
    type: float
    default: 0
  since:
    description:
      - When the release went live, in UTC as V(2026-11-21T16:05:28Z). The age of O(checks[].thresholds) and the longest
        O(checks[].window) are counted from it.
    type: str
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

- name: Log in as a customer does
  slipway.django.health_gate:
    checks:
      - name: login page
        url: https://shop.example.com/login/
      - name: login
        after: login page
        url: https://shop.example.com/login/
        method: POST
        body_format: form
        secret_body:
          username: smoke
          password: "{{ smoke_password }}"
        csrf: true
        redirect: ^/account/
      - name: account
        after: login
        url: https://shop.example.com/account/
        text: Log out
    successes: 1
    interval: 10

- name: Hold the new release against the ladder, ten minutes after it went live
  slipway.django.health_gate:
    since: "2026-11-21T16:05:28Z"
    checks:
      - name: error rate
        kind: prometheus
        url: http://prometheus.internal:9090
        bad: sum(increase(django_http_responses_total_by_status_total{status=~"5.."}[$window]))
        total: sum(increase(django_http_responses_total_by_status_total[$window]))
        window: 10m
        baseline: {bad: 3, total: 5120}
        thresholds:
          - {from: 0, above: 0.05, action: rollback}
          - {from: 5m, above: 0.02, action: hold}
          - {from: 24h, times_baseline: 1.2, action: notify}
    interval: 10
    deadline: 300

- name: See that the database and the queue are as they should be
  slipway.django.health_gate:
    checks:
      - name: database
        kind: postgres
        database: shop
        max_invalid_indexes: 0
        max_connection_use: 0.7
        action: hold
      - name: every order has a customer
        kind: sql
        database: shop
        query: SELECT count(*) FROM shop_order WHERE customer_id IS NULL
        equals: 0
      - name: queue
        kind: redis
        command: [LLEN, shop]
        max: 1000
  become: true
  become_user: postgres
  delegate_to: db1
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
    - Why, for machines. V(passed); V(wrong_release), V(too_many_failures), V(not_healthy_in_time), V(service_failed),
      V(service_restarted) for V(rollback); V(to_be_looked_at), V(probe_error), V(no_data), V(too_few_samples),
      V(no_checks), V(waiting) for V(hold).
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
age_s:
  description: Age of the release at the end; null without O(since).
  returned: when the options are valid
  type: float
  sample: 612.4
notices:
  description: What people are to be told though the gate may pass.
  returned: when the options are valid
  type: list
  elements: str
  sample: []
left_out:
  description: Checks that a run in check mode has left out, since they may change something.
  returned: when the options are valid
  type: list
  elements: str
  sample: []
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
    where:
      description: Whom it asked.
      type: str
      returned: always
    url:
      description: The address.
      type: str
      returned: with the kinds http, websocket, prometheus
    host:
      description: Value of the C(Host) header.
      type: str
      returned: with the kinds http, websocket
    tls_verified:
      description: Whether the certificate was checked; null without TLS.
      type: bool
      returned: with the kind http
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
    value:
      description: The number that the newest sample was judged by; null when there was none.
      type: float
      returned: always
    numbers:
      description:
        - What the newest sample was judged by, for example C(bad), C(total), C(rate), its bounds C(lower) and C(upper),
          and the C(threshold).
      type: dict
      returned: always
    figures:
      description: What a later gate can take for its O(checks[].baseline), with V(statements). Empty otherwise.
      type: dict
      returned: always
    notices:
      description: What of the newest sample people are to be told.
      type: list
      elements: str
      returned: always
    releases:
      description: All releases that answered.
      type: list
      elements: str
      returned: always
    latency_ms:
      description:
        - Median, 95th and 99th percentile (nearest rank) and maximum of the C(n) answers, in milliseconds. From less
          than 299 answers there is no C(p99).
      type: dict
      returned: always
      sample: {n: 3, p50: 4.1, p95: 5.2, p99: null, max: 5.2}
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
from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._report import conclude
from ansible_collections.slipway.django.plugins.module_utils._gate._run import run_gate, system_probe
from ansible_collections.slipway.django.plugins.module_utils._gate._spec import check_spec
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENT_SPEC = {
    "checks": {"type": "list", "elements": "dict", "required": True, "options": check_spec()},
    "successes": {"type": "int", "default": 3},
    "failures_allowed": {"type": "int"},
    "wrong_release_limit": {"type": "int", "default": 3},
    "interval": {"type": "float", "default": 1},
    "initial_delay": {"type": "float", "default": 0},
    "deadline": {"type": "float", "default": 60},
    "duration": {"type": "float", "default": 0},
    "since": {"type": "str"},
    "fail_on": {"type": "list", "elements": "str", "choices": ["rollback", "hold"], "default": ["rollback", "hold"]},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    clock = SystemClock()
    try:
        gate = read_gate(module.params, World(clock, SystemRunner()), only_look=module.check_mode)
        result = run_gate(gate, system_probe(clock), clock)
        facts = conclude(gate, result, socket.gethostname())
        module.exit_json(changed=False, msg=f"{facts['verdict']}: {facts['reason']}", **facts)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)


if __name__ == "__main__":
    main()

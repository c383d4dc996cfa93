#!/usr/bin/python
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: django_migrate_safe
short_description: Plan, apply and undo the migrations of a Django release on PostgreSQL while the site serves
version_added: 0.1.0
description:
  - Works with a release on this host in the release's own virtual environment and with its own environment file. Django
    is started once.
  - Each operation and each statement is judged before anything runs, also those of C(RunSQL). It is C(expand) when the
    code that still serves is known to live with the new schema, C(contract) when it is known not to, C(offline) when it
    is but others would wait for long, and C(unknown) otherwise. Its lock is C(online) (nobody waits), C(care) (a
    blocking lock for a moment), C(downtime) (work on more than 64 MiB under a blocking lock) or C(fails). The rules
    stand in C(docs/migrations.md), each with the code to write instead.
  - A migration with an operation that is not C(expand), or that means C(downtime), is refused with the reason and with
    what to do instead, unless O(acknowledged) has it. Nothing at all is applied then. On a database to which no
    migration was ever applied all are C(expand).
  - One run at a time for a database, held by an advisory lock on a connection of its own. Only a process that lives
    holds it.
  - An atomic migration gets its locks within O(lock_timeout_ms) or is rolled back and tried again after a pause of
    random length, until O(lock_budget) is spent. There is no last try without a limit. The failure names the sessions
    that held the lock.
  - Of a migration with C(atomic = False) each operation runs once. When its run ends in the middle, the next run
    continues where the journal and the catalogs leave no doubt, between two operations or in the build of an index, and
    removes an INVALID index that it had left. Else it refuses and says which operations are done and which one may be
    done in part.
  - The table C(django_migrate_safe_journal) in the same database tells what each run did. It is made by the first run
    that changes something.
  - A rehearsal needs the right CREATEDB for the role of the release, or the database that
    M(slipway.django.pg_site) prepares for it (O(slipway.django.pg_site#module:rehearsal_database)). Without
    O(rehearsal_source), which always needs CREATEDB, it needs pg_dump and pg_restore of the server's major version on
    this host too.
  - A rehearsal runs the Python code of migrations and of C(post_migrate). Their mail is thrown away, other databases of
    the settings are read-only to them, and C(SLIPWAY_REHEARSAL) is set to V(1) for settings that want to leave queues,
    caches and other services alone.
  - The signals C(pre_migrate) and C(post_migrate) are sent as by C(manage.py migrate).
author:
  - slipway.django contributors (@slipway)
requirements:
  - In the release's virtual environment Python 3.9 or newer, Django 4.2 to 6.0, psycopg 3 or psycopg2.
  - PostgreSQL 12 or newer, reached directly or through a pooler that gives each client a session of its own.
extends_documentation_fragment:
  - slipway.django.attributes
  - slipway.django.project
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the applied migrations of each app before and after, and the SQL.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
options:
  state:
    description:
      - V(planned) shows the plan, what would be refused included, and never changes anything.
        It fails where no plan can be trusted, when a migration stands half done or an index is INVALID.
      - V(rehearsed) really runs the pending migrations, by the same code, on a copy that is dropped afterwards, and
        then undoes them there. Each statement is measured. What was measured counts where it differs from the plan, and
        RV(rehearsal) tells the difference. It fails when a migration fails. In check mode no copy is made.
      - V(applied) applies all migrations of the release that are not applied.
      - V(reversed) undoes exactly what O(run_id) applied, or what O(applied) lists, the last one first. It needs the
        release that applied them. Nothing is touched when one of them can't be undone, or when an applied migration
        outside of the set builds on one of them, or when data would go and O(accept_data_loss) is not given.
      - V(compatible) only asks whether the release can run on the schema as it is now, whichever migrations made it,
        and tells RV(verdict). Its models are held against the catalogs. What it does to data that newer code has
        written is not part of the verdict.
      - V(recorded) records the migrations of O(by_hand) without running them, as C(migrate --fake) does, after the
        schema was found to be what they would have made. For that all applied migrations and then those are run from
        zero in an empty database beside the live one, which needs the same rights as a rehearsal and as much time as
        the history takes. Names, types, defaults, constraints, indexes, views, functions and triggers are compared,
        owners and rights are not. It is refused when something differs, and when a migration changes rows, which no
        schema shows, unless O(acknowledged) has C(not-seen-in-schema) for it. In check mode nothing is compared.
    type: str
    choices: [planned, rehearsed, applied, reversed, compatible, recorded]
    default: planned
  phase:
    description:
      - V(expand) takes the largest set of migrations, closed under dependencies, that the code which still serves can
        live with. The others are named in RV(later), each with the reason, and left.
      - It is refused when the new code could not work without one of those, or on a column that it no longer knows and
        that no INSERT can leave out; RV(bridges) has the statement that helps. A migration whose file says
        C(slipway_phase = "contract") is one that new code does not need.
      - V(contract) takes all that remains. It is for when no process runs the old release any more; then only the
        waiting of others counts.
      - V(all) takes all and refuses what the old code may not live with.
    type: str
    choices: [all, expand, contract]
    default: all
  database:
    description: Alias of the database in the release's settings.
    type: str
    default: default
  run_id:
    description:
      - Name of this run in the journal, such as the id of the deployment. Runs that continue each other share it.
      - Made from the time when it is not given. Needed for V(reversed) without O(applied).
    type: str
    default: ''
  acknowledged:
    description:
      - Rules that may object to a migration in vain, by C(app.name) and the rule's name, each with the reason why it is
        safe. When one rule alone objects, the reason by C(app.name) will do.
      - A migration's own file may say the same, in C(slipway_acknowledged) of its class, with the reasons by rule.
      - A name that is no migration of the release or no rule is refused, and so is a reason for a pending migration to
        which that rule does not object. Migrations that are applied are passed over.
    type: dict
    default: {}
  by_hand:
    description:
      - With O(state=recorded) the migrations that a person has applied, each with who did what, by C(app.name).
        What they build on must be applied or among them. Those that are recorded already are passed over.
    type: dict
    default: {}
  settled:
    description:
      - Half done migrations that a person has put right, each with who did what, by C(app.name). They run from their
        start.
      - Names that are not half done are passed over.
    type: dict
    default: {}
  applied:
    description:
      - Migrations to undo with O(state=reversed), as RV(applied) or RV(run_applied) of an earlier run gave them; C(app)
        and C(name) count.
    type: list
    elements: dict
  accept_data_loss:
    description:
      - With O(state=reversed), go back also when tables or columns go that hold something, or when it is not known what
        goes. RV(loss) tells which. Without it that is refused before anything is touched.
    type: bool
    default: false
  rehearsal_source:
    description:
      - With O(state=rehearsed) the database on the same server to copy with its rows, such as one that a backup was
        restored into. It must belong to the role of the release and have no session. It stays as it is.
      - By default the copy has the schema of the live database and no rows but those of Django's own tables
        C(django_migrations), C(django_content_type) and C(auth_permission). Locks and work are the same on it; times,
        Python code and changes of rows say nothing then, and the plan's word for those stands.
    type: str
    default: ''
  lock_timeout_ms:
    description:
      - How long one try may wait for its locks at most. Readers and writers of the table wait for as long. The first
        try waits for a quarter of it, the second for a half.
      - It must be longer than the longest usual transaction on the table, else no try succeeds.
    type: int
    default: 1000
  lock_budget:
    description: Seconds that the run may spend on tries without success and on the pauses after them.
    type: int
    default: 60
  stall_budget:
    description:
      - Seconds of O(lock_budget) in which others may have waited behind a try that got no lock, all tries together.
    type: int
    default: 10
  long_transaction:
    description:
      - Seconds from which on a transaction is long. One that holds a lock on a table of the migration is waited for
        before the first try, for at most half of O(lock_budget), without asking for the lock, so that nobody waits
        behind it.
      - Of other roles' transactions the age is visible to members of C(pg_read_all_stats) only. The others are met by
        the tries.
    type: int
    default: 10
  tripwire_rows:
    description:
      - A statement that begins to write anew, to check or to index a table with more rows than this, or with more than
        64 MiB, under a lock that others wait for, is cancelled at once, unless the plan has said so or the migration
        has C(unforeseen-work) in O(acknowledged). Undoing and the first migrations of a database are not.
    type: int
    default: 100000
  statement_timeout_ms:
    description: How long one statement may take; V(0) is no limit. It ends the migration, it is not tried again.
    type: int
    default: 60000
  concurrent_timeout:
    description:
      - Seconds that one C(CONCURRENTLY) statement may take. It blocks nobody; when it is ended it leaves an INVALID
        index.
    type: int
    default: 3600
  on_busy:
    description:
      - What to do while another run works on this database. V(fail) refuses at once and names it, V(wait) waits up to
        O(busy_timeout).
    type: str
    choices: [fail, wait]
    default: fail
  busy_timeout:
    description: Seconds to wait for another run with O(on_busy=wait).
    type: int
    default: 300
  timeout:
    description: Seconds after which the runner is killed. What is atomic is rolled back by the server then.
    type: int
    default: 7200
  progress_file:
    description: A file that says how far the work is, written at most once a second. Another program may read it.
    type: path
"""

EXAMPLES = r"""
- name: Show what the migrations of a release would do
  slipway.django.django_migrate_safe:
    state: planned
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
  become: true
  become_user: shop
  register: migrations

- name: Apply them
  slipway.django.django_migrate_safe:
    state: applied
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
    run_id: 20261121T160528Z-3f2a9c1
    acknowledged:
      shop.0007_fill_totals:
        run-python: fills a column that no released code reads, 2000 rows
  become: true
  become_user: shop

- name: Undo what that deployment applied, with the release that applied it
  slipway.django.django_migrate_safe:
    state: reversed
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
    run_id: 20261121T160528Z-3f2a9c1
  become: true
  become_user: shop

- name: Record what was done by hand on Sunday, once the schema shows it
  slipway.django.django_migrate_safe:
    state: recorded
    release_path: /srv/shop/releases/3f2a9c1d0b5e-8d1c2f3a
    by_hand:
      shop.0009_number_index: Anna built the index on Sunday, when the shop was closed
  become: true
  become_user: shop
"""

RETURN = r"""
reason:
  description: What is, or was, to be done, or why there is nothing to do.
  returned: success
  type: str
run_id:
  description: Name of the run in the journal.
  returned: success
  type: str
pending:
  description: How many migrations the plan has.
  returned: success
  type: int
plan:
  description: The migrations that would run, or that ran, in their order. Empty when there is nothing to do.
  returned: success, and when the plan is refused
  type: list
  elements: dict
  contains:
    app:
      description: Label of the app.
      type: str
    name:
      description: Name of the migration.
      type: str
    atomic:
      description: Whether it runs in one transaction.
      type: bool
    phase:
      description: C(expand), C(contract), C(offline), C(unknown), or C(undo); that of its worst operation.
      type: str
    lock:
      description: C(online), C(care), C(downtime), C(unknown) or C(fails); that of its worst operation.
      type: str
    refused:
      description: Whether it needs an entry in O(acknowledged).
      type: bool
    acknowledged:
      description: The rules that were let pass, with their reasons.
      type: str
    acknowledgements:
      description: The same, each with C(rule), C(reason), and C(source), which is C(inventory) or C(migration).
      type: list
      elements: dict
    reversible:
      description: Whether all of its operations have a way back.
      type: bool
    operations:
      description: Its operations.
      type: list
      elements: dict
      contains:
        index:
          description: Position in the migration, from 0.
          type: int
        kind:
          description: Class of the operation, with its module when it is not one of Django's own.
          type: str
        name:
          description: What Django says about it.
          type: str
        sql:
          description: Its statements. Empty when there are none, or when they can't be known beforehand.
          type: list
          elements: str
        opaque:
          description: Whether it does what no statement shows.
          type: bool
        additive:
          description: Whether old code is known to live with it.
          type: bool
        phase:
          description: As for the migration.
          type: str
        lock:
          description: As for the migration.
          type: str
        rule:
          description: Name of the rule that decided, as O(acknowledged) takes it.
          type: str
        why:
          description: The reason in words.
          type: str
        instead:
          description: What to write or do instead; empty when there is nothing better.
          type: str
        code:
          description:
            - The code to write instead, with the names, columns and definitions of this operation.
            - A word in capitals, such as V(NAME), or V(…) stands where the operation does not tell.
          type: str
        lock_mode:
          description: The strongest lock mode on a table in use, as PostgreSQL names it.
          type: str
        rewrite:
          description: Whether a table is written anew.
          type: bool
        scan:
          description: Whether all rows of a table are read.
          type: bool
        findings:
          description:
            - What each rule says that applies to it, with C(statement), the position in RV(plan[].operations[].sql),
              C(rule), C(phase), C(lock), C(lock_mode), C(rewrite), C(scan), C(why), C(instead) and C(code).
          type: list
          elements: dict
        reversible:
          description: Whether it has a way back.
          type: bool
        table:
          description: The table in question when it was there before the run, with its estimated rows and its bytes.
          type: dict
        tables:
          description: All tables of before the run that its statements name, with the same.
          type: list
          elements: dict
lines:
  description: The plan for people, a line of text each.
  returned: success, and when the plan is refused
  type: list
  elements: str
refused:
  description:
    - The migrations that are refused, by C(app.name). With O(state=planned) and O(state=rehearsed) they are no failure.
    - After a rehearsal as it was measured.
  returned: success, and when the plan is refused
  type: list
  elements: str
rehearsal:
  description: What the rehearsal has measured. Empty when there was none, in check mode too.
  returned: success, and when a migration fails in the rehearsal
  type: dict
  contains:
    source:
      description: The database whose rows were there. Empty for a copy of the schema.
      type: str
    rows:
      description: Whether the copy had the rows of a site.
      type: bool
    back:
      description: Whether undoing led to the schema of before. Not set when it was not tried.
      type: bool
    why_not_back:
      description: Why it did not, or was not tried.
      type: str
    migrations:
      description: The migrations, each with its statements, and with what differs from the plan.
      type: list
      elements: dict
      contains:
        app:
          description: Label of the app.
          type: str
        name:
          description: Name of the migration.
          type: str
        ms:
          description: Milliseconds on the copy.
          type: int
        estimate_ms:
          description:
            - The least and the most milliseconds that it may take on the live database, by the sizes of the tables.
            - Not set when the copy has fewer than 100,000 rows in one of them.
          type: list
          elements: int
        phase:
          description: C(expand), C(contract) or C(unknown), as measured.
          type: str
        lock:
          description: C(online), C(care), C(downtime), C(unknown) or C(fails), as measured.
          type: str
        planned_phase:
          description: What the plan says.
          type: str
        planned_lock:
          description: What the plan says.
          type: str
        differs:
          description: Where the two differ, in words.
          type: list
          elements: str
        breaks:
          description: What old code can't live with, from the catalogs before and after.
          type: list
          elements: str
        doubts:
          description: What old code may notice.
          type: list
          elements: str
        invalid_indexes:
          description: INVALID indexes that it left.
          type: list
          elements: str
        error:
          description: Why it failed.
          type: str
        refused:
          description: Whether it needs an entry in O(acknowledged), or must be repaired.
          type: bool
        status:
          description: C(ready), C(acknowledged), C(refused) or C(fails).
          type: str
        statements:
          description:
            - Its statements in their order, those of the same text in a row together, with C(operation), C(sql),
              C(times), C(ms), C(estimate_ms), C(lock), C(locks) (taken on what was there before), C(held) (blocking
              ones at its end), C(work) and C(error).
          type: list
          elements: dict
    table:
      description: A line for each migration, with C(migration), C(ms), C(estimate_ms), C(rows) and C(status).
      type: list
      elements: dict
applied:
  description: What this run applied, undid or recorded. Empty in check mode.
  returned: success, and after a failure in the middle
  type: list
  elements: dict
  contains:
    app:
      description: Label of the app.
      type: str
    name:
      description: Name of the migration.
      type: str
    ms:
      description: Milliseconds of the try that succeeded.
      type: int
    tries:
      description: How often its locks were tried for.
      type: int
    waited_ms:
      description: Milliseconds of the tries without success and the pauses after them.
      type: int
run_applied:
  description: All that runs with this O(run_id) applied and that is not undone, in the order of applying.
  returned: success
  type: list
  elements: dict
before:
  description: The newest applied migrations of each app, before the run.
  returned: success, and when the plan is refused
  type: dict
after:
  description: The same after the run; in check mode as they would be.
  returned: success, and when the plan is refused
  type: dict
ahead:
  description: Applied migrations that this release does not have, by C(app.name).
  returned: success
  type: list
  elements: str
invalid_indexes:
  description: INVALID indexes in the database.
  returned: success, and after a failure
  type: list
  elements: str
half_done:
  description:
    - Migrations without a transaction that stand half in the database, with the operations that are done, and where
      they continue by themselves if they do (C(continues_at)).
  returned: success, and when the plan is refused
  type: list
  elements: dict
long_transactions:
  description:
    - Transactions older than O(long_transaction) that hold a lock on a table of the plan, with process, user,
      application, age and the beginning of their statement, as seen before the run.
  returned: success
  type: list
  elements: dict
later:
  description: The pending migrations that O(phase=expand) leaves, each with C(key) and C(why).
  returned: success, and when the plan is refused
  type: list
  elements: dict
bridges:
  description:
    - Statements by which new code can live with a column that it no longer knows, with C(migration), C(table),
      C(column) and C(statement).
  returned: success, and when the plan is refused
  type: list
  elements: dict
problems:
  description: Why new code could not work on the schema after O(phase=expand).
  returned: success, and when the plan is refused
  type: list
  elements: str
loss:
  description:
    - What undoing would take away, with O(state=reversed), of what holds something. C(rows) counts those with a value
      in it and is not set where they could not be counted, C(more) says that there are more than that.
  returned: success, and when the plan is refused
  type: list
  elements: dict
  contains:
    migration:
      description: The migration, as C(app.name).
      type: str
    operation:
      description: Position of the operation in it.
      type: int
    table:
      description: The table. Empty where it is not known what goes.
      type: str
    column:
      description: The column. Empty when the whole table goes.
      type: str
    rows:
      description: The rows that have a value in it.
      type: int
    more:
      description: Whether there are more.
      type: bool
    text:
      description: All that in words.
      type: str
verdict:
  description:
    - C(fits), C(differs) when something breaks, or C(doubtful) when something may.
  returned: success, with O(state=compatible)
  type: str
breaks:
  description: What the release can't live with.
  returned: success, with O(state=compatible)
  type: list
  elements: str
doubts:
  description: Rules of the schema that the release does not know, when it is behind the database.
  returned: success, with O(state=compatible)
  type: list
  elements: str
busy:
  description: The run that works on this database now. Looked at with O(state=planned) only.
  returned: success
  type: str
failed_migration:
  description: The migration that failed, the operation at which it failed, and how many of its operations are done.
  returned: after a failure in a migration
  type: dict
blockers:
  description:
    - The sessions that held the lock, with process, user, application, age of the transaction and the beginning of
      their statement.
  returned: after a failure in a migration
  type: list
  elements: dict
no_means:
  description: Set to true when a rehearsal was refused because this host, or the database role, lacks what it needs.
  returned: after a refusal with O(state=rehearsed)
  type: bool
stderr:
  description: The end of what the release printed, without the values of its environment file.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._bundle import bundle
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Means, ask, find_site
from ansible_collections.slipway.django.plugins.module_utils._migrations._options import read_options
from ansible_collections.slipway.django.plugins.module_utils._migrations._report import outcome
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

ARGUMENTS = {
    "state": {
        "type": "str",
        "choices": ["planned", "rehearsed", "applied", "reversed", "compatible", "recorded"],
        "default": "planned",
    },
    "phase": {"type": "str", "choices": ["all", "expand", "contract"], "default": "all"},
    "release_path": {"type": "path", "required": True},
    "project_directory": {"type": "str", "default": "."},
    "settings": {"type": "str", "default": ""},
    "database": {"type": "str", "default": "default"},
    "run_id": {"type": "str", "default": ""},
    "acknowledged": {"type": "dict", "default": {}},
    "by_hand": {"type": "dict", "default": {}},
    "settled": {"type": "dict", "default": {}},
    "applied": {"type": "list", "elements": "dict"},
    "accept_data_loss": {"type": "bool", "default": False},
    "rehearsal_source": {"type": "str", "default": ""},
    "lock_timeout_ms": {"type": "int", "default": 1000},
    "lock_budget": {"type": "int", "default": 60},
    "stall_budget": {"type": "int", "default": 10},
    "long_transaction": {"type": "int", "default": 10},
    "tripwire_rows": {"type": "int", "default": 100000},
    "statement_timeout_ms": {"type": "int", "default": 60000},
    "concurrent_timeout": {"type": "int", "default": 3600},
    "on_busy": {"type": "str", "choices": ["fail", "wait"], "default": "fail"},
    "busy_timeout": {"type": "int", "default": 300},
    "timeout": {"type": "int", "default": 7200},
    "progress_file": {"type": "path"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    try:
        site = find_site(options["release_path"], options["project_directory"], options["settings"])
        request = read_options(options, site, check_mode=module.check_mode, now=SystemClock().utcnow())
        means = Means(bundle(), module.tmpdir, SystemRunner(), options["timeout"])
        result = ask(site, request, means)
    except SlipwayError as error:
        module.fail_json(msg=error.message, **error.facts)
    else:
        module.exit_json(**outcome(result, diff=module._diff))


if __name__ == "__main__":
    main()

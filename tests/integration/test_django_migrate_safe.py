# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""django_migrate_safe with a real PostgreSQL, a real Django and, where it matters, a real ansible-core.

What was done is proved by reading the database, never by what the module says of itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.integration.ansible_module import run_module, run_task
from ansible_collections.slipway.django.tests.integration.django_site import (
    PASSWORD,
    SECRET_KEY,
    Cluster,
    DjangoSite,
)
from ansible_collections.slipway.django.tests.integration.migrations_world import (
    CONCURRENTLY,
    NOTE,
    NUMBER_INDEX,
    RELEASE,
    migrate,
    names,
    open_transaction,
    raised,
    refusal,
    schema,
    wait_until,
    waits_for_lock,
)
from ansible_collections.slipway.django.tests.integration.readers import Readers

pytestmark = pytest.mark.timeout(240)

# --- the pattern of check, apply, check, apply ---


def test_check_apply_check_apply(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    options = site.options("applied", run_id="r1")
    before = schema(site)

    checked = run_module("django_migrate_safe", options, check=True).succeeded()
    assert checked["changed"]
    assert schema(site) == before

    applied = run_module("django_migrate_safe", options).succeeded()
    assert applied["changed"]
    assert site.recorded() == ["0001_initial", "0002_note", "0003_index"]
    assert site.columns() == ["id", "number", "state", "amount", "note"]
    assert names(applied) == ["orders.0002_note", "orders.0003_index"]
    assert site.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'number_idx'::regclass") == [(True,)]

    # Check mode has said what then happened, with the same keys.
    assert set(checked) == set(applied)
    assert checked["plan"] == applied["plan"]
    assert checked["after"] == applied["after"] == {**applied["before"], "orders": ["0003_index"]}
    assert checked["diff"] == applied["diff"]
    assert applied["diff"][0]["before"].endswith("orders: 0001_initial\n")
    assert applied["diff"][0]["after"].endswith("orders: 0003_index\n")
    assert 'CREATE INDEX CONCURRENTLY "number_idx" ON "orders_order" ("number");' in applied["diff"][1]["prepared"]

    after = schema(site)
    for check in (True, False):
        again = run_module("django_migrate_safe", options, check=check).succeeded()
        assert not again["changed"]
        assert again["msg"] == "all migrations of this release are applied"
        assert again["applied"] == again["plan"] == []
        assert names(again, "run_applied") == names(applied)
    assert schema(site) == after


def test_undoing_in_check_apply_check_apply(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    before = schema(site)
    migrate(site, "applied", run_id="r1")
    applied = schema(site)

    checked = migrate(site, "reversed", check=True)
    assert checked["changed"]
    assert schema(site) == applied

    undone = migrate(site, "reversed")
    assert undone["changed"]
    assert set(checked) == set(undone)
    assert names(undone) == ["orders.0003_index", "orders.0002_note"]
    assert schema(site) == before

    for check in (True, False):
        again = migrate(site, "reversed", check=check)
        assert not again["changed"]
        assert again["reason"] == "nothing that run r1 applied is applied now"
    assert schema(site) == before


def test_planning_changes_nothing_and_names_what_would_be_refused(site: DjangoSite) -> None:
    site.migration("0002_state", 'migrations.RemoveField("order", "state"),')
    before = schema(site)

    planned = run_module("django_migrate_safe", site.options("planned")).succeeded()

    assert not planned["changed"]
    assert planned["refused"] == ["orders.0002_state"]
    assert planned["pending"] == 1
    (entry,) = planned["plan"]
    assert (entry["phase"], entry["refused"]) == ("contract", True)
    # Django 6.0 has left CASCADE out.
    cascade = " CASCADE" if site.django_version() < (6, 0) else ""
    assert entry["operations"][0]["sql"] == [f'ALTER TABLE "orders_order" DROP COLUMN "state"{cascade};']
    assert entry["operations"][0]["table"]["rows"] == 2000
    assert any("      table orders_order: about 2,000 rows, " in line for line in planned["lines"])
    assert schema(site) == before


# --- secrets and noise ---


def test_no_secret_is_shown_whatever_the_site_prints(site: DjangoSite) -> None:
    settings = site.release / "src" / "site_settings.py"
    settings.write_text(
        settings.read_text()
        + "import os, sys\nprint('stdout', dict(os.environ))\nprint('stderr', dict(os.environ), file=sys.stderr)\n"
        + 'os.write(1, b\'{"protocol": 1, "result": {}}\')\n'
    )
    site.migration("0002_note", f"migrations.RunSQL(\"SELECT '{SECRET_KEY}'\"),{NOTE}")
    site.migration("0003_fails", "migrations.RunPython(fail),", code=FAILS_WITH_SECRETS)

    planned = run_module("django_migrate_safe", site.options("planned"))
    reasons = {"orders.0002_note": "reads only", "orders.0003_fails": "a test"}
    failed = run_module("django_migrate_safe", site.options("applied", acknowledged=reasons))

    assert "<SECRET_KEY>" in planned.succeeded()["plan"][0]["operations"][0]["sql"][0]
    assert failed.failed
    assert "password is <DATABASE_PASSWORD>" in failed.msg
    assert "RuntimeError" in failed.result["stderr"]
    assert site.recorded() == ["0001_initial", "0002_note"]
    for run in (planned, failed):
        assert PASSWORD not in run.output
        assert SECRET_KEY not in run.output


FAILS_WITH_SECRETS = """
import os

def fail(apps, editor):
    raise RuntimeError("the password is " + os.environ["DATABASE_PASSWORD"])
"""


def test_a_site_that_does_not_start_is_told_with_the_end_of_its_output(site: DjangoSite) -> None:
    (site.release / "src" / "orders" / "apps.py").write_text("import nothing_like_it\n")

    error = refusal(site, "planned")

    assert "the release can't be started: ModuleNotFoundError: No module named 'nothing_like_it'" in error.message
    assert "Nothing was changed" in error.message
    assert "Traceback" in str(error.facts["stderr"])


def test_a_database_that_does_not_answer(site: DjangoSite) -> None:
    site.write_environment(DATABASE_NAME="no_such_database")

    error = refusal(site, "applied")

    assert "the database of the release does not answer: OperationalError: connection" in error.message
    assert 'database "no_such_database" does not exist' in error.message
    assert PASSWORD not in str(vars(error))


# --- judgement, on the SQL that Django writes ---

CORPUS: dict[str, tuple[str, str]] = {
    "create": ("create-table", 'migrations.CreateModel("Gift", [("id", models.BigAutoField(primary_key=True))]),'),
    "create_refers": (
        "new-table-refers",
        'migrations.CreateModel("Parcel", [("order", models.ForeignKey("orders.order", models.CASCADE))]),',
    ),
    "new_table": ("new-table", 'migrations.AddField("gift", "a", models.IntegerField(default=0)),'),
    "new_table_refers": (
        "new-table-refers",
        'migrations.AddField("gift", "order", models.ForeignKey("orders.order", models.CASCADE, null=True)),',
    ),
    "null": ("add-column", 'migrations.AddField("order", "b", models.IntegerField(null=True)),'),
    "null_default": ("add-column", 'migrations.AddField("order", "c", models.IntegerField(null=True, default=3)),'),
    "reference": (
        "add-column-refers",
        'migrations.AddField("order", "d", models.ForeignKey("auth.user", models.CASCADE, null=True, db_index=False)),',
    ),
    "reference_index": (
        "work-under-lock",
        'migrations.AddField("order", "e", models.ForeignKey("auth.user", models.CASCADE, null=True)),',
    ),
    "positive": ("add-column-check", 'migrations.AddField("order", "f", models.PositiveIntegerField(null=True)),'),
    "unique": (
        "add-column-unique",
        'migrations.AddField("order", "g", models.IntegerField(null=True, unique=True)),',
    ),
    "default": ("add-column-required", 'migrations.AddField("order", "h", models.IntegerField(default=3)),'),
    "blank": ("add-column-required", 'migrations.AddField("order", "i", models.CharField(max_length=5, blank=True)),'),
    "required": ("add-column-without-default", 'migrations.AddField("order", "j", models.IntegerField()),'),
    "many": ("new-table-refers", 'migrations.AddField("order", "k", models.ManyToManyField("auth.user")),'),
    "wider": ("change-type-free", 'migrations.AlterField("order", "number", models.CharField(max_length=40)),'),
    "text": ("change-type-free", 'migrations.AlterField("order", "number", models.TextField()),'),
    "narrower": ("change-type", 'migrations.AlterField("order", "state", models.CharField(max_length=5)),'),
    "choices": (
        "no-statement",
        'migrations.AlterField("order", "state", models.CharField(max_length=5, choices=[("a", "b")], help_text="c")),',
    ),
    "bigger": (
        "change-type-larger-integer",
        'migrations.AlterField("order", "amount", models.BigIntegerField(null=True)),',
    ),
    "not_null": ("set-not-null", 'migrations.AlterField("order", "amount", models.BigIntegerField(default=0)),'),
    "may_be_null": (
        "drop-not-null",
        'migrations.AlterField("order", "state", models.CharField(max_length=5, null=True)),',
    ),
    "indexed": (
        "create-index",
        'migrations.AlterField("order", "state", models.CharField(max_length=5, null=True, db_index=True)),',
    ),
    "made_unique": (
        "add-unique",
        'migrations.AlterField("order", "amount", models.BigIntegerField(unique=True)),',
    ),
    "index": ("create-index", f'migrations.AddIndex("order", {NUMBER_INDEX}),'),
    "index_renamed": (
        "rename-index",
        'migrations.RenameIndex("order", new_name="renamed_idx", old_name="number_idx"),',
    ),
    "index_removed": ("drop-index", 'migrations.RemoveIndex("order", "renamed_idx"),'),
    "concurrently_atomic": ("concurrently-in-transaction", CONCURRENTLY),
    "together": ("add-unique", 'migrations.AlterUniqueTogether("order", {("number", "state")}),'),
    "validate": ("validate", 'postgres.ValidateConstraint("order", "any"),'),
    "comment": ("comment", 'migrations.AlterModelTableComment("order", "all orders"),'),
    "options": ("no-statement", 'migrations.AlterModelOptions("order", {"ordering": ["id"]}),'),
    "create-extension": ("create-extension", "postgres.TrigramExtension(),"),
    "sql": ("update-rows", 'migrations.RunSQL("UPDATE orders_order SET amount = 1"),'),
    "sql_noop": ("no-statement", "migrations.RunSQL(migrations.RunSQL.noop),"),
    "python": ("run-python", "migrations.RunPython(print),"),
    "python_noop": ("run-python-noop", "migrations.RunPython(migrations.RunPython.noop),"),
    "state_only": (
        "no-statement",
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "b")]),',
    ),
    "state_only_required": (
        "required-left-behind",
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("order", "number")]),',
    ),
    "wrapped": (
        "drop-column",
        'migrations.SeparateDatabaseAndState(database_operations=[migrations.RemoveField("order", "c")]),',
    ),
    "own": ("not-djangos-own", "Own(),"),
    "field_removed": ("drop-column", 'migrations.RemoveField("order", "c"),'),
    "field_renamed": ("rename-column", 'migrations.RenameField("order", "f", "ff"),'),
    "renamed": ("add-foreign-key", 'migrations.RenameModel("Order", "Purchase"),'),
    "renamed_index": ("create-index", 'migrations.AddIndex("purchase", models.Index(fields=["ff"], name="p_idx")),'),
    "deleted": ("drop-table", 'migrations.DeleteModel("Line"),'),
}  # fmt: skip
OWN = """
class Own(migrations.AddField):
    # Writes past the schema editor: while a plan is made, the session must be read-only.
    def __init__(self):
        super().__init__("order", "own", models.IntegerField(null=True))

    def deconstruct(self):
        return ("Own", [], {})

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("DELETE FROM orders_order")
"""


def test_each_operation_of_django_gets_the_verdict_that_its_sql_deserves(site: DjangoSite) -> None:
    for number, (name, (_, operation)) in enumerate(CORPUS.items(), start=2):
        site.migration(f"{number:04}_{name}", operation, code=OWN)

    planned = migrate(site, "planned")

    found = {entry["name"][5:]: [each["rule"] for each in entry["operations"]] for entry in planned["plan"]}
    expected = {name: [rule] for name, (rule, _) in CORPUS.items()}
    if site.django_version() < (5, 0):
        # Django 4.2 makes the check of a renamed column anew.
        expected["field_renamed"] = ["add-check"]
    assert found == expected
    assert site.query("SELECT count(*) FROM orders_order") == [(2000,)]
    # The renamed table is the one that was there, not a new one that nobody uses.
    renamed = next(entry for entry in planned["plan"] if entry["name"].endswith("renamed_index"))
    assert renamed["operations"][0]["table"]["rows"] == 2000


def test_a_default_of_the_database_makes_a_required_column_harmless(site: DjangoSite) -> None:
    """Trap: Django before 5.0 has no db_default, and drops each default that it adds a column with."""
    if site.django_version() < (5, 0):
        pytest.skip("db_default came with Django 5.0")
    site.migration("0002_const", 'migrations.AddField("order", "a", models.IntegerField(db_default=7)),')
    site.migration("0003_now", 'migrations.AddField("order", "b", models.DateTimeField(db_default=Now())),')
    site.migration(
        "0004_set", 'migrations.AlterField("order", "state", models.CharField(max_length=10, db_default="x")),'
    )

    applied = migrate(site, "applied")

    rules = [entry["operations"][0]["rule"] for entry in applied["plan"]]
    assert rules == ["add-column", "add-column", "set-default"]
    # What the old code does goes on working.
    site.execute("INSERT INTO orders_order (number) VALUES ('old code')")
    assert site.query("SELECT a, b IS NOT NULL, state FROM orders_order WHERE number = 'old code'") == [(7, True, "x")]


def test_one_refused_migration_refuses_the_whole_plan(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_python", "migrations.RunPython(print),")
    before = schema(site)

    error = refusal(site, "applied")

    assert error.seen.startswith("refused: orders.0003_python, operation 0 (Raw Python operation print): Python code:")
    assert "Nothing was changed, not by the other migrations of the plan either" in error.message
    assert "acknowledged: {app.name: {rule: the reason why it is safe}}" in error.message
    assert error.facts["changed"] is False
    assert error.facts["refused"] == ["orders.0003_python"]
    assert schema(site) == before


def test_an_acknowledged_migration_runs(site: DjangoSite) -> None:
    site.migration("0002_state", 'migrations.RemoveField("order", "state"),')

    applied = migrate(site, "applied", acknowledged={"orders.0002_state": "no code of the last two releases reads it"})

    assert applied["plan"][0]["acknowledged"] == "drop-column: no code of the last two releases reads it"
    journal = site.query("SELECT event, detail FROM django_migrate_safe_journal WHERE name = '0002_state'")
    assert journal == [("applied", "drop-column: no code of the last two releases reads it")]
    assert "state" not in site.columns()


def test_an_acknowledged_name_that_does_not_exist_is_refused(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)

    error = refusal(site, "applied", acknowledged={"orders.0002_nota": "typing"})

    assert "acknowledged names what is no migration of this release: orders.0002_nota" in error.message
    assert site.recorded() == ["0001_initial"]


def test_a_reason_in_the_migrations_own_file_lets_it_run_and_is_shown(site: DjangoSite) -> None:
    site.migration("0002_state", 'migrations.RemoveField("order", "state"),')
    path = site.release / "src" / "orders" / "migrations" / "0002_state.py"
    path.write_text(path.read_text() + "    slipway_acknowledged = {'drop-column': 'nobody reads it'}\n")

    applied = migrate(site, "applied")

    assert applied["plan"][0]["acknowledgements"] == [
        {"rule": "drop-column", "reason": "nobody reads it", "source": "migration"}
    ]
    assert applied["lines"][0] == "orders.0002_state: contract, care: acknowledged: drop-column: nobody reads it"
    journal = site.query("SELECT event, detail FROM django_migrate_safe_journal WHERE name = '0002_state'")
    assert journal == [("applied", "drop-column: nobody reads it")]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{'drop-colum': 'nobody reads it'}", "slipway_acknowledged is {'drop-colum': 'nobody reads it'}, expected"),
        ("{'drop-column': ''}", "slipway_acknowledged is {'drop-column': ''}, expected"),
        ("True", "slipway_acknowledged is True, expected"),
        ("{'run-python': 'x'}", "nothing objects: orders.0002_state: run-python in the migration"),
    ],
)
def test_a_reason_in_a_file_that_can_not_be_meant_is_refused(site: DjangoSite, written: str, message: str) -> None:
    site.migration("0002_state", 'migrations.RemoveField("order", "state"),')
    path = site.release / "src" / "orders" / "migrations" / "0002_state.py"
    path.write_text(path.read_text() + f"    slipway_acknowledged = {written}\n")

    error = refusal(site, "planned")

    assert message in error.message
    assert "state" in site.columns()


def test_the_first_deployment_needs_nobodys_word(cluster: Cluster, tmp_path: Path) -> None:
    """Django's own apps bring Python code and dropped columns: on an empty database they break nobody."""
    site = DjangoSite(tmp_path / "releases" / RELEASE, cluster, cluster.create())

    applied = migrate(site, "applied")

    assert len(applied["applied"]) > 10
    assert applied["before"] == {}
    assert {each["phase"] for each in applied["plan"]} == {"expand"}
    # post_migrate was sent: permissions come from it.
    assert site.query("SELECT count(*) FROM auth_permission WHERE codename LIKE '%_user'") == [(4,)]


def test_a_table_that_is_there_already_is_not_taken_for_ours(site: DjangoSite) -> None:
    site.execute("CREATE TABLE orders_gift (id bigint)")
    site.migration("0002_gift", CORPUS["create"][1])

    error = refusal(site, "applied")

    assert "the table that it creates is in the database already" in error.message


# --- consistency ---


def test_conflicting_migrations_are_refused(site: DjangoSite) -> None:
    site.migration("0002_a", NOTE)
    site.migration(
        "0002_b", 'migrations.AddField("order", "b", models.TextField(null=True)),', depends=["0001_initial"]
    )

    error = refusal(site, "planned")

    assert "more than one last migration in an app (orders: 0002_a, 0002_b)" in error.message
    assert "makemigrations --merge" in error.message


def test_an_inconsistent_history_is_refused(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_b", 'migrations.AddField("order", "b", models.TextField(null=True)),')
    site.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '0003_b', now())")

    error = refusal(site, "applied")

    assert "the release's migrations can't be loaded: InconsistentMigrationHistory" in error.message


def test_a_database_that_is_ahead_of_the_release_is_no_work(site: DjangoSite) -> None:
    site.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '0002_of_tomorrow', now())")

    applied = migrate(site, "applied")

    assert not applied["changed"]
    assert applied["ahead"] == ["orders.0002_of_tomorrow"]


def test_squashed_migrations_are_recorded_once_all_their_parts_are_applied(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    migrate(site, "applied")
    path = site.release / "src" / "orders" / "migrations" / "0001_squashed.py"
    site.migration("0001_squashed", "", depends=[])
    path.write_text(path.read_text() + '    replaces = [("orders", "0001_initial"), ("orders", "0002_note")]\n')

    applied = migrate(site, "applied", run_id="r2")

    assert applied["changed"]
    assert applied["reason"] == "squashed migrations to record: orders.0001_squashed"
    assert site.recorded() == ["0001_initial", "0002_note", "0001_squashed"]
    assert not migrate(site, "applied", run_id="r2")["changed"]


def test_an_invalid_index_is_named_before_anything_runs(site: DjangoSite) -> None:
    site.execute("INSERT INTO orders_order (number, state) VALUES ('1', 'new')")
    with (
        site.cluster.connect(site.database, user="shop") as connection,
        pytest.raises(Exception, match="could not create"),
    ):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken_idx ON orders_order (number)")
    site.migration("0002_note", NOTE)

    error = refusal(site, "applied")

    assert (
        "INVALID indexes are in the database, left by a CONCURRENTLY that failed: broken_idx on orders_order"
        in error.message
    )
    assert "DROP INDEX CONCURRENTLY" in error.message
    assert site.recorded() == ["0001_initial"]


# --- locks ---


REPORT_S = 4.0  # how long the report reads
BOUND_S = 1.5  # far above the lock timeout, for a busy machine; far below the report


def test_readers_never_wait_longer_than_the_lock_timeout(site: DjangoSite) -> None:
    """The queue behind a waiting ALTER TABLE is what takes sites down: a long report, and everybody waits.

    The pauses let readers through between two tries, and the migration gets its turn when the report ends.
    """
    site.migration("0002_note", NOTE)

    with ThreadPoolExecutor(1) as pool, Readers(site) as readers:
        with open_transaction(site, "SELECT count(*) FROM orders_order"):
            run = pool.submit(migrate, site, "applied", lock_timeout_ms=300, lock_budget=60)
            wait_until(lambda: waits_for_lock(site))
            before = readers.answered()
            time.sleep(REPORT_S)
            assert not run.done()
            while_waiting = readers.answered() - before
        applied = run.result(timeout=60)

    (entry,) = applied["applied"]
    assert entry["tries"] > 1
    assert entry["waited_ms"] > 300
    assert "note" in site.columns()
    assert readers.longest_s < BOUND_S
    assert while_waiting > 20


def test_without_a_lock_timeout_the_same_readers_wait_for_the_report(site: DjangoSite) -> None:
    """Negative control: the test above sees a queue where there is one."""

    def alter() -> None:
        site.execute('ALTER TABLE orders_order ADD COLUMN "note" text')

    with ThreadPoolExecutor(1) as pool, Readers(site) as readers:
        with open_transaction(site, "SELECT count(*) FROM orders_order"):
            run = pool.submit(alter)
            wait_until(lambda: waits_for_lock(site))
            time.sleep(BOUND_S + 1)
        run.result(timeout=60)

    assert readers.longest_s > BOUND_S


def test_a_retry_begins_from_the_state_before_the_migration(site: DjangoSite) -> None:
    """Trap: without a clone of the project's state the second try fails with a KeyError."""
    site.migration(
        "0002_both",
        'migrations.AddField("line", "text", models.TextField(null=True)),'
        'migrations.RenameField("line", "text", "words"),' + NOTE,
    )
    reasons = {"orders.0002_both": "a column of this very migration is renamed"}

    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "SELECT count(*) FROM orders_order"):
            run = pool.submit(migrate, site, "applied", acknowledged=reasons)
            wait_until(lambda: waits_for_lock(site))
            time.sleep(1)
        applied = run.result(timeout=60)

    assert applied["applied"][0]["tries"] > 1
    assert "note" in site.columns()


def test_a_spent_budget_names_the_blocker_without_its_literals(site: DjangoSite) -> None:
    site.migration("0002_first", 'migrations.AddField("line", "text", models.TextField(null=True)),')
    site.migration("0003_note", NOTE)

    with open_transaction(site, "SELECT * FROM orders_order WHERE number = 'card 4111-1111' AND id > 17"):
        began = time.monotonic()
        error = refusal(site, "applied", lock_timeout_ms=200, lock_budget=2)
        took = time.monotonic() - began

    assert took < 2 + 10
    assert (
        "orders.0003_note, operation 0 (Add field note to order): canceling statement due to lock timeout (55P03)"
        in error.seen
    )
    assert "within the lock_budget of 2 s and the stall_budget of 20 s; held by process" in error.seen
    assert "(nightly report, user shop, idle in transaction, in its transaction for" in error.seen
    assert "SELECT * FROM orders_order WHERE number = '…' AND id > ?" in error.seen
    assert "4111" not in str(vars(error))
    assert "The migration was rolled back whole. Applied in this run before it: orders.0002_first" in error.message
    assert applications(error) == ["nightly report"]
    assert error.facts["changed"] is True
    assert site.recorded() == ["0001_initial", "0002_first"]
    # The same command again finishes.
    assert names(migrate(site, "applied")) == ["orders.0003_note"]


def applications(error: SlipwayError) -> list[str]:
    blockers: Any = error.facts["blockers"]
    return [blocker["application"] for blocker in blockers]


def test_a_statement_that_takes_too_long_is_ended_and_rolled_back(site: DjangoSite) -> None:
    site.migration("0002_slow", NOTE + 'migrations.RunSQL("SELECT pg_sleep(30)"),')

    error = refusal(
        site,
        "applied",
        statement_timeout_ms=300,
        acknowledged={"orders.0002_slow": {"select": "a test", "work-under-lock": "a test"}},
    )

    assert "canceling statement due to statement timeout (57014)" in error.message
    assert "statement_timeout_ms" in error.message
    assert "note" not in site.columns()


def test_python_code_is_not_run_twice_unasked(site: DjangoSite, tmp_path: Path) -> None:
    code = f"def ring(apps, editor):\n    open({str(tmp_path / 'rang')!r}, 'a').write('x')\n"
    site.migration("0002_ring", f"migrations.RunPython(ring),{NOTE}", code=code)
    reasons = {"orders.0002_ring": "a test"}

    with open_transaction(site, "SELECT count(*) FROM orders_order"):
        error = refusal(site, "applied", acknowledged=reasons)

    assert (tmp_path / "rang").read_text() == "x"
    assert "Python code of this migration had run already, so it was not tried again by itself" in error.message
    assert error.facts["blockers"]
    assert site.recorded() == ["0001_initial"]


# --- migrations without a transaction ---

THREE = (
    'migrations.RunSQL("CREATE TABLE one (id int)", "DROP TABLE one"),'
    'migrations.RunSQL(["CREATE TABLE two (id int)", "CREATE TABLE orders_line (id int)"]),'
    'migrations.RunSQL("CREATE TABLE three (id int)"),'
)
ACKNOWLEDGED: dict[str, str] = {}


def test_a_half_done_migration_is_described_and_never_repeated_by_itself(site: DjangoSite) -> None:
    site.migration("0002_three", THREE, atomic=False)

    error = refusal(site, "applied", acknowledged=ACKNOWLEDGED)

    assert "orders.0002_three, operation 1 (Raw SQL operation)" in error.seen
    assert (
        "The migration is not atomic and is half done: 1 of 3 operations are done, operation 1 may be done in part;"
        " the next run will refuse to repeat it" in error.message
    )
    assert error.facts["failed_migration"] == {
        "app": "orders",
        "name": "0002_three",
        "operation": 1,
        "operations_done": 1,
        "nothing_done": False,
    }

    tables = schema(site)
    for state in ("planned", "applied"):
        again = refusal(site, state, acknowledged=ACKNOWLEDGED)
        assert "orders.0002_three is half applied since" in again.seen
        assert "operations done: 0; operation 1 may be done in part" in again.seen
        assert "settled: {app.name: who did what}" in again.message
    assert schema(site) == tables


def test_a_half_done_migration_taken_back_by_hand_runs_from_its_start(site: DjangoSite) -> None:
    site.migration("0002_three", THREE, atomic=False)
    refusal(site, "applied", acknowledged=ACKNOWLEDGED)
    site.execute("DROP TABLE one; DROP TABLE two")
    site.migration("0002_three", THREE.replace("orders_line", "other"), atomic=False)
    settled = {"orders.0002_three": "ann dropped the tables one and two"}

    applied = migrate(site, "applied", acknowledged=ACKNOWLEDGED, settled=settled)

    assert names(applied) == ["orders.0002_three"]
    events = [
        event
        for (event,) in site.query(
            "SELECT event FROM django_migrate_safe_journal WHERE name = '0002_three' ORDER BY id"
        )
    ]
    assert events == [
        *("started", "operation started", "operation done", "operation started", "operation failed", "settled"),
        *("started", *["operation started", "operation done"] * 3, "applied"),
    ]
    # Said once more it changes nothing.
    assert not migrate(site, "applied", acknowledged=ACKNOWLEDGED, settled=settled)["changed"]


def test_a_half_done_migration_finished_by_hand_is_settled_by_djangos_record(site: DjangoSite) -> None:
    site.migration("0002_three", THREE, atomic=False)
    refusal(site, "applied", acknowledged=ACKNOWLEDGED)
    site.execute("CREATE TABLE three (id int)")
    site.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '0002_three', now())")

    assert not migrate(site, "planned")["pending"]


def test_a_statement_that_got_no_lock_is_tried_again_and_nothing_else(site: DjangoSite) -> None:
    site.migration("0002_three", 'migrations.RunSQL("CREATE TABLE one (id int)"),' + NOTE, atomic=False)

    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "SELECT count(*) FROM orders_order"):
            run = pool.submit(migrate, site, "applied", acknowledged=ACKNOWLEDGED)
            wait_until(lambda: waits_for_lock(site))
            time.sleep(1)
        applied = run.result(timeout=60)

    assert applied["applied"][0]["tries"] > 1
    assert "note" in site.columns()


def test_a_migration_that_never_began_may_run_again(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE, atomic=False)

    with open_transaction(site, "SELECT count(*) FROM orders_order"):
        error = refusal(site, "applied", lock_timeout_ms=100, lock_budget=1)

    assert "Nothing of the migration has taken effect" in error.message
    assert names(migrate(site, "applied")) == ["orders.0002_note"]


def test_an_index_that_could_not_be_built_leaves_nothing_and_is_built_by_the_next_run(site: DjangoSite) -> None:
    """Trap: each failure leaves an INVALID index; it is ours, so it goes at once."""
    site.execute("INSERT INTO orders_order (number, state) VALUES ('1', 'new')")
    sql = "CREATE UNIQUE INDEX CONCURRENTLY unique_number ON orders_order (number)"
    site.migration("0002_unique", f'migrations.RunSQL("{sql}"),', atomic=False)
    reasons = {"orders.0002_unique": "numbers are unique"}

    error = refusal(site, "applied", acknowledged=reasons)

    assert 'could not create unique index "unique_number" (23505). Key (number)=(…) is duplicated.' in error.message
    assert "Nothing of the migration has taken effect" in error.message
    assert site.query("SELECT 1 FROM pg_class WHERE relname = 'unique_number'") == []
    site.execute("DELETE FROM orders_order WHERE id = (SELECT max(id) FROM orders_order)")
    assert names(migrate(site, "applied", acknowledged=reasons)) == ["orders.0002_unique"]
    assert site.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'unique_number'::regclass") == [(True,)]


def test_concurrently_waits_for_a_long_transaction_without_leaving_an_invalid_index(site: DjangoSite) -> None:
    """Trap: with a lock timeout it would fail while it waits, and leave an INVALID index behind."""
    site.migration("0002_index", CONCURRENTLY, atomic=False)

    with ThreadPoolExecutor(1) as pool:
        with open_transaction(site, "UPDATE orders_order SET amount = 1 WHERE id = 1"):
            run = pool.submit(migrate, site, "applied", lock_timeout_ms=200)
            wait_until(lambda: waits_for_lock(site))
            time.sleep(1)
            site.execute("UPDATE orders_order SET amount = 2 WHERE id = 2")  # writers go on
        applied = run.result(timeout=60)

    assert names(applied) == ["orders.0002_index"]
    assert site.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'number_idx'::regclass") == [(True,)]


# --- what dies, and who else is there ---

SLEEPS = """
import time
from pathlib import Path

def sleep(apps, editor):
    editor.connection.cursor().execute("SELECT count(*) FROM orders_order")
    end = time.monotonic() + 90
    while Path({flag!r}).exists() and time.monotonic() < end:
        {wait}
"""
ASLEEP = {"orders.0002_sleep": "a test"}


@pytest.mark.parametrize("wait", ["time.sleep(0.1)", "editor.connection.cursor().execute('SELECT pg_sleep(60)')"])
def test_a_killed_module_takes_its_runner_along_and_an_atomic_migration_is_rolled_back(
    site: DjangoSite, tmp_path: Path, wait: str
) -> None:
    flag = tmp_path / "flag"
    site.migration("0002_sleep", f"{NOTE}migrations.RunPython(sleep),", code=SLEEPS.format(flag=str(flag), wait=wait))
    options = site.options("applied", acknowledged=ASLEEP, run_id="r1")

    with ThreadPoolExecutor(1) as pool, raised(flag):
        task = pool.submit(run_task, "django_migrate_safe", options)
        wait_until(lambda: bool(runners(site)) and holds_the_table(site))
        (runner,) = runners(site)
        os.kill(parent_of(runner), signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{runner}").exists(), within_s=15)
        # Also a statement that was under way: its server process looks for its client each second.
        wait_until(lambda: not sessions(site), within_s=15)
        assert task.result(timeout=60).failed

    assert site.columns() == ["id", "number", "state", "amount"]
    assert site.recorded() == ["0001_initial"]
    again = migrate(site, "applied", acknowledged=ASLEEP)
    assert names(again) == ["orders.0002_sleep"]
    assert "note" in site.columns()


def test_a_killed_migration_without_a_transaction_is_told_by_the_next_run(site: DjangoSite, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = SLEEPS.format(flag=str(flag), wait="time.sleep(0.1)")
    site.migration("0002_sleep", f"{NOTE}migrations.RunPython(sleep),{CONCURRENTLY}", atomic=False, code=code)

    with ThreadPoolExecutor(1) as pool, raised(flag):
        run = pool.submit(migrate, site, "applied", acknowledged=ASLEEP, run_id="r1")
        wait_until(lambda: "note" in site.columns())
        time.sleep(0.5)
        os.kill(runners(site)[0], signal.SIGKILL)
        with pytest.raises(SlipwayError, match=r"was killed by signal 9 without an answer\. What was atomic is rolled"):
            run.result(timeout=60)

    error = refusal(site, "applied", acknowledged=ASLEEP)
    assert "orders.0002_sleep is half applied since" in error.seen
    assert "(run r1): operations done: 0; operation 1 may be done in part (operation 1 (Raw Python" in error.seen
    assert site.recorded() == ["0001_initial"]


def runners(site: DjangoSite) -> list[int]:
    """The processes that run a runner with the release's Python."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if argv and argv[0] == str(site.release / "venv" / "bin" / "python").encode():
            found.append(int(entry.name))
    return found


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def holds_the_table(site: DjangoSite) -> bool:
    return bool(
        site.query(
            "SELECT 1 FROM pg_locks WHERE granted AND relation = 'orders_order'::regclass AND mode LIKE 'AccessEx%'"
        )
    )


def sessions(site: DjangoSite) -> list[tuple[Any, ...]]:
    return site.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'slipway%'"
    )


@contextmanager
def busy_run(site: DjangoSite, **options: Any) -> Iterator[Future[dict[str, Any]]]:
    """A run that waits for a lock until the end of the block."""
    with ThreadPoolExecutor(1) as pool, open_transaction(site, "SELECT count(*) FROM orders_order"):
        run = pool.submit(migrate, site, "applied", lock_budget=60, **options)
        wait_until(lambda: waits_for_lock(site))
        yield run


def test_a_second_run_is_refused_with_the_name_of_the_first(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)

    with busy_run(site, run_id="20261121T160528Z-3f2a9c1") as first:
        second = run_module("django_migrate_safe", site.options("applied", run_id="other"))
        planned = migrate(site, "planned")
        assert not first.done()

    assert second.failed
    assert (
        "another run works on the migrations of this database: 'slipway migrate 20261121T160528Z-3f2a9c1'" in second.msg
    )
    assert "(user shop, from " in second.msg
    assert "Nothing was changed. Run again when it has ended" in second.msg
    assert "slipway migrate 20261121T160528Z-3f2a9c1" in planned["busy"]
    assert names(first.result(timeout=60)) == ["orders.0002_note"]
    assert site.query("SELECT count(*) FROM django_migrations WHERE name = '0002_note'") == [(1,)]


def test_a_second_run_may_wait_for_the_first(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)

    with ThreadPoolExecutor(1) as pool:
        with busy_run(site, run_id="first") as first:
            waiting = pool.submit(migrate, site, "applied", run_id="second", on_busy="wait", busy_timeout=30)
            time.sleep(2)
            assert not waiting.done()
        assert names(first.result(timeout=60)) == ["orders.0002_note"]
        assert not waiting.result(timeout=60)["changed"]


def test_waiting_for_the_other_run_has_an_end(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)

    with busy_run(site, run_id="first"):
        error = refusal(site, "applied", run_id="second", on_busy="wait", busy_timeout=1)

    assert "It was waited for 1 s." in error.message


def test_a_lost_lock_stops_before_the_next_migration(site: DjangoSite) -> None:
    """Whoever may not be sure to be alone changes nothing more."""
    sql = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1"
    site.migration("0002_cut", f'migrations.RunSQL("{sql}"),')
    site.migration("0003_note", NOTE)

    error = refusal(site, "applied", acknowledged={"orders.0002_cut": "a test"})

    assert error.seen.startswith("orders.0003_note: the connection that holds the lock of this run was lost")
    assert "The migration was not begun. Applied in this run before it: orders.0002_cut" in error.message
    assert site.recorded() == ["0001_initial", "0002_cut"]
    assert names(error.facts) == ["orders.0002_cut"]
    assert names(migrate(site, "applied")) == ["orders.0003_note"]


def test_a_lost_connection_in_the_middle_is_told_as_it_is(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE + 'migrations.RunSQL("SELECT pg_terminate_backend(pg_backend_pid())"),')

    error = refusal(
        site, "applied", acknowledged={"orders.0002_note": {"select": "a test", "work-under-lock": "a test"}}
    )

    # psycopg2 only sees that the server is gone.
    assert "administrator command (57P01)" in error.message or "server closed the connection" in error.message
    assert "Look at the server's log and run again" in error.message
    assert "The migration was rolled back whole." in error.message
    assert error.facts["recorded"] is False
    assert "note" not in site.columns()


def test_handlers_of_post_migrate_that_a_run_owes_are_sent_by_the_next(site: DjangoSite, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    (site.release / "src" / "orders" / "management.py").write_text(
        "from pathlib import Path\nfrom django.db.models.signals import post_migrate\n\n"
        f"def handler(**kwargs):\n    if Path({str(flag)!r}).exists():\n        raise ValueError('not today')\n\n"
        "post_migrate.connect(handler)\n"
    )
    site.migration("0002_note", NOTE)

    error = refusal(site, "applied")
    assert "a handler of post_migrate failed: ValueError: not today" in error.message
    assert site.recorded() == ["0001_initial", "0002_note"]

    flag.unlink()
    again = migrate(site, "applied")
    assert again["changed"]
    assert again["reason"] == "a run ended before it had sent post_migrate"
    assert not migrate(site, "applied")["changed"]


def test_a_pooler_that_shares_sessions_is_refused(site: DjangoSite, tmp_path: Path) -> None:
    """Locks and timeouts of a session mean nothing where each transaction gets another one."""
    pgbouncer = Path("/usr/sbin/pgbouncer")
    if not pgbouncer.exists():
        pytest.skip("pgbouncer is not installed")
    with running_pooler(pgbouncer, site, tmp_path) as port:
        site.write_environment(DATABASE_HOST="127.0.0.1", DATABASE_PORT=str(port))
        site.migration("0002_note", NOTE)

        error = refusal(site, "applied")

    assert "through a pooler that shares sessions between transactions" in error.message
    assert site.recorded() == ["0001_initial"]


@contextmanager
def running_pooler(program: Path, site: DjangoSite, directory: Path) -> Iterator[int]:
    port = 16432
    users, config = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"shop" "{PASSWORD}"\n')
    config.write_text(
        f"[databases]\n* = host={site.cluster.directory}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\nunix_socket_dir =\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    directory.chmod(0o755)
    for path in (users, config):
        path.chmod(0o644)
    for parent in directory.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    user = {"user": "postgres"} if os.geteuid() == 0 else {}
    process = subprocess.Popen([str(program), "-q", str(config)], stdin=subprocess.DEVNULL, **user)  # type: ignore[call-overload]
    try:
        wait_until(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


# --- undoing ---


def test_exactly_the_set_of_a_run_is_undone(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    migrate(site, "applied", run_id="r1")
    before = schema(site)
    site.migration("0003_gift", CORPUS["create"][1])
    site.migration("0004_reference", CORPUS["new_table_refers"][1])
    second = migrate(site, "applied", run_id="r2")

    undone = migrate(site, "reversed", run_id="r2")

    assert names(second) == ["orders.0003_gift", "orders.0004_reference"]
    assert names(undone) == ["orders.0004_reference", "orders.0003_gift"]
    assert schema(site) == before
    assert undone["after"]["orders"] == ["0002_note"]
    # And it can be applied again.
    assert names(migrate(site, "applied", run_id="r3")) == names(second)


def test_attempts_of_one_run_are_undone_together(site: DjangoSite) -> None:
    before = schema(site)
    site.migration("0002_note", NOTE)
    migrate(site, "applied", run_id="r1")
    site.migration("0003_index", CONCURRENTLY, atomic=False)
    second = migrate(site, "applied", run_id="r1")

    assert names(second, "run_applied") == ["orders.0002_note", "orders.0003_index"]
    migrate(site, "reversed", run_id="r1")

    assert schema(site) == before


def test_what_a_run_returned_can_be_undone_without_the_journal(site: DjangoSite) -> None:
    before = schema(site)
    site.migration("0002_note", NOTE)
    applied = migrate(site, "applied")

    migrate(site, "reversed", applied=applied["applied"], run_id="")

    assert schema(site) == before


def test_nothing_is_touched_when_one_of_the_set_can_not_be_undone(site: DjangoSite) -> None:
    site.migration("0002_data", 'migrations.RunSQL("UPDATE orders_order SET amount = 1"),')
    site.migration("0003_note", NOTE)
    migrate(site, "applied", acknowledged={"orders.0002_data": "a test"})
    before = schema(site)

    error = refusal(site, "reversed")

    assert "refused: orders.0002_data, operation 0 (Raw SQL operation): it can't be undone" in error.message
    assert "Go forward with a repaired release, or restore the backup of before" in error.message
    assert schema(site) == before


def test_a_required_column_is_not_promised_back(site: DjangoSite) -> None:
    """Trap: Django calls it reversible; with one row in the table the way back fails."""
    site.migration("0002_number", 'migrations.RemoveField("order", "number"),')
    migrate(site, "applied", acknowledged={"orders.0002_number": "a test"})

    error = refusal(site, "reversed")

    assert "a NOT NULL column without a default can't be added back to a table with rows" in error.message
    assert site.recorded() == ["0001_initial", "0002_number"]


def test_what_others_build_on_is_not_undone(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    migrate(site, "applied", run_id="r1")
    site.migration("0003_gift", CORPUS["create"][1])
    migrate(site, "applied", run_id="r2")

    error = refusal(site, "reversed", run_id="r1")

    assert "orders.0003_gift needs orders.0002_note" in error.message
    assert site.recorded() == ["0001_initial", "0002_note", "0003_gift"]


def test_undoing_needs_the_release_that_applied(site: DjangoSite) -> None:
    error = refusal(site, "reversed", applied=[{"app": "orders", "name": "0009_unknown"}])

    assert "this release has no migration orders.0009_unknown" in error.message
    assert "the older one does not have their files" in error.message


def test_data_is_not_taken_away_unasked(site: DjangoSite) -> None:
    site.migration("0002_note", NOTE)
    site.migration("0003_gift", CORPUS["create"][1])
    site.migration("0004_empty", 'migrations.AddField("order", "empty", models.TextField(null=True)),')
    before = schema(site)
    migrate(site, "applied")
    site.execute("UPDATE orders_order SET note = 'x' WHERE id <= 7")
    site.execute("INSERT INTO orders_gift DEFAULT VALUES")
    applied = schema(site)

    error = refusal(site, "reversed")

    assert error.seen == (
        'going back would take away data: orders.0003_gift, operation 0: table "orders_gift", with 1 row;'
        ' orders.0002_note, operation 0: column "note" of "orders_order", with 7 rows that have a value in it'
    )
    assert "Nothing was changed." in error.message
    assert "accept_data_loss" in error.message
    assert schema(site) == applied
    undone = migrate(site, "reversed", accept_data_loss=True)
    assert [(each["table"], each["rows"]) for each in undone["loss"]] == [('"orders_gift"', 1), ('"orders_order"', 7)]
    assert schema(site) == before


def test_python_code_of_a_way_back_may_take_away_what_nobody_knows(site: DjangoSite) -> None:
    site.migration("0002_python", "migrations.RunPython(print, print),")
    migrate(site, "applied", acknowledged={"orders.0002_python": "a test"})

    error = refusal(site, "reversed")

    assert "orders.0002_python, operation 0: what it takes away is not known" in error.message
    assert names(migrate(site, "reversed", accept_data_loss=True)) == ["orders.0002_python"]

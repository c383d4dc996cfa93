# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_swap against a real PostgreSQL: killed after each of its steps, and watched by clients that never stop asking."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._exchange import Exchanger
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import OLD, parse
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running
from ansible_collections.slipway.django.tests.integration.swap_world import (
    CANDIDATE,
    STEPS,
    Clients,
    copy,
    prepare,
    request,
    shape,
    swap,
    swap_and_die,
    wait_until,
    which,
)

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running("max_prepared_transactions=5", "wal_level=logical") as cluster:
        yield cluster


@pytest.fixture(name="cluster")
def _cluster(server: Cluster) -> Cluster:
    return prepare(server)


def module(cluster: Cluster, *, check: bool = False, **options: Any) -> ModuleRun:
    wanted = {
        "state": "swapped", "database": "shop", "candidate": CANDIDATE, "host": str(cluster.socket),
        "port": cluster.port, "user": "postgres", "accept_data_loss": True,
    }  # fmt: skip
    return run_module("pg_swap", {**wanted, **options}, check=check)


# --- idempotence: check, apply, check, apply; there and back -------------------------------------------------------


def test_check_apply_check_apply_revert_and_drop(cluster: Cluster) -> None:
    before = shape(cluster)
    predicted = module(cluster, check=True).succeeded()
    assert predicted["changed"]
    assert shape(cluster) == before
    assert predicted["loss"]["tables"] == [{"table": "public.orders", "rows_live": 20000, "rows_kept": 19588}]
    assert 0 < predicted["loss"]["wal_bytes"] < 100 << 20

    applied = module(cluster).succeeded()
    assert applied["changed"]
    assert applied.keys() == predicted.keys()
    assert which(cluster) == "new"
    kept = applied["kept"]
    assert set(shape(cluster)) == {"shop", kept}
    assert shape(cluster)["shop"] == (True, "the shop's own")
    connectable, comment = shape(cluster)[kept]
    assert not connectable
    mark = parse(comment)
    assert mark is not None
    assert (mark.phase, mark.database, mark.comment, mark.candidate) == (OLD, "shop", "the shop's own", CANDIDATE)
    assert 0 < applied["outage_ms"] < 3000
    assert [database["phase"] for database in applied["databases"]] == ["old"]

    state = shape(cluster)
    assert not module(cluster, check=True).succeeded()["changed"]
    again = module(cluster, accept_data_loss=False).succeeded()
    assert not again["changed"]
    assert again["kept"] == kept
    assert again["reason"].startswith("shop has been the copy of backup 20261121T160528.213Z since ")
    assert shape(cluster) == state

    cluster.sql("INSERT INTO orders (note) VALUES ('after the swap')")
    back = module(cluster, state="reverted", candidate=None).succeeded()
    assert back["changed"]
    assert which(cluster) == "old"
    assert shape(cluster)["shop"] == (True, "the shop's own")
    assert set(shape(cluster)) == {"shop", back["kept"]}
    assert "__failed_" in back["kept"]
    assert not module(cluster, state="reverted", candidate=None).succeeded()["changed"]

    assert not module(cluster, state="dropped", candidate=None, older_than=1).succeeded()["changed"]
    assert module(cluster, state="dropped", candidate=None, check=True).succeeded()["dropped"] == [back["kept"]]
    assert set(shape(cluster)) == {"shop", back["kept"]}
    assert module(cluster, state="dropped", candidate=None).succeeded()["dropped"] == [back["kept"]]
    assert set(shape(cluster)) == {"shop"}
    assert not module(cluster, state="dropped", candidate=None).succeeded()["changed"]


# --- outage --------------------------------------------------------------------------------------------------------


def test_the_outage_under_twenty_clients(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with Clients(cluster, 20).asking() as clients:
        result = swap(cluster, count_rows=False)
        wait_until(lambda: clients.heard("new"))
    assert clients.unexpected == []
    assert clients.order() == ["old", "new"]
    assert result.outage is not None
    assert result.outage.outage_ms is not None
    assert result.outage.ended >= 20
    with capsys.disabled():
        print(f"\noutage: {clients.gap_ms():.0f} ms as clients saw it, {result.outage.outage_ms} ms as the probe did")
    # Below 500 ms on a machine with nothing else to do.
    assert clients.gap_ms() < 3000
    assert result.outage.outage_ms < 3000


# --- killed, crashed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_each_step(cluster: Cluster, step: str) -> None:
    before = shape(cluster)
    with Clients(cluster, 3).asking() as clients:
        swap_and_die(cluster, step)
        # A whole database answers: the old one, or after the last step the new one.
        came = "new" if step == "commit" else "old"
        heard = len(clients.answers)
        wait_until(lambda: any(name == came for _moment, name in clients.answers[heard:]), seconds=10)
        if step != "commit":
            wait_until(lambda: shape(cluster) == before, seconds=10)
        swap(cluster, count_rows=False)
        wait_until(lambda: clients.heard("new"))
    assert clients.unexpected == []
    assert clients.order() == ["old", "new"]
    assert which(cluster) == "new"
    assert len(shape(cluster)) == 2
    wait_until(lambda: ours(cluster) == 0)


def ours(cluster: Cluster) -> int:
    return int(cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway %'"))


@pytest.mark.parametrize(("step", "live"), [("out", "old"), ("comments", "old"), ("commit", "new")])
def test_the_server_crashes(cluster: Cluster, step: str, live: str) -> None:
    class Crashing(Exchanger):
        def _order(self, session: Session, step: str, sql: str, *, limit_s: float = 30.0) -> None:
            super()._order(session, step, sql, limit_s=limit_s)
            if step == wanted:
                cluster.crash()

    wanted = step
    if live == "old":
        with pytest.raises(SlipwayError, match="The server rolled everything back: shop is live as before"):
            swap(cluster, exchanger=Crashing)
    else:
        swap(cluster, exchanger=Crashing)
    assert which(cluster) == live
    swap(cluster)
    assert which(cluster) == "new"


def test_a_lost_answer_to_commit_is_no_failure(cluster: Cluster) -> None:
    class Deaf(Exchanger):
        def _order(self, session: Session, step: str, sql: str, *, limit_s: float = 30.0) -> None:
            super()._order(session, step, sql, limit_s=limit_s)
            if step == "commit":
                raise SlipwayError("The connection failed or was lost")

    assert swap(cluster, exchanger=Deaf).plan.changed
    assert which(cluster) == "new"


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_session_that_can_not_be_ended(cluster: Cluster) -> None:
    with psycopg.connect(
        host=str(cluster.socket), port=cluster.port, user="postgres", dbname="shop", application_name="stuck"
    ) as stuck:
        pid = stuck.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            before = shape(cluster)
            with pytest.raises(SlipwayError) as caught:
                swap(cluster, max_wait_s=0.7, attempts=2)
            assert caught.value.message.startswith("shop was not left within 0.7 s, 2 times: PostgreSQL refused")
            assert f"In it: pid {pid} (user postgres, stuck, idle)." in caught.value.message
            assert (
                f"The server rolled everything back: shop is live as before, and {CANDIDATE} has its name. See why"
                in caught.value.message
            )
            assert shape(cluster) == before
            assert which(cluster) == "old"
        finally:
            os.kill(pid, signal.SIGCONT)
    swap(cluster)
    assert which(cluster) == "new"


def test_a_session_that_is_stuck_for_a_while_is_waited_for(cluster: Cluster) -> None:
    with psycopg.connect(host=str(cluster.socket), port=cluster.port, user="postgres", dbname="shop") as stuck:
        pid = stuck.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(6, os.kill, (pid, signal.SIGCONT)).start()
        assert swap(cluster, max_wait_s=1, attempts=60).attempts >= 2
    assert which(cluster) == "new"


def test_everything_in_the_way_is_said_at_once(cluster: Cluster) -> None:
    cluster.sql("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')")
    cluster.sql("BEGIN; INSERT INTO orders (note) VALUES ('x'); PREPARE TRANSACTION 'the-gid'")
    cluster.sql(
        "CREATE SUBSCRIPTION the_subscription CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
        database=CANDIDATE,
    )
    inside = psycopg.connect(
        host=str(cluster.socket), port=cluster.port, user="postgres", dbname=CANDIDATE, application_name="reader"
    )
    try:
        before = shape(cluster)
        for check in (True, False):
            run = module(cluster, check=check)
            assert run.failed
            assert run.msg.startswith("shop can't be swapped: ")
            for part in (
                "shop has the prepared transaction the-gid: COMMIT PREPARED or ROLLBACK PREPARED it",
                "shop has the logical replication slot the_slot: end that replication and drop the slot",
                f"{CANDIDATE} has the subscription the_subscription: drop it, and make it again afterwards",
                f"somebody is in the database that is to come: pid {inside.info.backend_pid} (user postgres, reader, ",
                "Nothing was changed. Mend all of this, then run the task again.",
            ):
                assert part in run.msg
            assert len(run.result["problems"]) == 4
        assert shape(cluster) == before
    finally:
        inside.close()
        cluster.sql("ROLLBACK PREPARED 'the-gid'")
        cluster.sql("SELECT pg_drop_replication_slot('the_slot')")
        cluster.sql(
            "ALTER SUBSCRIPTION the_subscription SET (slot_name = NONE); DROP SUBSCRIPTION the_subscription",
            database=CANDIDATE,
        )


def test_what_would_be_lost_is_said_before_it_is(cluster: Cluster) -> None:
    run = module(cluster, accept_data_loss=False)
    assert run.failed
    assert run.msg.startswith("shop would lose what it has: all that was written since 2026-11-21T16:05:29Z, ")
    assert "of this server's log; rows: public.orders 20000 now, 19588 in what comes (-412). Nothing was" in run.msg
    assert run.result["loss"]["tables"][0]["rows_live"] == 20000
    assert which(cluster) == "old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": "restoring"}, "shop__x is in the phase restoring and not verified. Nothing was changed."),
        ({"database": "other"}, "shop__x is a copy of other and not of shop. Nothing was changed."),
    ],
)
def test_a_copy_that_is_none(cluster: Cluster, changes: dict[str, Any], message: str) -> None:
    copy(cluster, "shop__x", **changes)
    with pytest.raises(Refused) as caught:
        swap(cluster, candidate="shop__x")
    assert caught.value.message.startswith(message)


def test_a_database_without_a_mark_is_never_swapped_in(cluster: Cluster) -> None:
    cluster.sql("CREATE DATABASE somebodys", database="postgres")
    with pytest.raises(Refused, match="somebodys bears no mark: it was not made by pg_restore"):
        swap(cluster, candidate="somebodys")
    with pytest.raises(Refused, match=r"There is no database nobodys\. Nothing was changed\. Restore a backup with"):
        swap(cluster, candidate="nobodys")
    with pytest.raises(Refused, match="Nothing is known that shop has taken the place of"):
        swap(cluster, state="reverted", candidate="")


def test_an_owner_needs_createdb_and_the_right_to_end_sessions(cluster: Cluster) -> None:
    cluster.sql(
        "DROP ROLE IF EXISTS clerk; DROP ROLE IF EXISTS visitor; CREATE ROLE clerk LOGIN; CREATE ROLE visitor LOGIN"
    )
    for name in ("shop", CANDIDATE):
        cluster.sql(f"ALTER DATABASE {name} OWNER TO clerk", database="postgres")
    connection = replace(request(cluster).connection, user="clerk")
    visitor = psycopg.connect(host=str(cluster.socket), port=cluster.port, user="visitor", dbname="shop")
    try:
        with pytest.raises(Refused) as caught:
            swap(cluster, connection=connection)
        assert 'role clerk may not rename a database: ALTER ROLE "clerk" CREATEDB' in caught.value.message
        assert (
            f"role clerk may not end these sessions: pid {visitor.info.backend_pid} (user vis" in caught.value.message
        )
        assert 'GRANT pg_signal_backend TO "clerk"' in caught.value.message
        cluster.sql("ALTER ROLE clerk CREATEDB; GRANT pg_signal_backend TO clerk")
        result = swap(cluster, connection=connection)
        assert result.outage is not None
        assert result.outage.ended >= 1
        assert which(cluster) == "new"
        assert result.loss is not None
        assert result.loss.tables is None, "the clerk may not read the tables"
        assert "permission denied" in result.loss.note
    finally:
        visitor.close()

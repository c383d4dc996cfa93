# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long-lived connection against a real PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

pytestmark = [
    pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql"),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module", name="cluster")
def _cluster() -> Iterator[Cluster]:
    with running() as cluster:
        cluster.fresh()
        yield cluster


def opened(cluster: Cluster, database: str = "shop") -> Session:
    connection = Connection(database, host=str(cluster.socket), port=cluster.port, user="postgres")
    return Session(str(cluster.bin / "psql"), connection, SystemClock())


def alive(cluster: Cluster, pid: int) -> bool:
    return cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "1"


def gone(cluster: Cluster, pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(cluster, pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_transaction_sees_one_moment_and_is_rolled_back_when_left(cluster: Cluster) -> None:
    with opened(cluster) as session:
        assert alive(cluster, session.pid)
        session.order("BEGIN ISOLATION LEVEL REPEATABLE READ", 10)
        assert session.ask("SELECT count(*) FROM public.orders", 10) == 20000
        cluster.sql("INSERT INTO orders (note) VALUES ('later')")
        assert session.ask("SELECT count(*) FROM public.orders", 10) == 20000
        session.order("DELETE FROM public.orders WHERE id = 1", 10)
    assert gone(cluster, session.pid)
    assert cluster.sql("SELECT count(*) FROM orders") == "20001"


def test_the_server_s_message_and_code(cluster: Cluster) -> None:
    with opened(cluster) as session:
        with pytest.raises(SlipwayError, match=r'relation "public.nope" does not exist\.') as caught:
            session.order("SELECT * FROM public.nope", 10)
        assert caught.value.facts["sqlstate"] == "42P01"
        # Notices are none, and several statements are as one.
        session.order("DROP TABLE IF EXISTS public.nope; CREATE TABLE IF NOT EXISTS public.orders (id int)", 10)
        with pytest.raises(SlipwayError) as caught:
            session.order("SELECT 1 / 0; SELECT 1", 10)
        assert caught.value.facts["sqlstate"] == "22012"
        assert session.ask("SELECT to_json('täglich'::text)", 10) == "täglich"


def test_a_latin_database_answers_in_utf8(cluster: Cluster) -> None:
    cluster.sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'", database="postgres")
    with opened(cluster, "latin") as session:
        assert session.ask("SELECT to_json(chr(228))", 10) == "ä"
    cluster.sql("DROP DATABASE latin WITH (FORCE)", database="postgres")


def test_a_connection_that_can_not_be_made(cluster: Cluster) -> None:
    with pytest.raises(SlipwayError, match=r'database "nope" does not exist\. See that'), opened(cluster, "nope"):
        pytest.fail("it was opened")


def test_a_connection_that_the_server_ends(cluster: Cluster) -> None:
    with opened(cluster) as session:
        session.start("SELECT pg_sleep(60)")
        cluster.sql(f"SELECT pg_terminate_backend({session.pid})")
        with pytest.raises(SlipwayError, match="terminating connection due to administrator command") as caught:
            session.finish(20)
        assert caught.value.facts["sqlstate"] == "57P01"


def test_too_late_cancels_the_statement(cluster: Cluster) -> None:
    with opened(cluster) as session:
        with pytest.raises(TimedOut):
            session.order("SELECT pg_sleep(60)", 0.3)
        assert gone(cluster, session.pid)


def test_another_session_answers_while_one_waits(cluster: Cluster) -> None:
    with opened(cluster) as one, opened(cluster) as two:
        two.order("BEGIN", 10)
        two.order("LOCK TABLE public.orders", 10)
        one.start("LOCK TABLE public.orders IN SHARE MODE")
        two.order("ROLLBACK", 10)
        with pytest.raises(SlipwayError) as caught:  # no transaction is open: the code of LOCK TABLE
            one.finish(10)
        assert caught.value.facts["sqlstate"] == "25P01"


def test_a_killed_process_takes_its_query_along(cluster: Cluster) -> None:
    script = (
        "from pathlib import Path\n"
        "from ansible_collections.slipway.django.tests.integration.test_session import opened, Cluster\n"
        f"c = Cluster(Path({str(cluster.bin)!r}), Path({str(cluster.socket)!r}), {cluster.port})\n"
        "with opened(c) as s:\n"
        "    print(s.pid, flush=True)\n"
        "    s.order('SELECT pg_sleep(60)', 60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert alive(cluster, pid)
        os.kill(child.pid, signal.SIGKILL)
    assert gone(cluster, pid)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live database, a verified copy that is to take its place, and clients that never stop asking."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._exchange import Exchanger
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import VERIFIED, Mark
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap import Result, Tools, run
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap_plan import Request
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster

CANDIDATE = "shop__restore_1"
STEPS = ("begin", "limits", "aside", "out", "in", "open", "freeze", "comments", "commit")


def prepare(server: Cluster) -> Cluster:
    """Make the shop, which says that it is old, and a verified copy that says that it is new and lacks 412 orders."""
    for name in server.databases() - {"postgres", "template0", "template1"}:
        server.sql(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")
    server.fresh()
    server.sql("COMMENT ON DATABASE shop IS 'the shop''s own'; CREATE TABLE which (name text)")
    copy(server, CANDIDATE)
    server.sql("INSERT INTO which VALUES ('new'); DELETE FROM orders WHERE id > 19588", database=CANDIDATE)
    server.sql("INSERT INTO which VALUES ('old')")
    return server


def copy(cluster: Cluster, name: str, **changes: Any) -> None:
    """Make a copy as pg_restore leaves it."""
    facts = cluster.sql(
        "SELECT json_build_array(pg_current_wal_lsn(), (SELECT system_identifier::text FROM pg_control_system()))"
    )
    lsn, system = json.loads(facts)
    mark = Mark(
        VERIFIED, "shop", "/backups/20261121T160528.213Z", "20261121T160528.213Z", "2026-11-21T16:05:29Z", system, lsn,
        "2026-11-21T17:00:00Z", comment="the shop's own", verified="counts",
    )  # fmt: skip
    text = replace(mark, **changes).text().replace("'", "''")
    cluster.sql(f'CREATE DATABASE "{name}" TEMPLATE shop', database="postgres")
    cluster.sql(f"COMMENT ON DATABASE \"{name}\" IS '{text}'", database="postgres")


def request(cluster: Cluster, **options: Any) -> Request:
    connection = Connection("postgres", host=str(cluster.socket), port=cluster.port, user="postgres")
    values = {"state": "swapped", "candidate": CANDIDATE, "accept_data_loss": True, **options}
    return Request(**{"connection": connection, "database": "shop", **values})


def swap(cluster: Cluster, *, check: bool = False, exchanger: type[Exchanger] = Exchanger, **options: Any) -> Result:
    tools = Tools(SystemRunner(), SystemClock(), lambda: [str(cluster.bin)], exchanger)
    return run(request(cluster, **options), tools, check_mode=check)


def which(cluster: Cluster) -> str:
    """Which database is live, by its contents."""
    return cluster.sql("SELECT name FROM which")


def shape(cluster: Cluster) -> dict[str, tuple[bool, str]]:
    """Names, whether one may log in, comments; by the server's word."""
    rows = cluster.sql(
        "SELECT json_agg(json_build_array(datname, datallowconn, shobj_description(oid, 'pg_database'))) "
        "FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')",
        database="postgres",
    )
    return {name: (connectable, comment) for name, connectable, comment in json.loads(rows)}


@dataclass
class Clients:
    """Clients that ask which database is live, each by a connection that it keeps as long as it can."""

    cluster: Cluster
    number: int
    # (time of the answer, what was answered), of all clients together.
    answers: list[tuple[float, str]] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Clients]:
        threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(self.number)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(self.answers) >= self.number)
            yield self
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(30)

    def _ask(self) -> None:
        while not self.stop.is_set():
            # A lost connection is made anew, as an application does. What a client must never see is anything else.
            with contextlib.suppress(psycopg.OperationalError):
                self._converse()

    def _converse(self) -> None:
        with psycopg.connect(
            host=str(self.cluster.socket), port=self.cluster.port, user="postgres", dbname="shop", autocommit=True
        ) as connection:
            while not self.stop.is_set():
                found = connection.execute("SELECT name, (SELECT count(*) FROM orders) FROM public.which").fetchall()
                if found not in ([("old", 20000)], [("new", 19588)]):
                    self.unexpected.append(str(found))
                self.answers.append((time.monotonic(), found[0][0]))
                time.sleep(0.002)

    def gap_ms(self) -> float:
        """From the last answer of the old one to the first of the new one."""
        last = max(moment for moment, name in self.answers if name == "old")
        return 1000 * (min(moment for moment, name in self.answers if name == "new") - last)

    def order(self) -> list[str]:
        """The answers in the order of time, repetitions left out."""
        names = [name for _moment, name in sorted(self.answers)]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]

    def heard(self, name: str) -> bool:
        return any(answer == name for _moment, answer in self.answers[-self.number :])


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


def killing(step: str) -> type[Exchanger]:
    """An exchanger that dies right after a step."""

    class Dying(Exchanger):
        def _order(self, session: Session, step: str, sql: str, *, limit_s: float = 30.0) -> None:
            super()._order(session, step, sql, limit_s=limit_s)
            if step == wanted:
                os.kill(os.getpid(), signal.SIGKILL)

    wanted = step
    return Dying


def swap_and_die(cluster: Cluster, step: str, **options: Any) -> None:
    """Swap in a process that is killed right after a step; return when it is dead."""
    dying = _swapping(cluster, exchanger=killing(step), **options)
    dying.join(60)
    assert dying.exitcode == -signal.SIGKILL


def swap_and_be_killed(cluster: Cluster, after_s: float, **options: Any) -> None:
    """Swap in a process that is killed so many seconds later, unless it has ended by then."""
    process = _swapping(cluster, **options)
    process.join(after_s)
    process.kill()
    process.join(60)


def _swapping(cluster: Cluster, **options: Any) -> multiprocessing.context.ForkProcess:
    process = multiprocessing.get_context("fork").Process(
        target=swap, args=(cluster,), kwargs={"count_rows": False, **options}
    )
    process.start()
    return process

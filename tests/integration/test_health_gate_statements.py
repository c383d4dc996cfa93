# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queries of a real PostgreSQL against how long they took before, by its pg_stat_statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun
from ansible_collections.slipway.django.tests.integration.gate_servers import gate
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running

SLOW = """
CREATE OR REPLACE FUNCTION work(n int) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep({}); RETURN n; END $$
"""
MARK = "mark-of-a-password"
LADDER = [{"times_baseline": 1.2, "action": "rollback"}]


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    if bin_directory() is None:
        pytest.skip("needs the package postgresql")
    with running("shared_preload_libraries=pg_stat_statements") as cluster:
        cluster.fresh()
        cluster.sql("CREATE ROLE looker LOGIN; CREATE ROLE guest LOGIN; GRANT pg_monitor TO looker")
        cluster.sql("CREATE DATABASE bare", database="postgres")
        # Not where every search path looks, and in one of the two databases also.
        cluster.sql('CREATE SCHEMA "Statistics"; CREATE EXTENSION pg_stat_statements SCHEMA "Statistics"')
        cluster.sql('GRANT USAGE ON SCHEMA "Statistics" TO looker')
        cluster.sql("CREATE EXTENSION pg_stat_statements", database="postgres")
        yield cluster


@pytest.fixture(name="fast")
def _fast(server: Cluster) -> Cluster:
    """A query of 2 ms, asked so often that it is a baseline."""
    server.sql('SELECT "Statistics".pg_stat_statements_reset()')
    server.sql(SLOW.format(0.002))
    ask(server, 120)
    return server


def ask(server: Cluster, times: int) -> None:
    server.sql("\n".join(f"SELECT work({number});" for number in range(times)))


def look(server: Cluster, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = run(server, **options).result["checks"][0]
    return found


def run(server: Cluster, **options: Any) -> ModuleRun:
    reach = {"address": str(server.socket), "port": server.port, "user": "looker", "database": "shop"}
    check = {"kind": "statements", **reach, "timeout": 4, **options}
    return gate(check, successes=1, failures_allowed=0, fail_on=[], deadline=4, interval=20)


def told(check: dict[str, Any]) -> tuple[str, str]:
    return check["verdict"], (check["last_fault"] or {"text": "well"})["text"]


def test_a_query_that_takes_longer_than_before(fast: Cluster) -> None:
    fast.sql(f"CREATE ROLE IF_NOT_{MARK[:4]} PASSWORD '{MARK}'; DROP ROLE IF_NOT_{MARK[:4]}")
    before = run(fast)
    check = before.result["checks"][0]
    assert check["verdict"] == "pass"
    assert MARK not in before.output
    elsewhere = look(fast, database="postgres", of_database="shop")
    # The gate does not count itself.
    assert elsewhere["figures"]["queries"] == check["figures"]["queries"]
    assert look(fast, database="postgres")["figures"]["queries"].keys().isdisjoint(check["figures"]["queries"])
    (known,) = [each for each in check["figures"]["queries"].values() if "work" in each["query"]]
    assert (known["calls"], known["query"]) == (120, "SELECT work($1)")
    assert 2 < known["ms"] / known["calls"] < 20

    baseline = {"baseline": check["figures"], "thresholds": LADDER}
    # Nothing was asked since: that is no pass.
    assert told(look(fast, **baseline)) == ("hold", "no query of the baseline had 100 calls before and since")
    ask(fast, 120)
    assert told(look(fast, **baseline)) == ("pass", "well")

    # What it took in between is in the difference too, and does not hide what it takes now.
    fast.sql(SLOW.format(0.012))
    ask(fast, 150)
    slow = look(fast, **baseline)
    assert slow["verdict"] == "rollback"
    assert "queries: 1 of 1 above 1.2 times what they took before: " in slow["last_fault"]["text"]
    assert slow["last_fault"]["text"].endswith("for SELECT work($1)")
    assert slow["figures"] == {}
    assert look(fast, **baseline, min_ms=60)["verdict"] == "pass"
    later = [{"from": "1h", "times_baseline": 1.2, "action": "rollback"}]
    assert look(fast, baseline=check["figures"], thresholds=later)["verdict"] == "pass"


def test_statistics_that_began_anew_count_from_there(fast: Cluster) -> None:
    figures = look(fast)["figures"]
    fast.sql('SELECT "Statistics".pg_stat_statements_reset()')
    fast.sql(SLOW.format(0.012))
    # More calls than before: without the time of the reset the old ones would be taken from them.
    ask(fast, 130)
    slow = look(fast, baseline=figures, thresholds=LADDER)
    assert slow["verdict"] == "rollback"
    assert slow["numbers"] == {"compared": 1, "slower": 1}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"database": "bare"},
            (
                "pg_stat_statements is not in this database: name it in shared_preload_libraries, restart the server, "
                "and run CREATE EXTENSION pg_stat_statements"
            ),
        ),
        ({"user": "guest"}, "the role does not see other roles' queries: make it a member of pg_monitor"),
        (
            {"thresholds": LADDER},
            "queries: no baseline was taken, which 'rollback above 1.2 times the baseline' needs",
        ),
    ],
)
def test_what_can_not_be_seen_is_no_pass(fast: Cluster, options: dict[str, Any], text: str) -> None:
    assert told(look(fast, **options)) == ("hold", text)

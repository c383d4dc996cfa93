# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/swap.md, which it writes: the live name always belongs to one whole database."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._exchange import Exchanger
from ansible_collections.slipway.django.plugins.module_utils._postgres._session import Session
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running
from ansible_collections.slipway.django.tests.integration.swap_world import (
    STEPS,
    Clients,
    prepare,
    swap,
    swap_and_be_killed,
    swap_and_die,
    wait_until,
    which,
)
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql")
PAGE = CHECKOUT / "docs" / "proof" / "swap.md"
ROUNDS = 5
RANDOM_KILLS = 60
OUTAGES = 20
TEMPLATE = """# At every moment one whole database bears the live name

Written by `make proof` (`tests/proof/test_swap.py`); `tests/integration/test_pg_swap.py` repeats a part of it, and
asserts the message of each refusal.

**{verdict}.**

A restored database takes the place of the live one, or the old one comes back, while clients ask all the time which one
they are connected to and count its rows. What must hold: each answer is that of one whole database, the old or the new;
after the fault somebody answers within {limit} s; the same command again completes, and nothing of the killed run is
left on the server.

| fault | times | as promised | silence in ms: median, longest |
| --- | ---: | ---: | ---: |
{rows}

The silence is the longest time in which no client had an answer, from before the fault to after the next run.

## How long nobody could log in

{outages} swaps without a fault, each under 20 clients that keep their connections and make them anew when they are
ended; from the last answer of the one database to the first of the other, in ms: **median {median:.0f}, longest
{longest:.0f}**. What `outage_ms` said of the same swaps: median {own_median:.0f}, longest {own_longest:.0f}; its probe
starts a program for each login.

{circumstances}
"""
LIMIT_S = 10


@dataclass
class Campaign:
    """What was tried, by the name of the fault, and what has not held."""

    times: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    silences: dict[str, list[float]] = field(default_factory=dict)
    outages: list[tuple[float, float]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def tried(self, fault: str, clients: Clients, broken: list[str]) -> None:
        """One more time."""
        wrong = [*broken, *(f"a client saw {seen}" for seen in clients.unexpected)]
        self.times[fault] += 1
        self.held[fault] += not wrong
        self.broken += [f"{fault}: {what}" for what in wrong]
        self.silences.setdefault(fault, []).append(longest_silence_ms(clients))

    def page(self) -> str:
        """The page. Pure, but for the circumstances."""
        rows = [
            f"| {fault} | {self.times[fault]} | {self.held[fault]} | "
            f"{median(self.silences[fault]):.0f}, {max(self.silences[fault]):.0f} |"
            for fault in self.times
        ]
        seen = [client for client, _own in self.outages] or [0.0]
        own = [probe for _client, probe in self.outages] or [0.0]
        return TEMPLATE.format(
            verdict=f"All {sum(self.times.values())} held"
            if not self.broken
            else "NOT as promised: " + "; ".join(self.broken),
            limit=LIMIT_S,
            rows="\n".join(rows),
            outages=len(self.outages),
            median=median(seen),
            longest=max(seen),
            own_median=median(own),
            own_longest=max(own),
            circumstances=proof.machine_in_words(),
        )


def longest_silence_ms(clients: Clients) -> float:
    moments = sorted(moment for moment, _name in clients.answers)
    return 1000 * max((after - before for before, after in zip(moments, moments[1:], strict=False)), default=0.0)


@pytest.fixture(scope="module", name="whole_campaign")
def _whole_campaign() -> Campaign:
    return Campaign()


@pytest.fixture(name="campaign")
def _campaign(whole_campaign: Campaign) -> Iterator[Campaign]:
    """Written after each part: a campaign that is ended early leaves what it has seen."""
    yield whole_campaign
    PAGE.write_text(whole_campaign.page(), encoding="utf-8")


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


def answered(clients: Clients, since: int) -> bool:
    return len(clients.answers) > since


def faulty(
    server: Cluster, campaign: Campaign, fault: str, do: Callable[[], None], *, expected: str, state: str = "swapped"
) -> None:
    """Do something bad to a swap, then run it again to its end; clients ask all the time.

    :param expected: which database must answer after the fault; empty when either may.
    """
    target = "new" if state == "swapped" else "old"
    broken: list[str] = []
    with Clients(server, 8).asking() as clients:
        do()
        since = len(clients.answers)
        try:
            wait_until(lambda: answered(clients, since), seconds=LIMIT_S)
        except AssertionError:
            broken.append(f"nobody had an answer for {LIMIT_S} s")
        if expected and which(server) != expected:
            broken.append(f"{which(server)} was live and not {expected}")
        swap(server, state=state, count_rows=False)
        wait_until(lambda: clients.heard(target))
    if which(server) != target:
        broken.append(f"the next run did not complete: {which(server)} is live")
    if len(clients.order()) > 2:
        broken.append(f"clients saw {clients.order()}")
    deadline = time.monotonic() + LIMIT_S
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'slipway %'") != "0":
        if time.monotonic() > deadline:
            broken.append("something of the killed run is left on the server")
            break
        time.sleep(0.05)
    campaign.tried(fault, clients, broken)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS)
def test_killed_after_each_step(server: Cluster, campaign: Campaign, step: str) -> None:
    for _ in range(ROUNDS):
        prepare(server)
        done = step == "commit"
        faulty(
            server, campaign, f"SIGKILL after the step {step}", lambda: swap_and_die(server, step),
            expected="new" if done else "old",
        )  # fmt: skip
        faulty(
            server, campaign, f"SIGKILL after the step {step}, on the way back",
            lambda: swap_and_die(server, step, state="reverted"),
            expected="old" if done else "new", state="reverted",
        )  # fmt: skip
    assert campaign.broken == []


@pytest.mark.timeout(3600)
def test_killed_at_any_time(server: Cluster, campaign: Campaign) -> None:
    chance = random.Random(1)
    for _ in range(RANDOM_KILLS):
        prepare(server)
        after_s = chance.uniform(0, 1.5)
        faulty(
            server, campaign, "SIGKILL at a random moment of 1.5 s",
            lambda after_s=after_s: swap_and_be_killed(server, after_s), expected="",  # type: ignore[misc]
        )  # fmt: skip
    assert campaign.broken == []


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS)
def test_the_server_crashes(server: Cluster, campaign: Campaign, step: str) -> None:
    wanted = step

    class Crashing(Exchanger):
        def _order(self, session: Session, step: str, sql: str, *, limit_s: float = 30.0) -> None:
            super()._order(session, step, sql, limit_s=limit_s)
            if step == wanted:
                server.crash()

    def crash() -> None:
        # After the last step it has happened, and is no failure; before it, the refusal's words are tested elsewhere.
        with contextlib.suppress(SlipwayError):
            swap(server, exchanger=Crashing, count_rows=False)

    for _ in range(ROUNDS):
        prepare(server)
        expected = "new" if step == "commit" else "old"
        faulty(server, campaign, f"the server crashes after the step {step}", crash, expected=expected)
    assert campaign.broken == []


@pytest.mark.timeout(3600)
def test_how_long_nobody_can_log_in(server: Cluster, campaign: Campaign) -> None:
    for _ in range(OUTAGES):
        prepare(server)
        with Clients(server, 20).asking() as clients:
            result = swap(server, count_rows=False)
            wait_until(lambda clients=clients: clients.heard("new"))  # type: ignore[misc]
        assert clients.unexpected == []
        assert clients.order() == ["old", "new"]
        assert result.outage is not None
        assert result.outage.outage_ms is not None
        campaign.outages.append((clients.gap_ms(), result.outage.outage_ms))
    # A machine that does nothing else stays far below.
    assert median(client for client, _own in campaign.outages) < 500

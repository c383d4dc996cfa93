# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import OLD, VERIFIED, Mark, Seen, parse
from ansible_collections.slipway.django.plugins.module_utils._postgres._swap_plan import (
    Observed,
    Plan,
    Request,
    make_plan,
    problems,
)
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 18, 0, 0, tzinfo=timezone.utc)
MARK = Mark(
    VERIFIED, "shop", "/backups/b1", "b1", "2026-11-21T16:00:00Z", "7", "0/10", "2026-11-21T17:00:00Z", comment="new"
)
LIVE = Seen("shop", 5, "shop", True, False, "ours", 3, 1, True)
COPY = Seen("copy", 6, "shop", True, False, MARK.text(), 0, 1, True, MARK)


def observed(*databases: Seen, **changes: Any) -> Observed:
    values: dict[str, Any] = {
        "user": "postgres", "superuser": True, "createdb": True, "standby": False, "system_identifier": "7",
        "lsn": "0/20", "prepared": [], "slots": [], "subscriptions": [], "sessions": [],
        "databases": {seen.name: seen for seen in databases},
    }  # fmt: skip
    return Observed(**{**values, **changes})


def request(state: str = "swapped", **changes: Any) -> Request:
    candidate = "copy" if state == "swapped" else ""
    return Request(
        **{"connection": Connection("postgres"), "database": "shop", "state": state, "candidate": candidate, **changes}
    )


def carried_out(plan: Plan, before: Observed) -> Observed:
    """What the server would show after the plan, by what its statements say."""
    databases = {name: seen for name, seen in before.databases.items() if name not in plan.drop}
    move = plan.exchange
    if move is not None:
        out, come = databases.pop(move.live), databases.pop(move.incoming)
        databases[move.live] = replace(
            come, name=move.live, connectable=True, comment=move.incoming_comment, mark=parse(move.incoming_comment)
        )
        databases[move.outgoing_name] = replace(
            out, name=move.outgoing_name, connectable=False, comment=move.outgoing_comment,
            mark=parse(move.outgoing_comment),
        )  # fmt: skip
    return replace(before, databases=databases)


def test_a_swap_keeps_what_was_live_and_gives_the_comment_back() -> None:
    plan = make_plan(observed(LIVE, COPY), request(), NOW)
    assert plan.exchange is not None
    assert (plan.exchange.outgoing_oid, plan.exchange.incoming_oid) == (5, 6)
    assert plan.exchange.outgoing_name == "shop__old_20261121t180000z"
    assert plan.exchange.incoming_comment == "new"
    assert parse(plan.exchange.outgoing_comment) == replace(
        MARK, phase=OLD, comment="ours", candidate="copy", replaced_by=6, at="2026-11-21T18:00:00Z", lsn="0/20"
    )
    assert (plan.since, plan.since_lsn, plan.since_system) == ("2026-11-21T16:00:00Z", "0/10", "7")


@given(st.lists(st.sampled_from(["swapped", "reverted", "dropped"]), min_size=1, max_size=6))
def test_every_state_once_reached_stays(states: list[str]) -> None:
    there = observed(LIVE, COPY)
    for minutes, state in enumerate(states):
        now = NOW + timedelta(minutes=minutes)
        try:
            plan = make_plan(there, request(state), now)
        except Refused:
            # Nothing to go back to, or no candidate any more.
            continue
        there = carried_out(plan, there)
        assert "shop" in there.databases
        assert there.databases["shop"].mark is None
        assert len({seen.oid for seen in there.databases.values()}) == len(there.databases)
        if state == "swapped":
            assert there.databases["shop"].oid == 6
        assert not make_plan(there, request(state), now + timedelta(seconds=1)).changed


def test_there_and_back_is_as_before_but_for_what_is_kept() -> None:
    there = observed(LIVE, COPY)
    swapped = carried_out(make_plan(there, request(), NOW), there)
    later = NOW + timedelta(hours=1)
    back = make_plan(swapped, request("reverted"), later)
    assert (back.since, back.since_lsn) == ("2026-11-21T18:00:00Z", "0/20")
    reverted = carried_out(back, swapped)
    assert reverted.databases["shop"] == LIVE
    assert set(reverted.databases) == {"shop", "shop__failed_20261121t190000z"}
    assert make_plan(reverted, request("reverted"), later).reason == (
        "shop has been the database from before the swap again since 2026-11-21T19:00:00Z"
    )
    # The copy that failed is not a candidate any more.
    with pytest.raises(Refused, match=r"is in the phase failed and not verified"):
        make_plan(reverted, request(candidate="shop__failed_20261121t190000z"), later)


@pytest.mark.parametrize(("days", "dropped"), [(0, 1), (0.9, 1), (1.1, 0)])
def test_only_what_was_kept_long_enough_is_dropped(days: float, dropped: int) -> None:
    there = observed(LIVE, COPY)
    swapped = carried_out(make_plan(there, request(), NOW), there)
    plan = make_plan(swapped, request("dropped", older_than_days=days), NOW + timedelta(days=1))
    assert len(plan.drop) == dropped
    assert plan.changed == bool(dropped)


def test_what_belongs_to_another_database_is_not_dropped() -> None:
    other = replace(COPY, name="x", mark=replace(MARK, phase=OLD, database="other"))
    plain = replace(COPY, name="y", mark=None)
    assert make_plan(observed(LIVE, COPY, other, plain), request("dropped"), NOW).drop == ()


def test_problems_are_all_told() -> None:
    sessions = [
        {"database": "shop", "pid": 1, "user": "root", "application": "", "state": None, "may_end": False},
        {"database": "shop", "pid": 2, "user": "web", "application": "w", "state": "idle", "may_end": True},
        {"database": "copy", "pid": 3, "user": "web", "application": "w", "state": "idle", "may_end": True},
    ]
    there = observed(
        replace(LIVE, template=True, owned=False),
        COPY,
        user="clerk",
        superuser=False,
        createdb=False,
        standby=True,
        sessions=sessions,
        prepared=[{"database": "shop", "name": "gid"}, {"database": "elsewhere", "name": "gid2"}],
    )
    assert problems(make_plan(there, request(), NOW), there, request()) == [
        "the server is a standby: ask the primary",
        "role clerk does not own shop: run this as the owner with CREATEDB, or as a superuser",
        'role clerk may not rename a database: ALTER ROLE "clerk" CREATEDB',
        "shop has the prepared transaction gid: COMMIT PREPARED or ROLLBACK PREPARED it",
        "shop is a template",
        "somebody is in the database that is to come: pid 3 (user web, w, idle)",
        (
            "role clerk may not end these sessions: pid 1 (user root, without a name, unknown). "
            'GRANT pg_signal_backend TO "clerk" (sessions of superusers only a superuser can end)'
        ),
    ]


def test_nothing_is_in_the_way_of_a_plain_swap() -> None:
    there = observed(LIVE, COPY)
    assert problems(make_plan(there, request(), NOW), there, request()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidate": "shop"}, "expected another database than the live one"),
        ({"connection": Connection("shop")}, "maintenance_database: 'shop' is not accepted"),
        ({"connection": Connection("copy")}, "maintenance_database: 'copy' is not accepted"),
        ({"state": "moved"}, "state: 'moved' is not accepted"),
        ({"max_wait_s": 0}, "max_wait: 0 is not accepted"),
        ({"attempts": 0}, "attempts: 0 is not accepted"),
        ({"older_than_days": -1}, "older_than: -1 is not accepted"),
        ({"database": "x" * 64}, "database: '"),
    ],
)
def test_options_that_can_not_be_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        request(**changes).validate()
    assert message in caught.value.message

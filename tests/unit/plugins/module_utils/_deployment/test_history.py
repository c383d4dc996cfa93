# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the history says, by records and a lease as values."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from ansible_collections.slipway.django.plugins.module_utils._deployment._history import (
    Descent,
    Observed,
    descent,
    lost_hosts,
    newest_standing,
    status,
)
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import (
    Lease,
    Record,
    merge_facts,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.tests.unit.fakes import START
from hypothesis import given
from hypothesis import strategies as st


def record(token: int, verdict: str | None = None, **values: object) -> Record:
    made = Record(
        id=f"20261121T1605{token:02}Z-3f2a9c1",
        token=token,
        attempt=1,
        first_attempt=f"20261121T1605{token:02}Z-3f2a9c1",
        site="shop",
        kind="deploy",
        version=f"v{token}",
        commit="3f2a9c1",
        release=f"r{token}",
        hosts=("app1", "app2"),
        actor="anna",
        controller="ci-7",
        reason="",
        started_at=START,
        verdict=verdict,
    )
    return dataclasses.replace(made, **values)  # type: ignore[arg-type]


def lease(token: int, *, held: bool = True) -> Lease:
    return Lease(
        id=record(token).id,
        token=token,
        site="shop",
        kind="deploy",
        version="v1",
        release="r1",
        actor="anna",
        controller="ci-7",
        reason="",
        started_at=START,
        step="gate",
        step_since=START,
        renewed_at=START,
        expires_at=START + timedelta(seconds=60),
        held=held,
    )


@pytest.mark.parametrize(
    ("token", "held_by", "verdict", "expected"),
    [
        (3, 3, None, "open"),
        (2, 3, None, "interrupted"),
        (4, 3, None, "never_opened"),
        (3, None, None, "interrupted"),
        (2, 3, "whole", "whole"),
        (3, 3, "failed", "failed"),
    ],
)
def test_status(token: int, held_by: int | None, verdict: str | None, expected: str) -> None:
    assert status(record(token, verdict), None if held_by is None else lease(held_by)) == expected


def test_a_deployment_without_verdict_whose_lease_was_given_back_is_interrupted() -> None:
    assert status(record(3), lease(3, held=False)) == "interrupted"


def test_a_lease_binds_nobody_after_its_deployment_has_closed() -> None:
    seen = Observed(lease(3), (record(3, "whole"),), 3, START)
    assert (seen.holder, seen.live) == (None, None)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], None),
        (["failed"], None),
        (["whole", "failed", "rolled_back", "interrupted"], 1),
        (["whole", "completed_with_errors", "failed"], 2),
        (["whole", "failed", "whole"], 3),
    ],
)
def test_newest_standing_does_not_depend_on_the_order_of_files(verdicts: list[str], expected: int | None) -> None:
    records = [record(number, verdict) for number, verdict in enumerate(verdicts, start=1)]
    for order in (records, list(reversed(records))):
        found = newest_standing(order)
        assert (None if found is None else found.token) == expected


def test_what_was_never_opened_is_no_attempt() -> None:
    failed = record(2, "failed", attempt=2, first_attempt="first", origin={"release": "r0"})
    assert descent([record(1, "whole"), failed, record(3, "never_opened")], lease(2)) == Descent(
        3, "first", {"release": "r0", "contracted": []}
    )
    assert descent([record(1, "whole"), record(2)], lease(1, held=False)).attempt == 1


def test_what_the_code_before_need_not_live_with_is_named_until_a_restore() -> None:
    migrations = [
        {"app": "shop", "name": "0002", "phase": "expand"},
        {"app": "shop", "name": "0003", "phase": "contract"},
    ]
    origin = {"release": "r0", "contracted": []}
    chain = [
        record(1, "whole"),
        record(2, "failed", first_attempt="first", origin=origin, facts={"planned_migrations": migrations}),
        record(3, "failed", attempt=2, first_attempt="first", origin=origin, facts={"planned_migrations": migrations}),
    ]
    assert descent(chain[:2], None).origin == {"release": "r0", "contracted": ["shop.0003"]}
    assert descent(chain, None).origin == {"release": "r0", "contracted": ["shop.0003"]}
    assert descent([*chain, record(4, "whole", kind="restore")], None).origin == origin
    followed = descent([*chain, record(4, "whole")], None).origin
    assert followed is not None
    assert followed["contracted"] == []


def test_the_backup_is_as_young_as_possible_and_never_from_after_a_migration() -> None:
    began = record(1, "whole")
    harmless = record(2, "failed", first_attempt="first", backup_label="second's", facts={"planned_migrations": []})
    changing = record(
        3, "rolled_back", attempt=2, first_attempt="first", backup_label="third's",
        facts={"planned_migrations": [{"app": "shop", "name": "0002"}]},
    )  # fmt: skip
    later = record(4, "failed", attempt=3, first_attempt="first", backup_label="third's", facts=changing.facts)
    assert descent([began, harmless], None).backup_label is None
    assert descent([began, harmless, changing], None).backup_label == "third's"
    assert descent([began, harmless, changing, later], None).backup_label == "third's"
    assert descent([began, changing, record(5, "whole")], None).backup_label is None


@pytest.mark.parametrize("kind", ["backup", "restore"])
def test_what_brings_no_release_is_no_attempt_and_ends_no_chain(kind: str) -> None:
    began = record(2, "failed", first_attempt=record(2).id, origin={"release": "r1"})
    for verdict in ("whole", "failed", None):
        records = [record(1, "whole"), began, record(3, verdict, kind=kind)]
        chain = descent(records, lease(3, held=False))
        assert (chain.attempt, chain.first_attempt) == (2, began.id)
        assert newest_standing(records) == records[0]
    assert descent([record(1, "whole"), record(2, "failed", kind=kind)], lease(2, held=False)).attempt == 1


def test_after_a_restore_the_next_attempt_takes_a_backup_of_its_own() -> None:
    planned = record(2, "failed", backup_label="old", facts={"planned_migrations": [{"app": "a", "name": "b"}]})
    free = lease(9, held=False)
    assert descent([record(1, "whole"), planned], free).backup_label == "old"
    assert descent([record(1, "whole"), planned, record(3, "failed", kind="restore")], free).backup_label == "old"
    assert descent([record(1, "whole"), planned, record(3, "whole", kind="restore")], free).backup_label is None
    again = record(4, "failed", attempt=2, first_attempt=planned.id, backup_label="new", facts=planned.facts)
    assert descent([record(1, "whole"), planned, record(3, "whole", kind="restore"), again], free).backup_label == "new"


def test_a_lost_host_stays_lost_until_a_deployment_brings_it_back() -> None:
    losing = record(1, "completed_with_errors", facts={"lost": {"app2": "unreachable at its drain"}})
    elsewhere = record(2, "whole", hosts=("app1",))
    failed = record(3, "failed")
    assert [entry.to_json() for entry in lost_hosts([failed, elsewhere, losing])] == [
        {"host": "app2", "deployment": losing.id, "reason": "unreachable at its drain"}
    ]
    again = record(4, "completed_with_errors", facts={"lost": {"app2": "still away"}})
    assert [entry.reason for entry in lost_hosts([losing, again])] == ["still away"]
    assert lost_hosts([losing, again, record(5, "whole")]) == []


facts = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.sampled_from("xy"), inner), max_leaves=4),
)


@given(facts, facts)
def test_merging_again_changes_nothing(before: dict[str, object], patch: dict[str, object]) -> None:
    once = merge_facts(before, patch)
    assert merge_facts(once, patch) == once


@given(facts)
def test_merging_nothing_changes_nothing(before: dict[str, object]) -> None:
    assert merge_facts(before, {}) == before


def test_records_and_leases_survive_a_round_trip() -> None:
    full = record(2, "whole", closed_at=START, step="gate", facts={"a": [1]}, origin={"release": "r1"})
    assert Record.from_json(full.to_json(), "record.json") == full
    assert Lease.from_json(lease(3).to_json(), "lease.json") == lease(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token": "3"}, "field 'token' is '3'"),
        ({"token": True}, "field 'token' is True"),
        ({"held": 1}, "field 'held' is 1"),
        ({"id": None}, "field 'id' is None"),
        ({"expires_at": "tomorrow"}, "field 'expires_at' is 'tomorrow', which is no time"),
        ({"v": 2}, "its format is 2, this version of slipway.django knows 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        Lease.from_json({**lease(1).to_json(), **change}, "/srv/shop/control/lease.json")
    assert f"/srv/shop/control/lease.json can't be understood: {message}. It was left as it is" in caught.value.message

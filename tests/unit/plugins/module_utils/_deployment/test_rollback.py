# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import Record
from ansible_collections.slipway.django.plugins.module_utils._deployment._rollback import (
    DIFFERS,
    DOUBTFUL,
    FITS,
    LATER,
    Schema,
    decide,
)
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused


def record(
    token: int,
    release: str,
    *,
    before: str = "",
    kind: str = "deploy",
    verdict: str | None = "whole",
    planned: dict[str, str] | None = None,
) -> Record:
    migrations: list[dict[str, Any]] = [
        {"app": key.split(".")[0], "name": key.split(".")[1], "phase": phase} for key, phase in (planned or {}).items()
    ]
    return Record(
        id=f"d{token}",
        token=token,
        attempt=1,
        first_attempt=f"d{token}",
        site="shop",
        kind=kind,
        version=f"version of {release}",
        commit="0" * 40,
        release=release,
        hosts=("app1",),
        actor="",
        controller="",
        reason="",
        started_at=datetime(2026, 11, 21, tzinfo=timezone.utc),
        origin={"release": before} if before else None,
        verdict=verdict,
        facts={"planned_migrations": migrations},
    )


A = record(1, "a")
B = record(2, "b", before="a", planned={"shop.0002": "expand"})
C = record(3, "c", before="b", planned={"shop.0003": "contract"})


@pytest.mark.parametrize(
    ("point", "said"),
    [
        (None, "restore the backup of the deployment that applied them; or"),
        (
            {"label": "d3", "database": "20261121T160528.213Z", "taken_by": "pg_backup"},
            "restore backup 20261121T160528.213Z (d3) from before them; or",
        ),
        (
            {"label": "d3", "database": "20261120-010002F", "taken_by": "pgbackrest"},
            "restore pgbackrest backup 20261120-010002F with that program, nothing here can; or",
        ),
    ],
)
def test_the_refusal_names_the_backup_from_before_the_migrations(point: dict[str, str] | None, said: str) -> None:
    with_point = replace(C, facts={**C.facts, **({"restore_point": point} if point else {})})

    with pytest.raises(Refused) as refused:
        decide([A, B, with_point], release="", accept_schema="")

    assert said in refused.value.message


def test_the_release_before_is_what_the_live_one_has_replaced() -> None:
    decision = decide([A, B], release="", accept_schema="")
    assert (decision.release, decision.migrations) == ("a", ("shop.0002",))
    assert decision.reason == "from b (version of b) to a (version of a); the schema stays, with shop.0002"


def test_a_second_rollback_does_not_go_forward_again() -> None:
    back = record(4, "b", before="c", kind="rollback")
    decision = decide([A, B, record(3, "c", before="b"), back], release="", accept_schema="")
    assert decision.release == "a"


def test_a_deployment_that_was_rolled_back_is_no_place_to_go_to() -> None:
    broken = record(3, "x", before="b", verdict="rolled_back")
    assert decide([A, B, broken], release="", accept_schema="").release == "a"
    with pytest.raises(InvalidOption, match=r"expected a release that has served: a \(version of a\), b"):
        decide([A, B, broken], release="x", accept_schema="")


def test_a_schema_that_older_code_may_not_know_is_refused_with_the_alternatives() -> None:
    with pytest.raises(Refused) as caught:
        decide([A, B, C], release="", accept_schema="")
    message = caught.value.message
    assert "b (version of b) may not fit the schema: since then shop.0003 may have been applied" in message
    assert "Nothing was changed, c (version of c) serves on." in message
    assert "-e rollback_accept_schema=shop.0003" in message


def test_a_killed_run_that_reported_nothing_counts_by_its_plan() -> None:
    killed = record(3, "c", before="b", verdict="interrupted", planned={"shop.0003": "unknown"})
    with pytest.raises(Refused, match=r"shop\.0003 may have been applied"):
        decide([A, B, killed], release="", accept_schema="")


def test_only_the_exact_list_is_taken_for_an_acceptance() -> None:
    assert decide([A, B, C], release="", accept_schema="shop.0003").release == "b"
    with pytest.raises(InvalidOption, match=r"expected exactly shop\.0003"):
        decide([A, B, C], release="", accept_schema="shop.0002,shop.0003")
    with pytest.raises(InvalidOption, match="expected exactly nothing"):
        decide([A, B], release="", accept_schema="shop.0002")


@pytest.mark.parametrize(
    ("records", "release", "message"),
    [
        ([], "", "No deployment of this site has ended whole"),
        ([A], "", r"a \(version of a\) is live and no release was before it"),
        ([A, B], "b", r"b \(version of b\) is live already"),
    ],
)
def test_nowhere_to_go_is_said(records: list[Record], release: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        decide(records, release=release, accept_schema="")


def test_a_release_further_back_can_be_named() -> None:
    assert decide([A, B, record(3, "c", before="b")], release="a", accept_schema="").release == "a"


# --- the live schema was asked ---


def test_a_schema_that_is_still_to_be_asked_refuses_nothing() -> None:
    decision = decide([A, B, C], release="", accept_schema="", schema=Schema(LATER))

    assert (decision.release, decision.blocking) == ("b", ("shop.0003",))
    assert decision.reason.endswith(", if the schema allows it")


def test_a_schema_that_fits_lets_contract_pass_and_nothing_of_which_no_catalog_tells() -> None:
    fits = Schema(FITS, "the release can run on this schema")
    data = record(3, "c", before="b", planned={"shop.0003": "contract", "shop.0004": "unknown"})

    assert decide([A, B, C], release="", accept_schema="", schema=fits).migrations == ("shop.0003",)
    with pytest.raises(Refused, match=r"since then shop\.0004 may have been applied") as caught:
        decide([A, B, data], release="", accept_schema="", schema=fits)
    assert "The live schema was asked: the release can run on this schema." in caught.value.message
    # What the records alone would have asked for is enough.
    for accepted in ("shop.0004", "shop.0003,shop.0004"):
        assert decide([A, B, data], release="", accept_schema=accepted, schema=fits).release == "b"


def test_why_the_schema_gave_no_answer_is_told_both_when_it_is_refused_and_when_it_is_not() -> None:
    silent = Schema(reason="app1: Connection timed out.")

    with pytest.raises(Refused) as caught:
        decide([A, B, C], release="", accept_schema="", schema=silent)
    assert ". The live schema gave no answer: app1: Connection timed out. Nothing was changed" in caught.value.message
    assert decide([A, B], release="", accept_schema="", schema=silent).reason.endswith(
        "with shop.0002. The live schema gave no answer: app1: Connection timed out"
    )


def test_a_schema_that_differs_refuses_what_the_records_would_allow() -> None:
    differs = Schema(DIFFERS, "the release can't run on this schema: orders has no column state")

    with pytest.raises(Refused) as caught:
        decide([A, B], release="", accept_schema="", schema=differs)

    assert caught.value.message.startswith(
        "a (version of a) does not fit the schema. The live schema was asked: the release can't run on this schema:"
        " orders has no column state. Nothing was changed, b (version of b) serves on. Choose one: go forward"
    )
    assert "-e rollback_accept_schema=schema" in caught.value.message
    assert decide([A, B], release="", accept_schema="schema", schema=differs).release == "a"
    with pytest.raises(Refused, match=r"b \(version of b\) does not fit the schema: since then shop\.0003"):
        decide([A, B, C], release="", accept_schema="", schema=differs)


def test_a_doubtful_schema_leaves_it_to_the_records() -> None:
    assert decide([A, B], release="", accept_schema="", schema=Schema(DOUBTFUL, "why")).release == "a"
    with pytest.raises(Refused, match="may not fit the schema"):
        decide([A, B, C], release="", accept_schema="", schema=Schema(DOUBTFUL, "why"))

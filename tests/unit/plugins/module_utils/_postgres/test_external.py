# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other programs say of their backups, and when that is enough."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    InvalidOption,
    Refused,
    SlipwayError,
    TimedOut,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._external import (
    Found,
    Keys,
    NotUnderstood,
    Request,
    check,
    parse,
    parse_time,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner, completed
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 16, 5, 28, tzinfo=timezone.utc)
HOUR = 3600.0
SNAPSHOT = Keys("DBSnapshots", "DBSnapshotIdentifier", "SnapshotCreateTime", "Status", ("available",))


def epoch(hours_ago: float) -> int:
    return int((NOW - timedelta(hours=hours_ago)).timestamp())


def pgbackrest(*hours_ago: float, **values: Any) -> Any:
    """As version 2.59 prints it, but for what is not looked at."""
    backups = [
        {
            "archive": {"start": "000000010000000A00000010", "stop": "000000010000000A00000012"},
            "backrest": {"format": 5, "version": "2.59.1"},
            "database": {"id": 1, "repo-key": 1},
            "error": False,
            "info": {"delta": 386, "repository": {"delta": 70}, "size": 386},
            "label": f"backup-{hours:g}",
            "timestamp": {"start": epoch(hours) - 300, "stop": epoch(hours)},
            "type": "full",
            **values,
        }
        for hours in hours_ago
    ]
    status = {"code": 0, "lock": {"backup": {"held": False}, "restore": {"held": False}}, "message": "ok"}
    return [{"archive": [], "backup": backups, "cipher": "none", "db": [], "name": "shop", "status": status}]


def barman(*rows: tuple[float, str]) -> Any:
    """As version 3.10 prints it."""
    return {
        "shop": [
            {
                "backup_id": (NOW - timedelta(hours=hours)).strftime("%Y%m%dT%H%M%S"),
                "status": status,
                **(
                    {"end_time_timestamp": str(epoch(hours)), "size": "52.7 MiB", "size_bytes": 55210398}
                    if status in ("DONE", "WAITING_FOR_WALS")
                    else {}
                ),
            }
            for hours, status in rows
        ]
    }


def snapshots(*rows: tuple[str, str | None, str]) -> Any:
    return {
        "DBSnapshots": [
            {"DBSnapshotIdentifier": name, "Status": state, **({"SnapshotCreateTime": at} if at else {})}
            for name, at, state in rows
        ]
    }


def asked(kind: str, answer: Any, **values: Any) -> Found:
    given_values: dict[str, Any] = {"max_age_s": 24 * HOUR, "name": "shop", **values}
    if kind == "json":
        given_values = {"command": ("snapshots",), "keys": SNAPSHOT, **given_values}
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return check(Request(kind=kind, **given_values), FakeRunner([text]), FakeClock(start=NOW))


# --- what stands in --------------------------------------------------------------------------------------------------


def test_the_newest_backup_of_pgbackrest_stands_in() -> None:
    found = asked("pgbackrest", pgbackrest(2, 26))

    assert (found.backup.id, found.age_s, found.backup.bytes) == ("backup-2", 2 * HOUR, 386)
    request = Request("pgbackrest", 1, name="shop")
    assert found.words(request) == "pgbackrest backup backup-2 stands in: ok, it ended 2.0 h before now"
    assert request.way_back(found.backup.id) == "pgbackrest --stanza=shop --set=backup-2 restore"


def test_the_programs_are_asked_without_a_shell() -> None:
    assert Request("pgbackrest", 1, name="shop").argv == ("pgbackrest", "info", "--output=json", "--stanza=shop")
    assert Request("pgbackrest", 1).argv == ("pgbackrest", "info", "--output=json")
    assert Request("barman", 1, name="shop").argv == ("barman", "--format", "json", "list-backups", "shop")
    assert Request("barman", 1, command=("ssh", "b", "barman")).argv == ("ssh", "b", "barman")


def test_what_older_versions_do_not_say_of_pages_is_no_damage() -> None:
    assert asked("pgbackrest", pgbackrest(1, error=None)).backup.whole


def test_what_barman_is_taking_now_is_passed_over() -> None:
    found = asked("barman", barman((0.1, "STARTED"), (3, "DONE"), (27, "FAILED"), (30, "DONE")))

    assert found.age_s == 3 * HOUR
    assert found.passed_over == ("20261121T155928",)


def test_a_snapshot_of_a_provider_stands_in() -> None:
    found = asked(
        "json",
        snapshots(
            ("new", None, "creating"),
            ("young", "2026-11-21T15:05:28.123000+00:00", "available"),
            ("old", "2026-11-20T15:05:28+01:00", "available"),
        ),
    )

    assert (found.backup.id, found.age_s) == ("young", HOUR)


def test_a_further_attempt_takes_the_backup_from_before_the_first_one() -> None:
    answer = pgbackrest(1, 5, 20)

    found = asked("pgbackrest", answer, before="20261121T140528Z", max_age_s=4 * HOUR)

    assert (found.backup.id, found.age_s, found.passed_over) == ("backup-5", 3 * HOUR, ("backup-1",))


# --- what does not ---------------------------------------------------------------------------------------------------

END = "Nothing was changed. Take another one with that program, then run this again."


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        (
            "pgbackrest",
            pgbackrest(25, 49),
            (
                "The external backup does not stand in: the newest whole one, backup-25, ended 25.0 h before now, and "
                f"24.0 h are allowed (max_age). {END}"
            ),
        ),
        (
            "pgbackrest",
            pgbackrest(),
            (
                "The external backup does not stand in: it has no finished backup among 0. Nothing was changed. "
                "Take one with that program, then run this again."
            ),
        ),
        (
            "pgbackrest",
            pgbackrest(1, error=True),
            f"The external backup does not stand in: the newest, backup-1, is damaged. {END}",
        ),
        (
            "pgbackrest",
            pgbackrest(-1),
            (
                "The external backup does not stand in: backup--1 would have ended in the future. Nothing was changed. "
                "See the clocks of this host and of that one, then run this again."
            ),
        ),
        (
            "pgbackrest",
            [{"name": "shop", "backup": [], "status": {"code": 2, "message": "no valid backups"}}],
            (
                "The external backup does not stand in: stanza shop is not in order: no valid backups. "
                "Nothing was changed. See pgbackrest info, then run this again."
            ),
        ),
        (
            "barman",
            barman((1, "FAILED"), (3, "DONE")),
            f"The external backup does not stand in: the newest, 20261121T150528, is FAILED. {END}",
        ),
        (
            "barman",
            barman((1, "WAITING_FOR_WALS"), (3, "DONE")),
            f"The external backup does not stand in: the newest, 20261121T150528, is WAITING_FOR_WALS. {END}",
        ),
        (
            "barman",
            barman((0.1, "STARTED")),
            (
                "The external backup does not stand in: it has no finished backup among 1. Nothing was changed. "
                "Take one with that program, then run this again."
            ),
        ),
        (
            "json",
            snapshots(("a", "2026-11-21T15:00:00Z", "failed"), ("b", "2026-11-21T14:00:00Z", "available")),
            f"The external backup does not stand in: the newest, a, is failed. {END}",
        ),
    ],
)
def test_what_is_no_backup_to_go_back_to_is_refused(kind: str, answer: Any, message: str) -> None:
    with pytest.raises(Refused) as refused:
        asked(kind, answer)

    assert refused.value.message == message


def test_a_backup_of_after_the_first_attempt_is_none_from_before_it() -> None:
    with pytest.raises(Refused, match="it has no finished backup from before 20261121T140528Z among 1"):
        asked("pgbackrest", pgbackrest(1), before="20261121T140528Z")


@pytest.mark.parametrize(
    ("kind", "answer", "why"),
    [
        ("pgbackrest", "", "printed what is no JSON"),
        ("pgbackrest", "ERROR: [055]: unable to open", "'ERROR: [055]: unable to open'"),
        ("pgbackrest", "{}", "the document is no list"),
        ("pgbackrest", [{"name": "shop"}], "it has no 'status'"),
        ("pgbackrest", [], "of stanzas [] not exactly one is 'shop': name it with the option name"),
        ("pgbackrest", pgbackrest(1, timestamp={"stop": "soon"}), "could not convert string to float: 'soon'"),
        ("pgbackrest", pgbackrest(1, timestamp={"stop": 1e300}), "is not understood"),
        ("pgbackrest", pgbackrest(1, label=None), "label is None and no text"),
        ("barman", {"blog": []}, "it has no 'shop'"),
        ("barman", {"shop": [{"backup_id": "x", "status": "DONE"}]}, "it has no 'end_time_timestamp'"),
        ("json", {"DBSnapshots": "none"}, "DBSnapshots is no list"),
        ("json", snapshots(("a", None, "available")), "it has no 'SnapshotCreateTime'"),
        (
            "json",
            snapshots(("a", "2026-11-21T15:00:00", "available")),
            "T15:00:00', and no time with a zone",
        ),
        ("json", snapshots(("a", "2026-13-21T15:00:00Z", "available")), "month must be in 1..12"),
    ],
)
def test_an_answer_that_is_not_understood_is_no_backup(kind: str, answer: Any, why: str) -> None:
    with pytest.raises(NotUnderstood) as failed:
        asked(kind, answer)

    assert why in failed.value.message
    assert "Nothing was changed." in failed.value.message


def test_a_program_that_fails_or_is_silent_or_is_not_there_is_no_backup() -> None:
    request = Request("pgbackrest", 1)
    for answer, error in (
        (completed("[]", returncode=56, stderr="unable to connect"), CommandFailed),
        (TimedOut("pgbackrest did not end"), TimedOut),
        (CommandFailed(request.argv, None, "no such file"), CommandFailed),
    ):
        with pytest.raises(error):
            check(request, FakeRunner([answer]), FakeClock())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "json"}, "command and keys.good with it"),
        ({"kind": "barman"}, "the server's name in barman's configuration"),
        ({"kind": "tar"}, "one of pgbackrest, barman, json"),
        ({"max_age_s": 0.0}, "a number of seconds above 0"),
        ({"max_age_s": float("nan")}, "a number of seconds above 0"),
        ({"before": "yesterday"}, "a time with its zone, as 20261121T160528Z"),
        ({"name": "--help"}, "a name that is no option"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_run(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        check(Request(**{"kind": "pgbackrest", "max_age_s": 1.0, **values}), FakeRunner(), FakeClock())

    assert said in refused.value.message


# --- whatever is printed ---------------------------------------------------------------------------------------------

KEYS = [
    *("name", "status", "code", "backup", "label", "timestamp", "stop", "info", "size", "message"),
    *("shop", "backup_id", "end_time_timestamp"),
    *("DBSnapshots", "Status", "SnapshotCreateTime", "DBSnapshotIdentifier"),
]
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(document=documents, kind=st.sampled_from(["pgbackrest", "barman", "json"]))
def test_whatever_is_printed_is_backups_or_an_error_that_is_understood(document: Any, kind: str) -> None:
    request = Request(kind, 1.0, name="shop", command=("x",), keys=SNAPSHOT)
    try:
        backups = parse(json.dumps(document), request)
    except SlipwayError:
        return
    ends = [one.finished_at for one in backups if one.finished_at is not None]
    assert all(one.id and (one.finished_at is not None or not one.whole) for one in backups)
    assert kind == "barman" or ends == sorted(ends)


@given(hours=st.lists(st.integers(0, 100), min_size=1, unique=True), limit=st.integers(1, 100))
def test_what_stands_in_is_the_newest_and_within_the_limit(hours: list[int], limit: int) -> None:
    try:
        found = asked("pgbackrest", pgbackrest(*hours), max_age_s=limit * HOUR)
    except Refused:
        assert min(hours) > limit
    else:
        assert found.backup.id == f"backup-{min(hours)}"
        assert min(hours) <= limit


@given(moment=st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)), zone=st.integers(-12, 12))
def test_a_time_is_read_as_it_is_written(moment: datetime, zone: int) -> None:
    aware = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=zone)))

    assert parse_time(aware.isoformat(), "it") == aware
    assert parse_time(aware.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ"), "it") == aware
    assert parse_time(int(aware.timestamp()), "it") == aware

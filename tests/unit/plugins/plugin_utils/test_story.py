# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.plugin_utils._story import batch_size, judge, plan_lines
from hypothesis import given
from hypothesis import strategies as st

FAILURE = {"host": "app2", "phase": "rollout", "task": "Gate the release", "message": "health was red 3 times"}
GOOD: dict[str, Any] = {
    "kind": "deploy",
    "id": "20261121T160528Z-3f2a9c1",
    "version": "v2",
    "release": "3f2a9c1d2e4f-01020304",
    "failure": {},
    "returned": {},
    "return_failure": "",
    "set_aside": [],
    "not_withdrawn": [],
    "workers_failed": [],
    "errors": [],
    "check_mode": False,
}
WENT_BACK = {"failure": FAILURE, "returned": {"release": "aaaabbbbcccc-05060708"}}


@pytest.mark.parametrize(
    ("change", "verdict", "success", "words"),
    [
        ({}, "whole", True, "(3f2a9c1d2e4f-01020304): whole."),
        ({"check_mode": True}, "whole", True, "Check mode: nothing was changed, this is what a run would begin with."),
        (
            {"errors": ["disk full"]},
            "completed_with_errors",
            False,
            "After the rollout: disk full. 3f2a9c1d2e4f-01020304 serves. What is named is to be looked at; ",
        ),
        (
            {"failure": FAILURE},
            "failed",
            False,
            "app2, rollout, task 'Gate the release': health was red 3 times. Nothing live was changed",
        ),
        (WENT_BACK, "rolled_back", False, "The site is back on aaaabbbbcccc-05060708."),
        ({"visitors": "The site is closed"}, "whole", True, "(3f2a9c1d2e4f-01020304): whole. The site is closed."),
        (
            {**WENT_BACK, "visitors": "The site is closed"},
            "rolled_back",
            False,
            "The site is back on aaaabbbbcccc-05060708. The site is closed.",
        ),
        ({**WENT_BACK, "set_aside": ["app2"]}, "rolled_back", False, "without traffic of another release: app2."),
        ({**WENT_BACK, "not_withdrawn": ["app2"]}, "failed", False, "MAY STILL SERVE the wrong release: app2."),
        (
            {**WENT_BACK, "return_failure": "502"},
            "failed",
            False,
            "The way back was to aaaabbbbcccc-05060708. The way back is not whole: 502.",
        ),
        ({**WENT_BACK, "workers_failed": ["app1"]}, "failed", False, "could not be brought back: app1."),
        ({"failure": FAILURE, "returned": {"release": ""}}, "rolled_back", False, "The site had no release before"),
        ({"kind": "rollback", "returned": {"release": "x"}}, "whole", True, "rollback 20261121T160528Z-3f2a9c1"),
        (
            {"kind": "rollback", "returned": {"release": "x"}, "set_aside": ["app3"]},
            "whole",
            True,
            "The next deployment or rollback brings them in again.",
        ),
        ({"kind": "rollback", "returned": {"release": "x"}, "return_failure": "503"}, "failed", False, "503."),
        ({"kind": "rollback", "failure": FAILURE}, "failed", False, "Nothing live was changed"),
        ({"kind": "restore", "standing": "old is kept"}, "whole", True, "(3f2a9c1d2e4f-01020304): whole. old is kept."),
        ({"kind": "restore", "failure": FAILURE}, "failed", False, "Nothing live was changed: the old release serves"),
        (
            {"kind": "restore", "failure": FAILURE, "standing": "old is kept"},
            "failed",
            False,
            "3 times. old is kept. C",
        ),
    ],
)
def test_each_end_has_its_verdict_and_its_words(
    change: dict[str, Any], verdict: str, success: bool, words: str
) -> None:
    ended = judge({**GOOD, **change})
    assert (ended.verdict, ended.success) == (verdict, success)
    assert words in ended.text


@given(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["deploy", "rollback"]),
            "failure": st.sampled_from([{}, FAILURE]),
            "returned": st.sampled_from([{}, {"release": ""}, {"release": "x"}]),
            "return_failure": st.sampled_from(["", "502"]),
            "set_aside": st.sampled_from([[], ["app1"]]),
            "not_withdrawn": st.sampled_from([[], ["app1"]]),
            "workers_failed": st.sampled_from([[], ["app1"]]),
            "errors": st.sampled_from([[], ["e"]]),
        }
    )
)
def test_a_failure_of_a_deployment_is_never_a_success(change: dict[str, Any]) -> None:
    ended = judge({**GOOD, **change})
    if change["failure"] and change["kind"] == "deploy":
        assert not ended.success
    if change["errors"]:
        assert not ended.success
    if change["not_withdrawn"] and change["returned"] and change["failure"]:
        assert ended.verdict == "failed"


PLAN: dict[str, Any] = {
    "site": "shop",
    "version": "v2",
    "target": {"commit": "3f2a9c1d2e4f" + "0" * 28, "name": "3f2a9c1d2e4f-01020304"},
    "deployment": {"id": "X", "attempt": 2, "origin": {"version": "v1", "release": "aaaabbbbcccc-05060708"}},
    "hosts": ["app1", "app2", "app3"],
    "batch": 2,
    "closing": False,
    "workers": ["app1"],
    "changes": {
        "commits_known": True,
        "commits": [{"id": "3f2a9c1d2e4f" + "0" * 28, "subject": "Show the discount"}],
        "commits_removed": [],
    },
    "migrations": ["shop.0002 add column: expand"],
}


def test_the_plan_says_that_the_site_will_be_closed() -> None:
    assert any(
        line.startswith("strategy   maintenance: closed to visitors") for line in plan_lines({**PLAN, "closing": True})
    )


def test_the_plan_names_everything_that_will_happen() -> None:
    assert plan_lines(PLAN) == [
        "deployment X, attempt 2, of site shop",
        "version    v2 = commit 3f2a9c1d2e4f = release 3f2a9c1d2e4f-01020304",
        "from       v1 aaaabbbbcccc-05060708",
        "commits    1",
        "           3f2a9c1d2e4f Show the discount",
        "migrations",
        "           shop.0002 add column: expand",
        "workers    app1, before the web services",
        "batches    app1, app2 | app3",
        "way back   to aaaabbbbcccc-05060708, by itself when a gate fails",
    ]


def test_commits_that_are_not_known_are_not_told_as_none() -> None:
    lines = plan_lines({**PLAN, "changes": {"commits_known": False, "commits_reason": "the commit is gone"}})
    assert "commits    unknown: the commit is gone" in lines


def test_commits_that_the_version_no_longer_has_are_told() -> None:
    changes = {**PLAN["changes"], "commits": [], "commits_removed": PLAN["changes"]["commits"]}
    lines = plan_lines({**PLAN, "changes": changes})
    assert "commits    0, and 1 that it no longer has" in lines
    assert "         - 3f2a9c1d2e4f Show the discount" in lines


def test_the_first_deployment_says_that_it_has_no_way_back() -> None:
    lines = plan_lines({**PLAN, "deployment": {"id": "X", "attempt": 1, "origin": None}, "migrations": []})
    assert "from       nothing: the first deployment" in lines
    assert "migrations none" in lines
    assert lines[-1] == "way back   none: the new release would be taken out"


@pytest.mark.parametrize(("batch", "hosts", "size"), [(1, 3, 1), ("50%", 4, 2), ("10%", 3, 1), ("2", 3, 2)])
def test_a_batch_is_a_number_or_a_share(batch: object, hosts: int, size: int) -> None:
    assert batch_size(batch, hosts) == size

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._past import (
    previous_rows,
    read_summaries,
    rehearsal_row,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
COMMIT = "3f2a9c1d2e4f" + "0" * 28


def entry(status: str, *, ident: str = "d1", kind: str = "deploy") -> dict[str, Any]:
    return {"id": ident, "kind": kind, "version": "v1", "status": status}


def known(*history: dict[str, Any], lease: Any = None, interrupted: Any = None) -> dict[str, Any]:
    return {"history": list(history), "lease": lease, "interrupted": interrupted}


@pytest.mark.parametrize(
    ("history", "whole", "mark"),
    [
        ([], False, Mark.NOT_ASKED),
        ([entry("whole")], False, Mark.PASSED),
        ([entry("completed_with_errors")], True, Mark.PASSED),
        ([entry("rolled_back")], False, Mark.NOT_ASKED),
        ([entry("rolled_back")], True, Mark.FAILED),
        ([entry("interrupted")], True, Mark.FAILED),
        ([entry("failed", kind="backup"), entry("whole")], True, Mark.PASSED),  # a backup brings no release
        ([entry("open", ident="ours"), entry("whole")], True, Mark.PASSED),
    ],
)
def test_the_last_that_brought_a_release_is_judged(history: list[dict[str, Any]], whole: bool, mark: Mark) -> None:
    rows = {row.check: row for row in previous_rows(known(*history), ours="ours", whole=whole)}

    assert rows["previous deployment"].mark is mark
    assert rows["lease"].mark is Mark.PASSED


def test_an_interrupted_one_is_said_to_be_interrupted() -> None:
    rows = list(previous_rows(known(entry("open"), interrupted={"id": "d1"}), ours="", whole=True))
    assert rows[1].seen == "deploy d1 of v1: interrupted"


def test_a_lease_of_another_refuses_and_our_own_does_not() -> None:
    lease = {"id": "d9", "live": True, "actor": "ada", "step": "rollout"}
    (other, _previous) = previous_rows(known(entry("whole"), lease=lease), ours="", whole=False)
    (own, _previous) = previous_rows(known(entry("whole"), lease=lease), ours="d9", whole=False)
    (run_out, _previous) = previous_rows(known(entry("whole"), lease={**lease, "live": False}), ours="", whole=False)

    assert (other.mark, other.seen) == (Mark.FAILED, "held by d9 of ada, step 'rollout'")
    assert own.mark is run_out.mark is Mark.PASSED


def run(kind: str, *, commit: str = COMMIT, day: int = 20, verdict: str = "whole", **more: Any) -> dict[str, Any]:
    told = {"kind": kind, "commit": commit} if kind == "deploy" else {"kind": kind, "origin": {"commit": commit}}
    return {
        "verdict": verdict,
        "check_mode": False,
        "finished_at": f"2026-11-{day:02}T10:00:00.000000Z",
        "deployment": told,
        **more,
    }


@pytest.mark.parametrize(
    ("runs", "mark", "seen"),
    [
        ([run("deploy"), run("rollback")], Mark.PASSED, "deployed 2026-11-20T10:00, rolled back 2026-11-20T10:00"),
        ([run("deploy")], Mark.FAILED, "deployed 2026-11-20T10:00, not rolled back there"),
        ([run("rollback")], Mark.FAILED, "not deployed there, rolled back 2026-11-20T10:00"),
        ([run("deploy", day=1), run("rollback")], Mark.FAILED, "not deployed there, rolled back 2026-11-20T10:00"),
        ([run("deploy", verdict="rolled_back"), run("rollback")], Mark.FAILED, None),
        ([run("deploy", commit="0" * 40), run("rollback")], Mark.FAILED, None),
        ([run("deploy", check_mode=True), run("rollback")], Mark.FAILED, None),
        ([run("deploy", deployment=None), run("deploy", finished_at=None)], Mark.FAILED, None),
        ([], Mark.FAILED, "not deployed there, not rolled back there"),
    ],
)
def test_a_rehearsal_is_this_commit_there_and_back_lately(runs: list[Any], mark: Mark, seen: str | None) -> None:
    row = rehearsal_row(runs, COMMIT, NOW, 14)

    assert row.mark is mark
    assert seen is None or row.seen == seen


def test_summaries_are_read_from_all_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps({"run_id": name}), encoding="utf-8")
    assert [found["run_id"] for found in read_summaries(str(tmp_path))] == ["a", "b"]

    (tmp_path / "b" / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(SlipwayError, match=r"summary\.json is no JSON"):
        read_summaries(str(tmp_path))
    with pytest.raises(SlipwayError, match="is no directory"):
        read_summaries(str(tmp_path / "absent"))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs left behind: the last deployment of this site, and the rehearsal on another one. Pure."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._deployment._record import STANDING, WHOLE
from ansible_collections.slipway.django.plugins.module_utils._deployment._times import from_text
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, judged

_WHAT = "previous deployment"
_EXPECTED = "the last deployment or rollback ended whole"
_BRINGING = ("deploy", "rollback")


def previous_rows(known: Mapping[str, Any], *, ours: str, whole: bool) -> Iterator[Row]:
    """Judge what the control host remembers.

    After a deployment that did not end whole the next one is a further attempt: it goes on from where the site is,
    and is not held up by what it is there to mend.

    :param known: the result of C(deployment_info).
    :param ours: id of the deployment that asks, empty for none.
    :param whole: refuse also a further attempt.
    """
    lease = known["lease"] or {}
    others = lease.get("live") and lease.get("id") != ours
    yield judged(
        "A5",
        "lease",
        not others,
        f"held by {lease.get('id')} of {lease.get('actor')}, step '{lease.get('step')}'" if others else "free",
        "no other deployment under way",
    )
    past = [entry for entry in known["history"] if entry["kind"] in _BRINGING and entry["id"] != ours]
    if not past:
        yield Row("A5", _WHAT, Mark.NOT_ASKED, "there is none", _EXPECTED)
        return
    yield _previous_row(past[0], known.get("interrupted") or {}, whole)


def _previous_row(last: Mapping[str, Any], interrupted: Mapping[str, Any], whole: bool) -> Row:
    state = "interrupted" if interrupted.get("id") == last["id"] else last["status"]
    seen = f"{last['kind']} {last['id']} of {last['version']}: {state}"
    if state in STANDING:
        return Row("A5", _WHAT, Mark.PASSED, seen, _EXPECTED)
    if whole:
        return Row("A5", _WHAT, Mark.FAILED, seen, _EXPECTED)
    return Row("A5", _WHAT, Mark.NOT_ASKED, f"{seen}; the next one is a further attempt and mends it", _EXPECTED)


def rehearsal_row(summaries: Iterable[Mapping[str, Any]], commit: str, now: datetime, days: int) -> Row:
    """Judge the logs of another site: was this commit deployed there, and was it gone back from, in the last days?

    :param summaries: the C(summary.json) of its runs.
    """
    since = now - timedelta(days=days)
    whole = [run for run in summaries if _is_whole(run, since)]
    there = [run for run in whole if run["deployment"].get("kind") == "deploy" and _commit(run) == commit]
    back = [run for run in whole if run["deployment"].get("kind") == "rollback" and _origin_commit(run) == commit]
    expected = f"commit {commit[:12]} deployed and rolled back on the rehearsal site in the last {days} days"
    seen = ", ".join(
        [
            f"deployed {there[0]['finished_at'][:16]}" if there else "not deployed there",
            f"rolled back {back[0]['finished_at'][:16]}" if back else "not rolled back there",
        ]
    )
    return judged("A13", "rehearsal", bool(there and back), seen, expected)


def _is_whole(run: Mapping[str, Any], since: datetime) -> bool:
    ended = run.get("finished_at")
    return (
        run.get("verdict") == WHOLE
        and not run.get("check_mode")
        and isinstance(run.get("deployment"), Mapping)
        and isinstance(ended, str)
        and from_text(ended) >= since
    )


def _commit(run: Mapping[str, Any]) -> str:
    return str(run["deployment"].get("commit") or "")


def _origin_commit(run: Mapping[str, Any]) -> str:
    return str((run["deployment"].get("origin") or {}).get("commit") or "")


def read_summaries(folder: str) -> Sequence[Mapping[str, Any]]:
    """Read the summaries of all runs in a folder of deployment logs.

    :raises SlipwayError: there is no such folder, or a summary can't be read.
    """
    if not os.path.isdir(folder):
        raise SlipwayError(f"{folder} is no directory", remedy="Name the log folder of the rehearsal site's project")
    found = []
    for directory, _names, files in sorted(os.walk(folder)):
        if "summary.json" in files:
            found.append(_read(os.path.join(directory, "summary.json")))
    return found


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except ValueError as error:
        raise SlipwayError(f"{path} is no JSON: {error}", facts={"path": path}) from error
    if not isinstance(document, Mapping):
        raise SlipwayError(f"{path} is no summary of a run", facts={"path": path})
    return document

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All rows that only the controller can fill, in one look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._preflight._baseline import baseline_row
from ansible_collections.slipway.django.plugins.module_utils._preflight._calendar import (
    Freeze,
    Window,
    sign_off_row,
    window_rows,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._past import (
    previous_rows,
    read_summaries,
    rehearsal_row,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row, guarded
from ansible_collections.slipway.django.plugins.module_utils._preflight._team import TeamCommand, team_rows
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_REHEARSED = "this commit deployed and rolled back on another site"


@dataclass(frozen=True)
class Wanted:
    """What a deployment is held against.

    :param subject: site and version.
    :param deployment: id of the deployment that asks, empty for none.
    :param deployments: what the control host remembers; None asks nothing.
    :param measured: figures of before by measure, and C(not_measured) why there are none; both None ask nothing.
    :param lost: rows of commands that nobody runs.
    :param rehearsal_log: folder of another site's deployment logs, empty to ask nothing.
    """

    subject: str
    commit: str
    deployment: str
    deployments: Mapping[str, Any] | None
    previous_whole: bool
    measured: Mapping[str, Any] | None
    not_measured: Mapping[str, str] | None
    baseline_required: bool
    windows: Sequence[Window]
    freezes: Sequence[Freeze]
    exception: str
    sign_off_required: bool
    sign_off: str
    rehearsal_log: str
    rehearsal_days: int
    lost: Sequence[Row]
    commands: Sequence[TeamCommand]
    now: datetime


def site_rows(wanted: Wanted, runner: Runner, redact: Callable[[str], str]) -> list[Row]:
    """Make every look, whatever the one before it has said."""
    return [
        *window_rows(wanted.windows, wanted.freezes, wanted.now, wanted.exception),
        sign_off_row(wanted.sign_off_required, wanted.sign_off, wanted.subject),
        *_previous(wanted),
        *_measured(wanted),
        *_rehearsed(wanted),
        *wanted.lost,
        *team_rows(wanted.commands, runner, redact, {}),
    ]


def _previous(wanted: Wanted) -> list[Row]:
    known = wanted.deployments
    if known is None:
        return []
    # The answer of a control host that failed has no history.
    if "history" not in known:
        said = str(known.get("msg") or "the control host gave no answer")
        return [Row("A5", "previous deployment", Mark.UNKNOWN, said, "the control host's records")]
    return list(previous_rows(known, ours=wanted.deployment, whole=wanted.previous_whole))


def _measured(wanted: Wanted) -> list[Row]:
    if wanted.measured is None or wanted.not_measured is None:
        return []
    return [baseline_row(wanted.measured, wanted.not_measured, required=wanted.baseline_required)]


def _rehearsed(wanted: Wanted) -> list[Row]:
    if not wanted.rehearsal_log:
        return [Row("A13", "rehearsal", Mark.NOT_ASKED, "preflight_rehearsal_log is empty", _REHEARSED)]
    if not wanted.commit:
        return [Row("A13", "rehearsal", Mark.UNKNOWN, "the version's commit is not known", _REHEARSED)]
    return guarded(
        "A13",
        "rehearsal",
        _REHEARSED,
        lambda: [rehearsal_row(read_summaries(wanted.rehearsal_log), wanted.commit, wanted.now, wanted.rehearsal_days)],
    )

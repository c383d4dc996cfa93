# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._preflight._baseline import baseline_row
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark

FIGURES = {"error_rate over 24h": {"bad": 1, "total": 90}, "alerts": {"value": 0}}


@pytest.mark.parametrize(
    ("measured", "missing", "required", "mark", "seen"),
    [
        (FIGURES, {}, True, Mark.PASSED, "measured: alerts, error_rate over 24h"),
        (
            FIGURES,
            {"slow": "no request was counted"},
            False,
            Mark.NOT_ASKED,
            "not measured: slow: no request was counted",
        ),
        (
            {},
            {"slow": "no request was counted"},
            True,
            Mark.UNKNOWN,
            "measured: nothing; not measured: slow: no request",
        ),
        ({}, {}, False, Mark.NOT_ASKED, "nothing is measured: verify_prometheus_url is empty"),
        ({}, {}, True, Mark.UNKNOWN, "nothing is measured: verify_prometheus_url is empty"),
    ],
)
def test_what_is_missing_refuses_only_when_it_is_asked_for(
    measured: dict[str, object], missing: dict[str, str], required: bool, mark: Mark, seen: str
) -> None:
    row = baseline_row(measured, missing, required=required)
    assert (row.step, row.check, row.mark) == ("A5", "baseline", mark)
    assert seen in row.seen

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value must be."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, Moment, Rule, State
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate._checks.test_prometheus import rung
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import DEFAULTS

COMMON = Common("queue", "sql", "checks[0]", 5.0, Rule(3, None, 3), Action.HOLD)


@pytest.mark.parametrize(
    ("options", "value", "state", "text"),
    [
        ({"equals": 0}, "0", State.GOOD, "value is 0"),
        ({"equals": "0"}, "0.00", State.GOOD, "value is 0.00"),
        ({"equals": "on"}, "on", State.GOOD, "value is on"),
        ({"equals": "on"}, "off", State.BAD, "value is off (expected on)"),
        ({"min": 1.0, "max": 3.0}, "2", State.GOOD, "value: 2"),
        ({"min": 1.0}, "0.5", State.BAD, "value: 0.5 is below 1"),
        ({"max": 3.0}, 4.0, State.BAD, "value: 4 is above 3"),
        ({"max": 3.0}, "NaN", State.BAD, "value is NaN (expected a number)"),
        ({"max": 3.0}, "\x1b[31mred", State.BAD, "value is ?[31mred (expected a number)"),
    ],
)
def test_a_value(options: dict[str, Any], value: str | float, state: State, text: str) -> None:
    limits = read_limits(COMMON, {**DEFAULTS, **options})
    sample = judge(value, limits, Watch(5.0, FakeClock(), Moment()))
    assert (sample.state, sample.text) == (state, text)
    if state is State.BAD:
        assert sample.action is Action.HOLD


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "'nothing' is not accepted, expected one of above, below, times_baseline, below_baseline"),
        ({"above": 1.0, "below_baseline": 0.5}, "'above, below_baseline' is not accepted, expected one of above"),
        ({"times_baseline": 0.5}, "times_baseline: 0.5 is not accepted, expected a finite number, 1 or more"),
        ({"below_baseline": 2.0}, "below_baseline: 2.0 is not accepted, expected a number above 0, 1 at most"),
        ({"below_baseline": 0.0}, "below_baseline: 0.0 is not accepted, expected a number above 0, 1 at most"),
        ({"above": float("nan")}, "above: nan is not accepted, expected a finite number"),
    ],
)
def test_a_rung_that_says_nothing_is_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        read_limits(COMMON, {**DEFAULTS, "thresholds": [rung(**given)]})
    assert message in refusal.value.message

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a value must be."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, Moment, Rule, State
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock
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

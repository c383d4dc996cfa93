# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed
from ansible_collections.slipway.django.plugins.module_utils._release._steps import StepFailed, Steps
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


def test_seconds_are_measured_and_repeated_steps_add_up() -> None:
    clock = FakeClock()
    steps = Steps(clock, untouched="")
    for spent in (1.5, 0.25):
        with steps.step("install"):
            clock.advance(spent)
    assert steps.seconds == {"install": 1.75}


def fail(steps: Steps, clock: FakeClock) -> None:
    with steps.step("install"):
        clock.advance(3)
        raise CommandFailed(["pip", "install"], 1, "No matching distribution", remedy="Look at the index")


def test_a_failure_names_the_step_and_keeps_what_its_cause_says() -> None:
    clock = FakeClock()
    steps = Steps(clock, untouched="What runs was not touched")
    with pytest.raises(StepFailed) as caught:
        fail(steps, clock)
    assert caught.value.message == (
        "install: pip install ended with status 1: No matching distribution. "
        "What runs was not touched. Look at the index."
    )
    assert caught.value.facts["step"] == "install"
    assert caught.value.facts["stderr"] == "No matching distribution"
    assert steps.seconds == {"install": 3.0}


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "Free some space"), (errno.EDQUOT, "Free some space"), (errno.EACCES, "Look at the owner")],
)
def test_errors_of_the_system_are_failures_of_the_step(code: int, remedy: str) -> None:
    with pytest.raises(StepFailed, match=remedy), Steps(FakeClock(), untouched="").step("source"):
        raise OSError(code, os.strerror(code), "/srv/shop/x")


def test_a_fault_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), Steps(FakeClock(), untouched="").step("source"):
        raise ZeroDivisionError

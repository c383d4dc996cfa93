# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of systemd: what is well, what may become well, and what is lost."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Moment, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import params

BEATS = ["shop-beat@blue.service", "shop-beat@green.service"]


def shown(*states: tuple[str, int], load: str = "loaded") -> str:
    return "\n".join(
        f"Id={name}\nLoadState={load}\nActiveState={state}\nSubState=x\nNRestarts={restarts}\nResult=success\n"
        for name, (state, restarts) in zip(BEATS, states)
    )


def one_beat(runner: FakeRunner) -> Check:
    options = {"kind": "service", "url": None, "units": BEATS, "running": 1}
    return read_gate(params(options), World(FakeClock(), runner)).checks[0]


@pytest.mark.parametrize(
    ("output", "before", "state", "code", "doomed", "text"),
    [
        (shown(("active", 0), ("inactive", 0)), None, State.GOOD, "ok", False, "1 active"),
        (shown(("active", 0), ("active", 0)), 0.0, State.BAD, "running", False, "2 active (expected 1)"),
        (shown(("inactive", 0), ("activating", 0)), 0.0, State.BAD, "running", False, "0 active (expected 1)"),
        (shown(("failed", 0), ("active", 0)), 0.0, State.BAD, "service_failed", True, f"{BEATS[0]} has failed"),
        (
            shown(("active", 3), ("inactive", 0)),
            1.0,
            State.BAD,
            "service_restarted",
            True,
            "restarted 2 times since the gate began",
        ),
        (
            shown(("inactive", 0), ("inactive", 0), load="not-found"),
            None,
            State.BAD,
            "not_loaded",
            False,
            f"systemd has no {BEATS[0]}, {BEATS[1]}",
        ),
    ],
)
def test_one_scheduler(output: str, before: float | None, state: State, code: str, doomed: bool, text: str) -> None:
    runner = FakeRunner([output])
    sample = one_beat(runner).look(Watch(5.0, FakeClock(), Moment(first_value=before)))
    assert (sample.state, sample.code, sample.doomed, sample.text) == (state, code, doomed, text)
    assert runner.argvs[0][:2] == ("systemctl", "show")
    assert runner.argvs[0][-3:] == ("--", *BEATS)


@pytest.mark.parametrize(
    ("restarts", "most", "state", "text"),
    [
        (7, None, State.GOOD, "1 active"),
        (2, 2, State.GOOD, "1 active"),
        (3, 2, State.BAD, "restarted 3 times (expected at most 2)"),
        (1, 0, State.BAD, "restarted 1 times (expected at most 0)"),
    ],
)
def test_a_loop_of_restarts_shows_in_one_look(restarts: int, most: int | None, state: State, text: str) -> None:
    options = {"kind": "service", "url": None, "units": BEATS, "running": 1, "max_restarts": most}
    runner = FakeRunner([shown(("active", restarts), ("inactive", 0))])
    sample = read_gate(params(options), World(FakeClock(), runner)).checks[0].look(Watch(5.0, FakeClock()))
    assert (sample.state, sample.text, sample.doomed) == (state, text, False)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of the journal: counted over the life of the release, never shown; what can't be read is no zero."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Moment, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.plugins.module_utils._process import Completed
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner, completed
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import params

WEB = ["shop-web@blue.service", "shop-web@green.service"]
LOADED = "".join(f"Id={unit}\nLoadState=loaded\n\n" for unit in WEB)
HINT = "Hint: You are currently not seeing messages from other users and the system.\n"


def secrets(runner: FakeRunner, **more: object) -> Check:
    options = {"kind": "journal", "url": None, "units": WEB, "pattern": "password=", **more}
    return read_gate(params(options), World(FakeClock(), runner)).checks[0]


@pytest.mark.parametrize(
    ("found", "more", "age_s", "state", "text"),
    [
        (completed(stdout="-- No entries --\n", returncode=1), {}, None, State.GOOD, "in 300 s is 0"),
        (completed(stdout=""), {}, 12.0, State.GOOD, "in 12 s is 0"),
        (completed(stdout="password=SECRET\n"), {}, 12.0, State.BAD, "in 12 s is 1 (expected 0)"),
        (completed(stdout="a\nb\n"), {"max": 1}, 900.0, State.BAD, "in 300 s: 2 is above 1"),
        (completed(stdout="a\n"), {"max": 1, "window": "1h"}, 900.0, State.GOOD, "in 900 s: 1"),
    ],
)
def test_lines_are_counted(
    found: Completed, more: dict[str, object], age_s: float | None, state: State, text: str
) -> None:
    runner = FakeRunner([LOADED, found])
    sample = secrets(runner, **more).look(Watch(5.0, FakeClock(), Moment(age_s)))
    assert (sample.state, sample.text) == (state, f"lines with the pattern {text}")
    assert f"--since=-{text.split()[1]}s" in runner.calls[1].argv
    assert [f"--unit={unit}" for unit in WEB] == [word for word in runner.calls[1].argv if word.startswith("--unit")]


@pytest.mark.parametrize(
    ("answers", "code", "message"),
    [
        (["Id=shop-web@blue.service\nLoadState=loaded\n"], "not_loaded", "systemd has no shop-web@green.service"),
        ([LOADED.replace("loaded", "not-found")], "not_loaded", f"systemd has no {', '.join(WEB)}"),
        ([completed(returncode=1)], "not_loaded", f"systemd has no {', '.join(WEB)}"),
        (
            [LOADED, completed(stdout="-- No entries --\n", stderr=HINT, returncode=1)],
            "not_allowed",
            "the user may not read the whole journal",
        ),
        ([LOADED, completed(stdout="a\n", stderr=HINT)], "not_allowed", "the user may not read the whole journal"),
        (
            [LOADED, completed(stderr='Bad pattern "(": missing closing parenthesis', returncode=1)],
            "pattern",
            "journalctl does not understand the pattern",
        ),
        ([LOADED, completed(returncode=3)], "journal", "journalctl could not read it (status 3)"),
    ],
)
def test_what_can_not_be_read_is_no_zero(answers: list[Completed | str], code: str, message: str) -> None:
    with pytest.raises(NotUnderstood) as error:
        secrets(FakeRunner(answers)).look(Watch(5.0, FakeClock()))
    assert (error.value.code, error.value.text, error.value.local) == (code, message, True)

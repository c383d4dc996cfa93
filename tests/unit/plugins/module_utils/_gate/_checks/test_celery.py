# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the workers of a site say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._celery import SCRIPT
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._gate.test_options import params, read

CELERY: dict[str, Any] = {
    "kind": "celery",
    "url": None,
    "command": ["/srv/shop/slots/blue/venv/bin/python"],
    "app": "config",
    "min_workers": 2,
    "workers": ["app1"],
    "queues": ["shop"],
    "tasks": ["shop.confirm_order"],
    "max_queue_length": 10,
}
WELL: dict[str, Any] = {
    "workers": {"celery@app1": ["shop"], "celery@app2": ["shop"]},
    "tasks": {"celery@app1": ["shop.confirm_order"], "celery@app2": ["shop.confirm_order"]},
    "waiting": {"shop": 3},
}


def look(found: dict[str, Any], printed: str = "") -> Sample:
    runner = FakeRunner([f"{printed}slipway-celery {json.dumps(found)}\n"])
    (check,) = read_gate(params(CELERY), World(FakeClock(), runner)).checks
    sample = check.look(Watch(5.0, FakeClock()))
    argv = runner.argvs[0]
    assert argv[:3] == ("/srv/shop/slots/blue/venv/bin/python", "-c", SCRIPT)
    assert argv[3:] == ("config", "1.00", "tasks", "shop")
    return sample


def test_workers_that_are_well() -> None:
    sample = look(WELL, printed="the site's own words\n")
    assert (sample.state, sample.text) == (State.GOOD, "2 workers answer, 3 tasks wait")


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"workers": {}}, "workers", "0 workers answer (expected 2 or more)"),
        ({"workers": {"celery@app2": [], "celery@app3": []}}, "workers", "no worker of app1 answers"),
        ({"workers": {"celery@app1": [], "celery@app2": ["x"]}}, "queues", "nobody consumes queue shop"),
        ({"tasks": {"celery@app1": []}}, "tasks", "worker celery@app1 does not know shop.confirm_order"),
        ({"waiting": {"shop": 11}}, "queue_length", "11 in shop wait (expected at most 10)"),
    ],
)
def test_workers_that_are_not(change: dict[str, Any], code: str, text: str) -> None:
    sample = look({**WELL, **change})
    assert (sample.state, sample.code, sample.text) == (State.BAD, code, text)


def test_an_application_that_can_not_be_asked() -> None:
    with pytest.raises(NotUnderstood, match="Celery could not be asked: OperationalError"):
        look({"error": "OperationalError"})


def test_no_answer_is_no_worker() -> None:
    runner = FakeRunner(["Traceback SECRET"])
    (check,) = read_gate(params(CELERY), World(FakeClock(), runner)).checks
    with pytest.raises(NotUnderstood, match=r"did not answer: is Celery in it\?"):
        check.look(Watch(5.0, FakeClock()))


def test_the_length_of_no_queue_is_refused() -> None:
    with pytest.raises(InvalidOption, match=r"checks\[0\].max_queue_length: 10 is not accepted, expected queues too"):
        read({**CELERY, "queues": []})

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ready, still starting, or lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.django.plugins.module_utils._polling import Verdict
from ansible_collections.slipway.django.plugins.module_utils._service._processes import Listener
from ansible_collections.slipway.django.plugins.module_utils._service._readiness import Moment, judge
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_plan import wanted
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_slots import NEW, OLD, unit

NAME = "shop-web@green.service"
OWN = Listener(100, "gunicorn", NAME)
STRANGER = Listener(4711, "python3", "")
READY = Moment(unit(NAME, "running", active_since_s=10.0), 0, f"/srv/shop/releases/{NEW}/src", NEW, (OWN,), 20.0)


def test_ready() -> None:
    judgement = judge(wanted(), "green", READY)
    assert (judgement.verdict, judgement.reason) == (Verdict.SUCCESS, f"{NAME} runs {NEW}")


STARTING = [
    (replace(READY, unit=unit(NAME, "starting")), f"{NAME} is activating (start)"),
    (replace(READY, unit=unit(NAME, job=True)), f"{NAME} is inactive (dead)"),
    (replace(READY, unit=unit(NAME, "stopping")), f"{NAME} is deactivating (stop-sigterm)"),
    (replace(READY, listeners=()), f"{NAME} runs, but port 8002 is not open"),
    (
        replace(READY, release=None, directory="/"),
        f"process 100 of {NAME} runs in /, outside of every release",
    ),
    (
        replace(READY, release=None, directory=None),
        f"process 100 of {NAME} runs in a directory that can't be seen, outside of every release",
    ),
    (replace(READY, now_s=10.5), f"{NAME} has run for less than 1 s"),
]


@pytest.mark.parametrize(("moment", "reason"), STARTING)
def test_still_starting(moment: Moment, reason: str) -> None:
    judgement = judge(wanted(), "green", moment)
    assert (judgement.verdict, judgement.reason) == (Verdict.RETRY, reason)


LOST = [
    (
        replace(READY, unit=unit(NAME, "failed", result="exit-code", exit_code=1, exit_status=3)),
        f"{NAME} failed (result exit-code, exit status 3)",
    ),
    (
        replace(READY, unit=unit(NAME, "crashing", result="exit-code", exit_code=1, exit_status=203)),
        f"{NAME} failed (result exit-code, exit status 203: its program can't be run)",
    ),
    (replace(READY, unit=unit(NAME, "running", restarts=1)), f"{NAME} failed and was restarted 1 times"),
    (replace(READY, unit=unit(NAME)), f"{NAME} ended by itself (result success)"),
    (replace(READY, unit=unit(NAME, load="not-found")), f"systemd can't use {NAME}: it is not-found"),
    (replace(READY, release=OLD), f"{NAME} runs release {OLD}, expected {NEW}"),
    (replace(READY, listeners=(OWN, STRANGER)), "port 8002 of slot green is taken by process 4711 (python3)"),
    (
        replace(READY, unit=unit(NAME, "starting"), listeners=(STRANGER,)),
        "port 8002 of slot green is taken by process 4711 (python3)",
    ),
]


@pytest.mark.parametrize(("moment", "reason"), LOST)
def test_lost_for_good(moment: Moment, reason: str) -> None:
    judgement = judge(wanted(), "green", moment)
    assert (judgement.verdict, judgement.reason) == (Verdict.DOOMED, reason)


def test_restarts_from_before_do_not_count() -> None:
    moment = replace(READY, unit=unit(NAME, "running", restarts=4, active_since_s=10.0), restarts=4)
    assert judge(wanted(), "green", moment).verdict is Verdict.SUCCESS


@pytest.mark.parametrize("kind", ["worker", "beat"])
def test_without_a_ready_command_it_must_have_outlived_its_import(kind: str) -> None:
    moment = replace(READY, listeners=(), now_s=14.9)
    assert judge(wanted(kind=kind), "green", moment).verdict is Verdict.RETRY
    assert judge(wanted(kind=kind), "green", replace(moment, now_s=15.0)).verdict is Verdict.SUCCESS
    assert judge(wanted(kind=kind, ready_command=["true"]), "green", moment).verdict is Verdict.SUCCESS

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of C(deployment) and its arguments say the same, and so do its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.django.plugins.module_utils._deployment._record import VERDICTS
from ansible_collections.slipway.django.plugins.modules import deployment, deployment_info
from ansible_collections.slipway.django.tests.unit.deployment_world import DEFAULTS, Site
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock


def test_the_choices_of_verdict_are_the_verdicts() -> None:
    assert deployment.ARGUMENTS["verdict"]["choices"] == list(VERDICTS)


def test_the_tests_give_every_option_its_default() -> None:
    defaults = {
        name: argument.get("default")
        for name, argument in deployment.ARGUMENTS.items()
        if name not in ("state", "root", "site", "version", "commit", "release")
    }
    told = {"hosts", "actor", "controller", "reason"}
    assert {key: value for key, value in defaults.items() if key not in told} == {
        key: value for key, value in DEFAULTS.items() if key in defaults and key not in told
    }


def documented(text: str, key: str) -> Any:
    return yaml.safe_load(text)[key]


def test_every_result_is_documented(tmp_path: Path) -> None:
    site = Site(tmp_path, FakeClock())
    opened = site.run("opened")
    results = [opened, site.step(opened["deployment"], "gate"), site.close(opened["deployment"])]
    returned = yaml.safe_load(deployment.RETURN)
    # Ansible's own keys need no words.
    assert {key for result in results for key in result} - {"changed", "diff"} <= set(returned)
    assert set(opened["deployment"]) == set(returned["deployment"]["contains"])


def test_every_result_of_info_is_documented(tmp_path: Path) -> None:
    site = Site(tmp_path, FakeClock())
    site.open()
    known = site.info()
    returned = yaml.safe_load(deployment_info.RETURN)
    assert set(known) == set(returned)
    assert set(known["lease"]) == set(returned["lease"]["contains"])

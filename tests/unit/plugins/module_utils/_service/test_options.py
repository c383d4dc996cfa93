# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that can't be used are refused before anything is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_plan import wanted
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._service.test_slots import NEW


def test_the_defaults() -> None:
    call = wanted()
    assert (call.layout.root, call.user, call.slot) == ("/srv/shop", "shop", "")
    assert call.unit("green") == "shop-web@green.service"
    assert call.unit("blue", "beat") == "shop-beat@blue.service"
    assert (call.port("blue"), call.port("green")) == (8001, 8002)
    assert call.paths.path == f"/srv/shop/releases/{NEW}"


def test_a_worker_needs_no_ports_and_has_none() -> None:
    assert wanted(kind="worker", ports={}).port("blue") is None
    assert wanted(kind="worker").port("blue") is None


def test_stopped_needs_no_release() -> None:
    call = wanted("stopped", release=None)
    assert (call.slot, call.release) == ("green", "")


def test_ports_may_come_as_text_and_an_empty_signal_is_none() -> None:
    assert wanted(ports={"blue": "8001", "green": "8002"}).port("green") == 8002
    assert wanted(stop_signal="").stop_signal is None
    assert wanted(stop_signal="SIGKILL").stop_signal == "SIGKILL"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"site": "Shop"}, "site: 'Shop' is not accepted"),
        ({"site": "shop@x"}, "site: 'shop@x' is not accepted"),
        ({"site": "shop\n"}, "site: 'shop\\n' is not accepted"),
        ({"root": "/"}, "root: '/' is not accepted"),
        ({"root": "srv/shop"}, "root: 'srv/shop' is not accepted"),
        ({"release": "../../etc"}, "name: '../../etc' is not accepted"),
        ({"ports": {}}, "ports: {} is not accepted, expected a port from 1 to 65535 for each of blue and green"),
        ({"ports": {"blue": 1}}, "ports: {'blue': 1} is not accepted"),
        ({"ports": {"blue": 1, "green": 1}}, "ports: {'blue': 1, 'green': 1} is not accepted"),
        ({"ports": {"blue": 0, "green": 1}}, "ports: {'blue': 0, 'green': 1} is not accepted"),
        ({"ports": {"blue": "x", "green": 1}}, "ports: {'blue': 'x', 'green': 1} is not accepted"),
        ({"ports": {"blue": None, "green": 1}}, "ports: {'blue': None, 'green': 1} is not accepted"),
        ({"timeout": 0.0}, "timeout: 0.0 is not accepted, expected more than 0 seconds"),
        ({"timeout": float("nan")}, "timeout: nan is not accepted"),
        ({"stop_timeout": float("inf")}, "stop_timeout: inf is not accepted"),
        ({"stop_signal": "KILL"}, "stop_signal: 'KILL' is not accepted, expected the name of a signal such as SIGKILL"),
        ({"ready_command": [" "]}, "ready_command: [' '] is not accepted"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        wanted(**changes)
    assert message in refusal.value.message
    assert "Nothing was changed." in refusal.value.message

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.slipway.django.plugins.module_utils._balancer import _options
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import HaproxyDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_flag import NginxFlagDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include import NginxIncludeDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._options import Balancer, read_balancer
from ansible_collections.slipway.django.plugins.module_utils._balancer._readiness import ReadinessDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Out
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner


def read(**options: Any) -> Balancer:
    validated = ArgumentSpecValidator(_options.ARGUMENTS).validate(options)
    assert not validated.error_messages
    return read_balancer({"pool": "shop", **validated.validated_parameters}, FakeClock(), FakeRunner())


FLAG = {"file": "/etc/u.conf", "directory": "/run/flags"}
INCLUDE = {"file": "/etc/u.conf"}
READINESS = {"servers": {"a": "127.0.0.1:1"}, "directory": "/run/out", "notice": 3, "health": {"path": "/h"}}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, HaproxyDriver),
        ({"driver": "nginx_flag", "nginx_flag": FLAG}, NginxFlagDriver),
        ({"driver": "nginx_include", "nginx_include": INCLUDE}, NginxIncludeDriver),
        ({"driver": "readiness", "readiness": READINESS}, ReadinessDriver),
    ],
)
def test_each_driver_by_its_options(options: dict[str, Any], kind: type) -> None:
    assert isinstance(read(**options).driver, kind)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"driver": "nginx_flag"}, "nginx_flag: None is not accepted, expected the options of driver: nginx_flag"),
        ({"nginx_flag": FLAG}, "nginx_flag: '…' is not accepted, expected no such options beside driver: haproxy"),
        ({"socket": []}, "socket: [] is not accepted, expected at least one socket"),
        ({"socket": ["admin.sock"]}, "expected the absolute path of a UNIX socket, or host:port"),
        (
            {"driver": "nginx_include", "nginx_include": {**INCLUDE, "command": []}},
            "nginx_include.command: [] is not accepted",
        ),
        (
            {"driver": "readiness", "readiness": {**READINESS, "notice": -1}},
            "readiness.notice: -1.0 is not accepted, expected 0 seconds or more",
        ),
        (
            {"driver": "readiness", "readiness": {**READINESS, "servers": {"a": "host"}}},
            "readiness.servers.a: 'host' is not accepted, expected a host and a port",
        ),
        (
            {"driver": "nginx_flag", "nginx_flag": {**FLAG, "health": {"path": "h"}}},
            "nginx_flag.health.path: 'h' is not accepted",
        ),
    ],
)
def test_options_that_can_not_be_meant(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read(**options)
    assert words in caught.value.message
    assert "Nothing was changed." in caught.value.message


def options_in(directory: Path, driver: str) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "haproxy": {"socket": [str(directory / "s")], "state_file": str(directory / "state")},
        "nginx_flag": {"driver": driver, driver: {"file": str(directory / "f"), "directory": str(directory)}},
        "nginx_include": {"driver": driver, driver: {"file": str(directory / "f")}},
        "readiness": {"driver": driver, driver: {**READINESS, "directory": str(directory)}},
    }
    return options[driver]


@pytest.mark.parametrize(
    ("driver", "record"),
    [
        ("haproxy", "x/state.out.json"),
        ("nginx_flag", "x/.out.json"),
        ("nginx_include", "x/f.out.json"),
        ("readiness", "x/.out.json"),
    ],
)
def test_the_record_lies_beside_what_keeps_the_state(tmp_path: Path, driver: str, record: str) -> None:
    (tmp_path / "x").mkdir()
    read(**options_in(tmp_path / "x", driver)).record.put("shop", {"a": Out(Admin.MAINT, "now")})
    assert (tmp_path / record).exists()


@pytest.mark.parametrize("driver", ["haproxy", "nginx_flag", "nginx_include", "readiness"])
def test_two_runs_on_one_balancer_keep_each_other_out(tmp_path: Path, driver: str) -> None:
    one, other = (read(**options_in(tmp_path, driver)) for _number in range(2))
    with one.lock(), one.lock(), pytest.raises(TimedOut, match="Another task has held the lock on"), other.lock():
        pass
    with other.lock():
        pass


def test_by_tcp_the_lock_is_that_of_the_state(tmp_path: Path) -> None:
    options = {"socket": ["127.0.0.1:9999"], "state_file": str(tmp_path / "state")}
    with read(**options).lock(), pytest.raises(TimedOut), read(**options).lock():
        pass
    with read(socket=["127.0.0.1:9999"]).lock():
        assert os.listdir(tmp_path) == []

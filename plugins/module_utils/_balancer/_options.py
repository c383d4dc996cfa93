# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which the modules name a balancer, and what is made of them (described in doc_fragments)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._balancer import _alb
from ansible_collections.slipway.django.plugins.module_utils._balancer._asking import Checks, Health, split_address
from ansible_collections.slipway.django.plugins.module_utils._balancer._haproxy import HaproxyDriver, SocketSender
from ansible_collections.slipway.django.plugins.module_utils._balancer._lock import OneLock
from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Driver
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx import Processes
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_flag import NginxFlagDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._nginx_include import (
    NginxIncludeDriver,
    Reload,
    UpstreamFile,
)
from ansible_collections.slipway.django.plugins.module_utils._balancer._readiness import ReadinessDriver
from ansible_collections.slipway.django.plugins.module_utils._balancer._record import Record
from ansible_collections.slipway.django.plugins.module_utils._balancer._state_file import StateFile
from ansible_collections.slipway.django.plugins.module_utils._balancer._switch import Switch
from ansible_collections.slipway.django.plugins.module_utils._balancer._switches import (
    FlagSwitch,
    HaproxySwitch,
    IncludeSwitch,
)
from ansible_collections.slipway.django.plugins.module_utils._directory_lock import directory_lock
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

Spec = dict[str, Any]
Make = Callable[[Mapping[str, Any], Clock, Runner], Driver]

_LOCK_S: Final = 15.0


def _health(*, path_required: bool = False) -> Spec:
    path: Spec = {"type": "str", "required": True} if path_required else {"type": "str"}
    options: Spec = {
        "path": path,
        "host": {"type": "str"},
        "status": {"type": "int", "default": 200},
        "timeout": {"type": "float", "default": 3},
    }
    return {"type": "dict", "options": options, **({"required": True} if path_required else {})}


_NGINX: Final[Spec] = {
    "file": {"type": "path", "required": True},
    "pid_file": {"type": "path", "default": "/run/nginx.pid"},
    "health": _health(),
}

DRIVERS: Final = ("haproxy", "nginx_flag", "nginx_include", "readiness", "alb")

ARGUMENTS: Final[Spec] = {
    "driver": {"type": "str", "choices": list(DRIVERS), "default": "haproxy"},
    "socket": {"type": "list", "elements": "str", "default": ["/run/haproxy/admin.sock"]},
    "state_file": {"type": "path"},
    "nginx_flag": {"type": "dict", "options": {**_NGINX, "directory": {"type": "path", "required": True}}},
    "nginx_include": {
        "type": "dict",
        "options": {**_NGINX, "command": {"type": "list", "elements": "str", "default": ["/usr/sbin/nginx"]}},
    },
    "readiness": {
        "type": "dict",
        "options": {
            "servers": {"type": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "notice": {"type": "float", "required": True},
            "health": _health(path_required=True),
        },
    },
    "alb": {
        "type": "dict",
        "options": {
            "targets": {"type": "dict", "default": {}},
            "region": {"type": "str"},
            "profile": {"type": "str"},
            "endpoint_url": {"type": "str"},
        },
    },
    "record_file": {"type": "path"},
}


# A request through the balancer, in the modules that send one.
THROUGH: Final[Spec] = {
    "type": "dict",
    "options": {
        "url": {"type": "str", "required": True},
        "host": {"type": "str"},
        "status": {"type": "int", "default": 200},
        "release": {"type": "str"},
        "release_header": {"type": "str", "default": "X-Release"},
        "server_header": {"type": "str", "default": "X-Served-By"},
    },
}


@dataclass(frozen=True)
class Balancer:
    """A balancer as the options name it."""

    driver: Driver
    record: Record
    lock: OneLock


def read_balancer(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Balancer:
    """Make what the options name. Nothing is asked of it yet.

    :raises InvalidOption: an option is missing for this driver, belongs to another one, or has no usable value.
    :raises SlipwayError: what the driver needs on this host is missing.
    """
    name = params["driver"]
    for other in DRIVERS[1:]:
        if other != name and params.get(other):
            raise InvalidOption(other, "…", f"no such options beside driver: {name}")
    if name != "haproxy" and not params.get(name) and name != "alb":
        raise InvalidOption(name, None, f"the options of driver: {name}")
    record_file = params.get("record_file") or _beside(params)
    directory = _lock_directory(params, record_file)
    return Balancer(_MAKERS[name](params, clock, runner), Record(record_file), _lock(directory, clock))


def read_switch(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Switch:
    """Make what tells the balancer which of two pools is live. ``read_balancer`` has checked the options before.

    :raises InvalidOption: the driver can't, or what it needs for it is missing.
    """
    name, driver = params["name"], params["driver"]
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise InvalidOption("name", name, "a name of letters, digits and the characters _ . -")
    if driver == "nginx_flag":
        values = params[driver]
        return FlagSwitch(values["directory"], name, params["sets"], Processes(values["pid_file"]))
    if driver not in {"haproxy", "nginx_include"}:
        raise InvalidOption("driver", driver, "one that can switch: haproxy, nginx_flag, nginx_include")
    if not params["file"]:
        raise InvalidOption("file", None, f"the file by which driver {driver} knows which pool is live")
    if driver == "haproxy":
        return HaproxySwitch([SocketSender(address) for address in params["socket"]], params["file"], name)
    processes = Processes(params[driver]["pid_file"])
    reload = Reload(params[driver]["command"], processes, runner, clock)
    return IncludeSwitch(UpstreamFile(params["file"], reload), name, processes, reload)


def _lock(directory: str | None, clock: Clock) -> OneLock:
    def take() -> AbstractContextManager[None]:
        return directory_lock(directory, clock, timeout_s=_LOCK_S)

    return OneLock(take)


def _beside(params: Mapping[str, Any]) -> str | None:
    """Without a name the record lies beside what keeps the balancer's own state."""
    values = params.get(params["driver"]) or {}
    kept = {
        "haproxy": params.get("state_file"),
        "nginx_include": values.get("file"),
        # In the directory of the flags, so that the user needs rights on nothing else.
        "nginx_flag": _within(values.get("directory")),
        "readiness": _within(values.get("directory")),
    }.get(params["driver"])
    return f"{kept}.out.json" if kept else None


def _within(directory: str | None) -> str | None:
    return os.path.join(directory, "") if directory else None


def _lock_directory(params: Mapping[str, Any], record_file: str | None) -> str | None:
    """The directory whose lock keeps two tasks on this balancer apart."""
    values = params.get(params["driver"]) or {}
    if params["driver"] == "haproxy":
        owner = (
            params["socket"][0] if params["socket"] and params["socket"][0].startswith("/") else params["state_file"]
        )
        return os.path.dirname(owner) if owner else None
    if params["driver"] == "nginx_include":
        return os.path.dirname(str(values["file"]))
    if params["driver"] in {"nginx_flag", "readiness"}:
        return str(values["directory"])
    return os.path.dirname(record_file) if record_file else None


def _read_health(values: Mapping[str, Any] | None, option: str) -> Health:
    health = (
        Health(values["path"], values["host"], values["status"], values["timeout"]) if values is not None else Health()
    )
    health.validate(option)
    return health


def _haproxy(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Driver:
    if not params["socket"]:
        raise InvalidOption("socket", [], "at least one socket")
    return HaproxyDriver([SocketSender(address) for address in params["socket"]], StateFile(params["state_file"]))


def _nginx_flag(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Driver:
    values = params["nginx_flag"]
    checks = Checks(_read_health(values["health"], "nginx_flag.health"), clock)
    return NginxFlagDriver(values["file"], values["directory"], Processes(values["pid_file"]), checks)


def _nginx_include(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Driver:
    values = params["nginx_include"]
    if not values["command"]:
        raise InvalidOption("nginx_include.command", [], "the program and what stands before its options")
    processes = Processes(values["pid_file"])
    reload = Reload(values["command"], processes, runner, clock)
    checks = Checks(_read_health(values["health"], "nginx_include.health"), clock)
    return NginxIncludeDriver(UpstreamFile(values["file"], reload), processes, reload, checks)


def _readiness(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Driver:
    values = params["readiness"]
    if values["notice"] < 0:
        raise InvalidOption("readiness.notice", values["notice"], "0 seconds or more")
    for name, address in values["servers"].items():
        split_address(str(address), option=f"readiness.servers.{name}")
    health = _read_health(values["health"], "readiness.health")
    return ReadinessDriver(
        pool=params.get("pool") or "servers",
        servers={name: str(address) for name, address in values["servers"].items()},
        directory=values["directory"],
        notice_s=values["notice"],
        health=Checks(health, clock),
        alive=Checks(Health(timeout_s=health.timeout_s), clock),
        clock=clock,
    )


def _alb_driver(params: Mapping[str, Any], clock: Clock, runner: Runner) -> Driver:
    values = params["alb"] or {"targets": {}, "region": None, "profile": None, "endpoint_url": None}
    account = _alb.Account(values["region"], values["profile"], values["endpoint_url"])
    return _alb.AlbDriver(_alb.connect(account), _alb.read_targets(values["targets"]))


_MAKERS: Final[dict[str, Make]] = {
    "haproxy": _haproxy,
    "nginx_flag": _nginx_flag,
    "nginx_include": _nginx_include,
    "readiness": _readiness,
    "alb": _alb_driver,
}

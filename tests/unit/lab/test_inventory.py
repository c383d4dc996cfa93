# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway_lab import inventory
from slipway_lab.keys import Keys, known_hosts
from slipway_lab.settings import Settings, from_environment

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFeX lab\n"


def made(checkout: Path, name: str = "slipway") -> tuple[Settings, Keys]:
    settings = from_environment({"LAB_NAME": name}, checkout)
    return settings, Keys(user=settings.cache / "keys" / "deploy", host=settings.cache / "keys" / "host")


def test_the_groups_and_addresses() -> None:
    content: Any = yaml.safe_load(inventory.render(*made(Path("/home/dev/slipway"))))["all"]

    assert content["hosts"]["app3"] == {"ansible_host": "10.89.77.23"}
    assert {name: sorted(group["hosts"]) for name, group in content["children"].items()} == {
        "app": ["app1", "app2", "app3"],
        "asgi": ["app1", "app2"],
        "worker": ["app1", "app2", "app3"],
        "beat": ["app1"],
        "balancer": ["lb1"],
        "database": ["db1"],
        "load": ["load1"],
    }


def test_how_the_hosts_are_reached() -> None:
    content: Any = yaml.safe_load(inventory.render(*made(Path("/home/dev/slipway"))))
    variables = content["all"]["vars"]

    assert variables["ansible_user"] == "deploy"
    assert variables["ansible_ssh_private_key_file"] == "/home/dev/slipway/.cache/lab/keys/deploy"
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"
    for option in ("ServerAliveInterval=3", "ServerAliveCountMax=3", "ConnectTimeout=5", "StrictHostKeyChecking=yes"):
        assert f"-o {option}" in variables["ansible_ssh_common_args"]
    assert "ControlMaster=auto" in variables["ansible_ssh_args"]


def test_a_socket_is_where_the_lab_closes_it() -> None:
    settings, keys = made(Path("/home/dev/slipway"))
    variables: Any = yaml.safe_load(inventory.render(settings, keys))["all"]["vars"]
    asked = variables["ansible_control_path"] % {"directory": variables["ansible_control_path_dir"]}

    assert Path(asked.replace("%h", "10.89.77.21")) == inventory.control_socket(settings, "10.89.77.21")


@pytest.mark.parametrize("depth", [1, 60, 70, 80, 200])
def test_a_sockets_path_is_never_too_long(depth: int) -> None:
    settings, _keys = made(Path("/") / ("x" * depth))

    assert len(f"{inventory.control_socket(settings, '255.255.255.255')}.0123456789abcdef") <= 107


def test_two_deep_checkouts_do_not_share_sockets() -> None:
    one, two = (made(Path("/") / ("x" * 100) / name)[0] for name in ("one", "two"))

    assert inventory.control_folder(one) != inventory.control_folder(two)


def test_every_host_shows_the_same_key() -> None:
    settings, _keys = made(Path("/home/dev/slipway"))
    lines = known_hosts(settings, PUBLIC).splitlines()

    assert lines[0] == "10.89.77.10 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFeX"
    assert len(lines) == len(settings.hosts)


def test_the_files_are_written(tmp_path: Path) -> None:
    settings, keys = made(tmp_path)

    path = inventory.write(settings, keys, PUBLIC)

    assert path == tmp_path / ".cache" / "lab" / "slipway" / "hosts"
    assert path.read_text(encoding="utf-8") == inventory.render(settings, keys)
    assert inventory.control_folder(settings).stat().st_mode & 0o777 == 0o700
    assert (settings.state / "known_hosts").read_text(encoding="utf-8").startswith("10.89.77.10 ")

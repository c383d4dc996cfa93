# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from slipway_lab.engine import (
    Container,
    create_arguments,
    made_digest,
    parse_containers,
    parse_subnet,
    podman_configuration,
    split_half_gone,
)
from slipway_lab.settings import from_environment

CHECKOUT = Path("/home/dev/slipway")
SETTINGS = from_environment({}, CHECKOUT)
APP1 = SETTINGS.host("app1")

# Written by podman 4.3.1 on Debian 12, cut to what is read.
PODMAN_RUNNING = {
    "Name": "labdev-app1",
    "State": {"Status": "running", "Running": True, "ExitCode": 0, "StartedAt": "2026-11-21T17:55:46.533968231Z"},
    "NetworkSettings": {"IPAddress": "", "Networks": {"labdev": {"IPAddress": "10.89.90.21"}}},
    "Config": {"Labels": {"slipway.lab": "labdev", "slipway.lab.made": "99831267b392"}},
}
PODMAN_KILLED = {
    "Name": "labdev-app2",
    "State": {"Status": "exited", "Running": False, "ExitCode": 137, "StartedAt": "2026-11-21T17:55:46.5Z"},
    "NetworkSettings": {"IPAddress": "", "Networks": {"labdev": {"IPAddress": ""}}},
    "Config": {"Labels": {"slipway.lab": "labdev", "slipway.lab.made": "0d2e07fb8179"}},
}
# Docker's form: a slash before the name, no network while it is being created.
DOCKER_CREATED = {
    "Name": "/labdev-db1",
    "State": {"Status": "created", "Running": False},
    "NetworkSettings": {"Networks": {}},
    "Config": {"Labels": None},
}


def test_a_container_whose_removal_was_killed_is_told_from_the_others() -> None:
    listed = ["slipway-app1 Removing", "slipway-app2 running", "slipway-db1 exited"]
    assert split_half_gone(listed) == (["slipway-app1"], ["slipway-app2", "slipway-db1"])
    assert split_half_gone([]) == ([], [])


def test_containers_are_read_from_inspect() -> None:
    text = json.dumps([PODMAN_RUNNING, PODMAN_KILLED, DOCKER_CREATED])

    assert parse_containers(text) == (
        Container(
            "labdev-app1", "labdev", True, "running", "99831267b392", "10.89.90.21", "2026-11-21T17:55:46.533968231Z"
        ),
        Container("labdev-app2", "labdev", False, "exited", "0d2e07fb8179", "", "2026-11-21T17:55:46.5Z"),
        Container("labdev-db1", "", False, "created", "", "", ""),
    )


def test_no_output_is_no_container() -> None:
    assert parse_containers("") == ()


@pytest.mark.parametrize(
    ("network", "subnet"),
    [
        ({"name": "slipway", "subnets": [{"subnet": "10.89.77.0/24", "gateway": "10.89.77.1"}]}, "10.89.77.0/24"),
        ({"Name": "slipway", "IPAM": {"Config": [{"Subnet": "10.89.77.0/24"}]}}, "10.89.77.0/24"),
        ({"Name": "none", "IPAM": {"Config": []}}, ""),
    ],
    ids=["podman", "docker", "without"],
)
def test_the_subnet_is_read_from_network_inspect(network: dict[str, object], subnet: str) -> None:
    assert parse_subnet(json.dumps([network])) == subnet


def test_a_host_is_made_with_fixed_addresses_and_the_names_of_the_others() -> None:
    arguments = create_arguments(SETTINGS, APP1, "the-image")

    assert arguments[0] == "create"
    assert arguments[-2:] == ("the-image", "/sbin/init")
    assert {"--ip=10.89.77.21", "--mac-address=0a:4c:0a:59:4d:15", "--hostname=app1"} <= set(arguments)
    assert [argument for argument in arguments if argument.startswith("--add-host=")] == [
        "--add-host=lb1:10.89.77.10",
        "--add-host=app2:10.89.77.22",
        "--add-host=app3:10.89.77.23",
        "--add-host=db1:10.89.77.30",
        "--add-host=load1:10.89.77.40",
    ]


def test_systemd_is_asked_for_in_each_engines_way() -> None:
    docker = from_environment({"LAB_ENGINE": "docker"}, CHECKOUT)

    assert "--systemd=always" in create_arguments(SETTINGS, APP1, "the-image")
    assert "--systemd=always" not in create_arguments(docker, APP1, "the-image")
    assert {"--privileged", "--tmpfs=/run", "--env=container=docker"} <= set(create_arguments(docker, APP1, "i"))


def test_the_digest_changes_with_the_image_and_the_way_of_making() -> None:
    other = from_environment({"LAB_SUBNET": "10.89.78"}, CHECKOUT)
    digest = made_digest(SETTINGS, APP1, "one")

    assert digest == made_digest(SETTINGS, APP1, "one")
    assert len({digest, made_digest(SETTINGS, APP1, "two"), made_digest(other, other.host("app1"), "one")}) == 3
    assert f"--label=slipway.lab.made={digest}" in create_arguments(SETTINGS, APP1, "one")


def test_podman_is_configured_with_what_the_machine_has() -> None:
    with_all = podman_configuration(runc=True, netavark=True)
    without = podman_configuration(runc=False, netavark=False)

    assert 'runtime = "runc"' in with_all
    assert 'network_backend = "netavark"' in with_all
    assert "runtime" not in without
    assert "network_backend" not in without
    assert 'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]' in without

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman and Docker: the same few commands, and where they differ."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import process
from .errors import LabError
from .process import Completed
from .settings import Host, Settings

LABEL = "slipway.lab"
"""Label of a lab's containers and network; its value is the lab's name."""
IMAGE_LABEL = "slipway.lab.image"
"""Label of the lab's images, and so of everything that runs from them."""
IMAGES = ("slipway-lab-base", "slipway-lab")
MADE_LABEL = "slipway.lab.made"
"""Label of containers: a digest of what they were made from and how."""

# Where systemd runs as PID 1, it wants its own control groups and empty places for what lives only until the next boot.
# Podman does that by one word. Docker is told each part. CAP_SYS_ADMIN: units with a mount namespace of their own, such
# as Debian's haproxy.service with its BindReadOnlyPaths=, end with 226/NAMESPACE without it.
_SYSTEMD = {
    "podman": ("--systemd=always", "--cap-add=SYS_ADMIN"),
    "docker": (
        "--privileged",
        "--cgroupns=private",
        "--tmpfs=/run",
        "--tmpfs=/run/lock",
        "--tmpfs=/tmp",
        "--env=container=docker",
    ),
}
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


@dataclass(frozen=True)
class Container:
    """What the engine knows of one container."""

    name: str
    lab: str
    running: bool
    status: str
    made: str
    address: str
    started_at: str


def podman_configuration(*, runc: bool, netavark: bool) -> str:
    """A containers.conf with which podman starts containers also where it may not raise limits.

    Podman 4.3 with crun, its defaults on Debian 12, ends with "setrlimit RLIMIT_NOFILE: Operation not permitted" on a
    machine without CAP_SYS_RESOURCE or with control groups of version 1. Runc and bounded limits work there and
    elsewhere.
    """
    lines = [
        "# Written by lab/bin/lab.",
        "[containers]",
        'default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]',
        'base_hosts_file = "none"',
        "[engine]",
        *(['runtime = "runc"'] if runc else []),
        "[network]",
        *(['network_backend = "netavark"'] if netavark else []),
    ]
    return "\n".join(lines) + "\n"


def create_arguments(settings: Settings, host: Host, image: str) -> tuple[str, ...]:
    """The arguments of ``podman create`` for one host."""
    arguments = _server_arguments(settings, host)
    made = f"--label={MADE_LABEL}={made_digest(settings, host, image)}"
    return ("create", made, *arguments, image, "/sbin/init")


def made_digest(settings: Settings, host: Host, image: str) -> str:
    """Twelve hexadecimal digits that change when the host would be made in another way, or from another image."""
    return hashlib.sha256("\0".join((*_server_arguments(settings, host), image)).encode()).hexdigest()[:12]


def _server_arguments(settings: Settings, host: Host) -> tuple[str, ...]:
    # The names of all hosts stand in /etc/hosts, so no name server is needed. A host comes back by itself after a
    # reboot from inside, not after a kill from outside.
    return (
        f"--name={host.container}",
        f"--hostname={host.name}",
        f"--label={LABEL}={settings.name}",
        f"--network={settings.name}",
        f"--ip={host.address}",
        f"--mac-address={host.mac}",
        *(f"--add-host={other.name}:{other.address}" for other in settings.hosts if other != host),
        "--restart=always",
        "--shm-size=256m",
        "--stop-signal=SIGRTMIN+3",
        *_SYSTEMD[settings.engine],
    )


def split_half_gone(listed: Iterable[str]) -> tuple[list[str], list[str]]:
    """Tell the names of containers that are being removed from those of the others. Pure."""
    rows = [line.split() for line in listed]
    gone = {row[0] for row in rows if [word.lower() for word in row[1:]] == ["removing"]}
    return sorted(gone), [row[0] for row in rows if row[0] not in gone]


def parse_containers(text: str) -> tuple[Container, ...]:
    """The containers in the output of ``inspect``, which podman and Docker write alike."""
    return tuple(_container(item) for item in json.loads(text or "[]"))


def _container(item: Mapping[str, object]) -> Container:
    state = _mapping(item["State"])
    networks = _mapping(_mapping(item.get("NetworkSettings")).get("Networks"))
    labels = _mapping(_mapping(item["Config"]).get("Labels"))
    addresses = [str(_mapping(network).get("IPAddress", "")) for network in networks.values()]
    return Container(
        name=str(item["Name"]).lstrip("/"),
        lab=str(labels.get(LABEL, "")),
        running=bool(state["Running"]),
        status=str(state["Status"]),
        made=str(labels.get(MADE_LABEL, "")),
        address=addresses[0] if addresses else "",
        started_at=str(state.get("StartedAt", "")),
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


class Engine:
    """Runs the engine's commands for one lab."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._program = self._find_program()
        self._prefix = privilege() if settings.engine == "podman" else ()
        self.environment = self._environment()

    def _find_program(self) -> str:
        program = shutil.which(self._settings.engine, path=_PATH)
        if program is None:
            raise LabError(
                f"{self._settings.engine} is not installed; `make system-packages` installs what the lab needs, "
                "and LAB_ENGINE chooses between podman and docker"
            )
        return program

    def _environment(self) -> dict[str, str]:
        if self._settings.engine != "podman":
            return {}
        path = self._settings.cache / "containers.conf"
        text = podman_configuration(
            runc=shutil.which("runc", path=_PATH) is not None,
            netavark=os.path.exists("/usr/lib/podman/netavark"),
        )
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return {"CONTAINERS_CONF": str(path)}

    def argv(self, *arguments: str) -> tuple[str, ...]:
        """The whole command: through sudo where podman needs it, with its configuration."""
        if not self._prefix:
            return (self._program, *arguments)
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        return (*self._prefix, "env", *assignments, self._program, *arguments)

    def try_run(self, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> Completed:
        """Run one command of the engine, whatever its status."""
        return process.run(self.argv(*arguments), timeout_s=timeout_s, stdin=stdin, env=self.environment)

    def run(self, *arguments: str, timeout_s: float = 60, stdin: bytes | None = None) -> str:
        """Run one command of the engine and return what it printed.

        :raises LabError: it failed.
        """
        return self.try_run(*arguments, timeout_s=timeout_s, stdin=stdin).check().stdout

    def remove(self, container: str) -> None:
        """Remove a container at once, running or not."""
        # Docker's --force kills; podman's waits for a shutdown unless told not to.
        at_once = ("--time=0",) if self._settings.engine == "podman" else ()
        # One that is killed in the middle leaves a container that podman can neither show nor start: let it end.
        self.run("rm", "--force", *at_once, "--volumes", container, timeout_s=600)

    def containers(self, *, lab: str | None = None) -> tuple[Container, ...]:
        """The containers of one lab; of all labs without a name.

        One whose removal was killed can't be looked at any more: it is removed to the end and not counted.
        """
        label = f"label={LABEL}" if lab is None else f"label={LABEL}={lab}"
        listed = self.run("ps", "--all", "--filter", label, "--format", "{{.Names}} {{.State}}").splitlines()
        half_gone, there = split_half_gone(listed)
        for name in half_gone:
            self.remove(name)
        return parse_containers(self.run("inspect", "--type=container", *there)) if there else ()

    def has_image(self, name: str) -> bool:
        """Whether an image of this name is on this machine."""
        return self.try_run("image", "inspect", "--format", "{{.Id}}", name).returncode == 0

    def images(self) -> tuple[str, ...]:
        """The names of the lab's images on this machine, whatever they were made for."""
        lines = self.run("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        return tuple(line for line in lines if line.rpartition(":")[0].rpartition("/")[2] in IMAGES)

    def network_subnet(self) -> str | None:
        """The subnet of the lab's network; None when there is no network."""
        found = self.try_run("network", "inspect", self._settings.name)
        return parse_subnet(found.stdout) if found.returncode == 0 else None

    def create_network(self) -> None:
        """Make the lab's network. Its hosts know each other by /etc/hosts, so podman's name server stays off."""
        extra = ("--disable-dns",) if self._settings.engine == "podman" else ()
        self.run(
            "network",
            "create",
            f"--label={LABEL}={self._settings.name}",
            f"--subnet={self._settings.network}",
            f"--gateway={self._settings.gateway}",
            *extra,
            self._settings.name,
        )


def parse_subnet(text: str) -> str:
    """The first subnet in the output of ``network inspect``: podman's form or Docker's."""
    network = _mapping(json.loads(text)[0])
    subnets = network.get("subnets") or _mapping(network.get("IPAM")).get("Config")
    first = subnets[0] if isinstance(subnets, list) and subnets else {}
    return str(_mapping(first).get("subnet") or _mapping(first).get("Subnet") or "")


def privilege() -> tuple[str, ...]:
    """What to put before a command that only root may run: nothing for root, sudo for others."""
    return () if os.geteuid() == 0 else ("sudo",)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lab this is: its hosts, addresses and paths. Values only, nothing is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError

ENGINES = ("podman", "docker")
# Private ranges (RFC 1918), cut to the three octets that a /24 has.
_PRIVATE = re.compile(r"(10\.\d{1,3}|172\.(1[6-9]|2\d|3[01])|192\.168)\.\d{1,3}")
_PULL = {"1": True, "0": False, "": None}


@dataclass(frozen=True)
class Host:
    """One server of the lab."""

    name: str
    address: str
    container: str
    groups: tuple[str, ...]

    @property
    def mac(self) -> str:
        """The host's own hardware address, as a real server keeps it over a reboot.

        With a new one at each start, everybody who had spoken to the host sent into the void until their neighbour
        tables expired: 36 s were seen.
        """
        octets = (0x0A, 0x4C, *(int(octet) for octet in self.address.split(".")))
        return ":".join(f"{octet:02x}" for octet in octets)


# Name, last octet, groups of the inventory.
_HOSTS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("lb1", 10, ("balancer",)),
    ("app1", 21, ("app", "asgi", "worker", "beat")),
    ("app2", 22, ("app", "asgi", "worker")),
    ("app3", 23, ("app", "worker")),
    ("db1", 30, ("database",)),
    ("load1", 40, ("load",)),
)
BALANCERS = ("haproxy", "nginx_flag")
GROUPS = ("app", "asgi", "worker", "beat", "balancer", "database", "load")


@dataclass(frozen=True)
class Settings:
    """One lab: several run side by side when name and subnet differ."""

    name: str
    subnet: str
    debian: str
    engine: str
    pull: bool | None
    """Pull the base image: always tried, never tried, or (None) only where debootstrap is missing."""
    mirror: str
    balancer: str
    """The kind of the balancer of ``lb1``, as ``balancer_driver`` has it."""
    checkout: Path

    @property
    def cache(self) -> Path:
        """What all labs of this checkout share: keys, logs, the engine's configuration."""
        return self.checkout / ".cache" / "lab"

    @property
    def state(self) -> Path:
        """What belongs to this lab alone: inventory, known hosts, SSH's control sockets."""
        return self.cache / self.name

    @property
    def network(self) -> str:
        """The cidr of the lab's network."""
        return f"{self.subnet}.0/24"

    @property
    def gateway(self) -> str:
        """The address of this machine in the lab's network."""
        return f"{self.subnet}.1"

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order in which they are shown."""
        return tuple(
            Host(name, f"{self.subnet}.{octet}", f"{self.name}-{name}", groups) for name, octet, groups in _HOSTS
        )

    def host(self, name: str) -> Host:
        """The host of this name.

        :raises LabError: there is none.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"there is no host {name} in the lab; there are {', '.join(host.name for host in self.hosts)}")

    def chosen(self, names: Iterable[str]) -> tuple[Host, ...]:
        """The named hosts in the lab's order; all when none is named.

        :raises LabError: a name is unknown.
        """
        wanted = {self.host(name) for name in names}
        return tuple(host for host in self.hosts if not wanted or host in wanted)


def from_environment(environ: Mapping[str, str], checkout: Path) -> Settings:
    """The settings that the environment's ``LAB_*`` variables ask for.

    :raises LabError: a value can't be used; says what is allowed.
    """
    name = _matching(environ, "LAB_NAME", "slipway", r"[a-z][a-z0-9-]{0,30}", "lower case letters, digits, dashes")
    subnet = _matching(environ, "LAB_SUBNET", "10.89.77", _PRIVATE.pattern, "three octets of a private network")
    if any(int(octet) > 255 for octet in subnet.split(".")):
        raise LabError(f"LAB_SUBNET={subnet} is not a network: an octet is at most 255")
    engine = environ.get("LAB_ENGINE", "podman")
    if engine not in ENGINES:
        raise LabError(f"LAB_ENGINE={engine} is unknown; there are {', '.join(ENGINES)}")
    pull = environ.get("LAB_PULL", "")
    if pull not in _PULL:
        raise LabError(f"LAB_PULL={pull} is unknown; 1 tries to pull the base image, 0 never does")
    balancer = environ.get("LAB_BALANCER", "haproxy")
    if balancer not in BALANCERS:
        raise LabError(f"LAB_BALANCER={balancer} is unknown; there are {', '.join(BALANCERS)}")
    return Settings(
        name=name,
        subnet=subnet,
        debian=_matching(environ, "LAB_DEBIAN", "bookworm", r"[a-z]+", "the code name of a Debian release"),
        engine=engine,
        pull=_PULL[pull],
        balancer=balancer,
        mirror=_matching(environ, "LAB_MIRROR", "", r"(https?://[^\s]+)?", "the address of a Debian mirror"),
        checkout=checkout,
    )


def _matching(environ: Mapping[str, str], name: str, default: str, pattern: str, allowed: str) -> str:
    value = environ.get(name, default)
    if not re.fullmatch(pattern, value):
        raise LabError(
            f"{name}={value} can't be used: give {allowed}, as in {default or 'https://mirror.example/debian'}"
        )
    return value

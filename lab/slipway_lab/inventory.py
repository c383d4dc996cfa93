# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of the lab: a YAML file named ``hosts``, without extension, so that AWX would offer it too."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from .errors import LabError
from .keys import USER, Keys, known_hosts
from .settings import GROUPS, Settings

# A UNIX socket's path has at most 107 characters; here it ends in the address, and in a suffix while ssh connects.
_SOCKET_FOLDER_LIMIT = 107 - len("/255.255.255.255.0123456789abcdef")


def control_folder(settings: Settings) -> Path:
    """Where SSH's control sockets lie: in the lab's own state, or under /tmp when that path is too long."""
    folder = settings.state / "cp"
    if len(str(folder)) <= _SOCKET_FOLDER_LIMIT:
        return folder
    return Path("/tmp") / f"lab-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def ssh_arguments(settings: Settings) -> tuple[str, ...]:
    """How everybody reaches the lab's hosts: strict about their key, quick to notice that one is gone."""
    options = (
        "BatchMode=yes",
        "ConnectTimeout=5",
        "ServerAliveInterval=3",
        "ServerAliveCountMax=3",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={settings.state / 'known_hosts'}",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
    )
    return tuple(part for option in options for part in ("-o", option))


def control_socket(settings: Settings, address: str) -> Path:
    """The control socket that Ansible's ssh leaves open for one host."""
    return control_folder(settings) / address


def render(settings: Settings, keys: Keys) -> str:
    """The inventory as text."""
    variables = {
        "ansible_user": USER,
        "ansible_ssh_private_key_file": str(keys.user),
        "ansible_ssh_common_args": " ".join(ssh_arguments(settings)),
        "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=60s",
        "ansible_control_path_dir": str(control_folder(settings)),
        "ansible_control_path": "%(directory)s/%%h",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_pipelining": True,
    }
    lines = ["# Written by lab/bin/lab for the lab " + settings.name, "all:", "  vars:"]
    lines += [f"    {name}: {json.dumps(value)}" for name, value in variables.items()]
    lines += ["  hosts:"]
    lines += [f"    {host.name}: {{ansible_host: {host.address}}}" for host in settings.hosts]
    lines += ["  children:"]
    for group in GROUPS:
        members = [f"{host.name}: {{}}" for host in settings.hosts if group in host.groups]
        lines.append(f"    {group}: {{hosts: {{{', '.join(members)}}}}}")
    return "\n".join(lines) + "\n"


def write(settings: Settings, keys: Keys, host_key: str) -> Path:
    """Write inventory and known hosts; return the inventory's path."""
    settings.state.mkdir(parents=True, exist_ok=True)
    folder = control_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise LabError(f"{folder} belongs to somebody else; SSH's control sockets don't go there. Remove it")
    folder.chmod(0o700)
    (settings.state / "known_hosts").write_text(known_hosts(settings, host_key), encoding="utf-8")
    path = settings.state / "hosts"
    path.write_text(render(settings, keys), encoding="utf-8")
    return path

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups on the PostgreSQL of three Debian releases, by network, and from off-site: docs/proof/backup-servers.md."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration import lab_s3
from slipway_lab import proof
from slipway_lab.engine import Engine
from slipway_lab.lab import Lab
from slipway_lab.project import controller_environment
from slipway_lab.settings import Settings, from_environment
from slipway_lab.talk import Talk
from slipway_lab.world import CHECKOUT

PAGE = CHECKOUT / "docs" / "proof" / "backup-servers.md"
PLAYBOOK = CHECKOUT / "tests" / "proof" / "backup_servers.yml"
TEMPLATE = """# A backup's whole life on each PostgreSQL

Written by `make proof` (`tests/proof/test_backup_servers.py`, which runs `tests/proof/backup_servers.yml`).

On each server: a backup in both formats, restored for a try and compared row by row; the same again changes nothing; a
restore beside the live database; a swap that is refused with what would be lost, then accepted, then taken back, with
nothing lost that was written meanwhile; a copy off-site, encrypted, brought back on a host that never saw the backup
and restored there, equal in every digest; the same over the network, by the database's owner without a superuser's
rights, as with a provider's database.

| Debian | PostgreSQL | compression | outage of swap and way back, ms | the same by network | all, s |
| --- | --- | --- | --- | --- | --- |
{rows}

{circumstances}
"""
MAJOR = {"bullseye": 13, "bookworm": 15, "trixie": 17}


@dataclass(frozen=True)
class Shown:
    """What the playbook has measured on one release of Debian."""

    debian: str
    seconds: float
    figures: dict[str, Any]


@contextmanager
def servers(debian: str, octet: int) -> Iterator[Settings]:
    """Two database servers of that release, beside any other lab; gone afterwards."""
    environ = {**os.environ, "LAB_NAME": f"backup-{debian}", "LAB_SUBNET": f"10.89.{octet}", "LAB_DEBIAN": debian}
    settings = from_environment(environ, CHECKOUT)
    lab = Lab(settings, Engine(settings), Talk())
    try:
        lab.up(["db1", "load1"])
        yield settings
    finally:
        lab.down(everything=False)


def secret_key(folder: Path) -> tuple[str, str]:
    """A key pair of age: the file's text and the public key."""
    path = folder / "age.key"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    text = path.read_text(encoding="utf-8")
    return text, next(line.rpartition(" ")[2] for line in text.splitlines() if "public key" in line)


def live_a_backups_life(debian: str, octet: int, folder: Path) -> Shown:
    identity, recipient = secret_key(folder)
    with (
        servers(debian, octet) as settings,
        lab_s3.running(folder / "s3.log", settings.gateway) as storage,
    ):
        storage.fresh()
        extra = {
            "servers_major": MAJOR[debian],
            "servers_bucket": lab_s3.BUCKET,
            "servers_prefix": debian,
            "servers_endpoint": storage.url,
            "servers_secret": lab_s3.SECRET_KEY,
            "servers_recipients": [recipient],
            "servers_identity": identity,
            "servers_page": str(folder / "figures.json"),
        }
        (folder / "extra.json").write_text(json.dumps(extra), encoding="utf-8")
        begun = time.monotonic()
        done = subprocess.run(
            [
                *("ansible-playbook", PLAYBOOK, "-i", settings.state / "hosts", "-i", CHECKOUT / "inventories" / "lab"),
                *("-e", f"@{folder / 'extra.json'}"),
            ],
            env=controller_environment(settings, os.environ),
            check=False,
            timeout=1800,
        )
        assert done.returncode == 0
        # Nothing that left the host can be read without the key, but for the list of what is there.
        assert not [name for name, data in storage.objects().items() if b"orders" in data]
        return Shown(debian, time.monotonic() - begun, json.loads((folder / "figures.json").read_text()))


def render(shown: list[Shown]) -> str:
    """The page. Pure but for the date and the machine."""
    rows = [
        f"| {one.debian} | {host['version']} | {host['compression']} "
        f"| {' '.join(str(ms) for ms in host['outage_ms'])} | {' '.join(str(ms) for ms in network['outage_ms'])} "
        f"| {one.seconds:.0f} |"
        for one in shown
        for host, network in [(one.figures["database host"], one.figures["by network"])]
    ]
    return TEMPLATE.format(rows="\n".join(rows), circumstances=proof.machine_in_words())


@pytest.mark.timeout(3600)
def test_each_server_version(tmp_path: Path) -> None:
    shown = []
    for octet, debian in enumerate(MAJOR, start=81):
        folder = tmp_path / debian
        folder.mkdir()
        shown.append(live_a_backups_life(debian, octet, folder))
    PAGE.write_text(render(shown), encoding="utf-8")
    assert [one.figures["database host"]["version"].split(".")[0] for one in shown] == ["13", "15", "17"]

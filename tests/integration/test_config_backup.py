# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""config_backup as a task of root. What it claims is proved by tar, sha256sum and stat."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users"),
    pytest.mark.timeout(300),
]
SECRET = "mark-of-a-secret-77"
LABEL = "20261121T160528Z-3f2a9c1"


class Host:
    """What a provisioned host has, below a temporary directory."""

    def __init__(self, top: Path) -> None:
        self.top, self.directory = top / "host", top / "backups"
        self.unit = self._file("etc/systemd/system/shop-web@.service", "[Service]\n", 0o644)
        self.nginx = self._file("etc/nginx/conf.d/shop.conf", "server {}\n", 0o644)
        self.env = self._file("srv/shop/releases/r1/env", f"PASSWORD={SECRET}\n", 0o600)
        subprocess.run(["chown", "nobody:games", self.env], check=True)
        subprocess.run(["touch", "--date=2026-11-20T12:00:00.123456789Z", self.env], check=True)
        self.link = self.top / "etc/systemd/system/shop-latest.service"
        self.link.symlink_to("shop-web@.service")

    def _file(self, name: str, content: str, mode: int) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def run(self, *, check: bool = False, **options: Any) -> ModuleRun:
        wanted = {
            "site": "shop",
            "directory": str(self.directory),
            "paths": [
                {"path": f"{self.top}/etc/systemd/system/shop-*"},
                {"path": str(self.nginx)},
                {"path": f"{self.top}/etc/slipway/shop", "optional": True},
                {"path": f"{self.top}/srv/shop/releases/*/env", "optional": True},
            ],
            **({"label": LABEL} if options.get("state", "present") == "present" else {"backup": LABEL}),
        }
        return run_module("config_backup", {**wanted, **options}, check=check)

    def seen(self) -> str:
        """All that stat tells of the files, and their digests."""
        files = sorted(path for path in self.top.rglob("*") if not path.is_dir())
        told = output("stat", "--format=%N %a %U:%G %y", *files)
        return told + output("sha256sum", *[path for path in files if not path.is_symlink()])


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_backup_is_taken_once_and_is_what_tar_says(host: Host) -> None:
    before = host.seen()

    predicted = host.run(check=True).succeeded()
    assert predicted["changed"]
    assert not host.directory.exists()
    taken = host.run().succeeded()
    again = host.run(check=True).succeeded()
    still = host.run().succeeded()

    assert taken["changed"]
    assert not again["changed"]
    assert not still["changed"]
    assert still["backup"] == again["backup"] == taken["backup"]
    assert predicted.keys() == taken.keys() == still.keys()
    assert host.seen() == before
    assert os.listdir(host.directory) == [taken["backup"]["id"]]
    archive = Path(taken["backup"]["path"]) / "configuration.tar"
    assert output("sha256sum", archive).split()[0] == taken["backup"]["sha256"]
    assert output("stat", "--format=%a %U", archive, archive.parent, host.directory) == "600 root\n700 root\n700 root\n"
    # In a directory of its own, by the program that everybody has.
    target = host.directory.parent / "by-hand"
    target.mkdir()
    subprocess.run(["tar", "--extract", "--same-owner", f"--file={archive}", f"--directory={target}"], check=True)
    assert output("stat", "--format=%a %U:%G %y", Path(f"{target}{host.env}")) == output(
        "stat", "--format=%a %U:%G %y", host.env
    )
    assert Path(f"{target}{host.env}").read_text() == f"PASSWORD={SECRET}\n"
    assert os.readlink(f"{target}{host.link}") == "shop-web@.service"


def test_it_comes_back_as_it_was_and_the_state_before_is_kept(host: Host) -> None:
    good = host.seen()
    host.run().succeeded()
    host.env.write_text("PASSWORD=other\n")
    subprocess.run(["chown", "root:root", host.env], check=True)
    host.unit.unlink()
    host.link.unlink()
    broken = host.seen()

    predicted = host.run(state="restored", check=True)
    assert host.seen() == broken
    restored = host.run(state="restored")
    again = host.run(state="restored", check=True).succeeded()
    still = host.run(state="restored").succeeded()

    assert predicted.succeeded()["changes"] == restored.succeeded()["changes"]
    assert {Path(change["path"]).name: change["differs"] for change in restored.result["changes"]} == {
        "shop-web@.service": ["absent"],
        "shop-latest.service": ["absent"],
        "env": ["content", "root:root instead of nobody:games"],
    }
    assert (predicted.result["saved"], again["changed"], still["changed"]) == ("", False, False)
    assert host.seen() == good
    assert restored.result["saved"] in os.listdir(host.directory)
    assert len(os.listdir(host.directory)) == 2
    for run in (predicted, restored):
        assert SECRET not in run.output
        assert "PASSWORD" not in run.output
    # And back to what was broken: all but what is not in that backup.
    host.run(state="restored", backup=restored.result["saved"]).succeeded()
    assert host.env.read_text() == "PASSWORD=other\n"


def test_a_backup_that_was_damaged_restores_nothing(host: Host) -> None:
    archive = Path(host.run().succeeded()["backup"]["path"]) / "configuration.tar"
    subprocess.run(["dd", "if=/dev/zero", f"of={archive}", "bs=1", "count=1", "seek=512", "conv=notrunc"], check=True)
    host.nginx.write_text("broken")

    refused = host.run(state="restored")

    assert refused.failed
    assert f"The file {archive} is damaged: expected" in refused.msg
    assert "Nothing was changed. Bring an undamaged copy" in refused.msg
    assert host.nginx.read_text() == "broken"


def test_what_is_missing_is_refused(host: Host) -> None:
    host.nginx.unlink()

    refused = host.run()

    assert refused.failed
    assert refused.msg == (
        f"The configuration can't be backed up: {host.nginx} is declared and not there. Nothing was changed. "
        "Mend this; what may be missing is declared with optional: true."
    )
    assert not host.directory.exists()

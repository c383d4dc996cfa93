# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role balancer with two balancers in front of the same servers: on both or on none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import TOP
from ansible_collections.slipway.django.tests.integration.balancer_worlds import (
    MAINT,
    READY,
    HaproxyWorld,
    Held,
    two_haproxies,
)
from ansible_collections.slipway.django.tests.integration.lab_haproxy import HAPROXY

pytestmark = [
    pytest.mark.skipif(shutil.which(HAPROXY) is None, reason="needs the package haproxy"),
    pytest.mark.timeout(300),
]
PLAY = """
- hosts: app1
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: slipway.django.balancer
        tasks_from: "{{ entry }}"
"""


@dataclass
class Pair:
    """Two balancers over the applications of the first."""

    worlds: dict[str, HaproxyWorld]
    directory: Path

    def play(self, entry: str, **options: object) -> subprocess.CompletedProcess[str]:
        """Run the tasks behind an entry point, without the lease that it takes first."""
        hosts = "\n".join(
            f"{name} lb_socket={world.haproxy.socket} lb_state={world.haproxy.state}"
            for name, world in self.worlds.items()
        )
        local = f"ansible_connection=local\nansible_become=false\nansible_python_interpreter={sys.executable}"
        (self.directory / "hosts").write_text(f"app1\n{hosts}\n[all:vars]\n{local}\n", encoding="utf-8")
        (self.directory / "play.yml").write_text(PLAY, encoding="utf-8")
        extra = {
            "entry": entry,
            "balancer_hosts": list(self.worlds),
            "balancer_socket": "{{ hostvars[balancer_name | default(balancer_said.balancer_name)].lb_socket }}",
            "balancer_state_file": "{{ hostvars[balancer_name | default(balancer_said.balancer_name)].lb_state }}",
            "balancer_pool": "shop",
            "balancer_server": "a",
            "balancer_ready_timeout": 20,
            **options,
        }
        path = TOP / ".cache" / "collections"
        return subprocess.run(
            [
                *(str(Path(sys.executable).with_name("ansible-playbook")), self.directory / "play.yml"),
                *("-i", self.directory / "hosts", "-e", json.dumps(extra)),
            ],
            env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(path), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def told(self) -> dict[str, str]:
        return {name: world.told()["a"] for name, world in self.worlds.items()}


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Iterator[Pair]:
    with two_haproxies(tmp_path) as worlds:
        yield Pair(worlds, tmp_path)


def test_on_both(pair: Pair) -> None:
    done = pair.play("drain_server")
    assert done.returncode == 0, done.stdout
    assert pair.told() == {"lb1": MAINT, "lb2": MAINT}
    done = pair.play("readmit_server")
    assert done.returncode == 0, done.stdout
    assert pair.told() == {"lb1": READY, "lb2": READY}


def test_what_one_refuses_no_other_is_told(pair: Pair) -> None:
    for name in "bc":
        pair.worlds["lb2"].haproxy.command(f"set server shop/{name} state maint")
    done = pair.play("drain_server")
    assert done.returncode == 2
    assert "Without a 0 healthy servers would be left in pool shop" in done.stdout
    assert pair.told() == {"lb1": READY, "lb2": READY}
    # It was never told anything: nothing had to be taken back.
    assert pair.worlds["lb1"].haproxy.state.read_text() == ""


def test_what_fails_on_one_is_undone_on_the_other(pair: Pair) -> None:
    held = Held(pair.worlds["lb2"], "a")
    done = pair.play("drain_server", balancer_drain_timeout=2)
    assert done.returncode == 2
    text = " ".join(done.stdout.split())
    assert "Still open on a after 2 s: 1 sessions (request of 127.0.0.1:" in text
    assert "Undone on lb1: a is ready there as before." in text
    assert pair.told() == {"lb1": READY, "lb2": READY}
    assert held.let_go() == (200, "a")


def test_one_that_comes_back_on_one_only_goes_out_again(pair: Pair) -> None:
    assert pair.play("drain_server").returncode == 0
    pair.worlds["lb2"].stop()
    done = pair.play("readmit_server", balancer_ready_timeout=6)
    assert done.returncode == 2
    text = " ".join(done.stdout.split())
    assert "HAProxy gave no answer on" in text
    assert "Undone on lb1: a is maintenance there as before." in text
    assert pair.worlds["lb1"].told()["a"] == MAINT

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""health_gate on a real server of the lab: what it asks of systemd and of its journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun
from ansible_collections.slipway.django.tests.integration.lab_host import LabHost, lab_host
from ansible_collections.slipway.django.tests.integration.migrations_world import wait_until

# What holds is asked until the deadline.
pytestmark = pytest.mark.long
STEADY, DYING = "gatetest-steady.service", "gatetest-dying.service"
SECRET = "mark-of-the-journal"
LIVES = "/run/gatetest"
# The one lives at once, the other after three deaths: a gate that looks finds both of them running.
START = f"""
cat > {LIVES}.sh <<'END'
echo >> {LIVES}
[ "$(wc -l < {LIVES})" -gt 3 ] && exec sleep 3600
exit 1
END
systemd-run --quiet --unit={STEADY} --description=steady sh -c 'echo password={SECRET}; exec sleep 3600'
systemd-run --quiet --unit={DYING} --property=Restart=always --property=RestartSec=100ms sh {LIVES}.sh
"""
STOP = f"""
systemctl stop {STEADY} {DYING} 2>/dev/null || true
systemctl reset-failed {STEADY} {DYING} 2>/dev/null || true
rm -f {LIVES} {LIVES}.sh
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LabHost]:
    host = lab_host("app3")
    host.root(STOP + START)
    try:
        yield host
    finally:
        host.root(STOP)


def gate(host: LabHost, **check: Any) -> ModuleRun:
    options = {"checks": [{"name": "it", "timeout": 10, **check}], "interval": 0.2, "deadline": 10}
    return host.module("health_gate", options)


def test_a_unit_that_systemd_starts_again_and_again(server: LabHost) -> None:
    counter = f"systemctl show --value --property=NRestarts {DYING}"
    wait_until(lambda: int(server.root(counter)) >= 3)

    limited = gate(server, kind="service", units=[STEADY, DYING], max_restarts=2)

    assert limited.failed
    assert "restarted 3 times (expected at most 2)" in limited.msg
    gate(server, kind="service", units=[STEADY, DYING]).succeeded()
    gate(server, kind="service", units=[STEADY], max_restarts=0).succeeded()


def test_a_unit_that_is_not_there_holds(server: LabHost) -> None:
    found = gate(server, kind="service", units=["gatetest-none.service"])
    assert found.failed
    assert "systemd has no gatetest-none.service" in found.msg


def test_lines_of_the_journal_are_counted_and_never_shown(server: LabHost) -> None:
    found = gate(server, kind="journal", units=[STEADY], pattern="password=", window="10m")

    assert found.failed
    assert "lines with the pattern in 600 s is 1 (expected 0)" in found.msg
    assert SECRET not in found.output
    gate(server, kind="journal", units=[STEADY], pattern="passphrase=", window="10m").succeeded()


def test_a_slip_in_a_unit_or_a_pattern_is_no_green_journal(server: LabHost) -> None:
    unknown = gate(server, kind="journal", units=["gatetest-none.service"], pattern="password=", window="10m")
    assert unknown.failed
    assert "systemd has no gatetest-none.service" in unknown.msg
    broken = gate(server, kind="journal", units=[STEADY], pattern="password=(", window="10m")
    assert broken.failed
    assert "journalctl does not understand the pattern" in broken.msg

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units as systemd really tells them, and what is said to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._slots import parse_show
from ansible_collections.slipway.django.plugins.module_utils._service._systemd import Systemd, Unit, unit_from
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

RECORDED = (Path(__file__).parent / "recorded" / "systemd-252.txt").read_text()
CASES = {title: text for title, _newline, text in (case.partition("\n") for case in RECORDED.split("### ")[1:])}


def recorded(case: str) -> Unit:
    """The first unit of a recorded case."""
    return unit_from(parse_show(CASES[case])[0])


@pytest.mark.parametrize(
    ("case", "state", "at_rest", "running", "restarting", "enabled"),
    [
        ("never-started", "inactive (dead)", True, False, False, False),
        ("not-found", "inactive (dead)", True, False, False, False),
        ("masked", "inactive (dead)", True, False, False, False),
        ("just-after-start", "activating (start)", False, False, False, False),
        ("hang", "activating (start)", False, False, False, False),
        ("active", "active (running)", False, True, False, False),
        ("enabled", "active (running)", False, True, False, True),
        ("enabled-runtime", "inactive (dead)", True, False, False, False),
        ("static", "active (running)", False, True, False, False),
        ("crash3", "activating (auto-restart)", False, False, True, False),
        ("crashloop", "activating (auto-restart)", False, False, True, False),
        ("killed", "activating (auto-restart)", False, False, True, False),
        ("slowstop", "deactivating (stop-sigterm)", False, False, False, False),
        ("slowstopped", "inactive (dead)", True, False, False, False),
        ("failed", "failed (failed)", True, False, False, False),
        ("reset", "inactive (dead)", True, False, False, False),
    ],
)
def test_states(case: str, state: str, at_rest: bool, running: bool, restarting: bool, enabled: bool) -> None:
    unit = recorded(case)
    assert unit.describe() == state
    assert (unit.at_rest, unit.running, unit.restarting, unit.enabled) == (at_rest, running, restarting, enabled)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("crash3", "result exit-code, exit status 3"),
        ("exit0", "result protocol, exit status 0"),
        ("killed", "result signal, signal 9"),
        ("chdir-fails", "result exit-code, exit status 200: its working directory is missing"),
        ("never-started", "result success"),
    ],
)
def test_how_it_ended(case: str, words: str) -> None:
    assert recorded(case).ending() == words


def test_what_else_is_read() -> None:
    loop, active = recorded("crashloop"), recorded("active")
    assert (loop.restarts, loop.pid, loop.job) == (1, 0, False)
    assert active.pid > 0
    assert active.active_since_s > 1
    assert recorded("just-after-start").job
    assert recorded("not-found").load == "not-found"
    assert recorded("masked").load == "masked"


def test_a_state_that_nobody_knows_is_no_rest() -> None:
    assert not unit_from({**parse_show(CASES["never-started"])[0], "ActiveState": "new"}).at_rest


def test_a_queued_start_is_no_rest() -> None:
    assert not unit_from({**parse_show(CASES["never-started"])[0], "Job": "17"}).at_rest


@pytest.mark.parametrize("change", [{"MainPID": "x"}, {"NRestarts": ""}])
def test_a_property_that_is_no_number_is_an_error(change: dict[str, str]) -> None:
    with pytest.raises(SlipwayError, match="properties that are not understood"):
        unit_from({**parse_show(CASES["active"])[0], **change})


def test_a_missing_property_is_an_error() -> None:
    with pytest.raises(SlipwayError, match="not understood: 'LoadState'"):
        unit_from({"Id": "shop-web@blue.service"})


def test_several_units_are_asked_for_at_once() -> None:
    runner = FakeRunner([CASES["active"]])
    units = Systemd(runner).show(["shop-web@blue.service", "shop-web@green.service"])
    assert [units[f"shop-web@{slot}.service"].active for slot in ("blue", "green")] == ["active", "inactive"]
    assert runner.argvs[0][-3:] == ("--", "shop-web@blue.service", "shop-web@green.service")


def test_no_answer_for_a_unit_is_an_error() -> None:
    with pytest.raises(SlipwayError, match=r"gave nothing for shop-web@green\.service"):
        Systemd(FakeRunner([CASES["enabled"]])).show(["shop-web@blue.service", "shop-web@green.service"])


def test_a_host_without_systemd_is_an_error() -> None:
    said = completed(returncode=1, stderr="System has not been booted with systemd as init system (PID 1).")
    with pytest.raises(CommandFailed, match=r"has not been booted with systemd.*This host must run systemd"):
        Systemd(FakeRunner([said])).show(["shop-web@blue.service"])


def test_orders() -> None:
    runner = FakeRunner([""] * 6)
    systemd = Systemd(runner)
    systemd.start("u")
    systemd.stop("u")
    systemd.kill("u", "SIGKILL")
    systemd.reset_failed("u")
    systemd.enable("u")
    systemd.disable("u")
    assert [" ".join(argv) for argv in runner.argvs] == [
        "systemctl start --no-block -- u",
        "systemctl stop --no-block -- u",
        "systemctl kill --signal=SIGKILL -- u",
        "systemctl reset-failed -- u",
        "systemctl enable --quiet -- u",
        "systemctl disable --quiet -- u",
    ]


def test_an_order_that_is_refused_says_where_to_look() -> None:
    said = completed(returncode=1, stderr="Failed to start u: Unit u is masked.")
    with pytest.raises(CommandFailed) as error:
        Systemd(FakeRunner([said])).start("u")
    assert "Unit u is masked. See `systemctl status u` on this host." in error.value.message


def test_a_signal_to_a_unit_that_has_just_ended_is_no_error() -> None:
    said = completed(returncode=1, stderr="Failed to kill unit u: Unit u not loaded.")
    Systemd(FakeRunner([said])).kill("u", "SIGKILL")

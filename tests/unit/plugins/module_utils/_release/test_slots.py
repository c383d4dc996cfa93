# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout
from ansible_collections.slipway.django.plugins.module_utils._release._slots import (
    Slot,
    live_of,
    parse_show,
    read_links,
    read_units,
    slots_of,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed, shown_units

RELEASE = "0123456789ab-01234567"
OTHER = "ba9876543210-76543210"
# A unit that systemd 252 does not have, as an unprivileged user
NOT_INSTALLED = shown_units().replace("UnitFileState=disabled", "UnitFileState=")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "slots").mkdir()
    return Layout(str(tmp_path))


def link(layout: Layout, slot: str, target: str) -> None:
    (Path(layout.slots) / slot).symlink_to(target)


def test_links(layout: Layout) -> None:
    link(layout, "blue", f"../releases/{RELEASE}")
    assert read_links(layout) == {"blue": RELEASE, "green": None}
    link(layout, "green", f"{layout.root}/releases/{OTHER}")
    assert read_links(layout) == {"blue": RELEASE, "green": OTHER}


def test_no_slots_at_all(tmp_path: Path) -> None:
    assert read_links(Layout(str(tmp_path))) == {"blue": None, "green": None}


@pytest.mark.parametrize(
    "target", ["../elsewhere/x", f"../../releases/{RELEASE}", "../releases/current", "../releases"]
)
def test_a_slot_that_leads_elsewhere_is_an_error(layout: Layout, target: str) -> None:
    link(layout, "blue", target)
    with pytest.raises(
        SlipwayError, match=r"slots/blue leads to .*, expected a symbolic link to \.\./releases/<release>"
    ):
        read_links(layout)


def test_a_slot_that_is_a_directory_is_an_error(layout: Layout) -> None:
    (Path(layout.slots) / "blue").mkdir()
    with pytest.raises(SlipwayError, match="slots/blue is no symbolic link"):
        read_links(layout)


def test_units() -> None:
    runner = FakeRunner([shown_units(enabled="blue", running=["web@blue", "beat@blue"], starting="worker@green")])
    units = read_units(runner, "shop")
    assert slots_of({"blue": RELEASE, "green": OTHER}, units) == {
        "blue": Slot(RELEASE, enabled=True, running=("web", "beat")),
        "green": Slot(OTHER, enabled=False, running=("worker",)),
    }
    assert runner.argvs[0][-9:] == (
        "--",
        "shop-web@blue.service",
        "shop-asgi@blue.service",
        "shop-worker@blue.service",
        "shop-beat@blue.service",
        "shop-web@green.service",
        "shop-asgi@green.service",
        "shop-worker@green.service",
        "shop-beat@green.service",
    )


def test_units_that_are_not_installed() -> None:
    slots = slots_of({"blue": None, "green": None}, read_units(FakeRunner([NOT_INSTALLED]), "shop"))
    assert set(slots.values()) == {Slot(None, enabled=False, running=())}


def test_a_unit_that_failed_is_at_rest() -> None:
    shown = shown_units(enabled="blue").replace("inactive", "failed")
    assert slots_of({"blue": RELEASE, "green": None}, read_units(FakeRunner([shown]), "shop"))["blue"].running == ()


def test_enabled_until_the_next_boot_is_not_enabled() -> None:
    units = read_units(FakeRunner([shown_units(enabled="blue").replace("=enabled", "=enabled-runtime")]), "shop")
    assert not slots_of({"blue": RELEASE, "green": None}, units)["blue"].enabled


def test_no_answer_from_systemd_is_not_taken_for_nothing_live() -> None:
    said = "System has not been booted with systemd as init system (PID 1). Can't operate."
    with pytest.raises(CommandFailed, match="System has not been booted with systemd"):
        read_units(FakeRunner([completed(returncode=1, stderr=said)]), "shop")
    with pytest.raises(SlipwayError, match="gave nothing for shop-web@blue"):
        read_units(FakeRunner([""]), "shop")


def test_a_line_of_another_form_is_an_error() -> None:
    with pytest.raises(SlipwayError, match="expected Name=value"):
        parse_show("Id=a.service\nWarning: something\n")


def slot(release: str | None, enabled: bool) -> Slot:
    return Slot(release, enabled=enabled, running=())


@pytest.mark.parametrize(
    ("blue", "green", "live", "reason"),
    [
        (slot(RELEASE, True), slot(OTHER, False), ("blue", RELEASE), "slot blue is live"),
        (slot(RELEASE, False), slot(OTHER, True), ("green", OTHER), "slot green is live"),
        (slot(None, False), slot(None, False), (None, None), "nothing is live here"),
        (slot(RELEASE, True), slot(OTHER, True), (None, None), "both slots are enabled"),
        (slot(None, True), slot(OTHER, False), (None, None), "but the slot is empty"),
    ],
)
def test_live(blue: Slot, green: Slot, live: tuple[str | None, str | None], reason: str) -> None:
    found = live_of({"blue": blue, "green": green})
    assert (found.slot, found.release) == live
    assert reason in found.reason

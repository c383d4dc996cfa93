# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from slipway_lab.engine import Container, made_digest
from slipway_lab.plan import plan_up
from slipway_lab.settings import from_environment

SETTINGS = from_environment({}, Path("/home/dev/slipway"))
APP1 = SETTINGS.host("app1")
IMAGE = "localhost/slipway-lab:bookworm-0123456789ab"


def container(
    status: str = "running", *, made: str | None = None, address: str = APP1.address, name: str = APP1.container
) -> Container:
    return Container(
        name=name,
        lab=SETTINGS.name,
        running=status == "running",
        status=status,
        made=made_digest(SETTINGS, APP1, IMAGE) if made is None else made,
        address=address,
        started_at="2026-11-21T17:55:46Z",
    )


@pytest.mark.parametrize(
    ("seen", "remove", "create", "start", "reason"),
    [
        ((), False, True, True, "absent"),
        ((container(name="slipway-app2"),), False, True, True, "absent"),
        ((container(),), False, False, False, "runs"),
        ((container("exited", address=""),), False, False, True, "exited"),
        ((container("created", address=""),), True, True, True, "was never started"),
        ((container(address="10.89.1.21"),), True, True, True, "has the address 10.89.1.21, not 10.89.77.21"),
        ((container(address=""),), True, True, True, "has the address none, not 10.89.77.21"),
    ],
    ids=["absent", "another", "running", "killed", "half made", "moved", "without address"],
)
def test_up_does_what_is_missing(
    seen: tuple[Container, ...], remove: bool, create: bool, start: bool, reason: str
) -> None:
    (plan,) = plan_up(SETTINGS, [APP1], seen, IMAGE)

    assert (plan.remove, plan.create, plan.start, plan.reason) == (remove, create, start, reason)
    assert plan.changed is (remove or create or start)
    assert not plan.stale


def test_a_host_made_from_an_older_image_is_kept_and_told() -> None:
    (plan,) = plan_up(SETTINGS, [APP1], [container(made="000000000000")], IMAGE)

    assert plan.stale
    assert not plan.changed


def test_a_killed_host_made_from_an_older_image_boots_again_and_is_told() -> None:
    (plan,) = plan_up(SETTINGS, [APP1], [container("exited", made="")], IMAGE)

    assert plan.stale
    assert (plan.remove, plan.create, plan.start) == (False, False, True)


def test_every_host_has_its_own_plan() -> None:
    plans = plan_up(SETTINGS, SETTINGS.hosts, [container()], IMAGE)

    assert [plan.host.name for plan in plans if not plan.changed] == ["app1"]
    assert [plan.host for plan in plans] == list(SETTINGS.hosts)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing copies, and a process that dies on the way."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import look
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres._offsite.offsite_world import (
    Killed,
    Object,
    World,
)

LAST = Rules(keep_last=1, min_keep=1)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    world = World(tmp_path / "backups")
    for number in range(4):
        backup = world.backup(number, site="other" if number == 0 else "shop")
        world.send(backup=backup, site="other" if number == 0 else "shop")
    world.store.objects["20261121T160009.000Z/database.dump"] = Object(b"half")
    world.store.objects["notes.txt"] = Object(b"not ours")
    return world


def ids(world: World) -> list[str]:
    return [copy.id[13:15] for copy in look(world.store).copies]


def test_check_apply_check_apply(world: World) -> None:
    objects = dict(world.store.objects)
    predicted = world.prune(check=True, rules=LAST, directory=None)
    assert predicted.changed
    assert world.store.objects == objects

    pruned = world.prune(rules=LAST)
    assert pruned == predicted
    assert [(one.id[13:15], one.reason) for one in pruned.removed] == [
        ("01", "taken 0 days ago, kept by none of keep_last 1"),
        ("02", "taken 0 days ago, kept by none of keep_last 1"),
    ]
    assert pruned.kept[0].reason == "of another database (other/shop)"
    assert ids(world) == ["00", "03"]
    # What is not complete may be an upload that runs, and what is not ours is not ours.
    assert {"notes.txt", "20261121T160009.000Z/database.dump"} <= set(world.store.objects)
    assert pruned.incomplete == ("20261121T160009.000Z",)
    assert len(world.store.objects) == 2 * 6 + 2

    for check in (True, False):
        again = world.prune(check, rules=LAST)
        assert not again.changed
        assert again.before == again.after


@pytest.mark.parametrize("fuse", range(16))
def test_killed_at_each_step_and_run_again(world: World, fuse: int) -> None:
    world.store.fuse = world.store.changes + fuse
    with pytest.raises(Killed):
        world.prune(rules=LAST)
    world.require_sound()
    world.store.fuse = None
    predicted = world.prune(check=True, rules=LAST)
    assert predicted.changed
    world.prune(rules=LAST)
    assert ids(world) == ["00", "03"]
    assert len(world.store.objects) == 2 * 6 + 2


def test_a_damaged_mark_is_not_judged(world: World) -> None:
    world.store.objects["20261121T160001.000Z/copy.json"].data = b"?"
    pruned = world.prune(rules=LAST)
    assert [one.id[13:15] for one in pruned.removed] == ["02"]
    assert pruned.incomplete == ("20261121T160001.000Z", "20261121T160009.000Z")
    assert "20261121T160001.000Z/globals.sql" in world.store.objects


def test_no_rules(world: World) -> None:
    with pytest.raises(InvalidOption):
        world.prune()

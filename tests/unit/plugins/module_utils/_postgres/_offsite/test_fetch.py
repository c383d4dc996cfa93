# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a backup back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import look
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._copy import encode
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres._offsite.offsite_world import (
    ANNA,
    BERT,
    Killed,
    World,
    flipped,
    tree,
)


@pytest.fixture(name="world")
def _world(tmp_path: Path) -> World:
    return World(tmp_path / "backups")


@pytest.mark.parametrize("recipients", [(), (ANNA, BERT)])
def test_check_apply_check_apply(world: World, tmp_path: Path, recipients: tuple[str, ...]) -> None:
    backup = world.backup()
    world.backup(1)
    manifests.pin(str(world.directory / backup), "before the sale")
    world.send(backup="label-0", recipients=recipients)
    here = tmp_path / "elsewhere" / "backups"
    options: dict[str, Any] = {"identity": str(world.identity)} if recipients else {}
    predicted = world.fetch(here, check=True, **options)
    assert predicted.changed
    assert not here.exists()

    fetched = world.fetch(here, **options)
    assert fetched.changed
    assert fetched.copy == predicted.copy
    assert fetched.path == str(here / backup)
    assert tree(here / backup) == tree(world.directory / backup)
    assert [path.name for path in here.iterdir()] == [backup]
    assert manifests.find(str(here), "shop", "latest") is not None
    assert {oct(path.stat().st_mode & 0o777) for path in here.rglob("*") if path.is_file()} == {"0o600"}
    assert here.stat().st_mode & 0o777 == 0o700

    for check in (True, False):
        again = world.fetch(here, check, **options)
        assert not again.changed
        assert again.reason == f"{here / backup} is there and undamaged"


@pytest.mark.parametrize("fuse", range(5))
def test_killed_at_each_step(world: World, tmp_path: Path, fuse: int) -> None:
    backup = world.backup()
    world.send()
    here = tmp_path / "elsewhere"
    world.store.fuse = world.store.changes + fuse
    with pytest.raises(Killed):
        world.fetch(here)
    assert manifests.read_all(str(here)) == []
    # What a killed process leaves.
    (here / f"{backup}.partial").mkdir()
    world.store.fuse = None
    assert world.fetch(here).changed
    assert [path.name for path in here.iterdir()] == [backup]


@pytest.mark.parametrize("name", ["database/1.dat", "manifest.json", "manifest.json.sha256"])
@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_a_damaged_copy_never_appears(world: World, tmp_path: Path, name: str, harm: str) -> None:
    backup = world.backup()
    world.send()
    here = tmp_path / "elsewhere"
    found = world.store.objects[f"{backup}/{name}"]
    if harm == "flipped":
        found.data = flipped(found.data)
        message = f"s3://bucket/{backup}/{name} is damaged: expected"
    else:
        del world.store.objects[f"{backup}/{name}"]
        message = f"no {backup}/{name}"
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here)
    assert message in caught.value.message
    assert f"What was fetched was removed; {here / backup} is not there." in caught.value.message
    assert list(here.iterdir()) == []


def test_one_that_is_there_and_differs_is_left(world: World, tmp_path: Path) -> None:
    backup = world.backup()
    world.send()
    here = tmp_path / "elsewhere"
    world.fetch(here)
    file = here / backup / "globals.sql"
    file.write_bytes(b"relos")
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here)
    assert f"The file {file} is damaged" in caught.value.message
    assert f"Move {here / backup} away, and run it again to bring the undamaged copy." in caught.value.message
    (here / backup / "manifest.json").unlink()
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here)
    assert f"{here / backup} is there and is not the backup that is in s3://bucket/{backup}" in caught.value.message
    assert file.read_bytes() == b"relos"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "is encrypted and no identity is given. Nothing was changed. Give identity"),
        ({"identity": "other"}, "It was encrypted to others: give the identity of one of its recipients, not "),
    ],
)
def test_an_encrypted_copy_needs_its_identity(
    world: World, tmp_path: Path, values: dict[str, str], message: str
) -> None:
    world.backup()
    world.send(recipients=(ANNA,))
    other = tmp_path / "other"
    other.write_text(BERT)
    other.chmod(0o600)
    here = tmp_path / "elsewhere"
    options: dict[str, Any] = {name: str(tmp_path / value) for name, value in values.items()}
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here, **options)
    assert message in caught.value.message
    assert not list(here.iterdir()) if here.exists() else True


def test_an_identity_that_others_can_read(world: World, tmp_path: Path) -> None:
    world.identity.chmod(0o644)
    with pytest.raises(SlipwayError) as caught:
        world.fetch(tmp_path, identity=str(world.identity))
    assert "(its mode is 0644)" in caught.value.message


def test_too_little_room(world: World, tmp_path: Path) -> None:
    world.backup()
    world.send()
    world.free = 1000
    with pytest.raises(SlipwayError) as caught:
        world.fetch(tmp_path / "elsewhere")
    assert f"1000 bytes are free in {tmp_path} and " in caught.value.message
    assert "Nothing was changed. Make room, or fetch it elsewhere." in caught.value.message


def test_which_one_is_meant(world: World, tmp_path: Path) -> None:
    first, second = world.backup(1), world.backup(2)
    for backup in (first, second):
        world.send(backup=backup)
    here = tmp_path / "elsewhere"
    assert world.fetch(here, check=True).copy["id"] == second
    assert world.fetch(here, check=True, backup="label-1").copy["id"] == first
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here, backup="label-3")
    assert caught.value.seen == (
        f"There is no copy label-3 of shop/shop in s3://bucket; there is {first} (label-1), {second} (label-2)"
    )
    # A mark that can't be read might be the newest: only an id is exact.
    world.store.objects[f"{second}/copy.json"].data = b"?"
    with pytest.raises(SlipwayError) as caught:
        world.fetch(here)
    assert f"The marks of {second} in s3://bucket are damaged, and latest might be one of them" in caught.value.message
    assert world.fetch(here, check=True, backup=first).copy["id"] == first


def test_a_copy_whose_manifest_is_of_other_files(world: World, tmp_path: Path) -> None:
    backup = world.backup()
    world.send()
    (copy,) = look(world.store).copies
    fewer = replace(copy, files=tuple(file for file in copy.files if file.path != "globals.sql"))
    world.store.objects[f"{backup}/copy.json"].data = encode(fewer)
    with pytest.raises(SlipwayError) as caught:
        world.fetch(tmp_path / "elsewhere")
    assert "does not describe the files beside it" in caught.value.message

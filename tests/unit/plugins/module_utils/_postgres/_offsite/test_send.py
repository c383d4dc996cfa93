# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending a backup away, with a process that dies at each step."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.plugins.module_utils._postgres._offsite._catalogue import look
from ansible_collections.slipway.django.tests.unit.plugins.module_utils._postgres._offsite.offsite_world import (
    ANNA,
    BERT,
    FakeStore,
    Killed,
    World,
    flipped,
    tree,
)

FILES = ("database/toc.dat", "database/1.dat", "globals.sql", "manifest.json.sha256", "manifest.json")


@pytest.fixture(name="world", params=["checksums", "no checksums"])
def _world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path / "backups", FakeStore(checksums=request.param == "checksums"))


@pytest.mark.parametrize("recipients", [(), (ANNA, BERT)])
def test_check_apply_check_apply(world: World, recipients: tuple[str, ...]) -> None:
    backup = world.backup()
    before = tree(world.directory)
    predicted = world.send(check=True, recipients=recipients)
    assert predicted.changed
    assert predicted.reason == "there is no copy yet"
    assert predicted.words == f"s3://bucket/{backup}: there is no copy yet; 5 files to be sent"
    assert predicted.copy["bytes"] is None
    assert not world.store.objects

    sent = world.send(recipients=recipients)
    assert sent.changed
    assert sent.copy.keys() == predicted.copy.keys()
    assert sent.transferred == predicted.transferred == FILES
    assert [copy.id for copy in sent.copies] == [backup]
    ending = ".age" if recipients else ""
    assert list(world.store.objects) == [f"{backup}/{name}{ending}" for name in FILES] + [f"{backup}/copy.json"]
    for name in FILES:
        plain = (world.directory / backup / name).read_bytes()
        assert (world.store.objects[f"{backup}/{name}{ending}"].data == plain) == (not recipients)
    assert tree(world.directory) == before

    objects = dict(world.store.objects)
    for check in (True, False):
        again = world.send(check, recipients=recipients)
        assert not again.changed
        assert again.reason == f"the copy of {sent.copy['sent_at']} is there"
        assert again.copy == sent.copy
        assert again.before == again.after
        assert world.store.objects == objects


@pytest.mark.parametrize("recipients", [(), (ANNA,)])
@pytest.mark.parametrize("fuse", range(6))
def test_killed_at_each_step_and_run_again(world: World, recipients: tuple[str, ...], fuse: int) -> None:
    backup = world.backup()
    world.store.fuse = fuse
    with pytest.raises(Killed):
        world.send(recipients=recipients)
    assert look(world.store).copies == ()
    world.store.fuse = None
    there = set(world.store.objects)
    again = world.send(recipients=recipients)
    assert len(again.transferred) == 5 - fuse
    if fuse:
        assert again.reason == f"an earlier run was interrupted: {fuse} of 5 files are there"
    assert there <= set(world.store.objects)
    assert [copy.id for copy in look(world.store).copies] == [backup]
    world.require_sound()


@pytest.mark.parametrize("harm", ["flipped", "gone", "replaced"])
@pytest.mark.parametrize("recipients", [(), (ANNA,)])
def test_a_damaged_copy_is_repaired_and_is_no_copy_meanwhile(
    world: World, recipients: tuple[str, ...], harm: str
) -> None:
    backup = world.backup()
    world.send(recipients=recipients)
    name = f"{backup}/globals.sql" + (".age" if recipients else "")
    if harm == "gone":
        del world.store.objects[name]
    elif harm == "flipped":
        world.store.objects[name].data = flipped(world.store.objects[name].data)
    else:
        world.store.objects[name].words["slipway-of"] = "0" * 64
    predicted = world.send(check=True, recipients=recipients)
    assert predicted.reason == "the copy is damaged: globals.sql are missing there or are not what was sent"
    assert predicted.transferred == ("globals.sql",)

    # After the mark is taken away, and before the file is sent.
    world.store.fuse = world.store.changes + 1
    with pytest.raises(Killed):
        world.send(recipients=recipients)
    assert look(world.store).copies == ()
    world.store.fuse = None
    world.send(recipients=recipients)
    world.require_sound()
    assert not world.send(recipients=recipients).changed


def test_a_damaged_mark_is_written_anew(world: World) -> None:
    backup = world.backup()
    world.send()
    world.store.objects[f"{backup}/copy.json"].data = b"{}"
    sent = world.send()
    assert (sent.reason, sent.transferred) == ("the mark of the copy is damaged", ())
    assert not world.send().changed


def test_what_was_verified_further_and_pinned_since_is_told(world: World) -> None:
    backup = world.backup()
    world.send()
    path = world.directory / backup
    shutil.rmtree(path)
    world.backup(levels=["list", "read", "checksum"])
    sent = world.send()
    assert sent.reason == "manifest.json.sha256, manifest.json changed since the copy was sent"
    assert sent.copy["levels"] == ["list", "read", "checksum"]
    manifests.pin(str(path), "before the sale")
    sent = world.send()
    assert (sent.changed, sent.transferred) == (True, ())
    assert sent.reason == "what the mark tells about the backup has changed"
    assert sent.copy["pinned"] == "before the sale"
    assert not world.send().changed


def test_other_recipients_take_the_whole_again(world: World) -> None:
    backup = world.backup()
    world.send()
    sent = world.send(recipients=(ANNA,))
    assert sent.reason == "the copy is encrypted to others than those that are wanted"
    assert sent.transferred == FILES
    # No plain object is left beside the encrypted ones.
    assert [name for name in world.store.objects if not name.endswith(".age")] == [f"{backup}/copy.json"]
    assert world.send(recipients=(BERT, ANNA)).changed
    assert not world.send(recipients=(ANNA, BERT)).changed


def test_nothing_plain_takes_the_place_of_what_is_encrypted(world: World) -> None:
    world.backup()
    world.send(recipients=(ANNA,))
    objects = dict(world.store.objects)
    with pytest.raises(SlipwayError) as caught:
        world.send()
    assert "is encrypted, and no recipients are given now. Nothing was changed. Give recipients" in caught.value.message
    assert world.store.objects == objects


def test_another_backup_with_the_same_id(world: World, tmp_path: Path) -> None:
    backup = world.backup()
    world.send()
    shutil.rmtree(world.directory / backup)
    world.backup(label="another", files=[{"path": "globals.sql", "bytes": 5, "sha256": digest(b"roles")}])
    assert world.send().changed  # the same archive, told otherwise
    (world.directory / backup / "globals.sql").write_bytes(b"other")
    shutil.rmtree(world.directory / backup)
    world.backup(site="shop", files=[{"path": "globals.sql", "bytes": 5, "sha256": digest(b"other")}])
    (world.directory / backup / "globals.sql").write_bytes(b"other")
    with pytest.raises(SlipwayError) as caught:
        world.send()
    assert "is the copy of another backup with the same id (of shop/shop, taken 2026-11-21T16:00:00Z)" in str(
        caught.value
    )
    assert "Give this host's backups a prefix of their own." in str(caught.value)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_damaged_backup_is_not_sent(world: World) -> None:
    backup = world.backup()
    file = world.directory / backup / "database" / "1.dat"
    file.write_bytes(flipped(file.read_bytes()))
    with pytest.raises(SlipwayError) as caught:
        world.send()
    assert f"The file {file} is damaged" in caught.value.message
    assert "Nothing was sent." in caught.value.message
    assert not world.store.objects


@pytest.mark.parametrize("name", [*FILES, "copy.json"])
def test_a_storage_that_keeps_something_else_is_found_out(world: World, name: str) -> None:
    backup = world.backup()
    world.store.spoil = f"{backup}/{name}"
    with pytest.raises(SlipwayError) as caught:
        world.send()
    assert ("is not what was" in caught.value.message) == (name in caught.value.message)
    assert "No copy is marked as whole that is not; the backup itself is as it was." in caught.value.message
    assert look(world.store).copies == ()


def test_a_storage_without_checksums_is_asked_for_the_content(world: World) -> None:
    world.backup()
    world.send()
    assert world.store.reads == (0 if world.store.checksums else 5)


def test_a_removal_that_was_interrupted_is_ended_first(world: World) -> None:
    backup = world.backup()
    world.send()
    world.store.write(f"{backup}/removing.json", b"{}\n")
    sent = world.send()
    assert sent.transferred == FILES
    assert not [name for name in world.store.objects if "removing" in name]
    assert look(world.store).incomplete == ()


@pytest.mark.parametrize("step", ["begun", "ended"])
def test_a_removal_meanwhile_leaves_no_mark(world: World, step: str) -> None:
    backup = world.backup()
    store = world.store
    original = store.send

    def send(name: str, *arguments: Any) -> None:
        original(name, *arguments)
        if name.endswith("/manifest.json"):
            store.write(f"{backup}/removing.json", b"{}\n")
            if step == "ended":
                store.remove([f"{backup}/globals.sql", f"{backup}/removing.json"])

    store.send = send  # type: ignore[method-assign, assignment]
    with pytest.raises(SlipwayError) as caught:
        world.send()
    assert f"Somebody removes s3://bucket/{backup} while it is sent." in caught.value.message
    assert f"{backup}/copy.json" not in store.objects


def test_what_a_dead_run_left_of_encrypted_files_is_removed(world: World) -> None:
    backup, other = world.backup(), world.backup(1)
    for name in (backup, other, "20200101T000000.000Z"):
        (world.directory / f"{name}.copying").mkdir()
    (world.directory / "notes.copying").mkdir()
    world.send(backup=backup)
    assert sorted(path.name for path in world.directory.iterdir()) == [backup, other, "notes.copying"]
    assert world.locks == [str(world.directory / backup), str(world.directory / other)]


def test_too_little_room_for_the_encrypted_form(world: World) -> None:
    world.backup()
    world.free = 100
    with pytest.raises(SlipwayError) as caught:
        world.send(recipients=(ANNA,))
    assert "100 bytes are free beside" in caught.value.message
    world.send()


def test_the_deadline(world: World) -> None:
    world.backup()
    store = world.store
    original = store.send

    def slow(*arguments: object) -> None:
        world.clock.advance(20)
        original(*arguments)  # type: ignore[arg-type]

    store.send = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(TimedOut) as caught:
        world.send(timeout_s=50)
    assert "The copy did not end within 50 s." in caught.value.message
    assert look(store).copies == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backup": "nonsense"}, "There is no backup nonsense of shop/shop in "),
        ({"site": "other"}, "There is no backup latest of other/shop in "),
    ],
)
def test_no_such_backup(world: World, values: dict[str, Any], message: str) -> None:
    world.backup()
    with pytest.raises(SlipwayError) as caught:
        world.send(**values)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"recipients": ("AGE-SECRET-KEY-1QQ",)}, "public keys; this is a secret one"),
        ({"recipients": ("-i",)}, "recipients: '-i' is not accepted, expected public keys"),
        ({"directory": "backups"}, "directory: 'backups' is not accepted, expected an absolute path"),
        ({"timeout_s": 0}, "timeout: 0 is not accepted"),
        ({"identity": "/nowhere/key"}, "a file that this user can read (No such file or directory)"),
    ],
)
def test_options_that_can_not_be_meant(world: World, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        world.send(**values)
    assert message in caught.value.message
    assert "QQ" not in caught.value.message

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's configuration backed up and brought back, with real files in a temporary directory."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._configuration import _backup as backups
from ansible_collections.slipway.django.plugins.module_utils._configuration._backup import Request, Result, Tools
from ansible_collections.slipway.django.plugins.module_utils._configuration._paths import Declared
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import write_sealed
from ansible_collections.slipway.django.plugins.module_utils._postgres._retention import Rules
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock

SECRET = "mark-of-a-secret-77"


class Host:
    """A host whose configuration lies below a temporary directory."""

    def __init__(self, top: Path) -> None:
        self.etc, self.directory = top / "etc", top / "backups"
        self.clock = FakeClock()
        self.free = 1 << 40
        (self.etc / "shop").mkdir(parents=True)
        self.env = self.etc / "shop" / "env"
        self.env.write_text(f"PASSWORD={SECRET}\n")
        self.env.chmod(0o600)
        self.unit = self.etc / "shop-web.service"
        self.unit.write_text("[Service]\n")
        (self.etc / "shop" / "live").symlink_to("env")
        self.request = Request(
            directory=str(self.directory),
            site="shop",
            paths=(
                Declared(str(self.etc / "shop")),
                Declared(str(self.etc / "shop-*.service")),
                Declared(str(self.etc / "releases" / "*" / "env"), optional=True),
            ),
        )

    def run(self, state: str, *, check_mode: bool = False, **values: Any) -> Result:
        self.clock.advance(1)
        tools = Tools(self.clock, "app1", contextlib.nullcontext, lambda _path: self.free)
        return backups.run(replace(self.request, **values), tools, check_mode=check_mode, state=state)

    def take(self, label: str = "d1", *, check_mode: bool = False, **values: Any) -> Result:
        return self.run("present", label=label, check_mode=check_mode, **values)

    def restore(self, reference: str = "d1", *, check_mode: bool = False, **values: Any) -> Result:
        return self.run("restored", reference=reference, check_mode=check_mode, **values)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory)) if self.directory.exists() else []

    def state(self) -> dict[str, tuple[str, str]]:
        """Mode and content of all that is there."""
        return {
            str(path.relative_to(self.etc)): (
                oct(path.lstat().st_mode),
                os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else "",
            )
            for path in sorted(self.etc.rglob("*"))
        }


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# --- taking ----------------------------------------------------------------------------------------------------------


def test_a_backup_has_all_that_is_declared_and_nobody_else_can_read_it(host: Host) -> None:
    taken = host.take()

    assert taken.changed
    path = Path(taken.backup["path"])
    assert sorted(os.listdir(path)) == ["configuration.tar", "manifest.json", "manifest.json.sha256"]
    assert {oct(one.stat().st_mode & 0o777) for one in path.iterdir()} == {"0o600"}
    assert [oct(one.stat().st_mode & 0o777) for one in (path, host.directory)] == ["0o700", "0o700"]
    digest = hashlib.sha256((path / "configuration.tar").read_bytes()).hexdigest()
    assert taken.backup["sha256"] == digest
    assert [row["path"] for row in taken.backup["files"]] == [
        f"{host.etc}/{name}" for name in ("shop", "shop-web.service", "shop/env", "shop/live")
    ]
    assert taken.backup["absent"] == [f"{host.etc}/releases/*/env"]
    assert taken.words == f"configuration backup {taken.backup['id']} with the label d1 has 4 paths, 39 bytes"


def test_the_same_label_finds_the_backup_from_before(host: Host) -> None:
    first = host.take()
    host.env.write_text("changed")

    second = host.take()

    assert not second.changed
    assert second.backup == first.backup
    assert second.reason == f"backup {first.backup['id']} of 2026-11-21T16:05:29Z has the label d1"


def test_check_mode_tells_the_same_and_writes_nothing(host: Host) -> None:
    predicted = host.take(check_mode=True)

    assert predicted.changed
    assert not host.directory.exists()
    taken = host.take()
    different = {"id", "path", "taken_at", "bytes", "sha256"}
    assert {k: v for k, v in predicted.backup.items() if k not in different} == {
        k: v for k, v in taken.backup.items() if k not in different
    }
    assert predicted.backup.keys() == taken.backup.keys()


def test_all_that_stands_in_the_way_is_named_at_once(host: Host) -> None:
    os.mkfifo(host.etc / "shop" / "pipe")
    host.free = 100

    with pytest.raises(Refused) as refused:
        host.take(paths=(*host.request.paths, Declared(f"{host.etc}/nginx.conf")))

    assert refused.value.message == (
        f"The configuration can't be backed up: {host.etc}/nginx.conf is declared and not there; "
        f"{host.etc}/shop/pipe is neither a file nor a directory nor a symbolic link; "
        f"100 bytes are free in {host.etc.parent} and 16423 bytes are wanted. Nothing was changed. "
        "Mend this; what may be missing is declared with optional: true."
    )
    assert not host.directory.exists()


def test_what_is_too_much_is_no_configuration(host: Host) -> None:
    with pytest.raises(Refused, match=r"shop-web.service has 10 bytes, and 9 are left of max_bytes"):
        host.take(paths=(Declared(f"{host.etc}/shop-web.service"),), max_bytes=9)


def test_a_directory_that_others_can_read_is_refused(host: Host) -> None:
    host.directory.mkdir(mode=0o755)
    host.directory.chmod(0o755)

    with pytest.raises(Refused) as refused:
        host.take()

    assert refused.value.message == (
        f"{host.directory} is not a directory of this user alone (its mode is 0755, its owner uid {os.geteuid()}). "
        f"Nothing was changed. It will hold secrets: chown root:root {host.directory}, chmod 0700 {host.directory}."
    )


def test_a_damaged_backup_is_not_replaced(host: Host) -> None:
    taken = host.take()
    archive = Path(taken.backup["path"]) / "configuration.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")

    with pytest.raises(SlipwayError) as failed:
        host.take()

    assert f"The file {archive} is damaged: expected" in failed.value.message
    assert "was left as it is, and no other one was taken in its place" in failed.value.message


def test_retention_keeps_the_newest(host: Host) -> None:
    ids = [host.take(f"d{number}").backup["id"] for number in range(4)]

    predicted = host.take("d4", rules=Rules(keep_last=2), check_mode=True)
    assert host.names() == ids
    taken = host.take("d4", rules=Rules(keep_last=2))

    assert predicted.retention is not None
    assert taken.retention is not None
    assert [one.id for one in taken.retention.removed] == [one.id for one in predicted.retention.removed] == ids[:3]
    assert host.names() == [ids[3], taken.backup["id"]]


def test_another_site_in_the_same_directory_is_another_matter(host: Host) -> None:
    other = host.take(site="blog")
    taken = host.take(rules=Rules(keep_last=0, min_keep=1))

    assert taken.changed
    assert host.names() == [other.backup["id"], taken.backup["id"]]


# --- bringing back ---------------------------------------------------------------------------------------------------


def test_what_was_changed_comes_back_and_what_was_there_is_kept(host: Host) -> None:
    before = host.state()
    taken = host.take()
    host.env.write_text("PASSWORD=other\n")
    host.env.chmod(0o644)
    host.unit.unlink()
    (host.etc / "shop" / "newer").write_text("stays")
    broken = host.state()

    predicted = host.restore(check_mode=True)
    assert host.state() == broken
    back = host.restore()

    assert host.state() == {**before, "shop/newer": broken["shop/newer"]}
    assert predicted.diff == back.diff
    assert predicted.restore == back.restore
    assert back.restore is not None
    assert back.restore.extra == (f"{host.etc}/shop/newer",)
    assert back.words == (
        f"2 paths are as in backup {taken.backup['id']} (d1) again; what was there before is backup {back.saved}"
    )
    assert SECRET not in repr((predicted, back))
    # The latest is none that a restore has made.
    assert not host.restore("latest").changed
    assert host.names() == [taken.backup["id"], back.saved]
    host.restore(back.saved)
    assert host.state() == {**broken, "shop-web.service": before["shop-web.service"]}


def test_only_what_was_chosen_comes_back(host: Host) -> None:
    host.take()
    host.env.write_text("a")
    host.unit.write_text("b")

    host.restore(only=(str(host.unit),))

    assert host.unit.read_text() == "[Service]\n"
    assert host.env.read_text() == "a"


def test_a_backup_that_is_not_there_is_told_with_those_that_are(host: Host) -> None:
    taken = host.take()

    with pytest.raises(Refused) as refused:
        host.restore("d9")

    assert refused.value.message == (
        f"No backup of the configuration of shop in {host.directory} is d9. Nothing was changed. "
        f"There are: {taken.backup['id']} (d1)."
    )


def test_a_digest_that_does_not_hold_stops_a_restore(host: Host) -> None:
    taken = host.take()
    host.env.write_text("other")
    archive = Path(taken.backup["path"]) / "configuration.tar"
    data = bytearray(archive.read_bytes())
    data[data.index(SECRET.encode())] ^= 1
    archive.write_bytes(bytes(data))

    with pytest.raises(SlipwayError) as failed:
        host.restore()

    assert f"The file {archive} is damaged: expected" in failed.value.message
    assert "Nothing was changed." in failed.value.message
    assert SECRET not in failed.value.message
    assert host.env.read_text() == "other"


def forged(host: Host, change: Callable[[dict[str, Any]], None]) -> None:
    """Another manifest with a digest that holds."""
    path = Path(host.take().backup["path"])
    document = json.loads((path / "manifest.json").read_text())
    change(document)
    write_sealed(document, str(path))


def test_a_path_outside_of_what_is_declared_stops_a_restore(host: Host) -> None:
    def elsewhere(document: dict[str, Any]) -> None:
        document["entries"][2]["path"] = "/root/.ssh/authorized_keys"

    forged(host, elsewhere)

    with pytest.raises(Refused) as refused:
        host.restore()

    assert refused.value.message == (
        "The backup has paths that are not declared as configuration of this host: /root/.ssh/authorized_keys. "
        "Nothing was changed. Declare them in paths, or choose others with only."
    )


def test_a_path_that_leads_back_up_is_no_manifest(host: Host) -> None:
    def upwards(document: dict[str, Any]) -> None:
        document["entries"][2]["path"] = f"{host.etc}/shop/../../root/x"

    forged(host, upwards)

    with pytest.raises(SlipwayError, match="is not a manifest of configuration that is known here: path:"):
        host.restore()


def test_a_directory_that_has_become_a_link_is_not_followed(host: Host, tmp_path: Path) -> None:
    """As the owner of a release's directory could arrange it."""
    release = host.etc / "releases" / "r1"
    release.mkdir(parents=True)
    (release / "env").write_text("x")
    host.take()
    shutil.rmtree(release)
    (tmp_path / "victim").mkdir()
    release.symlink_to(tmp_path / "victim")

    back = host.restore()

    assert back.restore is not None
    assert back.restore.skipped == ((str(release / "env"), f"{release} is gone"),)
    assert os.listdir(tmp_path / "victim") == []


def test_a_release_that_was_pruned_is_left_out(host: Host) -> None:
    release = host.etc / "releases" / "r1"
    release.mkdir(parents=True)
    (release / "env").write_text("x")
    host.take()
    shutil.rmtree(release)
    host.unit.unlink()

    back = host.restore()

    assert back.restore is not None
    assert back.restore.skipped == ((str(release / "env"), f"{release} is gone"),)
    assert host.unit.exists()
    assert not release.exists()


@pytest.mark.parametrize("state", ["present", "restored"])
def test_a_label_or_a_path_that_is_none_is_refused(host: Host, state: str) -> None:
    with pytest.raises(InvalidOption):
        host.run(state, label="../x", only=("x",))


# --- whatever dies ---------------------------------------------------------------------------------------------------

# What a call of these finds on the disk is all that there can be: between two of them only contents are written.
CALLS = ("mkdir", "fsync", "rename", "unlink", "utime", "fchmod", "fchown", "symlink", "chown")


def killed_at(place: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its ``place``-th call that can change a file. Returns whether it died."""
    child = os.fork()
    if child == 0:
        left = [place]
        for name in CALLS:
            _die_in(name, left)
        try:
            work()
        except BaseException:
            os._exit(3)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), code
    return code == 9


def _die_in(name: str, left: list[int]) -> None:
    original = getattr(os, name)

    def counted(*args: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os._exit(9)
        return original(*args, **keywords)

    setattr(os, name, counted)


def places(most: int = 400) -> Iterator[int]:
    yield from range(most)
    raise AssertionError("the work never ended")


def test_killed_anywhere_a_backup_is_whole_or_not_there(host: Host) -> None:
    deaths = 0
    for place in places():
        shutil.rmtree(host.directory, ignore_errors=True)
        if not killed_at(place, host.take):
            break
        deaths += 1
        published = [name for name in host.names() if not name.endswith(".partial")]
        again = host.take()
        assert again.changed == (not published)
        assert host.names() == [again.backup["id"]]
        assert again.backup["bytes"] > 0
    assert deaths > 10


def test_killed_anywhere_each_file_is_as_it_was_or_as_in_the_backup(host: Host) -> None:
    host.take()
    good = host.state()
    host.env.write_text("broken")
    host.unit.unlink()
    broken = host.state()
    deaths = 0
    for place in places():
        for name in host.names()[1:]:
            shutil.rmtree(host.directory / name)
        host.env.write_text("broken")
        host.unit.unlink(missing_ok=True)
        if not killed_at(place, host.restore):
            break
        deaths += 1
        host.clock.advance(10)  # The child's clock is not ours.
        seen = {name: value for name, value in host.state().items() if not name.endswith(".slipway-restore")}
        assert broken.keys() <= seen.keys()  # Never absent in between.
        for name, value in seen.items():
            assert value in (good[name], broken.get(name))
        host.restore()
        assert host.state() == good
    assert deaths > 20

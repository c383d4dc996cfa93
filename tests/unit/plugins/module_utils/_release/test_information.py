# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._release._information import (
    Question,
    answer,
    read_releases,
)
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import Manifest, write_manifest
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity
from ansible_collections.slipway.django.plugins.module_utils._release._repository import Change, Changes, Git
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeRunner, shown_units

OLD, NEW = "a" * 40, "b" * 40
RELEASE = "aaaaaaaaaaaa-01234567"
SHOW = shown_units(enabled="blue", running=["web@blue", "worker@green"])


def said_by_git(call: Call) -> str:
    if "ls-remote" in call.argv:
        return f"{NEW}\trefs/tags/v2\n"
    if "cat-file" in call.argv:
        return f"{OLD} commit 1\n{NEW} commit 1\n"
    return f">{NEW}\0Sell in red\n"


@pytest.fixture
def question(tmp_path: Path) -> Question:
    layout = Layout(str(tmp_path))
    os.makedirs(layout.release(RELEASE).path)
    os.makedirs(layout.slots)
    os.symlink(f"../releases/{RELEASE}", os.path.join(layout.slots, "blue"))
    manifest = Manifest(RELEASE, OLD, "v1", "r", "2026-11-21T16:05:28Z", "ann", "pip", "d", {})
    write_manifest(layout.release(RELEASE).manifest, manifest)
    os.mkdir(layout.mirror)
    git = Git(FakeRunner().on("git", answer=said_by_git), "/srv/git/shop.git", {}, 60)
    return Question(layout, "shop", "v2", git, {}, BuildIdentity("python3", "pip", "r", (), ()), "", "")


def systemd() -> FakeRunner:
    return FakeRunner().on("systemctl", answer=SHOW)


def test_all_of_it(question: Question) -> None:
    found = answer(question, systemd())
    assert found.resolved is not None
    assert found.resolved.commit == NEW
    assert found.name is not None
    assert found.name.startswith("bbbbbbbbbbbb-")
    assert (found.live.slot, found.live.release) == ("blue", RELEASE)
    assert found.slots["blue"].running == ("web",)
    assert found.slots["green"].release is None
    assert found.slots["green"].running == ("worker",)
    assert found.changes == Changes((Change(NEW, "Sell in red"),), ())
    assert found.note == ""


def test_nothing_is_asked_that_was_not_named(question: Question) -> None:
    git = replace(question.git, runner=FakeRunner())
    found = answer(replace(question, site="", version="", git=git), FakeRunner())
    assert (found.resolved, found.name, found.changes) == (None, None, None)
    assert dict(found.slots) == {}
    assert found.live.reason == "no site was named: systemd was not asked"
    assert [seen.name for seen in found.releases] == [RELEASE]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"site": ""}, "it is not known which commit is live"),
        ({"version": ""}, "no version was named"),
        (
            {"since": "c" * 40, "layout": Layout("/no/such/root"), "site": ""},
            "does not have both commits, and no scratch",
        ),
    ],
)
def test_why_the_changes_are_not_known(question: Question, change: dict[str, object], note: str) -> None:
    found = answer(replace(question, **change), systemd())  # type: ignore[arg-type]
    assert found.changes is None
    assert note in found.note


def test_the_live_commit_itself_brings_no_changes(question: Question) -> None:
    assert answer(replace(question, since=NEW), systemd()).changes == Changes((), ())


def test_releases_the_newest_first_and_remains_last(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path))
    assert read_releases(layout) == ()
    for number, built in ((1, "2026-11-01T00:00:00Z"), (2, "2026-11-02T00:00:00Z"), (3, "")):
        paths = layout.release(f"{number:012x}-{number:08x}")
        os.makedirs(paths.path)
        if built:
            write_manifest(paths.manifest, Manifest(paths.name, OLD, "v", "r", built, "ann", "pip", "d", {}))
    os.mkdir(os.path.join(layout.releases, "not-one-of-ours"))
    assert [seen.name[:12] for seen in read_releases(layout)] == [f"{number:012x}" for number in (2, 1, 3)]
    assert read_releases(layout)[-1].manifest is None

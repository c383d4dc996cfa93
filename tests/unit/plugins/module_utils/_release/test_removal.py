# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import Manifest, write_manifest
from ansible_collections.slipway.django.plugins.module_utils._release._processes import Running
from ansible_collections.slipway.django.plugins.module_utils._release._removal import Scope, prune, remove
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner, shown_units

SHOW = shown_units(enabled="blue", running=["web@blue"])


def name(number: int) -> str:
    return f"{number:012x}-{number:08x}"


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this machine is no part of these tests."""
    monkeypatch.setattr(f"{Scope.__module__}.running_releases", lambda _: Running({}))


@pytest.fixture
def scope(tmp_path: Path) -> Scope:
    """Four complete releases, each with a static file of its own and one in common; blue is live."""
    layout = Layout(str(tmp_path))
    (tmp_path / "static").mkdir()
    for number in range(1, 5):
        paths = layout.release(name(number))
        os.makedirs(paths.static)
        for file in (f"app.{number:012x}.css", "robots.txt"):
            (Path(paths.static) / file).write_text("x")
            (tmp_path / "static" / file).write_text("x")
        built = f"2026-11-{number:02}T12:00:00Z"
        write_manifest(paths.manifest, Manifest(paths.name, f"{number:040x}", "v", "r", built, "ann", "pip", "d", {}))
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots/blue").symlink_to(f"../releases/{name(1)}")
    return Scope(layout, str(tmp_path / "static"), "shop", (), 60)


def releases(scope: Scope) -> list[str]:
    return sorted(entry for entry in os.listdir(scope.layout.releases) if not entry.startswith("."))


def runner() -> FakeRunner:
    return FakeRunner().on("systemctl", answer=SHOW)


def test_pruned_and_once_more(scope: Scope) -> None:
    checked = prune(scope, runner(), FakeClock(), keep=1, check_mode=True)
    assert len(releases(scope)) == 4
    removal = prune(scope, runner(), FakeClock(), keep=1, check_mode=False)
    assert removal == checked
    assert removal.changed
    assert [decision.name for decision in removal.remove] == [name(3), name(2)]
    assert removal.static == (f"app.{2:012x}.css", f"app.{3:012x}.css")
    assert {decision.name: decision.reason for decision in removal.keep} == {
        name(4): "among the newest 1",
        name(1): "live, in slot blue",
    }
    assert removal.reason == f"{name(3)}, {name(2)} removed, with 2 static files that no other release has"
    assert releases(scope) == [name(1), name(4)]
    assert sorted(os.listdir(scope.static_root)) == [f"app.{1:012x}.css", f"app.{4:012x}.css", "robots.txt"]
    again = prune(scope, runner(), FakeClock(), keep=1, check_mode=False)
    assert (again.changed, again.reason) == (False, "nothing to remove")


def test_without_a_site_systemd_is_not_asked(scope: Scope) -> None:
    removal = prune(replace(scope, site=""), FakeRunner(), FakeClock(), keep=4, check_mode=False)
    assert removal.keep[-1].reason == "slot blue links to it"


def test_static_files_stay_when_a_kept_release_lost_its_own(scope: Scope) -> None:
    os.rename(scope.layout.release(name(4)).static, os.path.join(scope.layout.root, "elsewhere"))
    removal = prune(scope, runner(), FakeClock(), keep=1, check_mode=False)
    assert removal.static == ()
    assert f"static files stay: release {name(4)} has lost its own" in removal.reason
    assert len(os.listdir(scope.static_root)) == 5


def test_static_files_stay_when_no_release_does(scope: Scope) -> None:
    os.unlink(os.path.join(scope.layout.slots, "blue"))
    removal = prune(scope, runner(), FakeClock(), keep=0, check_mode=False)
    assert "no release is kept that could say which ones are needed" in removal.reason
    assert releases(scope) == []
    assert len(os.listdir(scope.static_root)) == 5


def test_debris_goes_by_its_age(scope: Scope) -> None:
    old, young = name(8), name(9)
    clock = FakeClock()
    for debris, age in ((old, 25 * 3600), (young, 3600)):
        path = os.path.join(scope.layout.releases, debris)
        os.mkdir(path)
        moment = clock.utcnow().timestamp() - age
        os.utime(path, (moment, moment))
    removal = prune(scope, runner(), clock, keep=4, check_mode=False)
    assert [decision.name for decision in removal.remove] == [old]
    assert young in releases(scope)


def test_nothing_was_ever_staged(tmp_path: Path) -> None:
    scope = Scope(Layout(str(tmp_path)), str(tmp_path / "static"), "", (), 60)
    assert not prune(scope, FakeRunner(), FakeClock(), keep=3, check_mode=False).changed
    assert not remove(scope, name(1), FakeClock(), check_mode=False).changed
    assert os.listdir(tmp_path) == []


def test_absent_and_once_more(scope: Scope) -> None:
    assert remove(scope, name(2), FakeClock(), check_mode=True).changed
    removal = remove(scope, name(2), FakeClock(), check_mode=False)
    assert removal.changed
    assert removal.static == (f"app.{2:012x}.css",)
    assert releases(scope) == [name(1), name(3), name(4)]
    assert not remove(scope, name(2), FakeClock(), check_mode=False).changed


def test_absent_is_refused_for_what_a_slot_links_to(scope: Scope) -> None:
    with pytest.raises(Refused) as caught:
        remove(scope, name(1), FakeClock(), check_mode=True)
    assert caught.value.message == (
        f"release {name(1)} can't be removed: slot blue links to it. It was left as it is. "
        "Make another release live and stop what runs from this one."
    )


def test_absent_is_refused_for_what_is_protected(scope: Scope) -> None:
    with pytest.raises(Refused, match="protected by the caller"):
        remove(replace(scope, protected=(name(2),)), name(2), FakeClock(), check_mode=False)


def test_a_removal_that_is_cut_short_leaves_no_release_that_says_it_is_whole(
    scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: str) -> None:
        raise KeyboardInterrupt(path)

    monkeypatch.setattr(f"{Scope.__module__}.remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(scope, name(2), FakeClock(), check_mode=False)
    assert not os.path.exists(scope.layout.release(name(2)).manifest)

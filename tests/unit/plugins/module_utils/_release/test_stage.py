# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan, and the order of things around a build. Whole builds: tests/integration/test_release_module.py."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._process import Completed
from ansible_collections.slipway.django.plugins.module_utils._release._build import BuildOptions
from ansible_collections.slipway.django.plugins.module_utils._release._environment import write_environment
from ansible_collections.slipway.django.plugins.module_utils._release._layout import Layout
from ansible_collections.slipway.django.plugins.module_utils._release._manifest import (
    Manifest,
    read_manifest,
    write_manifest,
)
from ansible_collections.slipway.django.plugins.module_utils._release._naming import BuildIdentity
from ansible_collections.slipway.django.plugins.module_utils._release._processes import Running
from ansible_collections.slipway.django.plugins.module_utils._release._stage import (
    Observed,
    StagePlan,
    Tools,
    Wanted,
    build_options,
    check_wanted,
    observe,
    plan_stage,
    stage,
)
from ansible_collections.slipway.django.plugins.module_utils._release._static import Publication
from ansible_collections.slipway.django.plugins.module_utils._release._steps import StepFailed
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeClock, FakeRunner, completed

COMMIT = "0123456789ab" + "0" * 28
NAME = "0123456789ab-01234567"
BUILD = BuildOptions(BuildIdentity("python3", "pip", "requirements.txt", (), ()), "uv", (), {}, 60)


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs on this machine is no part of these tests."""
    monkeypatch.setattr(f"{Wanted.__module__}.running_releases", lambda _: Running({}))


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    root = tmp_path / "srv"
    root.mkdir()
    return Wanted(
        root=Layout(str(root)),
        scratch=None,
        name=NAME,
        repository="/srv/git/shop.git",
        commit=COMMIT,
        version="v2",
        environment={"KEY": "hunter2"},
        build=BUILD,
        static_root=str(root / "static"),
        who="ann",
    )


def manifest_of(wanted: Wanted) -> Manifest:
    return Manifest(
        wanted.name,
        wanted.commit,
        wanted.version,
        wanted.repository,
        "2026-11-21T16:05:28Z",
        "ann",
        "pip",
        wanted.digest,
        {},
    )


def whole(wanted: Wanted) -> Observed:
    return Observed(True, manifest_of(wanted), None, wanted.full_environment, Publication((), (), 3), None)


def make_whole(wanted: Wanted) -> None:
    """A release as a build would leave it, as far as observation goes."""
    paths = wanted.paths
    for directory in (paths.src, paths.bin, paths.static):
        os.makedirs(directory)
    Path(paths.python).touch()
    (Path(paths.static) / "a.css").write_text("a")
    write_environment(paths.environment, wanted.full_environment)
    write_manifest(paths.manifest, manifest_of(wanted))


def test_absent_is_built(wanted: Wanted) -> None:
    assert plan_stage(wanted, Observed(present=False)) == StagePlan(
        True, None, f"release {NAME} is built: it was not there"
    )


def test_whole_is_left(wanted: Wanted) -> None:
    plan = plan_stage(wanted, whole(wanted))
    assert plan == StagePlan(False, None, f"release {NAME} is there")
    assert not plan.changed


def test_missing_static_files_are_published(wanted: Wanted) -> None:
    plan = plan_stage(wanted, replace(whole(wanted), publication=Publication(("a.css",), (), 3)))
    assert (plan.build, plan.changed) == (False, True)
    assert plan.reason == f"release {NAME} is there; 1 static files to add, 0 to replace, 3 are there"


def test_remains_are_built_anew(wanted: Wanted) -> None:
    plan = plan_stage(wanted, Observed(present=True))
    assert plan.build
    assert plan.reason == f"release {NAME} is built anew: it was not complete"


def test_damage_is_built_anew(wanted: Wanted) -> None:
    plan = plan_stage(wanted, replace(whole(wanted), damage="/x/venv/bin/python is gone", environment=None))
    assert plan.build
    assert plan.reason == f"release {NAME} is built anew: /x/venv/bin/python is gone"


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_in_use_is_never_removed(wanted: Wanted, damaged: bool) -> None:
    observed = replace(whole(wanted), damage="it is gone") if damaged else Observed(present=True)
    with pytest.raises(Refused) as caught:
        plan_stage(wanted, replace(observed, held="slot blue links to it"))
    assert "and slot blue links to it. It was left as it is. Make another release live first" in caught.value.message


def test_another_environment_under_the_same_name_is_refused_without_its_values(wanted: Wanted) -> None:
    observed = whole(wanted)
    with pytest.raises(Refused) as caught:
        plan_stage(replace(wanted, environment={"KEY": "hunter3"}), observed)
    assert caught.value.message == (
        f"release {NAME} is there already and was built with another environment. It was left as it is. "
        "A release never changes. Take the name from release_info with the same options: "
        "another configuration has another name."
    )
    assert "hunter" not in str(caught.value.facts)


def test_another_commit_under_the_same_name_is_refused(wanted: Wanted) -> None:
    other = replace(manifest_of(wanted), commit="0123456789ab" + "1" * 28)
    with pytest.raises(Refused, match="is of commit 0123456789ab1111"):
        plan_stage(wanted, replace(whole(wanted), manifest=other))


def test_a_changed_environment_file_is_refused_with_names_only(wanted: Wanted) -> None:
    changed = {**wanted.full_environment, "KEY": "t0p", "NEW": "t0p"}
    with pytest.raises(Refused, match=r"changed by hand \(KEY, NEW\)") as caught:
        plan_stage(wanted, replace(whole(wanted), environment=changed))
    assert "t0p" not in caught.value.message


def test_the_name_belongs_to_the_commit(wanted: Wanted) -> None:
    with pytest.raises(InvalidOption, match="begins with the commit's first 12 digits, ffffffffffff"):
        check_wanted(replace(wanted, commit="f" * 40))


def test_the_root_is_there(wanted: Wanted) -> None:
    with pytest.raises(InvalidOption, match="Provision the host first"):
        check_wanted(replace(wanted, root=Layout("/no/such/root")))


def test_observed_as_it_lies_there(wanted: Wanted) -> None:
    assert observe(wanted) == Observed(present=False)
    make_whole(wanted)
    observed = observe(wanted)
    assert observed == replace(whole(wanted), publication=Publication(("a.css",), (), 0))
    os.unlink(wanted.paths.python)
    assert observe(wanted).damage == f"{wanted.paths.python} is gone"


def test_a_slot_holds_it(wanted: Wanted) -> None:
    make_whole(wanted)
    os.makedirs(wanted.root.slots)
    os.symlink(f"../releases/{NAME}", os.path.join(wanted.root.slots, "green"))
    assert observe(wanted).held == "slot green links to it"


def test_a_release_that_is_there_runs_no_program(wanted: Wanted) -> None:
    make_whole(wanted)
    tools = Tools(FakeRunner(), FakeClock())
    checked = stage(wanted, tools, check_mode=True)
    assert checked.plan.changed
    assert not os.path.exists(wanted.static_root)
    assert stage(wanted, tools, check_mode=False).plan.changed
    assert not stage(wanted, tools, check_mode=False).plan.changed
    assert os.listdir(wanted.static_root) == ["a.css"]


def test_a_failed_step_leaves_no_directory(wanted: Wanted) -> None:
    os.makedirs(wanted.paths.src)
    os.makedirs(wanted.root.mirror)

    def git(call: Call) -> Completed:
        found = "cat-file" in call.argv
        return completed(f"{COMMIT} commit 1\n") if found else completed(returncode=1, stderr="disk on fire")

    with pytest.raises(StepFailed) as caught:
        stage(wanted, Tools(FakeRunner().on("git", answer=git), FakeClock()), check_mode=False)
    assert caught.value.message.startswith("source: git --git-dir=")
    assert "disk on fire. What runs was not touched, and the partial directory was removed" in caught.value.message
    assert os.listdir(wanted.root.releases) == [".lock"]


def test_a_failed_fetch_leaves_the_remains_that_were_there(wanted: Wanted) -> None:
    os.makedirs(wanted.paths.src)
    runner = FakeRunner().on("git", answer=completed(returncode=128, stderr="no route to host"))
    with pytest.raises(StepFailed, match=r"^repository: .*no route to host"):
        stage(wanted, Tools(runner, FakeClock()), check_mode=False)
    assert os.path.isdir(wanted.paths.src)
    assert read_manifest(wanted.paths.manifest) is None


def test_a_scratch_build_keeps_its_caches_beside_it(wanted: Wanted, tmp_path: Path) -> None:
    """uv wrote into the home folder of the site's user in check mode, which must change nothing."""
    scratch = replace(wanted, scratch=Layout(str(tmp_path / "scratch")))
    assert build_options(scratch).environment == {"XDG_CACHE_HOME": str(tmp_path / "scratch" / "cache")}
    assert build_options(wanted).environment == {}

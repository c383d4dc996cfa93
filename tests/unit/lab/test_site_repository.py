# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo site's repository, made by the command that people use."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COMMAND = ROOT / "lab" / "bin" / "site-repository"
SITE = ROOT / "lab" / "site"


def make(path: Path, source: Path = SITE, *, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(COMMAND), "--source", str(source), str(path)],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def git(path: Path, *arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", "--git-dir", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def refs(path: Path) -> dict[str, str]:
    return dict(reversed(line.split()) for line in git(path, "show-ref").splitlines())  # type: ignore[misc]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "site.git"
    make(path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the site's files, to be changed."""
    for name in ("base", "releases"):
        shutil.copytree(
            SITE / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
        )
    return tmp_path / "source"


def test_the_same_files_give_the_same_commits_whatever_git_is_told(
    repository: Path, source: Path, tmp_path: Path
) -> None:
    (tmp_path / ".gitconfig").write_text("[core]\nautocrlf = true\n[commit]\ngpgsign = true\n", encoding="utf-8")
    (source / "base" / "shop" / "__pycache__").mkdir()
    (source / "base" / "shop" / "__pycache__" / "x.pyc").write_bytes(b"debris")

    make(tmp_path / "other.git", source, HOME=str(tmp_path), GIT_AUTHOR_NAME="somebody", TZ="Asia/Tokyo")

    assert refs(tmp_path / "other.git") == refs(repository)


def test_a_second_call_does_nothing(repository: Path) -> None:
    before = (repository / "refs").stat().st_mtime_ns

    done = make(repository)

    assert "up to date" in done.stdout
    assert (repository / "refs").stat().st_mtime_ns == before


def test_releases_are_annotated_tags_and_main_is_the_newest_good_one(repository: Path) -> None:
    tags = git(repository, "for-each-ref", "--format=%(refname:short) %(objecttype)", "refs/tags").splitlines()

    assert {tag.split()[0] for tag in tags} >= {"v1", "v2", "broken-start", "broken-health"}
    assert {tag.split()[1] for tag in tags} == {"tag"}
    assert git(repository, "rev-parse", "main") == git(repository, "rev-parse", "v2^{commit}")


def test_the_second_release_is_a_list_of_changes(repository: Path) -> None:
    assert git(repository, "log", "--reverse", "--format=%s", "v1..v2").splitlines() == [
        "Orders know the channel they came through",
        "Index orders by channel and date",
        "Order pages show the channel and can be limited to one",
        "Score each order after it was placed",
    ]


def test_every_release_is_python(repository: Path) -> None:
    for tag in git(repository, "tag").split():
        for name in git(repository, "ls-tree", "-r", "--name-only", tag).splitlines():
            if name.endswith(".py"):
                ast.parse(git(repository, "show", f"{tag}:{name}"), f"{tag}:{name}")


def test_dependencies_are_pinned_and_the_same_in_all_releases(repository: Path) -> None:
    first, *others = (git(repository, "show", f"{tag}:requirements.txt") for tag in git(repository, "tag").split())

    assert set(others) == {first}, "a release that needs others takes long to build in every test"
    names = [line for line in first.splitlines() if line and not line.startswith("#")]
    assert all("==" in name for name in names)


def test_a_changed_file_moves_the_releases_in_place(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.git"
    make(path, source)
    inode, before = path.stat().st_ino, refs(path)
    with (source / "base" / "manage.py").open("a", encoding="utf-8") as stream:
        stream.write("# changed\n")

    done = make(path, source)

    assert "made" in done.stdout
    assert path.stat().st_ino == inode, "it may be mounted"
    assert set(refs(path)) == set(before)
    assert all(refs(path)[name] != commit for name, commit in before.items())
    git(path, "fsck", "--strict")


def test_a_release_that_is_no_more_loses_its_tag(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.git"
    make(path, source)
    table = source / "releases" / "releases.toml"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if "broken-health" not in line), encoding="utf-8")

    make(path, source)

    assert "refs/tags/broken-health" not in refs(path)
    assert "refs/tags/broken-start" in refs(path)


def test_a_patch_that_does_not_apply_leaves_all_as_it_was(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.git"
    make(path, source)
    before = refs(path)
    (source / "base" / "shop" / "tasks.py").write_text("", encoding="utf-8")

    done = make(path, source, status=1)

    assert "v2-4-score.patch of release v2 does not apply" in done.stderr
    assert refs(path) == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".site.git.lock", "site.git", "source"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{ tag = "v1", description = "" }', "releases.toml has v1 twice"),
        (
            '{ tag = "x", parent = "y", patches = ["broken-start.patch"], description = "" }',
            "the parent of x, y, is not",
        ),
        ('{ tag = "x", parent = "v1", description = "" }', "x needs a parent and patches, or neither"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(line: str, message: str, source: Path, tmp_path: Path) -> None:
    table = source / "releases" / "releases.toml"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("\n]\n", f"\n    {line},\n]\n"), encoding="utf-8")

    done = make(tmp_path / "site.git", source, status=1)

    assert message in done.stderr
    assert not (tmp_path / "site.git").exists()


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one").touch()

    done = make(tmp_path / "photos", status=1)

    assert "is there and is no git repository; it was left as it is" in done.stderr
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["one"]

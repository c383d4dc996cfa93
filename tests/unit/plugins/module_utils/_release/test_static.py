# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._static import (
    Publication,
    is_hashed,
    plan_publication,
    publish,
    remove_names,
    stale_names,
    static_names,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HASHED = "css/base.0123456789ab.css"


def fill(directory: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(directory)


def read(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def publish_all(source: str, target: Path) -> Publication:
    publication = plan_publication(source, str(target))
    publish(source, str(target), publication)
    return publication


@pytest.mark.parametrize("name", [HASHED, "a.0123456789ab", "js/jquery.min.abcdefabcdef.js"])
def test_hashed(name: str) -> None:
    assert is_hashed(name)


@pytest.mark.parametrize(
    "name",
    [
        "base.css",
        "base.0123456789a.css",
        "base.0123456789abc.css",
        "base.0123456789AB.css",
        "base.0123456789ab.css.gz",
        "0123456789ab.css",
        "x.0123456789ab/y.css",
    ],
)
def test_not_hashed(name: str) -> None:
    assert not is_hashed(name)


def test_two_releases_lie_together(tmp_path: Path) -> None:
    old = fill(
        tmp_path / "old/static",
        {"css/base.aaaaaaaaaaaa.css": "old", "css/base.css": "old", "staticfiles.json": "{old}"},
    )
    new = fill(
        tmp_path / "new/static",
        {"css/base.bbbbbbbbbbbb.css": "new", "css/base.css": "new", "staticfiles.json": "{new}"},
    )
    target = tmp_path / "merged"
    assert publish_all(old, target) == Publication(("css/base.aaaaaaaaaaaa.css", "css/base.css"), (), 0)
    assert publish_all(new, target) == Publication(("css/base.bbbbbbbbbbbb.css",), ("css/base.css",), 0)
    assert read(target) == {
        "css/base.aaaaaaaaaaaa.css": "old",
        "css/base.bbbbbbbbbbbb.css": "new",
        "css/base.css": "new",
    }
    # The old release's own file is as it was, though it had been published as a hard link.
    assert read(Path(old))["css/base.css"] == "old"


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    source = fill(tmp_path / "one/static", {HASHED: "x", "robots.txt": "y"})
    target = tmp_path / "merged"
    publish_all(source, target)
    before = {name: (target / name).stat() for name in (HASHED, "robots.txt")}
    again = plan_publication(source, str(target))
    assert not again.changed
    assert again.reason == "all 2 static files are published"
    publish(source, str(target), again)
    assert {name: (target / name).stat() for name in before} == before


def test_equal_content_of_another_release_is_the_same(tmp_path: Path) -> None:
    target = tmp_path / "merged"
    publish_all(fill(tmp_path / "one/static", {HASHED: "x"}), target)
    assert plan_publication(fill(tmp_path / "two/static", {HASHED: "x"}), str(target)) == Publication((), (), 1)


def test_other_content_under_a_hashed_name_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    target = tmp_path / "merged"
    publish_all(fill(tmp_path / "one/static", {HASHED: "x"}), target)
    source = fill(tmp_path / "two/static", {HASHED: "z", "css/another.css": ""})
    with pytest.raises(Refused) as caught:
        plan_publication(source, str(target))
    assert caught.value.message.startswith(f"static file '{HASHED}' has other content than the one under {target}")
    assert "No static file was published" in caught.value.message
    assert read(target) == {HASHED: "x"}


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a", "a/b/c")])
def test_a_file_where_a_directory_is_is_refused(tmp_path: Path, first: str, second: str) -> None:
    target = tmp_path / "merged"
    publish_all(fill(tmp_path / "one/static", {first: ""}), target)
    with pytest.raises(Refused, match="is a file in one release and a directory in another"):
        plan_publication(fill(tmp_path / "two/static", {second: ""}), str(target))


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_hard_links_are_not_possible_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.link", no_link)
    source = fill(tmp_path / "one/static", {HASHED: "x"})
    publish_all(source, tmp_path / "merged")
    assert read(tmp_path / "merged") == {HASHED: "x"}
    assert not os.path.samefile(tmp_path / "merged" / HASHED, Path(source) / HASHED)


def test_a_full_disk_leaves_the_published_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "merged"
    publish_all(fill(tmp_path / "one/static", {"base.css": "old"}), target)
    source = fill(tmp_path / "two/static", {"base.css": "new"})
    publication = plan_publication(source, str(target))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.link", full)
    with pytest.raises(OSError, match="No space left"):
        publish(source, str(target), publication)
    assert read(target) == {"base.css": "old"}
    assert os.listdir(target) == ["base.css"]


def test_links_of_collectstatic_are_followed_inside_of_the_release_only(tmp_path: Path) -> None:
    source = Path(fill(tmp_path / "one/static", {}))
    source.mkdir(parents=True)
    fill(tmp_path / "one/src", {"base.css": "x"})
    (source / "base.css").symlink_to(tmp_path / "one/src/base.css")
    publish_all(str(source), tmp_path / "merged")
    assert read(tmp_path / "merged") == {"base.css": "x"}
    assert not (tmp_path / "merged/base.css").is_symlink()
    (source / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(SlipwayError, match="is a link to /etc/passwd, which is no file of the release"):
        plan_publication(str(source), str(tmp_path / "merged"))


def test_stale_files_are_those_of_no_kept_release(tmp_path: Path) -> None:
    target = tmp_path / "merged"
    gone = publish_all(fill(tmp_path / "one/static", {"a/b/c/old.aaaaaaaaaaaa.css": "", "shared.css": ""}), target)
    assert gone.changed
    kept = fill(tmp_path / "two/static", {"a/new.bbbbbbbbbbbb.css": "", "shared.css": ""})
    publish_all(kept, target)
    stale = stale_names(str(target), [static_names(kept)])
    assert stale == ["a/b/c/old.aaaaaaaaaaaa.css"]
    remove_names(str(target), stale)
    assert sorted(read(target)) == ["a/new.bbbbbbbbbbbb.css", "shared.css"]
    assert not (target / "a/b").exists()


def test_a_root_that_is_not_there_has_nothing_stale(tmp_path: Path) -> None:
    assert stale_names(str(tmp_path / "none"), []) == []
    assert static_names(str(tmp_path / "none")) == frozenset()


@settings(max_examples=25)  # each makes files
@given(
    st.lists(
        st.dictionaries(st.sampled_from([HASHED, "x.css", "d/y.css", "d/z.cccccccccccc.js"]), st.just("same")),
        min_size=1,
        max_size=4,
    )
)
def test_after_each_publication_the_release_is_served_whole(
    tmp_path_factory: pytest.TempPathFactory, releases: list[dict[str, str]]
) -> None:
    base = tmp_path_factory.mktemp("static")
    target = base / "merged"
    for number, files in enumerate(releases):
        source = fill(base / str(number) / "static", files)
        publish_all(source, target)
        assert files.items() <= read(target).items()
        assert not plan_publication(source, str(target)).changed

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._refs import (
    checked_version,
    parse_ls_remote,
    resolve,
)

A, B, C = "a" * 40, "b" * 40, "c" * 40
# git 2.39.5, git ls-remote --heads --tags, with an annotated and a plain tag
RECORDED = (
    f"{A}\trefs/heads/main\n{B}\trefs/heads/feature/red\n{C}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n{B}\trefs/tags/v2\n"
)
REFS = parse_ls_remote(RECORDED)


def test_an_annotated_tag_stands_for_its_commit() -> None:
    assert REFS == {"refs/heads/main": A, "refs/heads/feature/red": B, "refs/tags/v1": A, "refs/tags/v2": B}


def test_a_line_of_another_form_is_an_error() -> None:
    with pytest.raises(SlipwayError, match="expected an object id, a tab and a ref"):
        parse_ls_remote("warning: something\n")


@pytest.mark.parametrize(
    ("version", "commit", "ref"),
    [
        ("v1", A, "refs/tags/v1"),
        ("main", A, "refs/heads/main"),
        ("feature/red", B, "refs/heads/feature/red"),
        ("refs/tags/v2", B, "refs/tags/v2"),
        (C, C, ""),
        (C.upper(), C, ""),
    ],
)
def test_resolved(version: str, commit: str, ref: str) -> None:
    found = resolve(version, REFS)
    assert (found.commit, found.ref) == (commit, ref)


def test_a_tag_and_a_branch_of_one_name_are_ambiguous() -> None:
    with pytest.raises(Refused) as caught:
        resolve("v3", {"refs/tags/v3": A, "refs/heads/v3": B})
    assert caught.value.message == (
        "version 'v3' is ambiguous in the repository: refs/tags/v3 (aaaaaaaaaaaa), refs/heads/v3 (bbbbbbbbbbbb). "
        "Nothing was changed. Name one of them in full, e.g. refs/tags/v3."
    )


def test_a_tag_and_a_branch_of_one_name_and_one_commit_are_not() -> None:
    assert resolve("v3", {"refs/tags/v3": A, "refs/heads/v3": A}).commit == A


def test_a_branch_that_looks_like_another_commit_is_found_by_its_name() -> None:
    assert resolve(C, {f"refs/heads/{C}": A}).commit == A


def test_an_unknown_version_is_refused_with_what_there_is() -> None:
    refs = {f"refs/tags/v{number}": A for number in range(1, 12)} | {"refs/heads/main": A}
    with pytest.raises(Refused) as caught:
        resolve("mian", refs)
    assert caught.value.message == (
        "version 'mian' is neither a tag nor a branch of the repository. "
        "Tags: v11, v10, v9, v8, v7, v6, v5, v4 and 3 more; branches: main. Nothing was changed. Perhaps main is meant."
    )


def test_an_empty_repository() -> None:
    with pytest.raises(Refused, match=r"Tags: none; branches: none\. Nothing was changed\. Push it"):
        resolve("v1", {})


def test_an_abbreviated_commit_is_refused() -> None:
    with pytest.raises(Refused, match="give it whole"):
        resolve("aaaaaaaa", REFS)


@pytest.mark.parametrize(
    "version", ["", "-v1", "--upload-pack=x", "a b", "a..b", "v1^{}", "v1~1", "a:b", "@{-1}", "a\n", "a*"]
)
def test_what_git_accepts_in_no_name_is_refused(version: str) -> None:
    with pytest.raises(InvalidOption, match="a tag, a branch or a whole commit id"):
        checked_version(version)


@pytest.mark.parametrize("version", ["v1.2.3", "feature/red", "release-2", "ü", "v1+build"])
def test_names_that_are_accepted(version: str) -> None:
    assert checked_version(version) == version

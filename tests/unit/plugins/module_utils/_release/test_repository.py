# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import (
    CommandFailed,
    InvalidOption,
    Refused,
    SlipwayError,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Completed
from ansible_collections.slipway.django.plugins.module_utils._release._repository import (
    Change,
    Git,
    Mirror,
    checked_repository,
    parse_changes,
)
from ansible_collections.slipway.django.tests.unit.fakes import Call, FakeRunner, completed

A, B = "a" * 40, "b" * 40
URL = "https://git.example.com/shop.git"


def git(runner: FakeRunner) -> Git:
    return Git(runner, URL, {"HTTPS_PROXY": "http://proxy:3128"}, 60)


def word(call: Call) -> str:
    """The git command of a call, after its options."""
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    return next(word for word in words if "=" not in word)


def answers(**by_command: Callable[[Call], Completed | str] | Completed | str) -> FakeRunner:
    """A runner that answers by git's command, whatever options stand before it."""

    def answer(call: Call) -> Completed | str:
        found = by_command[word(call).replace("-", "_")]
        return found(call) if callable(found) else found

    return FakeRunner().on("git", answer=answer)


@pytest.mark.parametrize(
    "url", [URL, "git@git.example.com:shop.git", "ssh://git@git.example.com/shop.git", "/srv/git/shop.git"]
)
def test_repositories_that_are_accepted(url: str) -> None:
    assert checked_repository(url) == url


@pytest.mark.parametrize("url", ["", "--upload-pack=touch /tmp/x"])
def test_a_repository_that_is_none(url: str) -> None:
    with pytest.raises(InvalidOption, match="a URL or a path"):
        checked_repository(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:t0p-secret@git.example.com/shop.git",
        "https://t0p-secret@git.example.com/shop.git",
        "ssh://git:t0p-secret@host/shop",
    ],
)
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        checked_repository(url)
    assert "list of processes" in caught.value.message
    assert "t0p-secret" not in caught.value.message + str(caught.value.facts)


def test_git_can_ask_nobody_and_has_a_deadline() -> None:
    runner = answers(ls_remote=f"{A}\trefs/heads/main\n")
    assert git(runner).remote_refs() == {"refs/heads/main": A}
    call = runner.calls[0]
    assert call.env["GIT_TERMINAL_PROMPT"] == "0"
    assert call.env["HTTPS_PROXY"] == "http://proxy:3128"
    assert call.stdin is None
    assert call.timeout_s == 60
    assert call.argv[-2:] == ("--", URL)


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        ("fatal: detected dubious ownership in repository at '/srv/git/shop.git'", "safe.directory"),
        ("Host key verification failed.", "known_hosts"),
        ("git@host: Permission denied (publickey).", "a key that may read the repository"),
        ("fatal: could not read Username for 'https://host': terminal prompts disabled", "deploy key over SSH"),
        ("fatal: something new", ""),
    ],
)
def test_known_failures_have_a_remedy(stderr: str, remedy: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        git(answers(ls_remote=completed(returncode=128, stderr=stderr))).remote_refs()
    assert stderr.rstrip(".") in caught.value.message
    assert remedy in caught.value.message


def test_an_absent_mirror_has_nothing(tmp_path: Path) -> None:
    assert not Mirror(str(tmp_path / "no.git"), git(FakeRunner())).has(A)


@pytest.mark.parametrize(
    ("said", "there"),
    [
        (f"{A} commit 212\n{B} commit 213\n", True),
        (f"{A} commit 212\n{B}^{{commit}} missing\n", False),
        (f"{A} commit 212\n", False),
        ("", False),
    ],
)
def test_has(tmp_path: Path, said: str, there: bool) -> None:
    assert Mirror(str(tmp_path), git(answers(cat_file=said))).has(A, B) is there


def test_a_directory_that_is_no_repository_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    runner = answers(cat_file=completed(returncode=128, stderr="fatal: not a git repository"))
    with pytest.raises(SlipwayError, match=r"can't be read as a git repository.*not a git repository.*Move it away"):
        Mirror(str(tmp_path), git(runner)).has(A)


def test_the_mirror_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(Refused, match=r"this runs as user id 4711.*become_user"):
        Mirror(str(tmp_path), git(FakeRunner())).has(A)


def test_a_mirror_that_has_the_commit_is_not_fetched(tmp_path: Path) -> None:
    runner = answers(cat_file=f"{A} commit 212\n")
    Mirror(str(tmp_path), git(runner)).ensure(A)
    assert [word(call) for call in runner.calls] == ["cat-file"]


def test_a_clone_that_fails_leaves_no_mirror(tmp_path: Path) -> None:
    path = tmp_path / "repository.git"

    def clone(call: Call) -> Completed:
        Path(call.argv[-1]).mkdir()
        return completed(returncode=128, stderr="fatal: early EOF")

    with pytest.raises(CommandFailed, match="early EOF"):
        Mirror(str(path), git(answers(clone=clone))).ensure(A)
    assert not list(tmp_path.iterdir())


def test_a_commit_that_nobody_has_is_refused(tmp_path: Path) -> None:
    missing = f"{A}^{{commit}} missing\n"
    runner = answers(
        cat_file=missing, fetch=lambda call: completed(returncode=128 * (call.argv[-1] == A), stderr="not our ref")
    )
    with pytest.raises(Refused) as caught:
        Mirror(str(tmp_path), git(runner)).ensure(A)
    assert caught.value.message == (
        f"the repository {URL} has no commit {A}: git said 'not our ref'. What runs was not touched. "
        "Push the commit, on a branch or with a tag."
    )
    assert [word(call) for call in runner.calls] == ["cat-file", "fetch", "cat-file", "fetch", "cat-file"]


def test_submodules_are_refused(tmp_path: Path) -> None:
    runner = answers(ls_tree=f"100644 blob {A}\tREADME\x00160000 commit {B}\tvendor/lib\0")
    with pytest.raises(Refused, match=r"commit aaaaaaaaaaaa has submodules \(vendor/lib\), which are not supported"):
        Mirror(str(tmp_path), git(runner)).archive(A, str(tmp_path / "x.tar"))


def test_changes_of_both_sides() -> None:
    changes = parse_changes(f">{A}\0Sell in red\n<{B}\0Sell\x0bin\u2028green > blue\n>{B}\0\n")
    assert changes.added == (Change(A, "Sell in red"), Change(B, ""))
    assert changes.removed == (Change(B, "Sell\x0bin\u2028green > blue"),)


@pytest.mark.parametrize("line", [f"{A}\0x", f">{A} x", "gpg: Signature made"])
def test_a_log_line_of_another_form_is_an_error(line: str) -> None:
    with pytest.raises(SlipwayError, match="expected a side, a commit id and a subject"):
        parse_changes(line + "\n")

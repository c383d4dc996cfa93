# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site's git repository: what it has, a mirror on the host, one commit as an archive, the list of changes.

No command here can ask a question: no terminal (a session of its own, no standard input), no askpass.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._process import Completed, Runner
from ansible_collections.slipway.django.plugins.module_utils._release._refs import parse_ls_remote

CHANGES_SHOWN = 500

_UNATTENDED = {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS_REQUIRE": "never"}
# gc in the background would go on after we have ended; nothing that a kept release needs may be collected.
_CONFIGURATION = (
    *("-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", "-c", "gc.pruneExpire=never"),
    *("-c", "tar.umask=0022", "-c", "log.showSignature=false"),
)
_BRANCHES_AND_TAGS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_GITLINK = re.compile(r"160000 commit [0-9a-f]+\t(?P<path>.*)\Z", re.DOTALL)
_UNTOUCHED = "What runs was not touched"


def checked_repository(url: str) -> str:
    """Return the URL or path of a repository.

    :raises InvalidOption: it could be taken for an option, or holds a password or token, which every user of
        the host could read in the list of processes. The URL is not shown then.
    """
    if not url or url.startswith("-"):
        raise InvalidOption("repository", url, "a URL or a path")
    if "://" in url:
        try:
            parts = urlsplit(url)
            secret = parts.password is not None or (parts.username is not None and parts.scheme in {"http", "https"})
        except ValueError as error:
            raise InvalidOption(
                "repository", "a URL that can't be read", "a URL such as https://host/shop.git"
            ) from error
        if secret:
            raise InvalidOption(
                "repository",
                "a URL with a password or token inside",
                "a URL without, as everybody on the host sees it in the list of processes",
                remedy="Use a deploy key over SSH, or a git credential helper of the site's user",
            )
    return url


@dataclass(frozen=True)
class Git:
    """Runs git for one repository, with a deadline on each command."""

    runner: Runner
    url: str
    environment: Mapping[str, str]
    timeout_s: float

    def run(self, *words: str, stdin: str | None = None) -> Completed:
        """Run git and return what it said, whatever its status is."""
        env = {**_UNATTENDED, **self.environment}
        return self.runner.run(["git", *_CONFIGURATION, *words], timeout_s=self.timeout_s, stdin=stdin, env=env)

    def checked(self, *words: str, stdin: str | None = None) -> str:
        """Run git and return its output.

        :raises CommandFailed: any status but 0; with a remedy where the cause is a known one.
        """
        done = self.run(*words, stdin=stdin)
        # Without the settings, which would push what was done out of the message.
        said = Completed(("git", *words), done.returncode, done.stdout, done.stderr)
        return said.check(remedy=_remedy(done), untouched=_UNTOUCHED).stdout

    def remote_refs(self) -> dict[str, str]:
        """The commit of each branch and tag."""
        return parse_ls_remote(self.checked("ls-remote", "--heads", "--tags", "--", self.url))


def _remedy(done: Completed) -> str:
    """What to do about the failures that are met most."""
    known = (
        (
            "dubious ownership",
            "The repository belongs to another user: as the site's user, git config --global --add safe.directory PATH",
        ),
        ("Host key verification failed", "Put the host key of the git server into known_hosts of the site's user"),
        ("Permission denied (publickey", "Give the site's user a key that may read the repository"),
        (
            "could not read Username",
            "The repository asks for a password: use a deploy key over SSH or a credential helper",
        ),
        ("No space left on device", "Free some space; old releases go with state=pruned"),
    )
    return next((remedy for sign, remedy in known if sign in done.stderr), "")


@dataclass(frozen=True)
class Change:
    """One commit of a list of changes."""

    id: str
    subject: str


@dataclass(frozen=True)
class Changes:
    """What a step from one commit to another brings and what it takes away."""

    added: tuple[Change, ...]
    removed: tuple[Change, ...]


@dataclass(frozen=True)
class Mirror:
    """A bare copy of the repository on this host. It appears whole or not at all."""

    path: str
    git: Git

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.path)

    def has(self, *commits: str) -> bool:
        """True when all the commits are here.

        :raises SlipwayError: the directory is no git repository, or not ours.
        """
        if not self.exists:
            return False
        self._refuse_foreign()
        asked = "".join(f"{commit}^{{commit}}\n" for commit in commits)
        done = self._run("cat-file", "--batch-check", stdin=asked)
        if done.returncode != 0:
            raise self._broken(done)
        # "<id> commit <size>" or "<what was asked> missing"
        kinds = [line.rsplit(" ", 2)[1:2] for line in done.stdout.splitlines()]
        return len(kinds) == len(commits) and all(kind == ["commit"] for kind in kinds)

    def ensure(self, commit: str) -> None:
        """Make the mirror and fetch, as far as needed to have the commit.

        :raises Refused: the repository does not have it.
        """
        if not self.exists:
            self._clone()
        if self.has(commit):
            return
        self._checked("fetch", "--quiet", "--prune", "--no-tags", "--", self.git.url, *_BRANCHES_AND_TAGS)
        if self.has(commit):
            return
        # No branch holds it any more. Some servers give it all the same; a refusal means no.
        direct = self._run("fetch", "--quiet", "--no-tags", "--", self.git.url, commit)
        if not self.has(commit):
            raise Refused(
                f"the repository {self.git.url} has no commit {commit}" + _said(direct.stderr),
                untouched=_UNTOUCHED,
                remedy="Push the commit, on a branch or with a tag",
                facts={"repository": self.git.url, "commit": commit},
            )

    def submodules(self, commit: str) -> list[str]:
        """The paths of submodules in the tree of a commit."""
        listing = self._checked("ls-tree", "-r", "-z", "--full-tree", commit)
        matches = (_GITLINK.match(entry) for entry in listing.split("\0"))
        return [match["path"] for match in matches if match]

    def archive(self, commit: str, target: str) -> None:
        """Write the files of a commit into a tar file.

        :raises Refused: it has submodules, of which an archive would hold empty directories.
        """
        submodules = self.submodules(commit)
        if submodules:
            raise Refused(
                f"commit {commit[:12]} has submodules ({', '.join(submodules[:5])}), which are not supported",
                untouched=_UNTOUCHED,
                remedy="Install what they hold as packages (requirements), or take the files into the repository",
                facts={"commit": commit, "submodules": submodules},
            )
        self._checked("archive", "--format=tar", f"--output={target}", commit)

    def changes(self, old: str, new: str) -> Changes:
        """The commits that only ``new`` has, and those that only ``old`` has; the newest first."""
        # NUL can't be part of a subject; %m is ">" for the right side and "<" for the left one.
        listing = self._checked(
            "log", f"--max-count={CHANGES_SHOWN}", "--left-right", "--format=%m%H%x00%s", f"{old}...{new}", "--"
        )
        return parse_changes(listing)

    def _run(self, *words: str, stdin: str | None = None) -> Completed:
        return self.git.run(f"--git-dir={self.path}", *words, stdin=stdin)

    def _checked(self, *words: str) -> str:
        return self.git.checked(f"--git-dir={self.path}", *words)

    def _clone(self) -> None:
        """Copy the repository beside the final place and rename it: a copy cut short is never taken for a mirror."""
        partial = f"{self.path}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            self.git.checked("clone", "--bare", "--quiet", "--", self.git.url, partial)
            os.rename(partial, self.path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _refuse_foreign(self) -> None:
        owner = os.stat(self.path).st_uid
        if owner != os.geteuid():
            raise Refused(
                f"{self.path} belongs to user id {owner}, this runs as user id {os.geteuid()}",
                untouched="It was left as it is",
                remedy="Run as the site's user (become_user); git refuses repositories of others",
                facts={"path": self.path, "owner": owner},
            )

    def _broken(self, done: Completed) -> SlipwayError:
        return SlipwayError(
            f"{self.path} can't be read as a git repository" + _said(done.stderr),
            untouched="It was left as it is",
            remedy="Move it away; it is made again from the repository",
            facts={"path": self.path, "stderr": done.stderr.strip()[-2000:]},
        )


def _said(stderr: str) -> str:
    text = stderr.strip()[-500:]
    return f": git said {text!r}" if text else ""


def parse_changes(listing: str) -> Changes:
    """Read the output of :meth:`Mirror.changes`.

    :raises SlipwayError: a line of another form.
    """
    sides: dict[str, list[Change]] = {">": [], "<": []}
    # Only "\n" ends a line: a subject may hold other separators.
    for line in filter(None, listing.split("\n")):
        head, separator, subject = line.partition("\0")
        if not separator or head[:1] not in sides:
            raise SlipwayError(f"git log said {line!r}, expected a side, a commit id and a subject")
        sides[head[0]].append(Change(head[1:], subject))
    return Changes(tuple(sides[">"]), tuple(sides["<"]))

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the demo site's git repository: its releases are tags, made from a first tree and patches.

The same files always give the same commit ids: authors and dates are fixed, and nobody's git settings are read.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAMP = "slipway-inputs"
WHO = ("Shop Developers", "shop@shop.example")
FIRST_DAY = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class RepositoryError(Exception):
    """The releases can't be made as they are written."""


@dataclass(frozen=True)
class Release:
    """A row of ``releases.toml``. ``parent`` is empty for the release that is the first tree itself."""

    tag: str
    parent: str
    patches: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Table:
    """``releases.toml``: the releases in their order, and the one that the branch ``main`` points at."""

    main: str
    first_subject: str
    releases: tuple[Release, ...]


def read_table(source: Path) -> Table:
    """Read and check the table of releases."""
    with (source / "releases" / "releases.toml").open("rb") as stream:
        document = tomllib.load(stream)
    releases = tuple(
        Release(row["tag"], row.get("parent", ""), tuple(row.get("patches", ())), row["description"])
        for row in document["release"]
    )
    known: set[str] = set()
    for release in releases:
        if release.tag in known:
            raise RepositoryError(f"releases.toml has {release.tag} twice")
        if release.parent and release.parent not in known:
            raise RepositoryError(f"releases.toml: the parent of {release.tag}, {release.parent}, is not above it")
        if bool(release.parent) != bool(release.patches):
            raise RepositoryError(f"releases.toml: {release.tag} needs a parent and patches, or neither")
        known.add(release.tag)
    if document["main"] not in known:
        raise RepositoryError(f"releases.toml: main is {document['main']}, which is none of the releases")
    return Table(document["main"], document["first_subject"], releases)


def inputs_digest(source: Path) -> str:
    """Digest all that the repository is made from, this program with it."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in (source / "base", source / "releases"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not is_debris(path.relative_to(source)):
                digest.update(f"{path.relative_to(source)}\0{path.stat().st_mode & 0o100:o}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_debris(path: Path) -> bool:
    """Tell what tools leave behind (the tree's ``.gitignore`` keeps it out of the commits)."""
    return any(part == "__pycache__" or (part.startswith(".") and part != ".gitignore") for part in path.parts)


class Git:
    """Git on one bare repository, with fixed people and a clock that shows how deep a commit lies.

    By depth and not by order: a release added in the middle of the table changes no other's commits.
    """

    def __init__(self, repository: Path, scratch: Path) -> None:
        self.repository = repository
        self.depth = 0
        self.base_environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "HOME": str(scratch),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DEFAULT_HASH": "sha1",
            "GIT_DIR": str(repository),
            "GIT_INDEX_FILE": str(scratch / "index"),
        }

    def __call__(self, *arguments: str, cwd: Path | None = None, stdin: bytes = b"", tree: Path | None = None) -> str:
        environment = self.base_environment | self.people()
        if tree is not None:
            environment["GIT_WORK_TREE"] = str(tree)
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.repository,
            env=environment,
            input=stdin,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise RepositoryError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def people(self) -> dict[str, str]:
        date = (FIRST_DAY + timedelta(hours=self.depth)).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        return {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", WHO[0]), ("EMAIL", WHO[1]), ("DATE", date))
        }

    def commit(self, message: str, parent: str) -> str:
        """Commit the index; return the commit's id."""
        parents = ["-p", parent] if parent else []
        self.depth = int(self("rev-list", "--count", parent)) if parent else 0
        return self("commit-tree", self("write-tree").strip(), *parents, stdin=message.encode()).strip()


def build(source: Path, target: Path, scratch: Path) -> None:
    """Make the repository at ``target``, a directory that is not there yet."""
    table = read_table(source)
    target.mkdir(parents=True)
    git = Git(target, scratch)
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(target))
    commits: dict[str, str] = {}
    for release in table.releases:
        commit = commits.get(release.parent, "")
        if not release.parent:
            git("read-tree", "--empty")
            git("add", "--all", ".", cwd=source / "base", tree=source / "base")
            commit = git.commit(table.first_subject + "\n", "")
        else:
            git("read-tree", commit)
        for patch in release.patches:
            commit = apply_patch(git, source / "releases" / patch, release, commit, scratch)
        commits[release.tag] = commit
        git("tag", "--annotate", "--message", release.description, release.tag, commit)
    git("update-ref", "refs/heads/main", commits[table.main])
    git("update-server-info")
    (target / STAMP).write_text(inputs_digest(source) + "\n", encoding="utf-8")


def apply_patch(git: Git, patch: Path, release: Release, parent: str, scratch: Path) -> str:
    """Commit one patch, of the form that ``git format-patch`` writes, on top of its parent."""
    message, change = scratch / "message", scratch / "change"
    try:
        header = git("mailinfo", "--encoding=UTF-8", str(message), str(change), stdin=patch.read_bytes())
        git("apply", "--cached", "--whitespace=nowarn", str(change))
    except (RepositoryError, OSError) as error:
        raise RepositoryError(f"{patch.name} of release {release.tag} does not apply: {error}") from error
    subject = next(line.partition(": ")[2] for line in header.splitlines() if line.startswith("Subject: "))
    body = message.read_text(encoding="utf-8").strip()
    return git.commit(f"{subject}\n\n{body}".strip() + "\n", parent)


def publish(built: Path, target: Path, scratch: Path) -> None:
    """Put what was built where it is wanted; a repository that is there keeps its directory, as it may be mounted."""
    if not target.exists():
        shutil.move(str(built), str(target))
        return
    git = Git(target, scratch)
    (target / STAMP).unlink(missing_ok=True)
    git("fetch", "--quiet", "--prune", "--no-tags", "--update-head-ok", "--force", str(built), "+refs/*:refs/*")
    git("update-server-info")
    shutil.copy(built / STAMP, target / STAMP)


def up_to_date(source: Path, target: Path) -> bool:
    """Tell whether the repository was made from just these inputs."""
    stamp = target / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == inputs_digest(source)


def ensure(source: Path, target: Path) -> bool:
    """Bring the repository to what the files say; return whether there was anything to do."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target / "HEAD").is_file() and any(target.iterdir()):
        raise RepositoryError(f"{target} is there and is no git repository; it was left as it is: name another path")
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if up_to_date(source, target):
            return False
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            scratch = Path(folder)
            build(source, scratch / "built.git", scratch)
            if target.exists() and not any(target.iterdir()):
                target.rmdir()
            publish(scratch / "built.git", target, scratch)
    return True


def report(source: Path, target: Path, *, changed: bool) -> None:
    """Say where it is and what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        git = Git(target, Path(folder))
        print(f"{target}: {'made' if changed else 'up to date'}")
        for release in read_table(source).releases:
            commit = git("rev-parse", f"{release.tag}^{{commit}}").strip()
            print(f"  {release.tag:<14} {commit[:12]}  {release.description}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="site-repository", description=(__doc__ or "").splitlines()[0])
    default = HERE.parent.parent / ".cache" / "lab" / "site.git"
    parser.add_argument("path", nargs="?", type=Path, default=default, help="the bare repository (%(default)s)")
    parser.add_argument("--source", type=Path, default=HERE, help="the folder with base/ and releases/")
    arguments = parser.parse_args()
    os.umask(0o022)  # whoever serves the repository may be another user
    target = arguments.path.resolve()
    try:
        changed = ensure(arguments.source.resolve(), target)
        report(arguments.source.resolve(), target, changed=changed)
    except RepositoryError as error:
        print(f"site-repository: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

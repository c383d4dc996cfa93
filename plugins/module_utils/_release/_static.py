# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The merged root of static files: old and new pages find their files on every host.

A name with a digest inside (C(base.5f2a1b3c4d5e.css), Django's ManifestStaticFilesStorage) stands for one content:
it is added and never replaced; other content under the same name is an error. Every other name belongs to the release
that was staged last. C(staticfiles.json) is not published: each release reads its own.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._release._tree import walk_files

# One suffix after the digest: compressed copies (.css.gz) of one content differ from one library to the next.
_HASHED = re.compile(r"\.[0-9a-f]{12}(\.[^./]+)?\Z")
_NOT_PUBLISHED = frozenset({"staticfiles.json"})
_NO_HARD_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})
_TEMPORARY = ".slipway-"


@dataclass(frozen=True)
class Publication:
    """What publishing a release's static files would do."""

    add: tuple[str, ...]
    replace: tuple[str, ...]
    same: int

    @property
    def changed(self) -> bool:
        return bool(self.add or self.replace)

    @property
    def reason(self) -> str:
        if not self.changed:
            return f"all {self.same} static files are published"
        return f"{len(self.add)} static files to add, {len(self.replace)} to replace, {self.same} are there"


def is_hashed(name: str) -> bool:
    """True for a name that stands for one content."""
    return _HASHED.search(os.path.basename(name)) is not None


def static_names(directory: str) -> frozenset[str]:
    """The published names of a release's static files. A release without such a directory has none."""
    if not os.path.isdir(directory):
        return frozenset()
    return frozenset(name for name in walk_files(directory) if name not in _NOT_PUBLISHED)


def plan_publication(source: str, target: str) -> Publication:
    """Compare a release's static files with the merged root.

    :raises Refused: a hashed name stands for two contents, or a name is a file here and a directory there.
    """
    add: list[str] = []
    replace: list[str] = []
    same = 0
    for name in sorted(static_names(source)):
        own = _source_file(source, name)
        published = os.path.join(target, name)
        if not os.path.lexists(published):
            _refuse_blocked(target, name)
            add.append(name)
        elif os.path.isdir(published):
            raise _blocked(target, name)
        elif _equal(own, published):
            same += 1
        elif is_hashed(name):
            raise _two_contents(source, target, name)
        else:
            replace.append(name)
    return Publication(tuple(add), tuple(replace), same)


def publish(source: str, target: str, publication: Publication) -> None:
    """Do what was planned. Each file appears whole: made under another name, then renamed."""
    _make_directory(target)
    for name in (*publication.add, *publication.replace):
        path = os.path.join(target, name)
        _make_directory(os.path.dirname(path))
        _place(_source_file(source, name), path)


def stale_names(target: str, kept: Iterable[frozenset[str]]) -> list[str]:
    """The files in the merged root that belong to none of the kept releases."""
    if not os.path.isdir(target):
        return []
    needed = frozenset[str]().union(*kept)
    return sorted(name for name in walk_files(target) if name not in needed)


def remove_names(target: str, names: Iterable[str]) -> None:
    """Remove files from the merged root, and the directories that are empty then."""
    directories: set[str] = set()
    for name in names:
        os.unlink(os.path.join(target, name))
        parent = os.path.dirname(name)
        while parent:
            directories.add(parent)
            parent = os.path.dirname(parent)
    for directory in sorted(directories, key=len, reverse=True):
        path = os.path.join(target, directory)
        if not os.listdir(path):
            os.rmdir(path)


def _source_file(source: str, name: str) -> str:
    """The file behind a name. C(collectstatic --link) makes links, which must not lead out of the release."""
    real = os.path.realpath(os.path.join(source, name))
    release = os.path.realpath(os.path.dirname(source))
    if not real.startswith(release + os.sep) or not os.path.isfile(real):
        raise SlipwayError(
            f"the static file {name!r} is a link to {real}, which is no file of the release",
            remedy="Let collectstatic copy the files",
            facts={"name": name, "target": real},
        )
    return real


def _equal(one: str, other: str) -> bool:
    # By inode first: what was published as a hard link is equal without being read.
    return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)


def _make_directory(path: str) -> None:
    os.makedirs(path, mode=0o755, exist_ok=True)


def _place(source: str, path: str) -> None:
    # A directory of its own gives a free name for link(2), which replaces nothing.
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=os.path.dirname(path)) as place:
        temporary = os.path.join(place, "file")
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINK:
                raise
            shutil.copy2(source, temporary)
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)


def _refuse_blocked(target: str, name: str) -> None:
    parent = os.path.dirname(name)
    while parent:
        path = os.path.join(target, parent)
        if os.path.lexists(path) and not os.path.isdir(path):
            raise _blocked(target, parent)
        parent = os.path.dirname(parent)


def _blocked(target: str, name: str) -> Refused:
    return Refused(
        f"{name!r} is a file in one release and a directory in another, under {target}",
        untouched="No static file was published",
        remedy="Rename it in the new release, or prune the releases that have the other one",
        facts={"name": name, "static_root": target},
    )


def _two_contents(source: str, target: str, name: str) -> Refused:
    return Refused(
        f"static file {name!r} has other content than the one under {target}, though its name holds a digest",
        untouched="No static file was published: a browser that has the other one would never ask again",
        remedy="Find out what gives one name to two contents: a build that can't be repeated, or a change by hand",
        facts={"name": name, "source": source, "static_root": target},
    )

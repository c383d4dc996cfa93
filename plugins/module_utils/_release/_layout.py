# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie under a site's root. Nothing else knows these paths."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption

SLOTS = ("blue", "green")
# The services of a site; each runs in one of the slots as <site>-<kind>@<slot>.service.
KINDS = ("web", "asgi", "worker", "beat")
# Those that listen on a port of their slot.
LISTENING = ("web", "asgi")

_RELEASE_NAME = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8}\Z")


def is_release_name(name: str) -> bool:
    """True for ``<first 12 of the commit>-<8 of the configuration's digest>``."""
    return _RELEASE_NAME.match(name) is not None


def checked_name(name: str) -> str:
    """Return the name of a release.

    :raises InvalidOption: it has another shape: a path built from it could lead anywhere.
    """
    if not is_release_name(name):
        raise InvalidOption(
            "name",
            name,
            "12 hexadecimal digits of the commit, '-', 8 of the configuration's digest",
            remedy="Take it from release_info",
        )
    return name


@dataclass(frozen=True)
class ReleasePaths:
    """The parts of one release's directory."""

    path: str

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def src(self) -> str:
        return os.path.join(self.path, "src")

    @property
    def venv(self) -> str:
        return os.path.join(self.path, "venv")

    @property
    def bin(self) -> str:
        return os.path.join(self.venv, "bin")

    @property
    def python(self) -> str:
        return os.path.join(self.bin, "python")

    @property
    def static(self) -> str:
        return os.path.join(self.path, "static")

    @property
    def environment(self) -> str:
        return os.path.join(self.path, "env")

    @property
    def manifest(self) -> str:
        return os.path.join(self.path, "release.json")


@dataclass(frozen=True)
class Layout:
    """The parts of a site's root, or of a scratch directory that stands in for it."""

    root: str

    @property
    def releases(self) -> str:
        return os.path.join(self.root, "releases")

    @property
    def slots(self) -> str:
        return os.path.join(self.root, "slots")

    @property
    def mirror(self) -> str:
        return os.path.join(self.root, "repository.git")

    @property
    def media(self) -> str:
        return os.path.join(self.root, "shared", "media")

    @property
    def static(self) -> str:
        return os.path.join(self.root, "static")

    @property
    def lock(self) -> str:
        return os.path.join(self.releases, ".lock")

    def release(self, name: str) -> ReleasePaths:
        """The paths of one release, there or not."""
        return ReleasePaths(os.path.join(self.releases, checked_name(name)))


def checked_root(option: str, path: str) -> str:
    """Return a root without a final slash.

    :raises InvalidOption: it is not absolute, or it is the root of the file system.
    """
    normal = os.path.normpath(path)
    if not os.path.isabs(path) or normal.strip("/") == "":
        raise InvalidOption(option, path, "an absolute path such as /srv/shop")
    return normal

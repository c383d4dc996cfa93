# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancer is to remember over its restart."""

from __future__ import annotations

import os

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import write_atomic


def require_replaceable(option: str, path: str) -> None:
    """Return when this user can replace the file.

    :raises Refused: it can't make files in its directory.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
        raise Refused(
            f"The {option.replace('_', ' ')} {path} can't be written: this user may not make files in {directory}",
            untouched="Nothing was changed",
            remedy=f"Make the directory and give it to the user that runs this task, or name another {option}",
            facts={option: path},
        )


class StateFile:
    """The file that a fresh balancer process reads. Without a path nothing is kept."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def require_writable(self) -> None:
        """Return when the file could be replaced.

        :raises Refused: it could not.
        """
        if self._path is not None:
            require_replaceable("state_file", self._path)

    def write(self, data: bytes) -> None:
        """Replace the content in one step.

        :raises SlipwayError: it could not be written.
        """
        if self._path is None:
            return
        try:
            # HAProxy reads it as root, before it gives up its rights.
            write_atomic(self._path, data, mode=0o640)
        except OSError as error:
            raise SlipwayError(
                f"The state file {self._path} could not be written: {error}",
                untouched="It holds what it held before",
                remedy="See the disk space and the rights of its directory",
                facts={"state_file": self._path},
            ) from error

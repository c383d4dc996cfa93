# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch in nginx: a file that is looked for with each request, so that nothing is reloaded."""

from __future__ import annotations

import os

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, write_atomic

FLAG = "on"


class NginxSwitch:
    """A :class:`Driver` that makes and removes the file. That nginx looks for it is seen by asking it."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._path = os.path.join(directory, FLAG)

    def require_prepared(self) -> None:
        """Nothing more than the directory, which is looked at for every driver."""

    def kept(self) -> bool | None:
        return os.path.lexists(self._path)

    def switch(self, closed: bool) -> None:
        try:
            if closed:
                write_atomic(self._path, b"", mode=0o644)
            elif os.path.lexists(self._path):
                os.unlink(self._path)
                fsync_directory(self._directory)
        except OSError as error:
            raise SlipwayError(
                f"{self._path} could not be {'made' if closed else 'removed'}: {error}",
                remedy="See the disk space and the rights of its directory",
            ) from error

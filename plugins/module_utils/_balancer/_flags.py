# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory with a file for each server that is out: to be there is all that its reader looks at."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from ansible_collections.slipway.django.plugins.module_utils._balancer._model import Admin, BalancerError
from ansible_collections.slipway.django.plugins.module_utils._errors import Refused
from ansible_collections.slipway.django.plugins.module_utils._files import fsync_directory, write_atomic


class Flags:
    """The files. Each holds, for people and for us, what its server was told."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def require_writable(self) -> None:
        """Return when this user may make and remove files there.

        :raises Refused: it may not.
        """
        if not os.path.isdir(self.directory) or not os.access(self.directory, os.R_OK | os.W_OK | os.X_OK):
            raise Refused(
                f"The directory {self.directory} is not there, or this user may not make files in it",
                untouched="Nothing was changed",
                remedy="Make it and give it to the user that runs this task, or name another directory",
                facts={"directory": self.directory},
            )

    def ensure(self) -> None:
        """Make the directory, open to the same users as the one above it.

        :raises BalancerError: it could not be made.
        """
        if os.path.isdir(self.directory):
            return
        try:
            os.mkdir(self.directory)
            # Not by the umask of whoever comes first: the next one may be another user of the same group.
            os.chmod(self.directory, stat.S_IMODE(os.stat(os.path.dirname(self.directory)).st_mode))
        except OSError as error:
            raise BalancerError(
                f"The directory {self.directory} could not be made: {error.strerror}",
                untouched="This order was not carried out",
                remedy="See the rights of the one above it",
                facts={"directory": self.directory},
            ) from error

    def told(self, server: str) -> Admin:
        """What the server was told.

        :raises BalancerError: the file can't be read, or says something else.
        """
        path = self.path(server)
        try:
            with open(path, encoding="utf-8") as stream:
                word = stream.read().strip()
        except FileNotFoundError:
            return Admin.READY
        except OSError as error:
            raise BalancerError(f"{path} can't be read: {error.strerror}", facts={"file": path}) from error
        # By hand: `touch` takes a server out as well.
        return Admin.DRAIN if word == Admin.DRAIN.value else Admin.MAINT

    def tell(self, server: str, admin: Admin) -> None:
        """Make the file, change what it says, or remove it.

        :raises BalancerError: it could not be done.
        """
        path = self.path(server)
        try:
            if admin is Admin.READY:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                fsync_directory(self.directory)
            else:
                write_atomic(path, f"{admin.value}\n".encode(), mode=0o644)
        except OSError as error:
            raise BalancerError(
                f"{path} could not be {'removed' if admin is Admin.READY else 'written'}: {error.strerror}",
                untouched="This order was not carried out",
                remedy="See the disk space and the rights of its directory",
                facts={"file": path},
            ) from error

    def path(self, server: str) -> str:
        """The server's file."""
        return os.path.join(self.directory, server)

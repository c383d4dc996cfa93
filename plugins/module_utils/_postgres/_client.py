# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own programs: where they are, and how they are told whom to talk to."""

from __future__ import annotations

import glob
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# Debian and the PostgreSQL packages for Red Hat put each major version beside the others.
_BIN_DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_APPLICATION = "slipway pg_backup"


@dataclass(frozen=True)
class Connection:
    """How to reach a database. It goes to programs by the environment only: argument lists are for all to read."""

    database: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    passfile: str | None = None

    def validate(self) -> None:
        """Refuse what libpq would ignore with no more than a warning.

        :raises InvalidOption: the password file can't be used.
        """
        if self.passfile is None:
            return
        try:
            mode = os.stat(self.passfile).st_mode & 0o777
        except OSError as error:
            raise InvalidOption(
                "passfile", self.passfile, f"a file that this user can read ({error.strerror})"
            ) from error
        if mode & 0o077:
            raise InvalidOption(
                "passfile",
                self.passfile,
                f"a file that nobody else can read (its mode is {mode:04o}, and PostgreSQL's programs ignore it then)",
                remedy=f"chmod 0600 {self.passfile}",
            )

    def environment(self) -> dict[str, str]:
        """The variables that libpq reads."""
        values = {
            "PGDATABASE": self.database,
            "PGHOST": self.host,
            "PGPORT": None if self.port is None else str(self.port),
            "PGUSER": self.user,
            "PGPASSFILE": self.passfile,
            "PGAPPNAME": _APPLICATION,
            "PGCONNECT_TIMEOUT": "10",
        }
        return {name: value for name, value in values.items() if value is not None}

    def to(self, database: str) -> Connection:
        """The same server and user, another database."""
        return replace(self, database=database)

    def in_words(self) -> str:
        """Whom this talks to, for messages."""
        place = f"{self.host or 'the local socket'}" + (f" port {self.port}" if self.port else "")
        return f"database {self.database} on {place}" + (f" as {self.user}" if self.user else "")


@dataclass(frozen=True)
class Client:
    """The programs of one major version."""

    directory: str
    version: str

    @property
    def major(self) -> int:
        return int(re.split(r"[^0-9]", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """The full path of one of them."""
        return os.path.join(self.directory, name)


def bin_directories() -> list[str]:
    """Return the directories of this machine that may hold the programs, the likely ones first."""
    found = [path for pattern in _BIN_DIRECTORIES for path in sorted(glob.glob(pattern), reverse=True)]
    in_path = shutil.which("pg_dump")
    return [*found, *([os.path.dirname(in_path)] if in_path else [])]


def find_psql(directories: Iterable[str], exists: Callable[[str], bool] = os.path.exists) -> str:
    """Return a psql: any version asks any server.

    :raises Refused: there is none.
    """
    for directory in directories:
        path = os.path.join(directory, "psql")
        if exists(path):
            return path
    raise Refused(
        "This host has no PostgreSQL client programs (psql, pg_dump, pg_restore)",
        untouched="Nothing was changed",
        remedy="Install them (on Debian: postgresql-client)",
    )


def find_clients(directories: Iterable[str], runner: Runner) -> list[Client]:
    """Return the clients that lie in these directories and run."""
    clients = []
    for directory in directories:
        path = os.path.join(directory, "pg_dump")
        if not os.path.exists(path) or not os.path.exists(os.path.join(directory, "pg_restore")):
            continue
        done = runner.run([path, "--version"], timeout_s=20)
        version = re.search(r"\d+(\.\d+|[a-z]+\d*)*", done.stdout)
        if done.returncode == 0 and version:
            clients.append(Client(directory, version[0]))
    return clients


def client_for(major: int, clients: Iterable[Client]) -> Client | None:
    """Return the client of the server's own major version.

    An older one refuses; a newer one writes an archive that the server's own pg_restore can't read.
    """
    return next((client for client in clients if client.major == major), None)

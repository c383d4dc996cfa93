# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real PostgreSQL cluster in a temporary directory, on the loopback address and a socket of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The server refuses to run as root.
SYSTEM_USER = "postgres"


def bin_directory() -> Path | None:
    """The newest server that this machine has."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Cluster:
    """A running server. ``socket`` is the directory of its UNIX socket."""

    bin: Path
    socket: Path
    port: int
    settings: str = ""

    @property
    def data(self) -> Path:
        return self.socket / "data"

    def crash(self) -> None:
        """End the server as a power failure does, and start it again: it recovers by its log."""
        _as_owner([self.bin / "pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop"], cwd=self.socket)
        _as_owner(
            [self.bin / "pg_ctl", "-D", self.data, "-o", self.settings, "-l", self.socket / "log", "-w", "start"],
            cwd=self.socket,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PGHOST": str(self.socket), "PGPORT": str(self.port), "PGUSER": "postgres"}

    def sql(self, text: str, *, database: str = "shop") -> str:
        """Run SQL as a superuser and return what it answers, without decoration."""
        done = subprocess.run(
            [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database],
            env=self.environment, input=text, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fresh(self) -> None:
        """Make the database ``shop`` anew, with rows, a large object, an extension's type and a view."""
        self.sql("DROP DATABASE IF EXISTS shop WITH (FORCE)", database="postgres")
        self.sql("CREATE DATABASE shop", database="postgres")
        self.sql(
            """
            CREATE EXTENSION hstore;
            CREATE TABLE orders (id bigserial PRIMARY KEY, note text NOT NULL, extra hstore);
            INSERT INTO orders (note, extra)
              SELECT md5(i::text) || md5((i * 7)::text), 'a=>1' FROM generate_series(1, 20000) i;
            CREATE VIEW recent AS SELECT * FROM orders WHERE id > 100;
            SELECT lo_from_bytea(0, 'a picture');
            """
        )

    def databases(self) -> set[str]:
        return set(self.sql("SELECT datname FROM pg_database", database="postgres").splitlines())

    def fingerprint(self, database: str = "shop") -> str:
        """Digests of all that is in the database."""
        return self.sql(
            "SELECT count(*), md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o;"
            "SELECT md5(string_agg(loid::text || pageno || encode(data, 'hex'), ',')) FROM pg_largeobject;"
            "SELECT pg_get_viewdef('recent');",
            database=database,
        )


def _as_owner(command: list[str | Path], *, cwd: Path, environment: Mapping[str, str] | None = None) -> None:
    user = {"user": SYSTEM_USER} if os.geteuid() == 0 else {}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60, **user  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def running(*settings: str) -> Iterator[Cluster]:
    """Run a cluster in a directory of its own, which goes with it.

    :param settings: settings of the server, as ``max_prepared_transactions=5``.
    """
    # Not pytest's own directory: the name of a UNIX socket has 107 characters at most.
    directory = Path(tempfile.mkdtemp(prefix="slipway-pg-"))
    directory.chmod(0o755)
    try:
        with _running_in(directory, settings) as cluster:
            yield cluster
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def _running_in(directory: Path, settings: tuple[str, ...]) -> Iterator[Cluster]:
    binaries = bin_directory()
    assert binaries is not None
    if os.geteuid() == 0:
        owner = pwd.getpwnam(SYSTEM_USER)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    data = directory / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    _as_owner(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"],
        cwd=directory,
    )
    (data / "pg_hba.conf").write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={directory} -c fsync=off"
    options += "".join(f" -c {setting}" for setting in settings)
    _as_owner([binaries / "pg_ctl", "-D", data, "-o", options, "-l", directory / "log", "-w", "start"], cwd=directory)
    try:
        yield Cluster(binaries, directory, port, options)
    finally:
        _as_owner([binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], cwd=directory)
        shutil.rmtree(data, ignore_errors=True)

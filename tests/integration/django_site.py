# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server and a small Django site with a release, both made for one test run and gone after it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.slipway.django.plugins.module_utils._release._environment import write_environment
from psycopg import sql

ROLE = "shop"
PASSWORD = "mark-5d1e password"
SECRET_KEY = "mark-9c40-SECRET_KEY"

SETTINGS = """\
import os

SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "orders"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["DATABASE_NAME"],
    "USER": "shop",
    "PASSWORD": os.environ["DATABASE_PASSWORD"],
    "HOST": os.environ["DATABASE_HOST"],
    "PORT": os.environ.get("DATABASE_PORT", ""),
}}
"""
MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")\n'
INITIAL = """\
migrations.CreateModel("Order", [
    ("id", models.BigAutoField(primary_key=True)),
    ("number", models.CharField(max_length=20)),
    ("state", models.CharField(max_length=10, default="new")),
    ("amount", models.IntegerField(null=True)),
]),
migrations.CreateModel("Line", [
    ("id", models.BigAutoField(primary_key=True)),
    ("order", models.ForeignKey("orders.order", models.CASCADE)),
]),
"""
HEADER = """\
from django.contrib.postgres import operations as postgres
from django.db import migrations, models
from django.db.models.functions import Now
"""


def server_programs() -> Path:
    """The directory of PostgreSQL's server programs."""
    named = os.environ.get("SLIPWAY_TEST_POSTGRES_BIN")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(named) if named else found[-1]


@dataclass
class Cluster:
    """A running server that listens on a socket in its own directory."""

    directory: Path
    made: int = 0

    def connect(self, database: str = "postgres", *, user: str = "postgres") -> psycopg.Connection[Any]:
        """A connection in autocommit."""
        return psycopg.connect(host=str(self.directory), dbname=database, user=user, password=PASSWORD, autocommit=True)

    def query(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        with self.connect(database) as connection:
            return connection.execute(statement.encode()).fetchall()

    def create(self, template: str = "template0") -> str:
        """Return the name of a new database that belongs to the site's role."""
        self.made += 1
        name = f"shop_{self.made}"
        with self.connect() as connection:
            statement = sql.SQL("CREATE DATABASE {} OWNER shop TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Start a server in a directory of its own and take both away at the end."""
    # Not pytest's directory: a socket's path is limited to 107 characters, and the server's user must get there.
    directory = Path(tempfile.mkdtemp(prefix="slipway-pg-"))
    try:
        directory.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        (directory / "password").write_text(PASSWORD)
        initialise(directory)
        with running_server(directory) as process:
            cluster = Cluster(directory)
            wait_for_answer(cluster, process)
            with cluster.connect() as connection:
                create = sql.SQL("CREATE ROLE shop LOGIN PASSWORD {}")
                connection.execute(create.format(sql.Literal(PASSWORD)))
            yield cluster
    finally:
        shutil.rmtree(directory)


def as_server(*argv: str) -> list[str]:
    """The command under the server's user, root being refused, and with its end when the tests are killed."""
    account = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *account, "--pdeathsig", "QUIT", *argv]


def initialise(directory: Path) -> None:
    command = as_server(
        *(str(server_programs() / "initdb"), "-D", str(directory / "data"), "-U", "postgres", "-A", "scram-sha-256"),
        *("--pwfile", str(directory / "password"), "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"),
    )
    subprocess.run(command, check=True, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


@contextmanager
def running_server(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = {"listen_addresses": "", "unix_socket_directories": str(directory), "fsync": "off"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = as_server(str(server_programs() / "postgres"), "-D", str(directory / "data"), *words)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, also with clients that hang
        process.wait(timeout=30)


def wait_for_answer(cluster: Cluster, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            cluster.connect().close()
        except psycopg.OperationalError:
            assert process.poll() is None, (cluster.directory / "log").read_text()
            assert time.monotonic() < deadline, (cluster.directory / "log").read_text()
            time.sleep(0.05)
        else:
            return


@dataclass
class DjangoSite:
    """A release of a site whose app has the migrations that a test writes."""

    release: Path
    cluster: Cluster
    database: str
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        migrations = self.release / "src" / "orders" / "migrations"
        migrations.mkdir(parents=True)
        for package in (migrations, migrations.parent):
            (package / "__init__.py").touch()
        (self.release / "src" / "site_settings.py").write_text(SETTINGS)
        (self.release / "src" / "manage.py").write_text(MANAGE)
        (self.release / "venv").symlink_to(os.environ.get("SLIPWAY_TEST_VENV", sys.prefix))
        self.write_environment()
        self.migration("0001_initial", INITIAL, depends=[])

    def write_environment(self, **more: str) -> None:
        values = {
            "SECRET_KEY": SECRET_KEY,
            "DATABASE_NAME": self.database,
            "DATABASE_PASSWORD": PASSWORD,
            "DATABASE_HOST": str(self.cluster.directory),
            **self.extra,
            **more,
        }
        write_environment(str(self.release / "env"), values)

    def migration(
        self, name: str, operations: str, *, depends: Sequence[str] | None = None, atomic: bool = True, code: str = ""
    ) -> None:
        """Write a migration; by default it follows the one that is last by name."""
        directory = self.release / "src" / "orders" / "migrations"
        if depends is None:
            depends = [max(path.stem for path in directory.glob("0*.py") if path.stem < name)]
        needs = [("orders", each) for each in depends]
        (directory / f"{name}.py").write_text(
            f"{HEADER}\n{code}\n\nclass Migration(migrations.Migration):\n    atomic = {atomic}\n"
            f"    dependencies = {needs!r}\n    operations = [\n{operations}\n    ]\n"
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return self.cluster.query(self.database, statement)

    def execute(self, statement: str) -> None:
        with self.cluster.connect(self.database, user=ROLE) as connection:
            connection.execute(statement.encode())

    def recorded(self) -> list[str]:
        """The names of the app's applied migrations, as Django records them."""
        rows = self.query("SELECT name FROM django_migrations WHERE app = 'orders' ORDER BY id")
        return [name for (name,) in rows]

    def columns(self) -> list[str]:
        """The columns of the orders."""
        rows = self.query(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'orders_order'::regclass AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum"
        )
        return [name for (name,) in rows]

    def django_version(self) -> tuple[int, ...]:
        """Version of the Django in the release's virtual environment."""
        program = "import django; print(*django.VERSION[:2])"
        python = str(self.release / "venv" / "bin" / "python")
        return tuple(map(int, subprocess.check_output([python, "-c", program], text=True).split()))

    def options(self, state: str, **more: Any) -> dict[str, Any]:
        return {"state": state, "release_path": str(self.release), **more}

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's servers are seen to do, by other means than the collection's modules; how they are set back."""

from __future__ import annotations

import csv
import hashlib
import http.client
import json
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .engine import Engine
from .errors import LabError
from .lab import Lab
from .process import Completed
from .settings import Settings

SITE = "shop"
DOMAIN = "shop.example"
ROOT = "/srv/shop"
HEALTH = "/health/ready"
PORTS = {"blue": 8001, "green": 8002}
KINDS = ("web", "asgi", "worker", "beat")
STATE_FILE = "/var/lib/slipway/haproxy.state"
SWITCH = f"/var/lib/slipway/maintenance/{SITE}"
UPSTREAMS = "/etc/nginx/slipway/upstreams.conf"
FLAGS = "/var/lib/slipway/nginx"
LOAD_PASSWORD = "lab-mark-load-password-51c7"
"""The password of the load generator's user: a known mark, no secret."""
# Whatever a deployment may write. Python reads it: a process for each of some ten thousand files would take minutes.
_TREES = (ROOT, "/etc/slipway", "/etc/systemd/system", "/etc/haproxy", "/etc/nginx", "/var/lib/slipway", "/var/backups")
_TREE = """
import hashlib, json, os, stat, sys

def look(path):
    seen = os.lstat(path)
    what = os.readlink(path) if stat.S_ISLNK(seen.st_mode) else ""
    if stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            what = hashlib.sha256(file.read()).hexdigest()
    return f"{stat.filemode(seen.st_mode)} {seen.st_uid}:{seen.st_gid} {what}".strip()

tree = {}
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(top):
        tree.update((path, look(path)) for path in (os.path.join(folder, name) for name in folders + files))
json.dump(tree, sys.stdout)
"""
_UNITS = """
for unit in {units}; do
  echo "$unit $(systemctl is-enabled "$unit" 2>/dev/null || true) $(systemctl is-active "$unit" || true)"
done
"""
_RESET_HOST = """
systemctl stop '{site}-*@*.service' 2>/dev/null
systemctl reset-failed '{site}-*@*.service' 2>/dev/null
rm -f /etc/systemd/system/*.wants/{site}-*@*.service
systemctl daemon-reload
cd {root} 2>/dev/null || exit 0
rm -rf slots/* static/* deployments/* token .lock \\
  control/lease.json control/token control/.lock control/deployments/* \\
  /var/backups/{site}/* /var/backups/{site}/.[!.]* /var/tmp/slipway* {releases}
"""
_RESET_DATABASE = """
set -e
[ -d /etc/postgresql ] && systemctl is-active --quiet 'postgresql@*' || exit 0
runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d postgres <<'SQL'
DROP DATABASE IF EXISTS {site} WITH (FORCE);
SELECT 'CREATE DATABASE {site} OWNER {site} ENCODING ''UTF8'' TEMPLATE template0'
  WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = '{site}') \\gexec
SQL
export REDISCLI_AUTH="$(sed -n 's/^requirepass //p' /etc/redis/redis.conf | tail -n 1)"
if systemctl is-active --quiet redis-server; then redis-cli --no-auth-warning FLUSHALL >/dev/null; fi
"""
_RESET_BALANCER = """
rm -f {state_file} {switch}/switch.json
if [ -e {switch}/switch.map ]; then echo maintenance off > {switch}/switch.map; fi
rm -rf {switch}/on {flags}/.out.json {flags}/*
if systemctl is-active --quiet haproxy; then systemctl restart haproxy; fi
"""
_MANAGE = """
IFS= read -r LOAD_USER_PASSWORD
export LOAD_USER_PASSWORD
exec systemd-run --pipe --wait --quiet --collect --uid={site} --gid={site} --working-directory={release}/src \\
  --property=EnvironmentFile={release}/env --setenv=LOAD_USER_PASSWORD {release}/venv/bin/python manage.py {arguments}
"""
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Answer:
    """What a host's port says at the health address."""

    status: int
    release: str


@dataclass(frozen=True)
class Unit:
    """One unit as systemd has it."""

    name: str
    enabled: bool
    active: str
    """active, inactive, failed, activating, …"""


@dataclass(frozen=True)
class Server:
    """One server of the balancer's pool, as HAProxy's ``show stat`` and ``show servers state`` have it."""

    name: str
    status: str
    """UP, DOWN, MAINT, DRAIN, ``UP 1/2``, …"""
    admin: int
    """HAProxy's srv_admin_state: 0 ready, 1 maintenance, 8 drain (bits; management.txt, 9.3)."""
    weight: int
    sessions: int
    requests: int

    @property
    def in_maintenance(self) -> bool:
        """Whether somebody has put it into maintenance."""
        return bool(self.admin & 1)

    @property
    def has_traffic(self) -> bool:
        """Whether new requests go there."""
        return self.admin == 0 and self.status.startswith("UP")


def parse_servers(stat: str, state: str, pool: str) -> dict[str, Server]:
    """Put the two answers of the runtime socket together; every server of the pool is in both. Pure.

    :raises LabError: they are not what HAProxy says, or it knows no such pool.
    """
    try:
        rows = list(csv.DictReader(stat.strip().lstrip("# ").splitlines()))
        lines = [line for line in state.strip().splitlines() if line.strip()]
        names = lines[1].lstrip("# ").split()
        admin = {
            row["srv_name"]: int(row["srv_admin_state"])
            for line in lines[2:]
            if (row := dict(zip(names, line.split(), strict=False)))["be_name"] == pool
        }
        servers = {
            row["svname"]: Server(
                name=row["svname"],
                status=row["status"],
                admin=admin[row["svname"]],
                weight=int(row["weight"] or 0),
                sessions=int(row["scur"] or 0) + int(row["qcur"] or 0),
                requests=int(row["stot"] or 0),
            )
            for row in rows
            if row["pxname"] == pool and row["svname"] not in {"FRONTEND", "BACKEND"}
        }
        if not servers or servers.keys() != admin.keys():
            raise ValueError(f"{sorted(servers)} and {sorted(admin)} in pool {pool}")
    except (IndexError, KeyError, ValueError) as error:
        raise LabError(f"HAProxy's answer is not understood ({error!r}): {stat[:200]!r}, {state[:200]!r}") from error
    return servers


def flagged_servers(upstreams: str, flags: str, pool: str) -> dict[str, Server]:
    """Put nginx's upstream group and the flags together. nginx itself looks at no server and counts nothing. Pure.

    :param flags: a line ``name:told`` for each file.
    :raises LabError: the file has no such group.
    """
    found = re.search(rf"^upstream {re.escape(pool)} \{{$(.*?)^\}}$", upstreams, re.DOTALL | re.MULTILINE)
    if found is None:
        raise LabError(f"nginx has no upstream group {pool}: {upstreams[:200]!r}")
    told = dict(line.split(":", 1) for line in flags.splitlines())
    admin = {"drain": 8, "maint": 1}
    names = re.findall(r"; # (\S+)$", found[1], re.MULTILINE)
    return {
        name: Server(name, told.get(name, "UP").upper(), admin.get(told.get(name, ""), 0), 1, sessions=0, requests=0)
        for name in names
    }


def normal_schema(dump: str) -> str:
    r"""The dump without comments and without what is new in each: newer pg_dumps write ``\restrict <random>``."""
    return "\n".join(line for line in dump.splitlines() if line.strip() and not line.startswith(("--", "\\")))


class Fleet:
    """The lab's servers, from outside: as root on them, at their ports, at the balancer's socket."""

    def __init__(self, lab: Lab, settings: Settings, engine: Engine) -> None:
        self._lab = lab
        self._settings = settings
        self._engine = engine

    @property
    def apps(self) -> tuple[str, ...]:
        """The names of the application servers."""
        return tuple(host.name for host in self._settings.hosts if "app" in host.groups)

    # -- running things ----------------------------------------------------------------------------------------------

    def try_run(self, host: str, *argv: str, stdin: str = "", timeout_s: float = 60) -> Completed:
        """Run a command as root on a host, whatever its status."""
        container = self._settings.host(host).container
        return self._engine.try_run("exec", "-i", container, *argv, stdin=stdin.encode(), timeout_s=timeout_s)

    def run(self, host: str, *argv: str, stdin: str = "", timeout_s: float = 60) -> str:
        """Run a command as root on a host and return what it printed.

        :raises LabError: it failed.
        """
        return self.try_run(host, *argv, stdin=stdin, timeout_s=timeout_s).check().stdout

    def script(self, host: str, text: str, *, stdin: str = "", timeout_s: float = 60) -> str:
        """Run a shell script as root on a host and return what it printed."""
        return self.run(host, "sh", "-c", text, stdin=stdin, timeout_s=timeout_s)

    def lay(self, host: str, folder: Path, destination: str) -> None:
        """Copy a folder's content to a host."""
        self.run(host, "mkdir", "-p", destination)
        container = self._settings.host(host).container
        self._engine.run("cp", f"{folder}/.", f"{container}:{destination}")

    def psql(self, sql: str, database: str = SITE, *, timeout_s: float = 60) -> list[str]:
        """The rows of a query as PostgreSQL's superuser, one a line."""
        argv = ("runuser", "-u", "postgres", "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-")
        return self.run("db1", *argv, stdin=sql, timeout_s=timeout_s).splitlines()

    def each(self, hosts: Iterable[str], work: Callable[[str], _R]) -> dict[str, _R]:
        """Do it for all hosts at once."""
        names = list(hosts)
        with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
            return dict(zip(names, pool.map(work, names), strict=True))

    # -- observations ------------------------------------------------------------------------------------------------

    def answer(self, host: str, port: int, *, timeout_s: float = 5) -> Answer | None:
        """What a port says at the health address; None when nobody answers."""
        return self._ask(self._settings.host(host).address, port, timeout_s)

    def site_answer(self, *, timeout_s: float = 5) -> Answer | None:
        """What the site says through the balancer."""
        return self._ask(self._settings.host("lb1").address, 80, timeout_s)

    @staticmethod
    def _ask(address: str, port: int, timeout_s: float, path: str = HEALTH) -> Answer | None:
        connection = http.client.HTTPConnection(address, port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"Host": DOMAIN, "Connection": "close"})
            response = connection.getresponse()
            response.read()
            return Answer(response.status, response.getheader("X-Release", ""))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def visit(self) -> int:
        """The status that a visitor gets at the site's first page; 0 when nobody answers."""
        answer = self._ask(self._settings.host("lb1").address, 80, 5, "/")
        return 0 if answer is None else answer.status

    def answers(self) -> dict[str, dict[str, Answer | None]]:
        """What each slot's port on each application server says."""

        def ask(host: str) -> dict[str, Answer | None]:
            return {slot: self.answer(host, port) for slot, port in PORTS.items()}

        return self.each(self.apps, ask)

    def releases(self) -> dict[str, list[str]]:
        """The releases that each application server answers with, on any port."""
        return {
            host: sorted({answer.release for answer in slots.values() if answer is not None})
            for host, slots in self.answers().items()
        }

    def slots(self, host: str) -> dict[str, str]:
        """The release that each slot's link leads to."""
        out = self.script(
            host, f"cd {ROOT}/slots 2>/dev/null && for slot in *; do echo $slot $(readlink $slot); done; true"
        )
        rows = [line.split() for line in out.splitlines()]
        return {row[0]: row[1].rpartition("/")[2] for row in rows if len(row) == 2}

    def units(self, host: str) -> dict[str, Unit]:
        """The site's units by ``web@blue``, ``worker@green``, …"""
        names = [f"{kind}@{slot}" for kind in KINDS for slot in PORTS]
        out = self.script(host, _UNITS.format(units=" ".join(f"{SITE}-{name}.service" for name in names)))
        rows = [line.split(" ") for line in out.splitlines()]
        return {
            name: Unit(name, enabled=row[1] == "enabled", active=row[2]) for name, row in zip(names, rows, strict=True)
        }

    def live(self, host: str, kind: str = "web") -> dict[str, str]:
        """The slots whose unit of this kind is enabled, each with its release: one on a host that is whole."""
        units, slots = self.units(host), self.slots(host)
        return {slot: slots.get(slot, "") for slot in PORTS if units[f"{kind}@{slot}"].enabled}

    def staged(self, host: str) -> list[dict[str, Any]]:
        """What is written about the releases that lie whole on a host: name, version, commit, …"""
        return self._documents(host, f"{ROOT}/releases/*/release.json")

    def release_of(self, version: str) -> str:
        """The name of the release that was built from a tag, the newest one, as the first application server has it.

        :raises LabError: there is none.
        """
        built = {
            str(one["built_at"]): str(one["name"]) for one in self.staged(self.apps[0]) if one["version"] == version
        }
        if not built:
            raise LabError(f"{self.apps[0]} has no release of {version}")
        return built[max(built)]

    def _documents(self, host: str, files: str) -> list[dict[str, Any]]:
        text = self.script(host, f"for f in {files}; do test -e $f && cat $f && printf '\\0'; done; true")
        return [json.loads(part) for part in text.split("\0") if part.strip()]

    def haproxy(self, command: str) -> str:
        """The answer of the balancer's runtime socket to one command."""
        return self.run("lb1", "socat", "-t5", "-", "/run/haproxy/admin.sock", stdin=f"{command}\n")

    def servers(self) -> dict[str, Server]:
        """The servers of the site's pool, by name."""
        if self._settings.balancer == "nginx_flag":
            return flagged_servers(
                self.run("lb1", "cat", UPSTREAMS),
                self.script("lb1", f"cd {FLAGS}/{SITE} 2>/dev/null && grep -H . * ; true"),
                SITE,
            )
        return parse_servers(self.haproxy("show stat"), self.haproxy("show servers state"), SITE)

    def schema(self) -> str:
        """The schema as SQL, without what differs from dump to dump."""
        argv = ("runuser", "-u", "postgres", "--", "pg_dump", "--schema-only", SITE)
        return normal_schema(self.run("db1", *argv))

    def schema_hash(self) -> str:
        """A digest of the schema."""
        return hashlib.sha256(self.schema().encode()).hexdigest()

    def migrations(self) -> list[str]:
        """What Django has recorded as applied, ``app.name``, in order."""
        return self.psql("SELECT app || '.' || name FROM django_migrations ORDER BY id")

    def tree(self, host: str) -> dict[str, str]:
        """All files that a deployment may write, each with type, mode, owner and content."""
        text = self.run(host, "python3", "-", *_TREES, stdin=_TREE, timeout_s=180)
        tree: dict[str, str] = json.loads(text)
        return tree

    def trees(self) -> dict[str, dict[str, str]]:
        """The files of all hosts that take part in a deployment."""
        return self.each((*self.apps, "lb1", "db1"), self.tree)

    def records(self) -> list[dict[str, Any]]:
        """The deployments' records on the control host, the oldest first."""
        records = self._documents("db1", f"{ROOT}/control/deployments/*/record.json")
        return sorted(records, key=lambda record: (record["started_at"], record["token"]))

    def lease(self) -> dict[str, Any] | None:
        """The lease on the control host, given back or not."""
        text = self.script("db1", f"cat {ROOT}/control/lease.json 2>/dev/null; true")
        document: dict[str, Any] | None = json.loads(text) if text.strip() else None
        return document

    def journal(self, host: str, deployment: str) -> list[dict[str, Any]]:
        """The lines that a host has written about one deployment; those of the whole one on the control host."""
        folder = "control/deployments" if host == "db1" else "deployments"
        text = self.script(host, f"cat {ROOT}/{folder}/{shlex.quote(deployment)}/journal.jsonl 2>/dev/null; true")
        return [json.loads(line) for line in text.splitlines()]

    def backups(self) -> list[str]:
        """The names of the backups on the database host, unfinished ones too."""
        return self.script("db1", f"ls -1 /var/backups/{SITE} 2>/dev/null; true").split()

    # -- actions -----------------------------------------------------------------------------------------------------

    def manage(self, release: str, *arguments: str, timeout_s: float = 300) -> str:
        """Run the site's ``manage.py`` on the first application server, with a release's own environment."""
        words = " ".join(shlex.quote(argument) for argument in arguments)
        script = _MANAGE.format(site=SITE, release=f"{ROOT}/releases/{release}", arguments=words)
        return self.script(self.apps[0], script, stdin=f"{LOAD_PASSWORD}\n", timeout_s=timeout_s)

    def fill(self, release: str, *, customers: int = 1000, orders: int = 20_000) -> None:
        """Make the load's user, and data up to a size."""
        self.manage(release, "create_load_user")
        self.manage(release, "generate_shop", "--customers", str(customers), "--orders", str(orders))

    def undo_migrations(self) -> None:
        """Bring the schema back to that of v1, by Django itself, with code that has all migrations that are applied.

        :raises LabError: no release on the first application server has them.
        """
        newest = [name for name in self.migrations() if name.startswith("shop.")][-1].partition(".")[2]
        found = self.script(self.apps[0], f"ls -d {ROOT}/releases/*/src/shop/migrations/{newest}.py").split()
        release = found[0].removeprefix(f"{ROOT}/releases/").partition("/")[0]
        self.manage(release, "migrate", "shop", "0001")

    def reset_site(self, *, keep_releases: bool = False) -> None:
        """Set the site back to "nothing deployed" on provisioned hosts: seconds instead of a new lab.

        :param keep_releases: leave what was built; a release is immutable, and the next run finds it staged.
        """
        gone = "" if keep_releases else "releases/* releases/.lock repository.git"
        script = _RESET_HOST.format(site=SITE, root=ROOT, releases=gone)
        self.each((*self.apps, "lb1", "db1"), lambda host: self.try_run(host, "sh", "-c", script, timeout_s=180))
        self.script("db1", _RESET_DATABASE.format(site=SITE))
        self.script("lb1", _RESET_BALANCER.format(state_file=STATE_FILE, switch=SWITCH, flags=FLAGS))

    def is_provisioned(self) -> bool:
        """Whether `provision` has been here: the balancer runs and the database is there."""
        unit = "haproxy" if self._settings.balancer == "haproxy" else "nginx"
        seen = self.try_run("lb1", "systemctl", "is-active", "--quiet", unit).returncode == 0
        return seen and self.try_run("db1", "test", "-d", f"{ROOT}/control").returncode == 0

    def kill(self, host: str) -> None:
        """Cut a host's power."""
        self._lab.kill(host)

    def start(self, *hosts: str) -> None:
        """Boot hosts that were killed and wait until they are reached."""
        self._lab.start(hosts)

    def wait_until(self, seen: Callable[[], _T], what: str, timeout_s: float = 60) -> _T:
        """Wait until an observation is true; return it.

        :raises LabError: it was not within the time; says what was seen last.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            last = seen()
            if last:
                return last
            if time.monotonic() > deadline:
                raise LabError(f"{what}: not within {timeout_s:g} s, seen last: {last!r}")
            time.sleep(0.2)

    def wait_served(self, timeout_s: float = 60, *, in_a_row: int = 1) -> None:
        """Wait until the balancer answers with a healthy server.

        :param in_a_row: so many times. After the database was away each thread has a connection to it that is dead, and
            answers with an error once.
        """

        def healthy() -> bool:
            answers = (self.site_answer() for _ in range(in_a_row))
            return all(answer is not None and answer.status == 200 for answer in answers)

        self.wait_until(healthy, "the site answers through the balancer", timeout_s)

    def stable_balancer_state(self) -> Mapping[str, tuple[int, int]]:
        """Admin state and weight of each server: what a deployment changes and time does not."""
        return {name: (server.admin, server.weight) for name, server in self.servers().items()}


def pattern_of_marks() -> re.Pattern[str]:
    """What finds any of the lab's known marks that stand for secrets."""
    return re.compile(r"lab-mark-[\w-]+")

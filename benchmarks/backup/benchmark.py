#!/usr/bin/env python3
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup costs: CPU seconds of client and server, as ratios against named peers in one run.

Every contender dumps the same database, one after the other, in turn over several rounds, so that what else the machine
does hits all of them. CPU seconds count, of the client and its children and of the server's processes: wall time is
shown, and depends on the machine's other work.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, running

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
TICKS = os.sysconf("SC_CLK_TCK")
# Text that compresses as a shop's does, keys, numbers and times; the largest table holds two thirds of it.
FILL = """
CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz NOT NULL, kind text NOT NULL, body text NOT NULL);
INSERT INTO events (at, kind, body)
  SELECT now() - i * interval '1 second', 'kind-' || i % 40, md5(i::text) || ' the order of ' || i % 5000 || ' was seen'
  FROM generate_series(1, {rows}) i;
CREATE INDEX ON events (at);
CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL, note text NOT NULL, total numeric NOT NULL);
INSERT INTO orders (customer, note, total)
  SELECT i % 50000, repeat(md5((i % 1000)::text), 3), (i % 90000) / 100.0 FROM generate_series(1, {rows} / 3) i;
ANALYZE;
"""


@dataclass(frozen=True)
class Cost:
    """One run of one contender."""

    client_cpu_s: float
    server_cpu_s: float
    wall_s: float
    bytes: int

    @property
    def cpu_s(self) -> float:
        return self.client_cpu_s + self.server_cpu_s


def postmaster(cluster: Cluster) -> int:
    """The process that all of the server's processes are children of."""
    return int((cluster.socket / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def server_cpu_s(cluster: Cluster) -> float:
    """CPU seconds of the server's processes that have ended: the postmaster has waited for each of them."""
    fields = Path(f"/proc/{postmaster(cluster)}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def client_cpu_s() -> float:
    """CPU seconds of our children that have ended, theirs included."""
    times = os.times()
    return times.children_user + times.children_system


def adopt_orphans() -> None:
    """Have what a contender leaves behind become our child: its CPU time would be nobody's else.

    postgresql_db starts its compressor in the background of a shell, which ends first and does not wait for it.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise SystemExit(f"orphans can't be adopted: {os.strerror(ctypes.get_errno())}")


def wait_for_orphans(cluster: Cluster) -> None:
    """Wait until each adopted process has ended, so that its CPU time is in our account.

    The server is one of them where this is the first process of a container; it does not end.
    """
    server = postmaster(cluster)
    while ours := [int(pid) for pid in children(os.getpid()) if int(pid) != server]:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(ours[0], 0)


def quiet(cluster: Cluster) -> None:
    """Wait until the server has reaped every session: only then its account is whole.

    Its processes are looked at: a session that pg_stat_activity has no more may still be on its way out.
    """
    deadline = time.monotonic() + 30
    while any(is_session(child) for child in children(postmaster(cluster))):
        if time.monotonic() > deadline:
            raise SystemExit("sessions are left on the server: nothing can be measured")
        time.sleep(0.02)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()


def is_session(pid: str) -> bool:
    """Whether a child of the postmaster serves a client, or has ended and was not waited for."""
    try:
        # A session over the socket calls itself "postgres: <user> <database> [local] <state>"; a zombie has no words.
        words = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not words.strip("\0") or "[local]" in words


def measure(cluster: Cluster, work: Callable[[Path], None]) -> Cost:
    """Run one contender in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-bench-"))
    try:
        quiet(cluster)
        client, server, begun = client_cpu_s(), server_cpu_s(cluster), time.monotonic()
        work(folder)
        wait_for_orphans(cluster)
        wall = time.monotonic() - begun
        client = client_cpu_s() - client
        quiet(cluster)
        server = server_cpu_s(cluster) - server
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Cost(client, server, wall, size)
    finally:
        shutil.rmtree(folder)


def run(argv: list[str], env: Mapping[str, str], stdin: str = "") -> str:
    done = subprocess.run(argv, env={**os.environ, **env}, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with status {done.returncode}:\n{done.stderr}\n{done.stdout}")
    return done.stdout


def module(name: str, options: Mapping[str, object], env: Mapping[str, str]) -> None:
    """Run a module's own process, without the playbook around it."""
    answer = run([sys.executable, "-m", name], env, json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    result = json.loads(answer)
    if result.get("failed") or not result.get("changed"):
        raise SystemExit(f"{name} took no backup: {result.get('msg')}")


def contenders(cluster: Cluster, *, zstd: bool, jobs: int, peer: bool) -> dict[str, Callable[[Path], None]]:
    """The contenders by name; the first is what the others are held against."""
    env = {name: cluster.environment[name] for name in ("PGHOST", "PGPORT", "PGUSER")}
    compress = "--compress=zstd:1" if zstd else "--compress=1"

    def raw(folder: Path) -> None:
        run([str(cluster.bin / "pg_dump"), "-Fc", compress, "-f", str(folder / "d"), "shop"], env)

    def raw_directory(folder: Path) -> None:
        target = ["-Fd", f"-j{jobs}", compress, "-f", str(folder / "d")]
        run([str(cluster.bin / "pg_dump"), *target, "shop"], env)

    def ours(**options: object) -> Callable[[Path], None]:
        def work(folder: Path) -> None:
            module(
                "ansible_collections.slipway.django.plugins.modules.pg_backup",
                {
                    "site": "shop", "database": "shop", "host": env["PGHOST"], "port": int(env["PGPORT"]),
                    "user": env["PGUSER"], "directory": str(folder / "backups"), "label": "bench", **options,
                },
                {},
            )  # fmt: skip

        return work

    def community(folder: Path) -> None:
        module(
            "ansible_collections.community.postgresql.plugins.modules.postgresql_db",
            {
                "name": "shop", "state": "dump", "target": str(folder / "shop.sql.gz"), "login_host": env["PGHOST"],
                "login_port": int(env["PGPORT"]), "login_user": env["PGUSER"],
            },
            {},
        )  # fmt: skip

    found: dict[str, Callable[[Path], None]] = {
        "pg_dump, custom format": raw,
        "pg_backup, the dump alone": ours(verify="list", fingerprint="none"),
        "pg_backup, default verification": ours(),
        f"pg_dump, directory format, {jobs} jobs": raw_directory,
        f"pg_backup, {jobs} jobs, the dump alone": ours(verify="list", fingerprint="none", jobs=jobs),
        f"pg_backup, {jobs} jobs, default verification": ours(jobs=jobs),
    }
    if peer:
        found["community.postgresql.postgresql_db, .sql.gz"] = community
    return found


def table(costs: Mapping[str, list[Cost]], jobs: int) -> str:
    """The results as Markdown: medians, and ratios of CPU seconds."""
    median = {name: statistics.median(cost.cpu_s for cost in runs) for name, runs in costs.items()}
    first, second = next(iter(costs)), f"pg_dump, directory format, {jobs} jobs"
    base = {name: median[second if f"{jobs} jobs" in name else first] for name in costs}
    peer = next((name for name in costs if name.startswith("community")), None)
    rows = []
    for name, runs in costs.items():
        spread = f"{min(cost.cpu_s for cost in runs):.1f} … {max(cost.cpu_s for cost in runs):.1f}"
        against = f"{median[name] / median[peer]:.2f}" if peer else ""
        rows.append(
            f"| {name} | {median[name]:.1f} ({spread}) | {median[name] / base[name]:.2f} | {against} "
            f"| {statistics.median(cost.client_cpu_s for cost in runs):.1f} "
            f"| {statistics.median(cost.server_cpu_s for cost in runs):.1f} "
            f"| {statistics.median(cost.wall_s for cost in runs):.1f} | {runs[0].bytes / 1e6:.0f} |"
        )
    head = (
        "| contender | CPU s, median (range) | against pg_dump of the same form | against postgresql_db | client "
        "| server | wall s | MB |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows)


def fill(cluster: Cluster, rows: int) -> None:
    """Make the database that all of them dump."""
    cluster.sql("CREATE DATABASE shop", database="postgres")
    subprocess.run(
        [cluster.bin / "psql", "-Xqd", "shop", "-v", "ON_ERROR_STOP=1"],
        env=cluster.environment,
        input=FILL.format(rows=rows),
        text=True,
        check=True,
    )


def compare(cluster: Cluster, *, rounds: int, jobs: int, peer: bool) -> str:
    """Run all contenders and return the page."""
    version = cluster.sql("SHOW server_version")
    size = int(cluster.sql("SELECT pg_database_size('shop')"))
    zstd = int(version.split(".")[0]) >= 16
    work = contenders(cluster, zstd=zstd, jobs=jobs, peer=peer)
    costs: dict[str, list[Cost]] = {name: [] for name in work}
    for number in range(1, rounds + 1):
        for name, contender in work.items():
            costs[name].append(measure(cluster, contender))
            print(f"round {number}: {name}: {costs[name][-1]}", file=sys.stderr, flush=True)
    return (
        f"Date: {time.strftime('%Y-%m-%d', time.gmtime())}. PostgreSQL {version}, client and server on one machine, "
        f"{'zstd:1' if zstd else 'gzip:1'}; database of {size / 1e9:.2f} GB; {rounds} rounds. "
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load at the end {os.getloadavg()[0]:.1f}.\n\n{table(costs, jobs)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=6_000_000, help="rows of the largest table (6 million: over 1 GB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true", help="without community.postgresql")
    parser.add_argument("--write", type=Path, help="write the page here")
    arguments = parser.parse_args()
    with running() as cluster:
        adopt_orphans()  # After the server's start: it is not one of them.
        fill(cluster, arguments.rows)
        page = compare(cluster, rounds=arguments.rounds, jobs=arguments.jobs, peer=not arguments.no_peer)
    if arguments.write:
        arguments.write.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()

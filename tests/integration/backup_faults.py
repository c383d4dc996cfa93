# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults for backups, and what must hold after each of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.tests.integration.backup_child import backup
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster

CHILD = "ansible_collections.slipway.django.tests.integration.backup_child"
STEPS = ("lock", "dump", "fsync", "count", "verify", "manifest", "rename", "retention")
KEPT = {"keep_last": 1, "min_keep": 1}
EARLIER = ("20260101T000000.000Z", "20260102T000000.000Z")


@dataclass
class Site:
    """A database, and the directory of its backups."""

    cluster: Cluster
    directory: Path
    options: dict[str, Any] = field(default_factory=dict)

    def request(self, **options: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "connection": {
                "database": "shop", "host": str(self.cluster.socket), "port": self.cluster.port, "user": "postgres",
            },
            "directory": str(self.directory),
            "label": "one",
            "site": "shop",
        }  # fmt: skip
        return {**values, **self.options, **options}

    def backup(self, *, state: str = "present", check_mode: bool = False, **options: Any) -> Any:
        """Run in this process."""
        bins = options.pop("bins", None)
        return backup(self.request(**options), state=state, check_mode=check_mode, bins=bins)

    def child(self, kill: tuple[str, int] | None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run in a process of its own, which dies at the place."""
        document = json.dumps({"options": self.request(**options), "kill": kill})
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-m", CHILD, document],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def lines(self, **options: Any) -> dict[str, int]:
        """How many lines each step runs when nothing goes wrong."""
        done = self.child(None, **options)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def entries(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir()) if self.directory.exists() else []

    def earlier(self, source: manifests.Manifest, *ids: str) -> None:
        """Lay copies of a backup beside it that seem older."""
        for number, backup_id in enumerate(ids):
            path = self.directory / backup_id
            shutil.copytree(self.directory / source.id, path)
            manifests.write(replace(source, id=backup_id, label=f"earlier-{number}"), str(path))


def with_earlier(site: Site) -> None:
    """Two backups that retention will remove."""
    site.backup(label="earlier", verify="list")
    (source,) = manifests.read_all(str(site.directory))
    site.earlier(source, *EARLIER)
    shutil.rmtree(site.directory / source.id)


NOT_KILLED = "it was not killed"


def killed_at(site: Site, step: str, line: int) -> list[str]:
    """Kill a backup, and return all that does not hold afterwards. The database's content does not change."""
    expected = site.cluster.fingerprint()
    options: dict[str, Any] = {"verify": "restore", "rules": KEPT, "pin": True}
    done = site.child((step, line), **options)
    if done.returncode != -signal.SIGKILL:
        return [f"{NOT_KILLED}: status {done.returncode} {done.stderr}"]
    broken = [*still_at_work(site.cluster), *unrestorable(site, expected)]
    site.backup(**options)
    broken += unrestorable(site, expected)
    if not manifests.find_label(str(site.directory), "shop", "one"):
        broken.append("the next run has taken no backup")
    if [name for name in site.entries() if not manifests.ID.fullmatch(name)]:
        broken.append(f"left behind: {site.entries()}")
    if site.cluster.databases() != {"postgres", "template0", "template1", "shop"}:
        broken.append(f"databases left behind: {site.cluster.databases()}")
    return broken


def still_at_work(cluster: Cluster) -> Iterator[str]:
    """What a killed backup still has the server do."""
    question = "SELECT string_agg(query, ';') FROM pg_stat_activity WHERE application_name LIKE 'slipway%'"
    deadline = time.monotonic() + 20
    while found := cluster.sql(question, database="postgres"):
        if time.monotonic() > deadline:
            yield f"still at work: {found}"
            return
        time.sleep(0.05)


def unrestorable(site: Site, expected: str) -> list[str]:
    """Restore each published backup by pg_restore alone and compare it."""
    found = []
    for manifest in manifests.read_all(str(site.directory)):
        seen = restored(site.cluster, site.directory / manifest.id / manifest.archive)
        if seen != expected:
            found.append(f"backup {manifest.id}: {seen}")
    return found


def restored(cluster: Cluster, archive: Path) -> str:
    """Restore into a fresh database and return its fingerprint, or why that failed."""
    cluster.sql("CREATE DATABASE copy TEMPLATE template0", database="postgres")
    try:
        done = subprocess.run(
            [cluster.bin / "pg_restore", "--exit-on-error", "-d", "copy", archive],
            env=cluster.environment, check=False, timeout=60, capture_output=True, text=True,
        )  # fmt: skip
        return cluster.fingerprint("copy") if done.returncode == 0 else done.stderr
    finally:
        cluster.sql("DROP DATABASE copy", database="postgres")


def spread(lines: int, points: int) -> list[int]:
    """So many lines, evenly from the first to the last."""
    return sorted({1 + number * (lines - 1) // max(1, points - 1) for number in range(points)})


@contextlib.contextmanager
def full_disk(directory: Path, size: str) -> Iterator[Path]:
    """A file system that is soon full. Only root can mount it."""
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


def programs(directory: Path, cluster: Cluster, **scripts: str) -> list[str]:
    """A directory with PostgreSQL's programs, some of them exchanged for a script. ``REAL`` is the real one's path."""
    directory.mkdir()
    for name in ("psql", "pg_dump", "pg_dumpall", "pg_restore"):
        (directory / name).symlink_to(cluster.bin / name)
    for name, script in scripts.items():
        (directory / name).unlink()
        (directory / name).write_text("#!/bin/bash\n" + script.replace("REAL", str(cluster.bin / name)))
        (directory / name).chmod(0o755)
    return [str(directory)]


@contextlib.contextmanager
def writers(cluster: Cluster, number: int) -> Iterator[None]:
    """Clients that write all the time, into a table ``kinds`` too when it is there."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            cluster.sql(
                "INSERT INTO orders (note) SELECT md5(random()::text) FROM generate_series(1, 20);"
                "UPDATE kinds SET kind = 'large', doc = '[2]' "
                "WHERE id = (SELECT min(id) FROM kinds WHERE kind = 'small')"
            )

    threads = [threading.Thread(target=write, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The long campaign behind docs/proof/backup-faults.md, which it writes: no published backup can't be restored."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._postgres import _manifest as manifests
from ansible_collections.slipway.django.tests.integration.backup_faults import (
    NOT_KILLED,
    STEPS,
    Site,
    full_disk,
    killed_at,
    programs,
    restored,
    spread,
    still_at_work,
    unrestorable,
    with_earlier,
    writers,
)
from ansible_collections.slipway.django.tests.integration.lab_postgres import Cluster, bin_directory, running
from slipway_lab import proof
from slipway_lab.world import CHECKOUT

pytestmark = pytest.mark.skipif(bin_directory() is None, reason="needs the package postgresql")
PAGE = CHECKOUT / "docs" / "proof" / "backup-faults.md"
POINTS = 10
FLIPS = 100
CUTS = 20
TEMPLATE = """# No published backup is one that can't be restored

Written by `make proof` (`tests/proof/test_backup_faults.py`); `tests/integration/test_pg_backup_faults.py` repeats a
part of it, and asserts the message of each refusal.

**{verdict}.**

Each time a backup of a database (20,000 rows and more, a large object, an extension) meets a fault. What must hold
afterwards: each backup that is published restores by `pg_restore` alone to the content of the database; nothing of the
backup is still at work on the server; the next run succeeds and leaves no remains. Places to be killed at are lines of
the product's own code, evenly spread over what the step runs; a run with retention of earlier backups, a pin, and
verified by a whole restore.

| fault | times | as promised | |
| --- | ---: | ---: | --- |
{rows}

Damage is looked for by `state: verified`; beside it, what PostgreSQL's own programs say of the same damage.

{circumstances}
"""


@dataclass
class Campaign:
    """What was tried, by the name of the fault, and what has not held."""

    times: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    remarks: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def tried(self, fault: str, broken: list[str], *, remark: str = "") -> None:
        """One more time."""
        self.times[fault] += 1
        self.held[fault] += not broken
        self.broken += [f"{fault}: {what}" for what in broken]
        self.remarks[fault] = remark or self.remarks.get(fault, "")

    def page(self) -> str:
        """The page. Pure, but for the circumstances."""
        rows = [f"| {name} | {self.times[name]} | {self.held[name]} | {self.remarks[name]} |" for name in self.times]
        verdict = f"All {sum(self.times.values())} held" if not self.broken else "NOT as promised: " + "; ".join(
            self.broken
        )  # fmt: skip
        return TEMPLATE.format(verdict=verdict, rows="\n".join(rows), circumstances=proof.machine_in_words())


@pytest.fixture(scope="module", name="whole_campaign")
def _whole_campaign() -> Campaign:
    return Campaign()


@pytest.fixture(name="campaign")
def _campaign(whole_campaign: Campaign) -> Iterator[Campaign]:
    """Written after each part: a campaign that is ended early leaves what it has seen."""
    yield whole_campaign
    PAGE.write_text(whole_campaign.page(), encoding="utf-8")


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[Cluster]:
    with running() as cluster:
        yield cluster


def fresh(server: Cluster, directory: Path) -> Site:
    server.fresh()
    return Site(server, directory / "backups")


def refused(work: Callable[[], object], words: str) -> list[str]:
    """What is wrong with a refusal: that it is none, or says something else."""
    try:
        work()
    except SlipwayError as error:
        return [] if re.search(words, error.message) else [f"it said: {error.message}"]
    return ["it was not refused"]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_many_places_of_a_step(
    server: Cluster, tmp_path: Path, campaign: Campaign, step: str, jobs: int
) -> None:
    site = fresh(server, tmp_path)
    site.options["jobs"] = jobs
    with_earlier(site)
    lines = site.lines(**killed_at_options())[step]
    for line in spread(lines, POINTS // 2):
        format_ = "directory" if jobs > 1 else "custom"
        campaign.tried(f"SIGKILL, {step}, {format_}", killed_at_or_before(site, step, line), remark=f"of {lines} lines")
    assert campaign.broken == []


def killed_at_or_before(site: Site, step: str, line: int) -> list[str]:
    """How many lines wait for a program is not the same each time: one that never comes is no place to be killed at."""
    broken = []
    while line:
        shutil.rmtree(site.directory)
        with_earlier(site)
        broken = killed_at(site, step, line)
        if not broken or not broken[0].startswith(NOT_KILLED):
            return broken
        line = line * 2 // 3
    return broken


def killed_at_options() -> dict[str, object]:
    return {"verify": "restore", "rules": {"keep_last": 1, "min_keep": 1}, "pin": True}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("jobs", [1, 2])
def test_pg_dump_is_killed(server: Cluster, tmp_path: Path, campaign: Campaign, jobs: int) -> None:
    site = fresh(server, tmp_path)
    site.backup(jobs=jobs, label="whole", verify="list")
    size = manifests.read_all(str(site.directory))[0].bytes
    expected = server.fingerprint()
    for number, share in enumerate(range(0, 100, 10)):
        at = size * share // 100
        script = f'REAL "$@" | head -c {at}\nkill -9 $$'
        if jobs > 1:
            script = f'for last; do :; done\nREAL "$@" & sleep 0.0{number}; kill -9 $! $$'
        bins = programs(
            tmp_path / f"bin{number}", server, pg_dump=f'[ "$1" = --version ] && exec REAL --version\n{script}'
        )
        broken = refused(lambda bins=bins: site.backup(bins=bins, jobs=jobs), r"ended with status -9")  # type: ignore[misc]
        broken += [*still_at_work(server), *unrestorable(site, expected)]
        broken += [] if len(site.entries()) == 1 else [f"left behind: {site.entries()}"]
        campaign.tried(f"SIGKILL of pg_dump, {'directory' if jobs > 1 else 'custom'}", broken)
    assert campaign.broken == []


@pytest.mark.timeout(1200)
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("jobs", [1, 2])
def test_full_disks(server: Cluster, tmp_path: Path, campaign: Campaign, jobs: int) -> None:
    site = fresh(server, tmp_path)
    site.backup(jobs=jobs, verify="list")
    pages = sum(row["bytes"] // 4096 + 1 for row in manifests.read_all(str(site.directory))[0].files)
    expected = server.fingerprint()
    # Full in the middle of the archive, and for what is written after it.
    for size in (*(pages * share // 100 for share in (5, 20, 40, 60, 80, 95)), *range(pages, pages + 8)):
        with full_disk(tmp_path / f"disk{size}", f"{size * 4}k") as disk:
            site.directory = disk / "backups"
            broken = refused(
                lambda: site.backup(jobs=jobs, free_space_factor=0),
                r"No space left on device|fewer than \d+ bytes are free",
            )
            if broken == ["it was not refused"] and size >= pages:
                # Then it must be one.
                broken = unrestorable(site, expected)
            elif site.entries():
                broken.append(f"left behind: {site.entries()}")
        campaign.tried(f"full disk, {'directory' if jobs > 1 else 'custom'}", broken)
    assert campaign.broken == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("jobs", [1, 2])
def test_damage(server: Cluster, tmp_path: Path, campaign: Campaign, jobs: int) -> None:
    site = fresh(server, tmp_path)
    site.backup(jobs=jobs, verify="checksum")
    (manifest,) = manifests.read_all(str(site.directory))
    path = site.directory / manifest.id
    rng = random.Random(jobs)
    unseen: Counter[str] = Counter()
    name = "directory" if jobs > 1 else "custom"
    files = sorted(manifest.files, key=lambda row: -row["bytes"])
    for kind, number in (("bit flip", FLIPS), ("cut", CUTS), ("file lost", len(files))):
        for turn in range(number):
            row = files[turn % len(files)] if kind == "file lost" else rng.choices(
                files, [row["bytes"] for row in files]
            )[0]  # fmt: skip
            whole = (path / row["path"]).read_bytes()
            (path / row["path"]).unlink()
            if kind != "file lost":
                (path / row["path"]).write_bytes(harmed(whole, kind, rng))
            unseen[kind] += read_without_a_word(server, path / manifest.archive)
            words = re.escape(f"The file {path / row['path']} ")
            broken = refused(lambda: site.backup(state="verified", reference="latest", verify="list"), f"^{words}")
            (path / row["path"]).write_bytes(whole)
            remark = f"`pg_restore` read {unseen[kind]} of them to the end without a word"
            campaign.tried(f"{kind}, {name}", broken, remark=remark)
    broken = unrestorable(site, server.fingerprint())
    assert campaign.broken + broken == []


def harmed(whole: bytes, kind: str, rng: random.Random) -> bytes:
    place = rng.randrange(len(whole))
    if kind == "cut":
        return whole[:place]
    return whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :]


def read_without_a_word(server: Cluster, archive: Path) -> bool:
    done = subprocess.run(
        [server.bin / "pg_restore", "--file=/dev/null", archive], capture_output=True, check=False, timeout=60
    )
    return done.returncode == 0


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("jobs", [1, 2])
def test_writers(server: Cluster, tmp_path: Path, campaign: Campaign, jobs: int) -> None:
    site = fresh(server, tmp_path)
    server.sql(
        "CREATE TYPE kind AS ENUM ('small', 'large');"
        "CREATE TABLE kinds (id serial PRIMARY KEY, kind kind, doc json);"
        "INSERT INTO kinds (kind, doc) SELECT 'small', '[1]' FROM generate_series(1, 20000)"
    )
    with writers(server, 3):
        for number in range(10):
            broken: list[str] = []
            try:
                site.backup(jobs=jobs, fingerprint="content", verify="restore", label=f"run-{number}")
            except SlipwayError as error:
                broken.append(error.message)
            manifest = manifests.find_label(str(site.directory), "shop", f"run-{number}")
            if manifest is not None:
                orders = next(table["rows"] for table in manifest.tables if table["name"] == "orders")
                seen = restored(server, site.directory / manifest.id / manifest.archive)
                broken += [] if seen.startswith(f"{orders}|") else [f"{orders} rows were counted, and restored: {seen}"]
            name = "directory" if jobs > 1 else "custom"
            campaign.tried(f"3 clients write; content compared, {name}", broken)
    assert campaign.broken == []

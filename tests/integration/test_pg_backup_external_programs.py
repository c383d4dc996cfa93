# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real pgBackRest and the real Barman back a real cluster up, and their own words are judged."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module
from ansible_collections.slipway.django.tests.integration.lab_postgres import SYSTEM_USER, Cluster, running

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the programs are run as the server's user"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of the server's user; pytest's own is closed to it."""
    path = Path(tempfile.mkdtemp(prefix="slipway-ext-"))
    shutil.chown(path, SYSTEM_USER)
    yield path
    shutil.rmtree(path)


def as_server(*words: str) -> str:
    done = subprocess.run(
        ["runuser", "-u", SYSTEM_USER, "--", *words], capture_output=True, text=True, check=False, timeout=120, cwd="/"
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def asked(kind: str, command: Sequence[str] = (), **options: object) -> ModuleRun:
    command = ["runuser", "-u", SYSTEM_USER, "--", *command] if command else []
    return run_module("pg_backup_external", {"kind": kind, "name": "shop", "command": command, **options})


# --- pgBackRest ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pgbackrest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cluster, Callable[..., str]]]:
    config = folder / "pgbackrest.conf"

    def run(*words: str) -> str:
        return as_server("pgbackrest", f"--config={config}", "--stanza=shop", *words)

    archive = f"archive_command='pgbackrest --config={config} --stanza=shop archive-push %p'"
    with running("wal_level=replica", "archive_mode=on", archive) as cluster:
        config.write_text(
            f"[global]\nrepo1-path={folder}/repo\nlog-level-file=off\nlock-path={folder}/lock\nspool-path={folder}\n"
            f"start-fast=y\n[shop]\npg1-path={cluster.data}\npg1-port={cluster.port}\npg1-socket-path={cluster.socket}\n"
        )
        # As a task finds it, which gives no command of its own.
        monkeypatch.setenv("PGBACKREST_CONFIG", str(config))
        yield cluster, run


@pytest.mark.long
def test_pgbackrest_itself(pgbackrest: tuple[Cluster, Callable[..., str]], folder: Path) -> None:
    _cluster, run = pgbackrest
    nothing = asked("pgbackrest")
    assert nothing.failed
    assert "stanza shop is not in order: missing stanza path" in nothing.msg

    run("stanza-create")
    empty = asked("pgbackrest")
    assert empty.failed
    assert "stanza shop is not in order: no valid backups" in empty.msg

    run("--type=full", "backup")
    run("--type=diff", "backup")
    label = max(entry.name for entry in (folder / "repo" / "backup" / "shop").iterdir() if entry.name[:2] == "20")
    found = asked("pgbackrest").succeeded()
    assert (found["backup"]["id"], found["backup"]["by"]) == (label, "pgbackrest")
    assert label.endswith("D")
    assert found["msg"].startswith(f"pgbackrest backup {label} stands in: ok, it ended ")

    old = asked("pgbackrest", max_age=0.001)
    assert old.failed
    assert f"the newest whole one, {label}, ended " in old.msg


# --- Barman ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def barman(folder: Path) -> Iterator[tuple[Cluster, Callable[..., str], list[str]]]:
    config, incoming = folder / "barman.conf", folder / "shop" / "incoming"
    command = ["barman", "--config", str(config)]
    as_server("mkdir", "-p", str(incoming))
    archive = f"archive_command='cp %p {incoming}/%f'"
    with running("wal_level=replica", "archive_mode=on", archive) as cluster:
        with (cluster.data / "pg_hba.conf").open("a", encoding="ascii") as stream:
            stream.write("local replication all trust\n")
        cluster.sql("SELECT pg_reload_conf()", database="postgres")
        address = f"host={cluster.socket} port={cluster.port} user=postgres dbname=postgres"
        config.write_text(
            f"[barman]\nbarman_user={SYSTEM_USER}\nbarman_home={folder}\nbarman_lock_directory={folder}\n"
            f"log_file={folder}/log\nconfiguration_files_directory={folder}\n"
            f"[shop]\ndescription=shop\nconninfo={address}\nstreaming_conninfo={address}\n"
            f"backup_method=postgres\narchiver=on\nminimum_redundancy=0\npath_prefix={cluster.bin}\n"
        )
        yield cluster, lambda *words: as_server(*command, *words), command


@pytest.mark.long
def test_barman_itself(barman: tuple[Cluster, Callable[..., str], list[str]]) -> None:
    _cluster, run, command = barman
    listing = [*command, "--format", "json", "list-backups", "shop"]
    nothing = asked("barman", listing)
    assert nothing.failed
    assert "it has no finished backup among 0" in nothing.msg

    run("switch-wal", "--force", "--archive", "shop")
    run("backup", "shop")
    found = asked("barman", listing).succeeded()
    assert found["msg"].startswith(f"barman backup {found['backup']['id']} stands in: DONE, it ended ")
    assert found["backup"]["by"] == "barman"

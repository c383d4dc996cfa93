# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import (
    Client,
    Connection,
    bin_directories,
    client_for,
    find_clients,
    find_psql,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed


def test_programs_are_told_by_the_environment() -> None:
    connection = Connection("shop", host="db1", port=5433, user="keeper", passfile="/etc/pgpass")
    assert connection.environment() == {
        "PGDATABASE": "shop",
        "PGHOST": "db1",
        "PGPORT": "5433",
        "PGUSER": "keeper",
        "PGPASSFILE": "/etc/pgpass",
        "PGAPPNAME": "slipway pg_backup",
        "PGCONNECT_TIMEOUT": "10",
    }
    assert set(Connection("shop").environment()) == {"PGDATABASE", "PGAPPNAME", "PGCONNECT_TIMEOUT"}
    assert connection.to("other").environment()["PGDATABASE"] == "other"


def test_whom_it_talks_to_in_words() -> None:
    assert Connection("shop").in_words() == "database shop on the local socket"
    assert Connection("shop", "db1", 5433, "keeper").in_words() == "database shop on db1 port 5433 as keeper"


def test_a_password_file_for_all_to_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pgpass"
    path.touch(mode=0o600)
    Connection("shop", passfile=str(path)).validate()
    path.chmod(0o640)
    with pytest.raises(InvalidOption) as caught:
        Connection("shop", passfile=str(path)).validate()
    assert "(its mode is 0640, and PostgreSQL's programs ignore it then)" in caught.value.message
    assert f"chmod 0600 {path}." in caught.value.message
    with pytest.raises(InvalidOption, match="No such file"):
        Connection("shop", passfile=str(tmp_path / "none")).validate()


@pytest.mark.parametrize(
    ("words", "version", "major"),
    [
        ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", 15),
        ("pg_dump (PostgreSQL) 17.10\n", "17.10", 17),
        ("pg_dump (PostgreSQL) 19beta2\n", "19beta2", 19),
        ("pg_dump (PostgreSQL) 18devel\n", "18devel", 18),
    ],
)
def test_versions_as_pg_dump_tells_them(tmp_path: Path, words: str, version: str, major: int) -> None:
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).touch()
    runner = FakeRunner([words])
    (client,) = find_clients([str(tmp_path)], runner)
    assert (client.version, client.major) == (version, major)
    assert client.program("pg_restore") == str(tmp_path / "pg_restore")


def test_directories_without_whole_clients_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "pg_dump").touch()
    (tmp_path / "broken").mkdir()
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / "broken" / name).touch()
    runner = FakeRunner([completed(returncode=127, stderr="libpq.so.5: cannot open shared object file")])
    assert find_clients([str(tmp_path / "half"), str(tmp_path / "broken"), "/nowhere"], runner) == []


def test_only_the_servers_own_major_version_will_do() -> None:
    old, right, new = (Client("/x", version) for version in ("14.2", "15.18", "17.1"))
    assert client_for(15, [new, right, old]) is right
    assert client_for(16, [new, right, old]) is None


def test_psql_of_any_version() -> None:
    assert find_psql(["/a", "/b"], lambda path: path == "/b/psql") == "/b/psql"
    with pytest.raises(
        Refused, match=r"no PostgreSQL client programs .* Install them \(on Debian: postgresql-client\)"
    ):
        find_psql(["/a"], lambda _path: False)


def test_programs_in_the_path_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bin_directories()[-1] == str(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert str(tmp_path) not in bin_directories()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption, Refused
from ansible_collections.slipway.django.plugins.module_utils._postgres._client import Client, Connection
from ansible_collections.slipway.django.plugins.module_utils._postgres._manifest import Manifest
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import (
    FAILED,
    OLD,
    RESTORING,
    VERIFIED,
    Mark,
    Seen,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_plan import (
    Request,
    Server,
    make_plan,
    needed_roles,
    problems,
    target_name,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._restore_work import Check

ID = "20261121T160528.213Z"
TARGET = "shop__restore_20261121t160528213z"
MARK = Mark(VERIFIED, "shop", f"/backups/{ID}", ID, "2026-11-21T16:05:29Z", "7", "0/10", "2026-11-21T17:00:00Z")
LIVE = Seen("shop", 5, "shop", True, False, None, 0, 1, True)
TEMPLATE = Seen("template0", 1, "postgres", False, True, None, 0, 7 << 20, True)
CLIENTS = [Client("/bin", "15.18")]
ROW = {
    "owner": "shop", "datconnlimit": -1, "tablespace": "fast", "comment": None,
    "acl": [{"grantee": "clerk", "privilege": "CONNECT", "grantable": False}],
}  # fmt: skip


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "id": ID, "label": "l", "site": "shop", "database": "shop", "started_at": "2026-11-21T16:05:28Z",
        "taken_at": "2026-11-21T16:05:29Z", "system_identifier": "7", "server_version": "15.18 (Debian)",
        "client_version": "15.18", "format": "custom", "compression": "gzip:1", "jobs": 1,
        "files": [{"path": "database.dump", "bytes": 1, "sha256": ""}], "levels": ["list"],
        "snapshot": {"lsn": "0/10", "at": ""}, "tables": [], "sequences": [], "large_objects": 0,
        "fingerprint": "counts", "django_migrations": [], "seconds": {},
        "properties": {
            "database": ROW, "settings": [{"role": "reader", "settings": ["work_mem=1MB"]}], "size": 100 << 20,
            "roles": ["shop", "pg_monitor"],
            "extensions": [{"name": "plpgsql"}, {"name": "hstore"}, {"name": "postgis"}],
        },
    }  # fmt: skip
    return Manifest(**{**values, **changes})


def server(*databases: Seen, **changes: Any) -> Server:
    values: dict[str, Any] = {
        "version_num": 150018, "version": "15.18", "standby": False, "user": "postgres", "superuser": True,
        "createdb": True, "system_identifier": "7", "lsn": "0/20", "roles": ["shop", "clerk", "reader"],
        "may_own": ["shop"], "extensions": {"plpgsql": True, "hstore": True, "postgis": True}, "tablespaces": ["fast"],
        "path": "/data", "databases": {seen.name: seen for seen in (TEMPLATE, *databases)},
    }  # fmt: skip
    return Server(**{**values, **changes})


def request(**changes: Any) -> Request:
    values = {"connection": Connection("postgres"), "directory": "/backups", "database": "shop", "backup": "latest"}
    return Request(**{**values, **changes})


def copy(phase: str = VERIFIED, **changes: Any) -> Seen:
    return replace(LIVE, name=TARGET, oid=6, comment="mark", mark=replace(MARK, phase=phase, **changes))


@pytest.mark.parametrize(
    ("databases", "changes", "action", "drop"),
    [
        ([LIVE], {}, "restore", ()),
        ([], {}, "restore", ()),
        ([LIVE, copy()], {}, "none", ()),
        ([LIVE, copy(RESTORING)], {}, "restore", (TARGET,)),
        # Made by a run that died before it could mark it.
        ([replace(copy(), mark=None, comment=None, connectable=False, size=7 << 20)], {}, "restore", (TARGET,)),
        # One of another backup that died, and one that another directory's run may be working on.
        ([LIVE, replace(copy(RESTORING, owner="/backups/x"), name="o")], {}, "restore", ("o",)),
        ([LIVE, replace(copy(RESTORING, owner="/elsewhere/x"), name="o")], {}, "restore", ()),
        ([LIVE, replace(copy(RESTORING, owner="/backups/x", database="other"), name="o")], {}, "restore", ()),
        ([LIVE, copy()], {"state": "absent"}, "drop", (TARGET,)),
        ([LIVE, copy(RESTORING)], {"state": "absent"}, "drop", (TARGET,)),
        ([LIVE], {"state": "absent"}, "none", ()),
        # The live one came from this backup itself.
        ([LIVE, replace(copy(OLD, replaced_by=5), name="o")], {}, "none", ()),
        ([LIVE, replace(copy(OLD, replaced_by=5), name="o")], {"again": True}, "restore", ()),
        ([LIVE, replace(copy(OLD, replaced_by=5, backup="x"), name="o")], {}, "restore", ()),
        ([LIVE, replace(copy(FAILED, replaced_by=5), name="o")], {}, "restore", ()),
    ],
)
def test_the_marks_say_what_is_to_be_done(
    databases: list[Seen], changes: dict[str, Any], action: str, drop: tuple[str, ...]
) -> None:
    plan = make_plan(server(*databases), request(**changes), manifest())
    assert (plan.action, plan.drop, plan.target) == (action, drop, TARGET)
    assert plan.changed == (action != "none")


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (replace(copy(), mark=None, comment="mine"), "was not made by pg_restore: it bears no mark"),
        (replace(copy(), mark=None, comment=None), "it bears no mark"),
        (replace(copy(), mark=None, comment=None, connectable=False, size=9 << 20), "it bears no mark"),
        (replace(copy(), mark=None, comment=None, connectable=False, size=None), "it bears no mark"),
        (copy(owner="/elsewhere/x"), "is a copy of shop from /elsewhere/x"),
        (copy(database="other"), "is a copy of other from"),
        (copy(OLD), "is kept from a swap (phase old)"),
    ],
)
def test_what_is_not_this_copy_is_not_dropped(there: Seen, message: str) -> None:
    with pytest.raises(Refused) as caught:
        make_plan(server(LIVE, there), request(), manifest())
    assert message in caught.value.message
    assert "Nothing was changed. Give another target" in caught.value.message


def test_nothing_is_in_the_way() -> None:
    assert problems(server(LIVE), request(), manifest(), CLIENTS, 200 << 20) == []
    assert problems(server(LIVE), request(), manifest(), CLIENTS, None) == []


def test_all_that_is_in_the_way_is_said() -> None:
    poor = server(
        LIVE, user="u", superuser=False, createdb=False, standby=True, roles=["shop"], may_own=[], tablespaces=[],
        extensions={"hstore": False}, version_num=170002, version="17.2",
    )  # fmt: skip
    backup = manifest(encryption={"method": "age"})
    assert problems(poor, request(verify="content"), backup, CLIENTS, 50 << 20) == [
        f"backup {ID} is encrypted: fetch it with pg_backup_copy and the identity file first",
        (f"backup {ID} has no digests of its tables' contents (its fingerprint is counts): say verify: counts"),
        "the server is a standby, where no database can be made: ask the primary",
        ("the backup is of PostgreSQL 15.18 (Debian) and the server is 17.2: restore it on a server of version 15"),
        (
            "the server is PostgreSQL 17.2 and this host has no pg_restore of version 17 (there is 15.18 in /bin): "
            "install postgresql-client-17"
        ),
        'role u may not make a database: ALTER ROLE "u" CREATEDB',
        (
            "these roles own something or have rights in the backup and do not exist: clerk, reader: make them "
            "(globals.sql beside the backup, where it could be written, has them)"
        ),
        ('role u may not make a database for shop, to whom it belongs: GRANT "shop" TO "u", or restore as a superuser'),
        "the server has no files for these extensions: plpgsql, postgis: install their packages",
        "role u may not make these extensions: hstore: restore as a superuser",
        "there is no tablespace fast, where the database lay: make it",
        ("50.0 MiB are free in /data and 120.0 MiB are wanted (1.2 × the 100.0 MiB that the database had): make room"),
    ]


def test_roles_that_the_server_has_itself_are_not_asked_for() -> None:
    assert needed_roles(manifest()) == ["clerk", "reader", "shop"]


def test_the_target_s_name() -> None:
    assert target_name("shop", ID) == TARGET


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backup": ""}, "backup: '' is not accepted, expected the id or label of a backup, or latest"),
        ({"target": "shop"}, "target: 'shop' is not accepted"),
        ({"directory": "backups"}, "directory: 'backups' is not accepted"),
        ({"connection": Connection("shop")}, "maintenance_database: 'shop' is not accepted"),
        ({"maintenance_work_mem": "1MB -c x=y"}, "maintenance_work_mem: '1MB -c x=y' is not accepted"),
        ({"jobs": 0}, "jobs: 0 is not accepted"),
        ({"timeout_s": 0}, "timeout: 0 is not accepted"),
        ({"checks": (Check("\\! id", ""),)}, "expected SQL without a backslash"),
    ],
)
def test_options_that_can_not_be_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        request(**changes).validate()
    assert message in caught.value.message


def test_a_copy_can_be_dropped_by_its_name_alone() -> None:
    request(state="absent", backup="", target="x").validate()

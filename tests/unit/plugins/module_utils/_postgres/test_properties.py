# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.django.plugins.module_utils._postgres._properties import (
    Properties,
    differences,
    list_members,
    read,
    roles,
    statements,
    tablespace_clause,
)
from hypothesis import given
from hypothesis import strategies as st

PLAIN = Properties("shop", -1, "pg_default", {(None, "CONNECT"): False, ("shop", "CONNECT"): False}, {})
NAMES = st.one_of(st.none(), st.text(alphabet="ab\"' ", min_size=1, max_size=4))
PROPERTIES = st.builds(
    Properties,
    owner=st.sampled_from(["shop", 'o"d d']),
    connection_limit=st.integers(-1, 9),
    tablespace=st.just("pg_default"),
    grants=st.dictionaries(st.tuples(NAMES, st.sampled_from(["CONNECT", "CREATE", "TEMPORARY"])), st.booleans()),
    settings=st.dictionaries(st.tuples(NAMES, st.sampled_from(["work_mem", "app.key", "lock_timeout"])), st.text()),
)


def test_a_manifest_is_read() -> None:
    found = read(
        {
            "database": {
                "owner": "shop",
                "datconnlimit": 20,
                "tablespace": "fast",
                "acl": [
                    {"grantee": None, "privilege": "CONNECT", "grantable": False},
                    {"grantee": "clerk", "privilege": "CONNECT", "grantable": False},
                    {"grantee": "clerk", "privilege": "CONNECT", "grantable": True},
                ],
            },
            "settings": [
                {"role": None, "settings": ["work_mem=8MB", "app.key=a=b"]},
                {"role": "clerk", "settings": ["lock_timeout=3s"]},
            ],
        }
    )
    assert found == Properties(
        "shop",
        20,
        "fast",
        {(None, "CONNECT"): False, ("clerk", "CONNECT"): True},
        {(None, "work_mem"): "8MB", (None, "app.key"): "a=b", ("clerk", "lock_timeout"): "3s"},
    )
    assert roles(found) == ["clerk", "shop"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (PLAIN, []),
        (
            Properties('a"b', 5, None, {}, {}),
            [
                'ALTER DATABASE "sh""op" OWNER TO "a""b"',
                'ALTER DATABASE "sh""op" CONNECTION LIMIT 5',
                'REVOKE CONNECT ON DATABASE "sh""op" FROM PUBLIC',
                'REVOKE CONNECT ON DATABASE "sh""op" FROM "shop"',
            ],
        ),
        (
            Properties("shop", -1, None, {**PLAIN.grants, ("clerk", "CREATE"): True}, {}),
            ['GRANT CREATE ON DATABASE "sh""op" TO "clerk" WITH GRANT OPTION'],
        ),
        (
            Properties(
                "shop", -1, None, PLAIN.grants,
                {(None, "search_path"): '"$user", "a""b,c", public', ("it's", "app.key"): "it's"},
            ),
            [
                """ALTER DATABASE "sh""op" SET "search_path" TO '$user', 'a"b,c', 'public'""",
                """ALTER ROLE "it's" IN DATABASE "sh""op" SET "app.key" TO 'it''s'""",
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_ordered(wanted: Properties, expected: list[str]) -> None:
    assert statements('sh"op', wanted, PLAIN) == expected


def test_what_is_too_much_is_taken_away() -> None:
    seen = Properties("shop", -1, None, {("clerk", "CREATE"): True}, {("clerk", "work_mem"): "1MB"})
    wanted = Properties("shop", -1, None, {("clerk", "CREATE"): False}, {})
    assert statements("shop", wanted, seen) == [
        'REVOKE GRANT OPTION FOR CREATE ON DATABASE "shop" FROM "clerk"',
        'ALTER ROLE "clerk" IN DATABASE "shop" RESET "work_mem"',
    ]
    assert differences(wanted, seen) == ["privilege CREATE of clerk differs", "setting work_mem of clerk differs"]


def test_a_wrong_place_is_said() -> None:
    wanted = Properties("shop", 5, "fast", PLAIN.grants, {})
    assert differences(wanted, PLAIN) == [
        "the connection limit is -1 and should be 5",
        "the tablespace is pg_default and should be fast",
    ]
    assert differences(Properties("shop", -1, None, PLAIN.grants, {}), PLAIN) == []


@given(PROPERTIES, PROPERTIES)
def test_something_is_ordered_exactly_when_something_differs(wanted: Properties, seen: Properties) -> None:
    assert bool(statements("shop", wanted, seen)) == bool(differences(wanted, seen)) == (wanted != seen)


@given(PROPERTIES, PROPERTIES)
def test_every_text_is_quoted(wanted: Properties, seen: Properties) -> None:
    for statement in statements("shop", wanted, seen):
        # Outside quotes nothing is left that came from a value.
        assert statement.count('"') % 2 == 0 or "'" in statement
        assert "\n" not in statement or "'" in statement


@given(st.lists(st.text(alphabet="ab\", $'", max_size=5), max_size=5))
def test_a_list_of_names_comes_back(members: list[str]) -> None:
    assert list_members(", ".join('"' + member.replace('"', '""') + '"' for member in members)) == members


@pytest.mark.parametrize(
    ("value", "members"),
    [("", []), ('""', [""]), ("public", ["public"]), ("a,b", ["a", "b"]), ('"$user", public', ["$user", "public"])],
)
def test_lists_as_servers_store_them(value: str, members: list[str]) -> None:
    assert list_members(value) == members


def test_a_list_that_is_not_understood_is_no_list() -> None:
    with pytest.raises(ValueError, match="not understood from its character 0"):
        list_members('"a" b, c')


def test_the_default_tablespace_is_not_named_because_an_owner_may_not() -> None:
    assert tablespace_clause(None) == tablespace_clause("pg_default") == ""
    assert tablespace_clause('fa"st') == ' TABLESPACE "fa""st"'

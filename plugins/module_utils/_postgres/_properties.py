# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a database and not to its contents: in no dump of it, and gone after a restore unless put back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ansible_collections.slipway.django.plugins.module_utils._postgres._source import quote_name, quote_text

# Settings that are lists of names: each member is quoted by itself, the whole would become one long name.
# The same list as variable_is_guc_list_quote() of PostgreSQL.
_LISTS: Final = frozenset(
    {
        "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries",
        "temp_tablespaces", "unix_socket_directories",
    }
)  # fmt: skip
_MEMBER: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]*?))\s*(?:,|$)')


@dataclass(frozen=True)
class Properties:
    """Effective properties. Grants are (grantee or None for PUBLIC, privilege) with whether it may be passed on."""

    owner: str
    connection_limit: int
    tablespace: str | None
    grants: Mapping[tuple[str | None, str], bool]
    # (role or None for all, name) with its value, as the server stores it.
    settings: Mapping[tuple[str | None, str], str]


def question(database: str) -> str:
    """Ask for the properties of a database, in the shape of a manifest's."""
    return f"""
    SELECT json_build_object(
      'database', jsonb_build_object(
        'owner', pg_get_userbyid(d.datdba), 'datconnlimit', d.datconnlimit,
        'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
        'acl', (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'grantee', CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
            'privilege', a.privilege_type, 'grantable', a.is_grantable)), '[]')
          FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)),
      'settings', (SELECT coalesce(json_agg(json_build_object(
          'role', CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END,
          'settings', s.setconfig)), '[]')
        FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
    FROM pg_database d WHERE d.datname = {quote_text(database)}
    """


def read(document: Mapping[str, Any]) -> Properties:
    """Return the properties that a manifest, or the server, tells of."""
    row = document["database"]
    grants: dict[tuple[str | None, str], bool] = {}
    for grant in row.get("acl") or []:
        # The same privilege may have come from two grantors. It is put back as one, from the owner.
        key = (grant["grantee"], grant["privilege"])
        grants[key] = grants.get(key, False) or bool(grant["grantable"])
    settings = {}
    for entry in document.get("settings") or []:
        for assignment in entry["settings"]:
            name, _equals, value = assignment.partition("=")
            settings[entry["role"], name] = value
    return Properties(row["owner"], int(row.get("datconnlimit", -1)), row.get("tablespace"), grants, settings)


def roles(properties: Properties) -> list[str]:
    """Return the roles without which the properties can't be put back."""
    named = {properties.owner, *(grantee for grantee, _privilege in properties.grants)}
    named |= {role for role, _setting in properties.settings}
    return sorted(name for name in named if name is not None)


def tablespace_clause(tablespace: str | None) -> str:
    """Return what a CREATE DATABASE says of the tablespace.

    The default one is not named: for its name a right is asked that nobody but a superuser has (CREATE on it), although
    everybody's databases lie there.
    """
    return "" if tablespace in (None, "pg_default") else f" TABLESPACE {quote_name(str(tablespace))}"


def statements(database: str, wanted: Properties, seen: Properties) -> list[str]:
    """Return what makes a database with the properties ``seen`` one with those ``wanted``; nothing when it is.

    The tablespace is not among them: to move a database is to copy it, so it is made where it belongs.
    """
    name = quote_name(database)
    found = []
    if wanted.owner != seen.owner:
        found.append(f"ALTER DATABASE {name} OWNER TO {quote_name(wanted.owner)}")
    if wanted.connection_limit != seen.connection_limit:
        found.append(f"ALTER DATABASE {name} CONNECTION LIMIT {wanted.connection_limit}")
    return [*found, *_grants(name, wanted, seen), *_settings(name, wanted, seen)]


def _grants(name: str, wanted: Properties, seen: Properties) -> Iterator[str]:
    for key in _ordered(seen.grants):
        grantee, privilege = _grantee(key[0]), key[1]
        if key not in wanted.grants:
            yield f"REVOKE {privilege} ON DATABASE {name} FROM {grantee}"
        elif seen.grants[key] and not wanted.grants[key]:
            yield f"REVOKE GRANT OPTION FOR {privilege} ON DATABASE {name} FROM {grantee}"
    for key in _ordered(wanted.grants):
        grantable = wanted.grants[key]
        if key not in seen.grants or (grantable and not seen.grants[key]):
            option = " WITH GRANT OPTION" if grantable else ""
            yield f"GRANT {key[1]} ON DATABASE {name} TO {_grantee(key[0])}{option}"


def _settings(name: str, wanted: Properties, seen: Properties) -> Iterator[str]:
    for role, setting in _ordered(seen.settings):
        if (role, setting) not in wanted.settings:
            yield f"{_whose(name, role)} RESET {quote_name(setting)}"
    for key in wanted.settings:
        if seen.settings.get(key) != wanted.settings[key]:
            yield f"{_whose(name, key[0])} SET {quote_name(key[1])} TO {_value(key[1], wanted.settings[key])}"


def _ordered(keys: Iterable[tuple[str | None, str]]) -> list[tuple[str | None, str]]:
    return sorted(keys, key=lambda key: (key[0] is not None, key[0] or "", key[1]))


def _grantee(role: str | None) -> str:
    return "PUBLIC" if role is None else quote_name(role)


def _whose(name: str, role: str | None) -> str:
    return f"ALTER DATABASE {name}" if role is None else f"ALTER ROLE {quote_name(role)} IN DATABASE {name}"


def _value(setting: str, value: str) -> str:
    if setting.lower() not in _LISTS:
        return quote_text(value)
    return ", ".join(quote_text(member) for member in list_members(value)) or "''"


def list_members(value: str) -> list[str]:
    """Return the members of a list of names as the server stores it: ``"$user", public``."""
    members = []
    place = 0
    while place < len(value):
        match = _MEMBER.match(value, place)
        if match is None or match.end() == place:
            raise ValueError(f"a list of names is not understood from its character {place} on: {value!r}")
        quoted, plain = match.groups()
        members.append(quoted.replace('""', '"') if quoted is not None else plain)
        place = match.end()
    return members


def differences(wanted: Properties, seen: Properties) -> list[str]:
    """Return in words what of the properties is not as it should be."""
    found = [
        f"{word} is {there} and should be {should}"
        for word, there, should in [
            ("the owner", seen.owner, wanted.owner),
            ("the connection limit", seen.connection_limit, wanted.connection_limit),
            ("the tablespace", seen.tablespace, wanted.tablespace),
        ]
        if there != should and should is not None
    ]
    for what, there, should in [
        ("privilege", seen.grants, wanted.grants),
        ("setting", seen.settings, wanted.settings),
    ]:
        for key in _ordered({*there, *should}):
            if there.get(key) != should.get(key):
                found.append(f"{what} {key[1]} of {key[0] or 'everybody'} differs")
    return found

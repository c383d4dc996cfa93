# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known marks go in, none comes out; harmless text stays readable."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._redaction import (
    DEEPEST,
    LONGEST_LIST,
    LONGEST_TEXT,
    MARK,
    SHORTEST,
    Redactor,
    is_secret_name,
)
from hypothesis import assume, given
from hypothesis import strategies as st

SECRET = "tr0ub4dor & 3/=é"

# The mark itself can't be taken out of texts, so no secret here is made of its letters alone.
secrets = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=SHORTEST, max_size=40).filter(
    lambda value: value.strip() == value and not set(value) <= set(MARK) and value not in MARK
)


@given(secrets, st.text(max_size=20), st.text(max_size=20))
def test_a_known_value_is_in_no_output_in_no_spelling(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(secret)
    encoded = secret.encode()
    for form in (
        secret,
        quote(encoded, safe=""),
        quote_plus(encoded),
        base64.b64encode(encoded).decode(),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ):
        assume(form not in before + after)
        assert form not in redactor.text(f"{before}{form}{after}")
        told = json.dumps(redactor.value({"msg": [f"{before}{form}{after}"]}), ensure_ascii=False)
        assert json.dumps(form, ensure_ascii=False)[1:-1] not in told


@given(secrets, st.integers(0, 200_000))
def test_a_known_value_at_any_place_of_a_huge_text(secret: str, place: int) -> None:
    redactor = Redactor()
    redactor.register(secret)
    text = redactor.text("x" * place + secret + "y" * 100)
    assert len(text) <= LONGEST_TEXT + 1
    # Not even its first half, where the text is cut.
    assert secret[: max(SHORTEST, len(secret) // 2)] not in text


def test_several_secrets_of_which_one_begins_as_another() -> None:
    redactor = Redactor()
    redactor.register("longer-secret")
    redactor.register("longer-secret-still")
    assert redactor.text("a longer-secret-still b longer-secret c") == f"a {MARK} b {MARK} c"


def test_a_key_of_several_lines_is_found_line_by_line() -> None:
    redactor = Redactor()
    redactor.register("first-line-of-key\nsecond-line-of-key\n")
    assert redactor.text("    second-line-of-key") == f"    {MARK}"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "DATABASE_PASSWD",
        "passphrase",
        "SECRET_KEY",
        "api_key",
        "apikey",
        "aws-access-key",
        "ansible_become_pass",
        "auth_token",
        "sentry_dsn",
        "vault_db",
        "Authorization",
        "ssh_private_key",
        "credentials",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["version", "author", "keyboard", "monkey", "passed", "compass", "bypass", "authors"])
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_variables_are_walked_by_name_and_by_what_is_around_them() -> None:
    redactor = Redactor()
    redactor.register_variables(
        {
            "slipway_environment": {
                "SECRET_KEY": "django-insecure-1",
                "DATABASE_URL": "postgres://shop:hunter2hunter@db1/shop",
                "DEBUG": "harmless-value",
            },
            "credentials": [{"login": "inside-of-credentials"}],
            "api_token": "{{ vault_api_token }}",
            "short_password": "abc",
            "db_password": 123456789,
        }
    )
    told = redactor.text(
        "django-insecure-1 hunter2hunter harmless-value inside-of-credentials {{ vault_api_token }} abc"
    )
    assert told == f"{MARK} {MARK} harmless-value {MARK} {{{{ vault_api_token }}}} abc"


# What modules and programs have printed, with the secret in it.
LEAKS = [
    f"postgres://shop:{SECRET.replace(' ', '')}@db1:5432/shop",
    "redis://:s3cr3t-redis@cache:6379/0",
    "https://0123456789abcdef0123456789abcdef@sentry.example/42",
    "Authorization: Bearer abc123.def456-ghi",
    "Authorization: Basic c2hvcDpodW50ZXIy",
    "DATABASE_PASSWORD=hunter2hunter",
    "SECRET_KEY = 'django-insecure with blanks'",
    '"api_key": "0a1b2c3d4e"',
    "db_password: hunter2hunter",
    "mysql --password hunter2hunter -h db1",
    "mysql --password=hunter2hunter -h db1",
    "curl -u shop:hunter2hunter https://db1",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "xoxb-123456789012-abcdefghijkl",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "PGPASSWORD=hunter2hunter pg_dump shop",
    "access_token=0a1b2c3d4e&page=2",
]
INSIDE = [
    SECRET.replace(" ", ""),
    "s3cr3t-redis",
    "0123456789abcdef",
    "abc123",
    "c2hvcD",
    "hunter2",
    "insecure",
    "0a1b2c3d4e",
    "dozjgNry",
    "MIIEpA",
    "b3BlbnNz",
    "IOSFODNN7",
    "16C7e42F",
    "XXXXXX",
    "abcdefghijkl",
    "4eC39HqL",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_what_looks_like_a_secret_is_taken_out(leak: str) -> None:
    for text in (leak, f"before {leak} after", json.dumps({"msg": leak}, ensure_ascii=False)):
        told = Redactor().text(text)
        assert MARK in told
        assert [mark for mark in INSIDE if mark in told] == []


@pytest.mark.parametrize(
    "text",
    [
        "Step 'drain of app1-blue' begins; before it was 'backup of shop'.",
        "If its controller is known to be dead, run the same command with -e takeover=20261121T160528Z-3f2a9c1.",
        "from now on this host refuses tokens below 6",
        "basic authentication failed",
        "git@github.com: Permission denied (publickey)",
        "ssh://git@forge.example/shop.git has no tag v9",
        "https://shop.example/health/ready answered 503",
        "shop.0002_add_index needs 0.4 s; 3 of 3 gates passed",
        "see https://docs.example/a@b for details",
        "unit shop-web@blue.service is active, pid 4711",
        "/srv/shop/releases/3f2a9c1d4e5f-0a1b2c3d/src",
        "the key was not found in the keyring",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_values_are_bounded_and_keys_hide_what_is_under_them() -> None:
    redactor = Redactor()
    deep: Any = "end"
    for _level in range(DEEPEST + 3):
        deep = {"in": deep}
    told = redactor.value(
        {
            "password": "x",
            "token": 7,
            "api_token": {"a": 1},
            "key_found": True,
            "list": list(range(LONGEST_LIST + 5)),
            "deep": deep,
            "inf": float("inf"),
            "bytes": b"raw",
        }
    )
    assert told["password"] == MARK
    assert told["token"] == 7
    assert told["api_token"] == MARK
    assert told["key_found"] is True
    assert told["list"][-1] == "… 5 more"
    assert len(json.dumps(told["deep"])) < 100
    assert told["inf"] == "inf"
    json.dumps(told)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
        max_leaves=8,
    )
)
def test_any_value_becomes_json(value: object) -> None:
    json.dumps(Redactor().value(value), allow_nan=False)


@given(st.text(alphabet="://@=:-uabPASSWORDeyJ.' \"\n", max_size=200))
def test_no_text_makes_the_patterns_fail(text: str) -> None:
    Redactor().text(text)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("unit", ["://a:", "password=", "-----BEGIN PRIVATE KEY-----", "eyJaaaaa.", "a-", "password'"])
def test_no_text_makes_the_patterns_slow(unit: str) -> None:
    Redactor().text(unit * (100_000 // len(unit)))

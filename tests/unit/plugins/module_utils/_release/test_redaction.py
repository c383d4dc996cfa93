# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import TimedOut
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import (
    HIDDEN,
    RedactingRunner,
    Redaction,
    take_secrets,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed
from hypothesis import given
from hypothesis import strategies as st

SECRETS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=4, max_size=20)


@given(st.dictionaries(st.sampled_from(["KEY_1", "KEY_2", "KEY_3"]), SECRETS, min_size=1), st.text(max_size=10))
def test_no_value_is_left(values: dict[str, str], around: str) -> None:
    redact = Redaction(values)
    for value in values.values():
        # Hidden text is a variable's name: only a value that is part of such names could still be seen.
        if not any(value in f"<{name}>" for name in values):
            assert value not in redact(f"{around}{value}{around}").replace(around, "") or value in around * 2


def test_a_value_is_replaced_by_its_name() -> None:
    assert Redaction({"KEY": "hunter2"})("bad key hunter2!") == "bad key <KEY>!"


def test_the_longer_value_wins() -> None:
    assert Redaction({"A": "hunter", "B": "hunter2-long"})("hunter2-long hunter") == "<B> <A>"


@pytest.mark.parametrize(
    "printed",
    ["s'e\"cret/\\x", repr("s'e\"cret/\\x"), json.dumps("s'e\"cret/\\x"), "s%27e%22cret%2F%5Cx"],
    ids=["plain", "python", "json", "url"],
)
def test_the_ways_in_which_a_value_is_printed(printed: str) -> None:
    assert "cret" not in Redaction({"KEY": "s'e\"cret/\\x"})(printed)


def test_the_password_of_a_url_is_a_secret_of_its_own() -> None:
    redact = Redaction({"DATABASE_URL": "postgres://shop:pa%2Fss-word@db1/shop"})
    assert redact("login shop, password pa/ss-word") == "login shop, password <DATABASE_URL>"
    assert redact("password pa%2Fss-word") == "password <DATABASE_URL>"


def test_short_values_and_what_is_never_secret_stay_readable() -> None:
    redact = Redaction({"WORKERS": "2", "FLAG": "yes", "DJANGO_SETTINGS_MODULE": "shop.settings"})
    assert redact("2 yes shop.settings") == "2 yes shop.settings"
    assert Redaction({})("text") == "text"


def test_what_we_show_ourselves_is_no_secret() -> None:
    redact = Redaction({"NAME": "shop", "KEY": "shop-secret"}, shown=["/srv/shop"])
    assert redact("/srv/shop/releases: shop-secret") == "/srv/shop/releases: <KEY>"


def test_a_value_that_only_looks_like_a_url() -> None:
    assert Redaction({"KEY": "http://[broken"})("http://[broken") == "<KEY>"


def test_only_the_output_of_failures_is_touched() -> None:
    inner = FakeRunner([completed("id 1234abcd"), completed("out 1234abcd", returncode=1, stderr="err 1234abcd")])
    runner = RedactingRunner(inner, Redaction({"KEY": "1234"}))
    assert runner.run(["git"], timeout_s=1).stdout == "id 1234abcd"
    failed = runner.run(["git"], timeout_s=1, env={"A": "b"}, cwd="/")
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "out <KEY>abcd", "err <KEY>abcd")
    assert inner.calls[-1].env == {"A": "b"}


def test_the_output_before_a_deadline_is_touched() -> None:
    inner = FakeRunner([TimedOut("pip did not end", facts={"stderr": "with hunter2"})])
    with pytest.raises(TimedOut) as caught:
        RedactingRunner(inner, Redaction({"KEY": "hunter2"})).run(["pip"], timeout_s=1)
    assert caught.value.facts == {"stderr": "with <KEY>"}
    assert caught.value.__cause__ is None


def test_secrets_are_taken_out_of_the_parameters() -> None:
    params: dict[str, object] = {
        "environment": {"KEY": "hunter2", "WORKERS": 2},
        "build_environment": None,
        "root": "/srv",
    }
    masked = {"hunter2", "2"}
    taken = take_secrets(params, masked, ["environment", "build_environment"])
    assert taken == {"environment": {"KEY": "hunter2", "WORKERS": 2}, "build_environment": {}}
    assert params == {"environment": {"KEY": HIDDEN, "WORKERS": HIDDEN}, "build_environment": {}, "root": "/srv"}
    assert masked == set()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Site
from ansible_collections.slipway.django.plugins.module_utils._preflight._django import (
    Demands,
    ask_django,
    django_rows,
    takes,
)
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths
from ansible_collections.slipway.django.plugins.module_utils._release._redaction import Redaction
from ansible_collections.slipway.django.tests.unit.fakes import FakeRunner, completed

SITE = Site(ReleasePaths("/srv/shop/releases/r"), "/srv/shop/releases/r/src", "config.settings", {"KEY": "swordfish"})
REDACT = Redaction(SITE.environment)
GOOD: dict[str, Any] = {
    "debug": False,
    "allowed_hosts": ["shop.example"],
    "checks": [],
    "reached": {"database default": "", "cache default": "", "broker": ""},
}


def judge(answer: dict[str, Any], **demands: Any) -> dict[str, Row]:
    wanted = Demands(
        **{"fail_level": "WARNING", "allowed": [], "host": "shop.example", "any_host": False, "reach_s": 5, **demands}
    )
    return {row.check: row for row in django_rows({**GOOD, **answer}, wanted, REDACT)}


def test_a_good_release_passes() -> None:
    rows = judge({})
    assert {row.mark for row in rows.values()} == {Mark.PASSED}
    assert list(rows) == ["DEBUG", "ALLOWED_HOSTS", "check --deploy", "database default", "cache default", "broker"]


def test_debug_fails() -> None:
    assert judge({"debug": True})["DEBUG"].sentence == "DEBUG: expected off, seen: on"


@pytest.mark.parametrize(
    ("hosts", "demands", "mark"),
    [
        ([], {}, Mark.FAILED),
        (["*"], {}, Mark.FAILED),
        (["shop.example", "*"], {}, Mark.FAILED),
        (["*"], {"any_host": True}, Mark.PASSED),
        (["other.example"], {}, Mark.FAILED),
        (["other.example"], {"host": ""}, Mark.PASSED),
        ([".example"], {}, Mark.PASSED),
    ],
)
def test_allowed_hosts(hosts: list[str], demands: dict[str, Any], mark: Mark) -> None:
    assert judge({"allowed_hosts": hosts}, **demands)["ALLOWED_HOSTS"].mark is mark


@pytest.mark.parametrize(
    ("pattern", "host", "taken"),
    [
        ("shop.example", "SHOP.example:8000", True),
        (".shop.example", "shop.example", True),
        (".shop.example", "www.shop.example", True),
        (".shop.example", "myshop.example", False),
        ("shop.example", "www.shop.example", False),
        ("*", "anything", True),
    ],
)
def test_the_rule_of_allowed_hosts_is_djangos(pattern: str, host: str, taken: bool) -> None:
    assert takes([pattern], host) is taken


CHECKS = [
    {"id": "security.W004", "level": 30, "text": "SECURE_HSTS_SECONDS is not set"},
    {"id": "models.E001", "level": 40, "text": "broken with swordfish"},
    {"id": "shop.I001", "level": 20, "text": "a hint"},
]


@pytest.mark.parametrize(
    ("demands", "mark", "seen"),
    [
        (
            {},
            Mark.FAILED,
            "security.W004 WARNING: SECURE_HSTS_SECONDS is not set; models.E001 ERROR: broken with <KEY>",
        ),
        ({"fail_level": "ERROR"}, Mark.FAILED, "models.E001 ERROR: broken with <KEY> (2 borne)"),
        ({"fail_level": "CRITICAL"}, Mark.PASSED, "nothing (3 borne)"),
        ({"allowed": ["security.W004", "models.E001"]}, Mark.PASSED, "nothing (3 borne)"),
        ({"fail_level": "INFO", "allowed": ["security.W004", "models.E001"]}, Mark.FAILED, "shop.I001 INFO: a hint"),
    ],
)
def test_messages_of_the_deployment_checks(demands: dict[str, Any], mark: Mark, seen: str) -> None:
    row = judge({"checks": CHECKS}, **demands)["check --deploy"]
    assert row.mark is mark
    assert row.seen.startswith(seen)


def test_a_database_that_does_not_answer_fails_without_its_password() -> None:
    row = judge({"reached": {"database default": "OperationalError: swordfish is\nwrong"}})["database default"]
    assert (row.mark, row.seen) == (Mark.FAILED, "OperationalError: <KEY> is wrong")


def test_the_probe_is_handed_over_as_text_and_nothing_secret_as_an_argument() -> None:
    runner = FakeRunner(['{"debug": false}'])
    assert ask_django(SITE, runner, REDACT, reach_s=5, timeout_s=60) == {"debug": False}

    (call,) = runner.calls
    assert call.argv == ("/srv/shop/releases/r/venv/bin/python", "-", '{"seconds": 5}')
    assert call.stdin is not None
    assert "run_checks(include_deployment_checks=True)" in call.stdin
    assert call.env["DJANGO_SETTINGS_MODULE"] == "config.settings"
    assert call.env["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (completed("", returncode=1, stderr="Killed with swordfish"), "no answer, status 1: Killed with <KEY>"),
        ('{"error": "ImproperlyConfigured: swordfish"}', "can't be started: ImproperlyConfigured: <KEY>"),
    ],
)
def test_a_release_that_can_not_be_asked_is_an_error(answer: Any, words: str) -> None:
    with pytest.raises(SlipwayError) as caught:
        ask_django(SITE, FakeRunner([answer]), REDACT, reach_s=5, timeout_s=60)
    assert words in caught.value.seen
    assert "swordfish" not in caught.value.message

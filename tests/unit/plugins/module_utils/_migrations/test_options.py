# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Site
from ansible_collections.slipway.django.plugins.module_utils._migrations._options import read_once, read_options
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import Request
from ansible_collections.slipway.django.plugins.module_utils._release._layout import ReleasePaths

NOW = datetime(2026, 11, 21, 16, 5, 28, tzinfo=timezone.utc)
SITE = Site(ReleasePaths("/srv/shop/releases/r1"), "/srv/shop/releases/r1/src", "shop.settings", {})


def options(**changed: Any) -> dict[str, Any]:
    return {
        "state": "applied",
        "database": "default",
        "run_id": "20261121T160528Z-3f2a9c1",
        "acknowledged": {},
        "settled": {},
        "applied": None,
        "rehearsal_source": "",
        "accept_data_loss": False,
        "stall_budget": 10,
        "long_transaction": 10,
        "tripwire_rows": 100000,
        "progress_file": None,
        "by_hand": {},
        "lock_timeout_ms": 1000,
        "lock_budget": 60,
        "statement_timeout_ms": 60000,
        "concurrent_timeout": 3600,
        "phase": "all",
        "on_busy": "fail",
        "busy_timeout": 300,
        "timeout": 7200,
        **changed,
    }


def test_the_request_has_what_the_options_say() -> None:
    request = read_options(options(acknowledged={"shop.0002": " small table "}), SITE, check_mode=True, now=NOW)

    assert (request.state, request.check_mode, request.release) == ("applied", True, "r1")
    assert (request.project, request.settings) == ("/srv/shop/releases/r1/src", "shop.settings")
    assert request.acknowledged == {"shop.0002": "small table"}
    assert request.undo is None


def test_a_run_without_a_name_is_named_by_the_time() -> None:
    assert read_options(options(run_id=""), SITE, check_mode=False, now=NOW).run_id == "20261121T160528Z"


def test_what_an_earlier_run_returned_can_be_given_to_undo() -> None:
    applied = [{"app": "shop", "name": "0002_note", "ms": 7, "tries": 1}]

    request = read_options(options(state="reversed", applied=applied), SITE, check_mode=False, now=NOW)

    assert request.undo == ("shop.0002_note",)


def test_an_empty_list_to_undo_is_not_the_same_as_none() -> None:
    assert read_options(options(state="reversed", applied=[]), SITE, check_mode=False, now=NOW).undo == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lock_timeout_ms": 0}, "lock_timeout_ms: 0 is not accepted, expected 10 or more. Nothing was changed."),
        ({"lock_budget": -1}, "lock_budget: -1 is not accepted, expected 0 or more. Nothing was changed."),
        ({"timeout": 0}, "timeout: 0 is not accepted, expected 1 or more. Nothing was changed."),
        (
            {"acknowledged": {"0002_note": "because"}},
            "acknowledged: '0002_note' is not accepted, expected app.name, such as shop.0002_order_note.",
        ),
        (
            {"acknowledged": {"shop.0002_note": " "}},
            "acknowledged.shop.0002_note: ' ' is not accepted, expected the reason in words. Nothing was changed.",
        ),
        (
            {"acknowledged": {"shop.0002_note": {"drop-column": ""}}},
            "acknowledged.shop.0002_note.drop-column: '' is not accepted, expected the reason in words.",
        ),
        (
            {"settled": {"shop.0002_note": True}},
            "settled.shop.0002_note: True is not accepted, expected the reason in words. Nothing was changed.",
        ),
        (
            {"applied": [{"app": "shop", "name": "0002_note"}]},
            "applied: 'a list' is not accepted, expected nothing, unless state is reversed. Nothing was changed.",
        ),
        (
            {"state": "reversed", "applied": [{"name": "0002_note"}]},
            "applied: ['name'] is not accepted, expected entries with app and name. Nothing was changed.",
        ),
        (
            {"rehearsal_source": "shop_restored"},
            "rehearsal_source: 'shop_restored' is not accepted, expected nothing, unless state is rehearsed.",
        ),
        (
            {"state": "rehearsed", "rehearsal_source": "host=elsewhere"},
            (
                "rehearsal_source: 'host=elsewhere' is not accepted, expected the name of a database, at most 63 bytes,"
                " without = and ://."
            ),
        ),
        (
            {"state": "reversed", "run_id": ""},
            "run_id: '' is not accepted, expected the id of the run to undo, or the option applied.",
        ),
    ],
)
def test_what_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_options(options(**changed), SITE, check_mode=False, now=NOW)

    assert caught.value.message in {message, f"{message} Nothing was changed."}


def test_a_rule_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(InvalidOption) as caught:
        read_options(options(acknowledged={"shop.2": {"drop-colum": "x"}}), SITE, check_mode=False, now=NOW)

    assert "acknowledged.shop.2: 'drop-colum' is not accepted, expected rules: add-check, " in caught.value.message
    assert "drop-column, " in caught.value.message


def test_what_was_done_by_hand_is_named_with_who_did_it() -> None:
    given = options(state="recorded", by_hand={"shop.0002_note": " Anna "})

    assert read_options(given, SITE, check_mode=False, now=NOW).by_hand == {"shop.0002_note": "Anna"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"state": "recorded"}, "by_hand: '' is not accepted, expected migrations, by app.name"),
        (
            {"state": "applied", "by_hand": {"shop.0002": "Anna"}},
            "by_hand: 'shop.0002' is not accepted, expected nothing, unless state is recorded",
        ),
        ({"state": "recorded", "by_hand": {"shop": "Anna"}}, "by_hand: 'shop' is not accepted, expected app.name"),
        (
            {"state": "recorded", "by_hand": {"shop.0002": ""}},
            "by_hand.shop.0002: '' is not accepted, expected the reason in words",
        ),
    ],
)
def test_by_hand_belongs_to_recorded_alone(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_options(options(**given), SITE, check_mode=False, now=NOW)

    assert caught.value.message.startswith(message)


ONCE = {
    "name": " first superuser ",
    "command": ["createsuperuser", "--no-input"],
    "after_failure": "refuse",
    "database": "default",
    "run_id": "",
    "timeout": 60,
}


def test_a_command_that_runs_once() -> None:
    request = read_once(ONCE, SITE, check_mode=False, now=NOW)

    assert (request.state, request.once, request.repeat) == ("once", "first superuser", False)
    assert request.command == ("createsuperuser", "--no-input")
    assert Request.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": " "}, "name: ' ' is not accepted, expected a name"),
        ({"command": []}, "command: [] is not accepted, expected a command of manage.py"),
        (
            {"command": ["--settings", "x"]},
            "command: ['--settings', 'x'] is not accepted, expected a command of manage.py",
        ),
        ({"timeout": 0}, "timeout: 0 is not accepted, expected 1 or more"),
    ],
)
def test_what_can_not_run_once(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        read_once({**ONCE, **changed}, SITE, check_mode=False, now=NOW)

    assert caught.value.message.startswith(message)

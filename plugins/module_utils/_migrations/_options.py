# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of the module to the request, with all that can be refused without a look at the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._migrations._acknowledging import NOT_SEEN, UNFORESEEN
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Site
from ansible_collections.slipway.django.plugins.module_utils._migrations._phases import ALL
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import split_key
from ansible_collections.slipway.django.plugins.module_utils._migrations._protocol import (
    ONCE,
    RECORDED,
    REHEARSED,
    REVERSED,
    Request,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._rules._table import RULE_NAMES
from ansible_collections.slipway.django.plugins.module_utils._postgres._marks import require_name

_ACKNOWLEDGED = frozenset({*RULE_NAMES, NOT_SEEN, UNFORESEEN})
# The least that makes sense; 0 means "no limit" to PostgreSQL, and that is never meant here.
_LEAST = {
    "lock_timeout_ms": 10,
    "lock_budget": 0,
    "stall_budget": 1,
    "long_transaction": 1,
    "tripwire_rows": 1,
    "statement_timeout_ms": 0,
    "concurrent_timeout": 1,
    "busy_timeout": 0,
    "timeout": 1,
}


def read_options(options: Mapping[str, Any], site: Site, *, check_mode: bool, now: datetime) -> Request:
    """Return the request.

    :param now: names the run when no run_id is given.
    :raises InvalidOption: an option can't be used.
    """
    for option, least in _LEAST.items():
        if options[option] < least:
            raise InvalidOption(option, options[option], f"{least} or more")
    undo = _undo(options)
    if undo is None and options["state"] == REVERSED and not options["run_id"]:
        raise InvalidOption("run_id", "", "the id of the run to undo, or the option applied")
    return Request(
        state=options["state"],
        check_mode=check_mode,
        project=site.project,
        settings=site.settings,
        database=options["database"],
        run_id=options["run_id"] or now.strftime("%Y%m%dT%H%M%SZ"),
        release=site.paths.name,
        lock_timeout_ms=options["lock_timeout_ms"],
        lock_budget_s=options["lock_budget"],
        statement_timeout_ms=options["statement_timeout_ms"],
        concurrent_timeout_s=options["concurrent_timeout"],
        on_busy=options["on_busy"],
        busy_timeout_s=options["busy_timeout"],
        acknowledged=_acknowledged(options["acknowledged"]),
        settled=_reasons("settled", options),
        undo=undo,
        phase=_phase(options),
        rehearsal_source=_source(options),
        stall_budget_s=options["stall_budget"],
        long_transaction_s=options["long_transaction"],
        tripwire_rows=options["tripwire_rows"],
        progress_file=options["progress_file"],
        accept_data_loss=options["accept_data_loss"],
        by_hand=_by_hand(options),
    )


def read_once(options: Mapping[str, Any], site: Site, *, check_mode: bool, now: datetime) -> Request:
    """Return the request for a command that runs once.

    :raises InvalidOption: an option can't be used.
    """
    if not options["name"].strip():
        raise InvalidOption("name", options["name"], "a name, such as first superuser")
    if not options["command"] or not options["command"][0] or options["command"][0].startswith("-"):
        raise InvalidOption("command", options["command"], "a command of manage.py and its arguments, in a list")
    if options["timeout"] < 1:
        raise InvalidOption("timeout", options["timeout"], "1 or more")
    return Request(
        state=ONCE,
        check_mode=check_mode,
        project=site.project,
        settings=site.settings,
        database=options["database"],
        run_id=options["run_id"] or now.strftime("%Y%m%dT%H%M%SZ"),
        release=site.paths.name,
        lock_timeout_ms=0,
        lock_budget_s=0,
        statement_timeout_ms=0,
        concurrent_timeout_s=0,
        on_busy="fail",
        busy_timeout_s=0,
        once=options["name"].strip(),
        command=tuple(options["command"]),
        repeat=options["after_failure"] == "repeat",
    )


def _by_hand(options: Mapping[str, Any]) -> dict[str, str]:
    if bool(options["by_hand"]) != (options["state"] == RECORDED):
        accepted = "migrations, by app.name" if options["state"] == RECORDED else "nothing, unless state is recorded"
        raise InvalidOption("by_hand", ", ".join(map(str, options["by_hand"])), accepted)
    return _reasons("by_hand", options)


def _source(options: Mapping[str, Any]) -> str:
    source = str(options["rehearsal_source"])
    if source:
        require_name("rehearsal_source", source)
        if options["state"] != REHEARSED:
            raise InvalidOption("rehearsal_source", source, "nothing, unless state is rehearsed")
    return source


def _phase(options: Mapping[str, Any]) -> str:
    phase = str(options["phase"])
    if phase != ALL and options["state"] == REVERSED:
        raise InvalidOption("phase", phase, "nothing: what is undone is what was applied")
    return phase


def _reasons(option: str, options: Mapping[str, Any]) -> dict[str, str]:
    for name in options[option]:
        if split_key(str(name)) is None:
            raise InvalidOption(option, name, "app.name, such as shop.0002_order_note")
    return {str(name): _reason(f"{option}.{name}", reason) for name, reason in options[option].items()}


def _reason(option: str, reason: object) -> str:
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidOption(option, reason, "the reason in words")
    return reason.strip()


def _acknowledged(entries: Mapping[str, Any]) -> dict[str, dict[str, str] | str]:
    found: dict[str, dict[str, str] | str] = {}
    for name, written in entries.items():
        if not isinstance(written, dict):
            found.update(_reasons("acknowledged", {"acknowledged": {name: written}}))
            continue
        if split_key(str(name)) is None:
            raise InvalidOption("acknowledged", name, "app.name, such as shop.0002_order_note")
        unknown = sorted(str(rule) for rule in written if rule not in _ACKNOWLEDGED)
        if unknown or not written:
            raise InvalidOption(
                f"acknowledged.{name}", ", ".join(unknown), f"rules: {', '.join(sorted(_ACKNOWLEDGED))}"
            )
        found[str(name)] = {rule: _reason(f"acknowledged.{name}.{rule}", reason) for rule, reason in written.items()}
    return found


def _undo(options: Mapping[str, Any]) -> tuple[str, ...] | None:
    if options["applied"] is None:
        return None
    if options["state"] != REVERSED:
        raise InvalidOption("applied", "a list", "nothing, unless state is reversed")
    keys = []
    for entry in options["applied"]:
        key = f"{entry.get('app', '')}.{entry.get('name', '')}"
        if split_key(key) is None:
            raise InvalidOption("applied", sorted(entry), "entries with app and name")
        keys.append(key)
    return tuple(keys)

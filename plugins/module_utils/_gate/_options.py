# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a gate, checked before its first sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._celery import read_celery
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Check, Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._command import read_command
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._file import read_file
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._http import HttpCheck, read_http
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._journal import read_journal
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._postgres import read_postgres
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._prometheus import read_prometheus
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._redis import read_redis
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._service import read_service
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._sql import read_sql
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._statements import read_statements
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._tcp import read_tcp
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._tls import read_tls
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._websocket import read_websocket
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Action, GateVerdict, Rule
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import number, whole
from ansible_collections.slipway.django.plugins.module_utils._gate._spec import COMMON, KINDS, check_spec
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# Judged by the size of its sample, one look is evidence: windows that overlap would count the same requests again.
_BY_STATISTICS = "prometheus"


@dataclass(frozen=True)
class World:
    """What checks need from outside."""

    clock: Clock
    runner: Runner


@dataclass(frozen=True)
class Gate:
    """All that a gate was asked.

    :param duration_s: it does not pass before.
    :param since: when the release went live.
    :param left_out: names of the checks that a run in check mode leaves out.
    """

    checks: tuple[Check, ...]
    rule: Rule
    interval_s: float
    deadline_s: float
    initial_delay_s: float
    fail_on: frozenset[GateVerdict]
    duration_s: float = 0.0
    since: datetime | None = None
    left_out: tuple[str, ...] = ()


Reader = Callable[[Common, Mapping[str, Any], World], Check]
_READERS: dict[str, Reader] = {
    "http": lambda common, params, _world: read_http(common, params),
    "tcp": lambda common, params, _world: read_tcp(common, params),
    "tls": lambda common, params, world: read_tls(common, params, world.clock),
    "websocket": lambda common, params, _world: read_websocket(common, params),
    "postgres": lambda common, params, world: read_postgres(common, params, world.runner),
    "sql": lambda common, params, world: read_sql(common, params, world.runner),
    "statements": lambda common, params, world: read_statements(common, params, world.runner),
    "redis": lambda common, params, _world: read_redis(common, params),
    "celery": lambda common, params, world: read_celery(common, params, world.runner),
    "prometheus": lambda common, params, _world: read_prometheus(common, params),
    "command": lambda common, params, world: read_command(common, params, world.runner),
    "file": lambda common, params, world: read_file(common, params, world.clock),
    "service": lambda common, params, world: read_service(common, params, world.runner),
    "journal": lambda common, params, world: read_journal(common, params, world.runner),
}


def read_gate(params: Mapping[str, Any], world: World, *, only_look: bool = False) -> Gate:
    """Read and check the options of the module.

    :param only_look: leave out what would change something, as in check mode.
    :raises InvalidOption: a value can't be used, or no run of the gate could ever pass.
    """
    rule = _read_rule(params)
    checks = [_read_check(f"checks[{index}]", check, rule, world) for index, check in enumerate(params["checks"])]
    if not checks:
        raise InvalidOption("checks", [], "at least one check: a gate without any passes nothing")
    _refuse_same_names(checks)
    _refuse_wrong_order(checks)
    left_out = _changing(checks) if only_look else ()
    gate = Gate(
        tuple(check for check in checks if check.common.name not in left_out),
        rule,
        number("interval", params["interval"], least=0.05),
        number("deadline", params["deadline"], least=0.1),
        number("initial_delay", params["initial_delay"], least=0.0),
        frozenset(GateVerdict(word) for word in params["fail_on"]),
        number("duration", params["duration"], least=0.0),
        _read_since(params["since"]),
        left_out,
    )
    _refuse_too_little_time(gate)
    return gate


def _read_rule(params: Mapping[str, Any]) -> Rule:
    allowed = params["failures_allowed"]
    return Rule(
        whole("successes", params["successes"], least=1),
        None if allowed is None else whole("failures_allowed", allowed, least=0),
        whole("wrong_release_limit", params["wrong_release_limit"], least=0),
    )


def _read_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    # With fractions of a second, as records have it, or without.
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"):
        with suppress(ValueError):
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    raise InvalidOption("since", text, "a time in UTC such as 2026-11-21T16:05:28Z")


def _read_check(path: str, params: Mapping[str, Any], rule: Rule, world: World) -> Check:
    if not params["name"].strip():
        raise InvalidOption(f"{path}.name", params["name"], "a name that is not empty")
    _refuse_strange_options(path, params)
    common = Common(
        params["name"],
        params["kind"],
        path,
        number(f"{path}.timeout", params["timeout"], least=0.05),
        _own_rule(path, params, rule),
        Action(params["action"]),
        params["after"],
    )
    return _READERS[params["kind"]](common, params, world)


def _own_rule(path: str, params: Mapping[str, Any], rule: Rule) -> Rule:
    successes, allowed = rule.successes, rule.failures_allowed
    if params["kind"] == _BY_STATISTICS:
        successes, allowed = 1, 0
    if params["successes"] is not None:
        successes = whole(f"{path}.successes", params["successes"], least=1)
    if params["failures_allowed"] is not None:
        allowed = whole(f"{path}.failures_allowed", params["failures_allowed"], least=0)
    return Rule(successes, allowed, rule.wrong_release_limit)


def _refuse_strange_options(path: str, params: Mapping[str, Any]) -> None:
    """An option that this kind does not read would be a wish that nobody heard."""
    known, kind = {**COMMON, **KINDS[params["kind"]]}, params["kind"]
    for option, specification in check_spec().items():
        if option not in known and params[option] != specification.get("default"):
            kinds = [name for name, options in KINDS.items() if option in options]
            # Its value is not repeated, it may be a secret.
            raise InvalidOption(
                f"{path}.{option}", "…", f"no such option with kind {kind}; it is one of {', '.join(kinds)}"
            )


def _refuse_same_names(checks: Sequence[Check]) -> None:
    seen: set[str] = set()
    for index, check in enumerate(checks):
        if check.common.name in seen:
            raise InvalidOption(f"checks[{index}].name", check.common.name, "a name that no other check has")
        seen.add(check.common.name)


def _refuse_wrong_order(checks: Sequence[Check]) -> None:
    """What is asked after another check stands below it, and asks the same server: it shows that one's cookies."""
    above: dict[str, Check] = {}
    for check in checks:
        after = check.common.after
        if after is not None:
            before = above.get(after)
            option = f"{check.common.path}.after"
            if not isinstance(check, HttpCheck) or not isinstance(before, HttpCheck):
                raise InvalidOption(option, after, "the name of a check of kind http above this one, which is one too")
            if _origin(check) != _origin(before):
                raise InvalidOption(
                    option, after, "a check of the same scheme, host and port: a login is shown to no other"
                )
        above[check.common.name] = check


def _origin(check: HttpCheck) -> tuple[object, ...]:
    request = check.request
    return (request.tls is None, request.hostname, request.port, check.host.lower())


def _changing(checks: Sequence[Check]) -> tuple[str, ...]:
    names: list[str] = []
    for check in checks:
        sends = isinstance(check, HttpCheck) and not check.reads_only
        if sends or check.common.kind == "command" or check.common.after in names:
            names.append(check.common.name)
    return tuple(names)


def _refuse_too_little_time(gate: Gate) -> None:
    successes = max((check.common.rule.successes for check in gate.checks), default=1)
    needed = gate.initial_delay_s + (successes - 1) * gate.interval_s
    if needed > gate.deadline_s:
        accepted = f"{needed:g} seconds or more: {successes} samples every {gate.interval_s:g} s"
        raise InvalidOption("deadline", gate.deadline_s, f"{accepted} after {gate.initial_delay_s:g} s")
    # A server that hangs is seen to be bad only when one sample had its whole time.
    longest = max((check.common.timeout_s for check in gate.checks), default=0.0)
    if gate.initial_delay_s + longest > gate.deadline_s:
        accepted = f"initial_delay and the longest timeout ({longest:g} s) or more"
        raise InvalidOption("deadline", gate.deadline_s, accepted)
    if gate.duration_s > gate.deadline_s:
        raise InvalidOption("duration", gate.duration_s, f"the deadline ({gate.deadline_s:g} s) or less")

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release's Django says of itself, judged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._migrations._launch import Site, process_environment
from ansible_collections.slipway.django.plugins.module_utils._preflight import _probe
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Row, judged
from ansible_collections.slipway.django.plugins.module_utils._process import Runner
from ansible_collections.slipway.django.plugins.module_utils._source import source_of

# django.core.checks: the levels are those of logging.
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_NAMES = {number: name for name, number in LEVELS.items()}
_SHOWN = 10
_TEXT = 300


@dataclass(frozen=True)
class Demands:
    """What the settings are held against.

    :param fail_level: level of a message of C(check --deploy) from which on it refuses.
    :param allowed: ids of messages that are borne, such as C(security.W004).
    :param host: a name that ALLOWED_HOSTS must take; empty for none.
    :param any_host: whether C(*) is borne.
    """

    fail_level: str
    allowed: Sequence[str]
    host: str
    any_host: bool
    reach_s: float


def ask_django(
    site: Site, runner: Runner, redact: Callable[[str], str], *, reach_s: float, timeout_s: float
) -> dict[str, Any]:
    """Run the probe in the release.

    :raises SlipwayError: it gave no answer.
    """
    done = runner.run(
        [site.paths.python, "-", json.dumps({"seconds": reach_s})],
        timeout_s=timeout_s,
        stdin=source_of(_probe),
        env={**process_environment(site), "DJANGO_SETTINGS_MODULE": site.settings},
        cwd=site.project,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = redact(done.stderr.strip())[-_TEXT:]
        raise SlipwayError(f"the release's Django gave no answer, status {done.returncode}: {last}") from None
    if "error" in answer:
        raise SlipwayError(f"the release can't be started: {redact(answer['error'])[:_TEXT]}")
    return answer


def django_rows(answer: Mapping[str, Any], demands: Demands, redact: Callable[[str], str]) -> Iterator[Row]:
    """Judge the probe's answer."""
    yield judged("A3", "DEBUG", answer["debug"] is False, "on" if answer["debug"] else "off", "off")
    yield _hosts_row(answer["allowed_hosts"], demands)
    yield _checks_row(answer["checks"], demands, redact)
    for what, said in answer["reached"].items():
        seen = redact(said)[:_TEXT].replace("\n", " ") if said else "it answers"
        yield judged("A4", what, not said, seen, f"{what} answers within {demands.reach_s:g} s")


def _hosts_row(hosts: Sequence[str], demands: Demands) -> Row:
    expected = "named hosts" + (f", {demands.host} among them" if demands.host else "")
    expected += "" if demands.any_host else ", no '*'"
    seen = ", ".join(hosts) or "empty"
    fits = bool(hosts) and (demands.any_host or "*" not in hosts)
    return judged("A3", "ALLOWED_HOSTS", fits and (not demands.host or takes(hosts, demands.host)), seen, expected)


def takes(hosts: Sequence[str], host: str) -> bool:
    """Whether ALLOWED_HOSTS takes a name: equal, below a pattern with a dot in front, or C(*).

    The rule is that of django.http.request.validate_host.
    """
    name = host.partition(":")[0].lower().rstrip(".")
    return any(
        pattern == "*"
        or pattern.lower() == name
        or (pattern.startswith(".") and (name.endswith(pattern.lower()) or name == pattern[1:].lower()))
        for pattern in hosts
    )


def _checks_row(found: Sequence[Mapping[str, Any]], demands: Demands, redact: Callable[[str], str]) -> Row:
    level = LEVELS[demands.fail_level]
    refusing = [each for each in found if each["level"] >= level and each["id"] not in demands.allowed]
    borne = len(found) - len(refusing)
    texts = [f"{each['id']} {_NAMES.get(each['level'], each['level'])}: {each['text']}" for each in refusing[:_SHOWN]]
    more = f" and {len(refusing) - _SHOWN} more" if len(refusing) > _SHOWN else ""
    seen = redact("; ".join(texts))[: _TEXT * 4] + more if refusing else "nothing"
    expected = f"nothing of level {demands.fail_level} or above"
    if demands.allowed:
        expected += f" but {', '.join(sorted(demands.allowed))}"
    return judged("A3", "check --deploy", not refusing, seen + (f" ({borne} borne)" if borne else ""), expected)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known vulnerabilities of a release's packages, as pip-audit finds them where it can reach its data.

Against an index that has no such data (a mirror) pip-audit skips every package and ends with status 0: a package that
was skipped was not audited, and without any that was there is no data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError, TimedOut
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.plugins.module_utils._preflight._scanner import (
    ALWAYS,
    NEVER,
    find_program,
)
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

_EXPECTED = "no known vulnerability"
_SHOWN = 10


@dataclass(frozen=True)
class Audit:
    """What pip-audit said: vulnerabilities by package, packages that it looked up, and those that it skipped."""

    vulnerable: Mapping[str, Sequence[Sequence[str]]]
    looked_up: int
    skipped: Sequence[str]


def read_audit(text: str) -> Audit:
    """Read C(pip-audit --format json).

    :raises SlipwayError: it is something else.
    """
    try:
        packages: list[Mapping[str, Any]] = json.loads(text)["dependencies"]
        skipped = [str(each["name"]) for each in packages if "skip_reason" in each]
        looked_up = [each for each in packages if "skip_reason" not in each]
        vulnerable = {
            f"{each['name']} {each['version']}": [[vuln["id"], *vuln.get("aliases", [])] for vuln in each["vulns"]]
            for each in looked_up
            if each["vulns"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise SlipwayError("no data: pip-audit gave no report") from error
    return Audit(vulnerable, len(looked_up), skipped)


@dataclass(frozen=True)
class Auditing:
    """How is audited.

    :param when: as for the scan of secrets.
    :param allowed: ids or aliases of vulnerabilities that are borne.
    :param no_data: C(fail) or C(accept), when the data can't be reached.
    """

    command: Sequence[str]
    when: str
    allowed: Sequence[str]
    no_data: str
    timeout_s: float


def audit_rows(place: str, auditing: Auditing, runner: Runner) -> Iterator[Row]:
    """Audit the packages that are installed at a place."""
    command, when = auditing.command, auditing.when
    program = None if when == NEVER else find_program(command)
    if program is None:
        seen = "switched off" if when == NEVER else f"{command[0]} is not installed on this host"
        yield Row("A1", "pip-audit", Mark.FAILED if when == ALWAYS else Mark.NOT_ASKED, seen, _EXPECTED)
        return
    argv = [*program, "--format", "json", "--progress-spinner", "off", "--path", place]
    try:
        # Its status is 1 for findings and for trouble alike: the report tells them apart.
        audit = read_audit(runner.run(argv, timeout_s=auditing.timeout_s).stdout)
    except TimedOut:
        yield _no_data(f"no data: no answer within {auditing.timeout_s:g} s", auditing.no_data)
    except SlipwayError as error:
        yield _no_data(error.seen, auditing.no_data)
    else:
        yield audit_row(audit, auditing.allowed, auditing.no_data)


def audit_row(audit: Audit, allowed: Sequence[str], no_data: str) -> Row:
    """Judge a report."""
    left = {
        package: [ids[0] for ids in found if not set(ids) & set(allowed)] for package, found in audit.vulnerable.items()
    }
    refusing = [f"{package}: {', '.join(ids)}" for package, ids in sorted(left.items()) if ids]
    if refusing:
        more = f" and {len(refusing) - _SHOWN} more" if len(refusing) > _SHOWN else ""
        return Row("A1", "pip-audit", Mark.FAILED, "; ".join(refusing[:_SHOWN]) + more, _EXPECTED)
    if audit.skipped:
        shown = ", ".join(sorted(audit.skipped)[:_SHOWN])
        return _no_data(f"no data on {len(audit.skipped)} packages: {shown}", no_data)
    if not audit.looked_up:
        return _no_data("no data: no package was looked at", no_data)
    borne = sum(len(found) for found in audit.vulnerable.values())
    seen = f"none in {audit.looked_up} packages" + (f" but {borne} that are borne" if borne else "")
    return Row("A1", "pip-audit", Mark.PASSED, seen, _EXPECTED)


def _no_data(seen: str, no_data: str) -> Row:
    if no_data == "accept":
        return Row("A1", "pip-audit", Mark.NOT_ASKED, f"{seen}; accepted by preflight_audit_no_data", _EXPECTED)
    return Row("A1", "pip-audit", Mark.UNKNOWN, seen, _EXPECTED)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One report over all hosts: the checklist with a mark for each step, and every row that refuses. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark

# The steps of docs/runbooks.md that are looked at before a deployment, in few words.
STEPS: Mapping[str, str] = {
    "A1": "tests, linters and audit of the team are green",
    "A2": "required variables are set",
    "A3": "settings, secrets, pinned dependencies",
    "A4": "hosts, database, Redis, certificates are there and have room",
    "A5": "the previous deployment is healthy",
    "A6": "migrations rehearsed",
    "A10": "window, freeze, sign-off",
    "A13": "rehearsed on another site",
    "A14": "load test",
    "A15": "the commit's CI run is green",
    "B2": "static files of both releases are there",
    "B5": "no request meets a closed connection",
    "B9": "workers have the time to end their tasks",
}


@dataclass(frozen=True)
class Look:
    """One question to one host. One that gives no rows has passed when its module has not failed."""

    step: str
    what: str
    expected: str
    gives_rows: bool


LOOKS: Mapping[str, Look] = {
    "site": Look("A10", "controller", "an answer of the controller", True),
    "version": Look("A4", "version", "a version that the repository has", False),
    "host": Look("A4", "host", "an answer of the host", True),
    "balancer": Look("A4", "balancer", "each server of the fleet in the pool, and the right to change them", False),
    "build": Look("A4", "build", "a release that can be built", False),
    "release": Look("A3", "release", "an answer of the new release", True),
}
# Why a step without a row was not asked.
_UNASKED: Mapping[str, str] = {
    "A1": "preflight_team_commands has none for it",
    "A2": "preflight_required_variables is empty",
    "A6": "the deployment rehearses them itself (migrate_rehearsal), or migration_dry_run.yml beforehand",
    "A14": "preflight_team_commands has none for it",
    "A15": "preflight_team_commands has none for it",
}
_WORST = (Mark.NOT_ASKED, Mark.PASSED, Mark.UNKNOWN, Mark.FAILED)
_MARKS = {mark.value: mark for mark in Mark}


@dataclass(frozen=True)
class Line:
    """One row of one host."""

    host: str
    step: str
    check: str
    mark: Mark
    seen: str
    expected: str

    def to_json(self) -> dict[str, str]:
        return {**vars(self), "mark": self.mark.value}


@dataclass(frozen=True)
class Report:
    """The whole of it. ``later``: steps that are looked at once the release is staged."""

    lines: tuple[Line, ...]
    later: tuple[str, ...]

    @property
    def refusing(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.mark.refuses)

    @property
    def passed(self) -> bool:
        """An empty report has looked at nothing, and passes nothing."""
        return bool(self.lines) and not self.refusing

    def mark(self, step: str) -> Mark:
        """The worst mark of a step's rows."""
        marks = [line.mark for line in self.lines if line.step == step]
        return max(marks, key=_WORST.index, default=Mark.NOT_ASKED)


def report_of(results: Mapping[str, Mapping[str, Mapping[str, Any]]], later: Iterable[str] = ()) -> Report:
    """Put the results of all looks together.

    :param results: by look (the keys of :data:`LOOKS`) and host, what the module has answered. An answer without the
        rows that it should have is a look that could not be made.
    :raises KeyError: a look that does not exist.
    """
    lines = [
        line
        for look, answers in results.items()
        for host, answer in answers.items()
        for line in _lines(LOOKS[look], host, answer)
    ]
    return Report(tuple(lines), tuple(later))


def _lines(look: Look, host: str, answer: Mapping[str, Any]) -> Iterator[Line]:
    if "rows" in answer:
        for row in answer["rows"]:
            yield Line(host, row["step"], row["check"], _MARKS[row["mark"]], row["seen"], row["expected"])
        return
    mark, seen = _without_rows(look, answer)
    yield Line(host, look.step, look.what, mark, seen, look.expected)


def _without_rows(look: Look, answer: Mapping[str, Any]) -> tuple[Mark, str]:
    if answer.get("unreachable", False):
        return Mark.UNKNOWN, "it can't be reached"
    if not answer or answer.get("skipped", False):
        return Mark.UNKNOWN, "nobody has looked"
    said = str(answer.get("msg") or "")
    if look.gives_rows:
        return Mark.UNKNOWN, said or "it ended without an answer"
    return (Mark.FAILED, said or "it failed") if answer.get("failed", False) else (Mark.PASSED, said or "as expected")


def report_json(report: Report) -> dict[str, Any]:
    """The report as data: for the log, AWX and the filter's caller."""
    return {
        "passed": report.passed,
        "checklist": [{"step": step, "what": what, "mark": _step_mark(report, step)} for step, what in STEPS.items()],
        "rows": [line.to_json() for line in report.lines],
        "refusing": [line.to_json() for line in report.refusing],
        "text": report_lines(report),
        "msg": message(report),
    }


def _step_mark(report: Report, step: str) -> str:
    mark = report.mark(step)
    return "not yet" if mark is Mark.NOT_ASKED and step in report.later else mark.value


def report_lines(report: Report) -> list[str]:
    """The table for people: each step with its mark, below it what refuses, and what was not asked and why."""
    return list(_table(report))


def _table(report: Report) -> Iterator[str]:
    for step, what in STEPS.items():
        yield f"{step:<4} {_step_mark(report, step):<20} {what}"
        lines = [line for line in report.lines if line.step == step]
        for words, hosts in _grouped(lines):
            yield f"     {words} ({', '.join(hosts)})"
        if not lines and step in _UNASKED and step not in report.later:
            yield f"     not asked: {_UNASKED[step]}"


def _grouped(lines: Iterable[Line]) -> Iterator[tuple[str, list[str]]]:
    """What several hosts have in common is said once; what passed, by its name alone."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.mark is Mark.PASSED:
            words = f"passed: {line.check}"
        else:
            words = f"{line.mark.value}: {line.check}: {line.seen}"
            words += f"; expected {line.expected}" if line.mark.refuses else ""
        hosts = found.setdefault(words, [])
        if line.host not in hosts:
            hosts.append(line.host)
    # What refuses first: nobody should have to look for it.
    order = sorted(found.items(), key=lambda item: item[0].startswith(("passed", "not asked")))
    yield from order


def message(report: Report) -> str:
    """The whole in one sentence, every row that refuses in it."""
    if report.passed:
        return f"preflight: all {len(report.lines)} rows pass or were not asked"
    if not report.lines:
        return "preflight: nothing was looked at"
    each = [f"{_where(line)}: expected {line.expected}, seen: {line.seen}".rstrip(".") for line in report.refusing]
    return f"preflight: {len(each)} of {len(report.lines)} rows refuse. " + ". ".join(each)


def _where(line: Line) -> str:
    return f"{line.host}: {line.step} {line.check} {line.mark.value}"

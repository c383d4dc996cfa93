# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rehearsal as the result of the module holds it, and as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._measured import (
    Finding,
    Statement,
    estimate_ms,
)
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Table


@dataclass(frozen=True)
class Rehearsal:
    """What was found, with the sizes that it is held against.

    :param source: the database whose rows were there; empty when there were none.
    :param copy: the tables of the copy before the run; ``live``: those of the live database.
    :param back: whether the way back led to the schema of before; None when it was not tried, ``why_not`` says why.
    """

    source: str
    findings: tuple[Finding, ...]
    copy: Mapping[str, Table]
    live: Mapping[str, Table]
    back: bool | None = None
    why_not: str = ""


def as_dict(rehearsal: Rehearsal) -> dict[str, Any]:
    """Return the rehearsal in JSON types."""
    return {
        "source": rehearsal.source,
        "rows": bool(rehearsal.source),
        "back": rehearsal.back,
        "why_not_back": rehearsal.why_not,
        "migrations": [_finding_as_dict(each, rehearsal) for each in rehearsal.findings],
        "table": table(rehearsal),
    }


def _finding_as_dict(finding: Finding, rehearsal: Rehearsal) -> dict[str, Any]:
    judged, measured = finding.judged, finding.measured
    return {
        "app": judged.migration.app,
        "name": judged.migration.name,
        "ms": measured.ms,
        "estimate_ms": _together(measured.statements, rehearsal),
        "phase": finding.phase,
        "lock": finding.lock,
        "planned_phase": judged.phase,
        "planned_lock": judged.lock,
        "differs": list(finding.differs),
        "breaks": list(measured.breaks),
        "doubts": list(measured.doubts),
        "invalid_indexes": list(measured.invalid),
        "error": measured.error,
        "refused": finding.refused,
        "status": finding.status,
        "statements": [_statement_as_dict(each, rehearsal) for each in measured.statements],
    }


def _statement_as_dict(statement: Statement, rehearsal: Rehearsal) -> dict[str, Any]:
    estimate = estimate_ms(statement, rehearsal.copy, rehearsal.live)
    return {
        "operation": statement.operation,
        "sql": statement.sql,
        "times": statement.times,
        "ms": round(statement.ms, 1),
        "estimate_ms": None if estimate is None else list(estimate),
        "lock": statement.lock(rehearsal.live),
        "locks": [vars(lock) for lock in statement.taken],
        "held": [vars(lock) for lock in statement.held],
        "work": [vars(work) for work in statement.work],
        "error": statement.error,
    }


def _together(statements: Sequence[Statement], rehearsal: Rehearsal) -> list[int] | None:
    """The estimate for a migration: there is none when that of one of its long statements is missing."""
    found = [estimate_ms(each, rehearsal.copy, rehearsal.live) for each in statements if each.work]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    return [sum(least for least, _most in known), sum(most for _least, most in known)]


def table(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    """Return the table of the runbook: migration, time, rows, status."""
    return [
        {
            "migration": finding.measured.key,
            "ms": finding.measured.ms,
            "estimate_ms": _together(finding.measured.statements, rehearsal),
            "rows": _rows(finding, rehearsal.live),
            "status": finding.status,
        }
        for finding in rehearsal.findings
    ]


def _rows(finding: Finding, live: Mapping[str, Table]) -> int | None:
    """The rows, in the live database, of the tables that it works through; None when one is not known."""
    tables = {work.table for statement in finding.measured.statements for work in statement.work}
    counts = [live[name].rows if name in live else None for name in tables]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def lines(rehearsal: Rehearsal) -> list[str]:
    """Return the rehearsal for a person: the table first, then what differs from the plan, and all statements."""
    return [
        *_table_lines(rehearsal),
        *(line for each in rehearsal.findings for line in _finding_lines(each, rehearsal)),
    ]


def _table_lines(rehearsal: Rehearsal) -> Iterator[str]:
    of_what = f"a copy of {rehearsal.source}" if rehearsal.source else "a copy of the schema, without rows"
    yield f"rehearsed on {of_what}; {_way_back(rehearsal)}"
    cells = [("migration", "time here", "time expected", "rows", "status")]
    for row in table(rehearsal):
        rows = "not known" if row["rows"] is None else f"{row['rows']:,}"
        cells.append((row["migration"], f"{row['ms']} ms", span(row["estimate_ms"]), rows, row["status"]))
    widths = [max(len(cell[column]) for cell in cells) for column in range(len(cells[0]))]
    for cell in cells:
        yield "  ".join(text.ljust(width) for text, width in zip(cell, widths)).rstrip()


def _way_back(rehearsal: Rehearsal) -> str:
    if rehearsal.back is None:
        return f"the way back was not tried: {rehearsal.why_not}"
    return "the way back led to the schema of before" if rehearsal.back else f"no way back: {rehearsal.why_not}"


def span(estimate: Sequence[int] | None) -> str:
    """Return an estimate in words."""
    if estimate is None:
        return "not known"
    least, most = (_time(ms) for ms in estimate)
    return least if least == most else f"{least} to {most}"


def _time(ms: int) -> str:
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms / 1000:.0f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"


def _finding_lines(finding: Finding, rehearsal: Rehearsal) -> Iterator[str]:
    yield f"{finding.measured.key}: {finding.phase}, {finding.lock}: {finding.status}"
    for text in finding.differs:
        yield f"  differs: {text}"
    for text in finding.measured.breaks:
        yield f"  old code: {text}"
    for text in finding.measured.doubts:
        yield f"  doubtful: {text}"
    for statement in finding.measured.statements:
        times = f" ({statement.times} times)" if statement.times > 1 else ""
        yield f"  {statement.ms:.1f} ms, {statement.lock(rehearsal.live)}{times}: {statement.sql}"
        if statement.taken:
            yield f"      locks {', '.join(map(str, statement.taken))}"
        if statement.work:
            yield f"      work {', '.join(map(str, statement.work))}"
        if statement.error:
            yield f"      {statement.error}"

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as people read it, and as the result of the module holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._migrations._judgement import Judged, Verdict
from ansible_collections.slipway.django.plugins.module_utils._migrations._plan import Operation, Table


def plan_as_list(plan: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the plan in JSON types."""
    return [
        {
            "app": judged.migration.app,
            "name": judged.migration.name,
            "atomic": judged.migration.atomic,
            "phase": judged.phase,
            "lock": judged.lock,
            "refused": judged.refused,
            "acknowledged": judged.acknowledged or None,
            "acknowledgements": [each.as_dict() for each in judged.acknowledgements],
            "reversible": all(operation.reversible for operation in judged.migration.operations),
            "operations": [
                _operation_as_dict(operation, verdict)
                for operation, verdict in zip(judged.migration.operations, judged.verdicts)
            ],
        }
        for judged in plan
    ]


def _operation_as_dict(operation: Operation, verdict: Verdict) -> dict[str, Any]:
    return {
        "index": operation.index,
        "kind": operation.kind,
        "name": operation.describe,
        "sql": list(operation.sql),
        "opaque": operation.opaque or bool(operation.problem),
        "additive": verdict.additive,
        "phase": verdict.phase,
        "lock": verdict.lock,
        "rule": verdict.rule,
        "why": verdict.why,
        "instead": verdict.instead,
        "code": verdict.code,
        "lock_mode": verdict.mode,
        "rewrite": verdict.rewrite,
        "scan": verdict.scan,
        "findings": [_finding_as_dict(each) for each in verdict.findings],
        "reversible": operation.reversible,
        "table": None if operation.table is None else operation.table.as_dict(),
        "tables": [table.as_dict() for table in operation.tables],
    }


def _finding_as_dict(verdict: Verdict) -> dict[str, Any]:
    return {
        "statement": verdict.statement,
        "rule": verdict.rule,
        "phase": verdict.phase,
        "lock": verdict.lock,
        "lock_mode": verdict.mode,
        "rewrite": verdict.rewrite,
        "scan": verdict.scan,
        "why": verdict.why,
        "instead": verdict.instead,
        "code": verdict.code,
    }


def lines(plan: Sequence[Judged]) -> list[str]:
    """Return the plan for a person: each migration, each operation with its verdict, its SQL and its table."""
    return [line for judged in plan for line in _migration_lines(judged)]


def _migration_lines(judged: Judged) -> Iterator[str]:
    migration = judged.migration
    manner = "" if migration.atomic else ", not atomic"
    word = "refused" if judged.refused else f"acknowledged: {judged.acknowledged}" if judged.objections else "ready"
    yield f"{migration.key}: {judged.phase}, {judged.lock}{manner}: {word}"
    for operation, verdict in zip(migration.operations, judged.verdicts):
        yield f"  {operation.index} {operation.describe}: {verdict.phase}, {verdict.lock}"
        for rule, finding in {each.rule: each for each in verdict.findings or (verdict,)}.items():
            yield f"      {rule}: {finding.why}"
            if finding.instead:
                yield f"        instead: {finding.instead}"
                yield from (f"          {line}" for line in finding.code.splitlines())
        tables = {table.name: table for table in (operation.table, *operation.tables) if table is not None}
        for table in tables.values():
            yield f"      table {_table_text(table)}"
        if operation.problem:
            yield f"      SQL not known: {operation.problem}"
        for statement in operation.sql:
            yield from (f"      {line}" for line in statement.splitlines())


def _table_text(table: Table) -> str:
    rows = "number of rows not known" if table.rows is None else f"about {table.rows:,} rows"
    size = "size not known" if table.bytes is None else _size_text(table.bytes)
    return f"{table.name}: {rows}, {size}"


def _size_text(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def sql_text(plan: Sequence[Judged]) -> str:
    """Return the statements of the plan, with comments that say where they come from: for a diff."""
    parts: list[str] = []
    for judged in plan:
        parts.append(f"-- {judged.migration.key}\n")
        for operation in judged.migration.operations:
            parts.append(f"-- {operation.index} {operation.describe}\n")
            if operation.opaque or operation.problem:
                parts.append("-- not known beforehand\n")
            parts.extend(f"{statement}\n" for statement in operation.sql)
    return "".join(parts)


def refusal_text(plan: Sequence[Judged]) -> str:
    """Return, for the refused migrations, what is wrong with each of their operations and what to do instead."""
    texts = (
        f"{judged.migration.key}, operation {operation.index} ({operation.describe}): {verdict.why}"
        + (f" ({verdict.instead})" if verdict.instead else "")
        + ("" if judged.migration.backwards else f" [{verdict.rule}]")
        for judged in plan
        for operation, verdict in judged.open_objections
    )
    return "; ".join(dict.fromkeys(texts))


def heads_text(heads: Mapping[str, Sequence[str]]) -> str:
    """Return one line an app, for a diff."""
    return "".join(f"{app}: {', '.join(names)}\n" for app, names in sorted(heads.items()))


def outcome(result: Mapping[str, Any], *, diff: bool) -> dict[str, Any]:
    """Return what the module returns: the runner's result, with a diff when one is asked for."""
    inner = {"heads_before", "heads_after", "sql"}
    values = {key: value for key, value in result.items() if key not in inner}
    values["msg"] = result["reason"]
    if diff:
        values["diff"] = _diff(result)
    return values


def _diff(result: Mapping[str, Any]) -> list[dict[str, str]]:
    heads = {
        "before_header": "applied migrations",
        "after_header": "applied migrations",
        "before": result["heads_before"],
        "after": result["heads_after"],
    }
    return [heads, {"prepared": result["sql"]}] if result["sql"] else [heads]

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL: a query of the team whose one value is known, or lies in a range; or whose plan uses an index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._psql import Psql, read_psql
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import filled, needed, printable
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class SqlCheck:
    """One query with one value."""

    common: Common
    psql: Psql
    query: str
    limits: Limits
    uses_index: str | None = None

    instrument = False

    def where(self) -> str:
        return self.psql.where()

    def expected(self) -> str:
        return f"a plan with the index {self.uses_index}" if self.uses_index else self.limits.describe()

    def facts(self) -> dict[str, object]:
        return {"query": self.query}

    def look(self, watch: Watch) -> Sample:
        if self.uses_index is not None:
            return self._look_at_plan(self.uses_index, watch)
        row = self.psql.row(self.query, watch)
        if len(row) != 1:
            raise NotUnderstood("rows", f"the query gave {len(row)} columns (expected one)", local=True)
        if row[0] == "":
            raise NotUnderstood("null", "the query gave NULL or an empty text", local=False)
        return judge(row[0], self.limits, watch)

    def _look_at_plan(self, index: str, watch: Watch) -> Sample:
        indexes, scanned = read_plan(self.psql.document(f"EXPLAIN (FORMAT JSON) {self.query}", watch))
        used = ", ".join(indexes) or "no index"
        if index in indexes:
            return Sample(State.GOOD, "ok", f"the plan uses {used}", watch.elapsed_s())
        text = f"the plan uses {used} (expected {printable(index)})"
        text += f" and reads all of {', '.join(scanned)}" if scanned else ""
        return Sample(State.BAD, "plan", text, watch.elapsed_s(), action=self.common.action)


def read_plan(text: str) -> tuple[list[str], list[str]]:
    """The indexes that a plan uses, and the tables that it reads from end to end. Pure.

    :param text: what C(EXPLAIN (FORMAT JSON)) gave.
    :raises NotUnderstood: it is no plan.
    """
    try:
        nodes = list(_nodes(json.loads(text)[0]["Plan"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotUnderstood("plan", "EXPLAIN gave no plan", local=True) from error
    indexes = {printable(str(node["Index Name"])) for node in nodes if "Index Name" in node}
    scanned = {printable(str(node.get("Relation Name"))) for node in nodes if node.get("Node Type") == "Seq Scan"}
    return sorted(indexes), sorted(scanned)


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from _nodes(below)


def read_sql(common: Common, params: Mapping[str, Any], runner: Runner) -> SqlCheck:
    """Read the options of a check of kind C(sql)."""
    query = needed(common.path, params, "query")
    if query.lstrip().startswith("\\"):
        # psql takes it for a command of its own, and some of those run programs.
        raise InvalidOption(f"{common.path}.query", query, "SQL, no command of psql")
    limits = read_limits(common, params)
    index = filled(f"{common.path}.uses_index", params["uses_index"])
    if not limits.asked and index is None:
        raise InvalidOption(
            f"{common.path}.equals", None, "equals, min, max, thresholds or uses_index: any value would do"
        )
    if limits.asked and index is not None:
        raise InvalidOption(f"{common.path}.uses_index", index, "no equals, min, max or thresholds beside it")
    return SqlCheck(common, read_psql(common, params, runner), query, limits, index)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL: a query of the team whose one value is known, or lies in a range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import Limits, judge, read_limits
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._psql import Psql, read_psql
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class SqlCheck:
    """One query with one value."""

    common: Common
    psql: Psql
    query: str
    limits: Limits

    instrument = False

    def where(self) -> str:
        return self.psql.where()

    def expected(self) -> str:
        return self.limits.describe()

    def facts(self) -> dict[str, object]:
        return {"query": self.query}

    def look(self, watch: Watch) -> Sample:
        row = self.psql.row(self.query, watch)
        if len(row) != 1:
            raise NotUnderstood("rows", f"the query gave {len(row)} columns (expected one)", local=True)
        if row[0] == "":
            raise NotUnderstood("null", "the query gave NULL or an empty text", local=False)
        return judge(row[0], self.limits, watch)


def read_sql(common: Common, params: Mapping[str, Any], runner: Runner) -> SqlCheck:
    """Read the options of a check of kind C(sql)."""
    query = needed(common.path, params, "query")
    if query.lstrip().startswith("\\"):
        # psql takes it for a command of its own, and some of those run programs.
        raise InvalidOption(f"{common.path}.query", query, "SQL, no command of psql")
    limits = read_limits(common, params)
    if not limits.asked:
        raise InvalidOption(f"{common.path}.equals", None, "equals, min, max or thresholds: any value would do")
    return SqlCheck(common, read_psql(common, params, runner), query, limits)

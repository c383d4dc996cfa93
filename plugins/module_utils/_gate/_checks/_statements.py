# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's queries against how long they took before, by the differences of pg_stat_statements.

The extension counts from its last reset on (manual, F.32 of PostgreSQL 16). What it had counted before the deployment
is the baseline; what was asked since is what it counts now without that. Constants are no part of a query's text there,
but they are of other commands, ``CREATE ROLE`` for one: only what reads and writes rows is looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import read_rung, sample_of
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._psql import SEES_ALL, Psql, read_psql
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import number, whole
from ansible_collections.slipway.django.plugins.module_utils._gate._thresholds import (
    Finding,
    Rung,
    active,
    without_baseline,
)
from ansible_collections.slipway.django.plugins.module_utils._postgres._site import literal
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# One chance in a hundred of a false alarm, as everywhere in a gate (the normal distribution's quantile at 0.99).
_QUANTILE = 2.326
_SHOWN = 3
_HEAD = 80
# What begins with a comment is not looked at, so that the gate does not see itself.
_OURS = "/* slipway health_gate */"
_WHERE_IT_IS = (
    f"{_OURS} SELECT {SEES_ALL}, current_setting('server_version_num')::int >= 140000, "
    "(SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
    "WHERE extname = 'pg_stat_statements')"
)
# The same query of several roles is one. The sum of squares is what deviations can be subtracted by.
_COUNTS = """
SELECT json_build_object('reset', {reset}, 'queries', COALESCE(json_object_agg(id, counts), '{{}}')) FROM (
  SELECT queryid::text AS id, json_build_object('calls', sum(calls), 'ms', round(sum(total_exec_time)::numeric, 3),
    'squares', round(sum(calls * (stddev_exec_time ^ 2 + mean_exec_time ^ 2))::numeric, 3),
    'query', left(regexp_replace(min(query), '\\s+', ' ', 'g'), {head})) AS counts
  FROM {schema}.pg_stat_statements
  WHERE dbid = (SELECT oid FROM pg_database WHERE datname = {of_database}) AND queryid IS NOT NULL
    AND query ~* '^\\s*(select|insert|update|delete|merge|with)\\M' {which}
  GROUP BY queryid ORDER BY sum(total_exec_time) DESC LIMIT {most}) AS counted
"""


@dataclass(frozen=True)
class Counts:
    """What was counted of one query.

    :param ms: of all calls together.
    :param squares: sum of the squares of each call's milliseconds.
    """

    calls: int
    ms: float
    squares: float
    query: str

    @property
    def mean_ms(self) -> float:
        return self.ms / self.calls

    @property
    def variance(self) -> float:
        return max(0.0, self.squares / self.calls - self.mean_ms**2)

    def since(self, before: Counts) -> Counts:
        return Counts(
            self.calls - before.calls,
            max(0.0, self.ms - before.ms),
            max(0.0, self.squares - before.squares),
            self.query,
        )


@dataclass(frozen=True)
class Counted:
    """What pg_stat_statements said at one time. ``reset``: when it began to count; empty where that is not known."""

    reset: str
    queries: Mapping[str, Counts]


@dataclass(frozen=True)
class Growth:
    """A query that takes longer than before."""

    before: Counts
    after: Counts

    @property
    def times(self) -> float:
        return self.after.mean_ms / self.before.mean_ms if self.before.mean_ms else math.inf

    def in_words(self) -> str:
        return f"{self.after.mean_ms:.3g} ms instead of {self.before.mean_ms:.3g} ms for {self.after.query}"


def read_counted(document: object) -> Counted:
    """Read what a look has returned, or what a deployment has recorded.

    :raises ValueError: it is something else.
    """
    if not isinstance(document, Mapping):
        raise ValueError("no counts of pg_stat_statements")
    try:
        queries = {
            str(id_): Counts(int(row["calls"]), float(row["ms"]), float(row["squares"]), str(row["query"]))
            for id_, row in document["queries"].items()
        }
        return Counted(str(document["reset"] or ""), queries)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("no counts of pg_stat_statements") from error


def comparable(before: Counted, now: Counted, min_calls: int) -> list[Growth]:
    """Return the queries with so many calls before and since."""
    return [each for each in _growths(before, now) if min(each.before.calls, each.after.calls) >= min_calls]


def slower(growths: Iterable[Growth], times: float, min_ms: float) -> list[Growth]:
    """Return those that are shown to take more than so many times what they took before, the worst first."""
    found = [each for each in growths if each.after.mean_ms >= min_ms and _is_slower(each, times)]
    return sorted(found, key=lambda each: -each.times)


def _growths(before: Counted, now: Counted) -> Iterator[Growth]:
    for id_, was in before.queries.items():
        counts = now.queries.get(id_)
        if counts is None:
            continue
        # Where it began anew in between, all that it has counted is from after the baseline.
        anew = before.reset != now.reset or counts.calls < was.calls
        yield Growth(was, counts if anew else counts.since(was))


def _is_slower(growth: Growth, times: float) -> bool:
    """Whether the mean is above so many times that of before by more than chance (one-sided, unequal variances)."""
    before, after = growth.before, growth.after
    excess = after.mean_ms - times * before.mean_ms
    spread = math.sqrt(after.variance / after.calls + times**2 * before.variance / before.calls)
    return excess > _QUANTILE * spread and excess > 0


@dataclass(frozen=True)
class StatementsCheck:
    """One look at all queries that took the most time. Without a baseline it is the look that makes one.

    :param of_database: whose queries; the extension counts those of all databases, wherever it is installed.
    """

    common: Common
    psql: Psql
    of_database: str
    baseline: Counted | None
    rungs: tuple[Rung, ...]
    min_calls: int
    min_ms: float
    remembered: int

    instrument = False

    def where(self) -> str:
        return self.psql.where()

    def expected(self) -> str:
        limits = ", ".join(f"no {rung.describe()}" for rung in self.rungs) or "any time"
        return f"{limits}, of queries with {self.min_calls} calls before and since and {self.min_ms:g} ms or more"

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        now = self._count(watch)
        if self.baseline is None:
            return replace(self._without_baseline(now, watch), figures=_as_figures(now))
        counting = active(self.rungs, watch.moment.age_s)
        if not counting:
            return Sample(State.GOOD, "ok", "no threshold counts at this age yet", watch.elapsed_s())
        growths = comparable(self.baseline, now, self.min_calls)
        if not growths:
            text = f"no query of the baseline had {self.min_calls} calls before and since"
            return Sample(State.NO_DATA, "too_few", text, watch.elapsed_s(), numbers={"compared": 0})
        return sample_of(self._judge(growths, counting), watch, "queries", None)

    def _judge(self, growths: Sequence[Growth], counting: Sequence[Rung]) -> Finding:
        numbers: dict[str, float | int | str | None] = {"compared": len(growths)}
        for rung in counting:
            times = rung.times_baseline or 1.0
            found = slower(growths, times, self.min_ms)
            if found:
                shown = "; ".join(each.in_words() for each in found[:_SHOWN])
                text = f"{len(found)} of {len(growths)} above {times:g} times what they took before: {shown}"
                return Finding(rung.action, False, "slower", text, {**numbers, "slower": len(found)})
        return Finding(None, False, "ok", f"{len(growths)} are as fast as before", {**numbers, "slower": 0})

    def _without_baseline(self, now: Counted, watch: Watch) -> Sample:
        counting = active(self.rungs, watch.moment.age_s)
        if not counting:
            return Sample(State.GOOD, "ok", f"{len(now.queries)} were counted", watch.elapsed_s())
        return sample_of(without_baseline(counting[0]), watch, "queries", None)

    def _count(self, watch: Watch) -> Counted:
        may_see, tells_reset, schema = self.psql.row(_WHERE_IT_IS, watch)
        if not schema:
            raise NotUnderstood(
                "not_installed",
                "pg_stat_statements is not in this database: name it in shared_preload_libraries, restart the server, "
                "and run CREATE EXTENSION pg_stat_statements",
                local=True,
            )
        if may_see != "t":
            raise NotUnderstood(
                "not_allowed", "the role does not see other roles' queries: make it a member of pg_monitor", local=True
            )
        (said,) = self.psql.row(self._query(schema, tells_reset=tells_reset == "t"), watch)
        try:
            return read_counted(json.loads(said))
        except ValueError as error:
            raise NotUnderstood("query", "pg_stat_statements gave no counts", local=True) from error

    def _query(self, schema: str, *, tells_reset: bool) -> str:
        known = self.baseline.queries if self.baseline else {}
        # Which took the most time before: they may take little now.
        which = f"AND queryid IN ({', '.join(str(int(id_)) for id_ in known)})" if known else ""
        reset = (
            f"(SELECT extract(epoch FROM stats_reset)::text FROM {schema}.pg_stat_statements_info)"
            if tells_reset
            else "''"
        )
        return _OURS + _COUNTS.format(
            of_database=literal(self.of_database),
            reset=reset,
            schema=schema,
            which=which,
            head=_HEAD,
            most=len(known) or self.remembered,
        )


def _as_figures(counted: Counted) -> dict[str, object]:
    return {"reset": counted.reset, "queries": {id_: vars(counts) for id_, counts in counted.queries.items()}}


def read_statements(common: Common, params: Mapping[str, Any], runner: Runner) -> StatementsCheck:
    """Read the options of a check of kind C(statements)."""
    path, baseline = common.path, None
    if params["baseline"]:
        try:
            baseline = read_counted(params["baseline"])
        except ValueError as error:
            raise InvalidOption(
                f"{path}.baseline", "…", "the figures that a look without a baseline returned"
            ) from error
    limits = tuple(read_rung(f"{path}.thresholds[{n}]", row) for n, row in enumerate(params["thresholds"]))
    if any(rung.times_baseline is None for rung in limits):
        raise InvalidOption(f"{path}.thresholds", "above or below", "times_baseline with kind statements")
    return StatementsCheck(
        common,
        read_psql(common, params, runner),
        params["of_database"] or params["database"],
        baseline,
        limits,
        whole(f"{path}.min_calls", params["min_calls"], least=2),
        number(f"{path}.min_ms", params["min_ms"], least=0.0),
        whole(f"{path}.remembered", params["remembered"], least=1),
    )

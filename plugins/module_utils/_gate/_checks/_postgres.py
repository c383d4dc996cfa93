# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's own state: connections, locks, long queries, replication, invalid indexes. One query a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._psql import SEES_ALL, Psql, read_psql
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import number, share, whole
from ansible_collections.slipway.django.plugins.module_utils._process import Runner


@dataclass(frozen=True)
class Measure:
    """One number of the server.

    :param needs_rights: of other sessions only a member of pg_monitor sees it; others would see nothing, not a fault.
    """

    option: str
    sql: str
    words: str
    at_least: bool = False
    needs_rights: bool = True
    unit: str = ""


# Lag in seconds: on a standby since its newest transaction, none when it has replayed all that it got. On a primary
# the slowest standby's; an idle one tells none, since it has replayed all. That there is any standby is asked by
# min_replicas.
MEASURES = (
    Measure(
        "max_replication_lag",
        "CASE WHEN pg_is_in_recovery() THEN CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 "
        "ELSE EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp()) END "
        "ELSE (SELECT EXTRACT(EPOCH FROM COALESCE(max(replay_lag), '0')) FROM pg_stat_replication) END",
        "replication lag",
        unit=" s",
    ),
    Measure(
        "min_replicas",
        "(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming')",
        "streaming replicas",
        at_least=True,
    ),
    Measure(
        "max_lock_wait",
        "(SELECT COALESCE(max(EXTRACT(EPOCH FROM clock_timestamp() - waitstart)), 0) FROM pg_locks WHERE NOT granted)",
        "longest wait for a lock",
        needs_rights=False,
        unit=" s",
    ),
    Measure(
        "max_query_age",
        "(SELECT COALESCE(max(EXTRACT(EPOCH FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle')",
        "oldest query or transaction",
        unit=" s",
    ),
    Measure(
        "max_invalid_indexes",
        # One that is being built is not valid yet.
        "(SELECT count(*) FROM pg_index WHERE NOT indisvalid AND NOT EXISTS "
        "(SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid))",
        "invalid indexes",
        needs_rights=False,
    ),
    Measure(
        "max_connection_use",
        "(SELECT sum(numbackends) FROM pg_stat_database) / current_setting('max_connections')::float",
        "share of the connections in use",
        needs_rights=False,
    ),
)


@dataclass(frozen=True)
class PostgresCheck:
    """One check of a server. ``limits``: by the option of each measure that is asked for."""

    common: Common
    psql: Psql
    limits: Mapping[str, float]

    instrument = False

    def where(self) -> str:
        return self.psql.where()

    def expected(self) -> str:
        parts = [f"{m.words} {_relation(m)} {self.limits[m.option]:g}{m.unit}" for m in self._asked()]
        return ", ".join(["a connection", *parts])

    def facts(self) -> dict[str, object]:
        return {}

    def _asked(self) -> list[Measure]:
        return [measure for measure in MEASURES if measure.option in self.limits]

    def look(self, watch: Watch) -> Sample:
        asked = self._asked()
        query = ", ".join([SEES_ALL, *(measure.sql for measure in asked)])
        may_see, *values = self.psql.row(f"SELECT {query}", watch)
        if may_see != "t" and any(measure.needs_rights for measure in asked):
            raise NotUnderstood(
                "not_allowed", "the role does not see other sessions: make it a member of pg_monitor", local=True
            )
        numbers = {measure.option: _number(value) for measure, value in zip(asked, values)}
        faults = [_fault(measure, numbers[measure.option], self.limits[measure.option]) for measure in asked]
        text = "; ".join(fault for fault in faults if fault)
        state = State.BAD if text else State.GOOD
        code = "limits" if text else "ok"
        shown = text or "all within their limits" if asked else "connected"
        return Sample(state, code, shown, watch.elapsed_s(), action=self.common.action, numbers=numbers)


def _number(text: str) -> float:
    try:
        return round(float(text), 4)
    except ValueError as error:
        raise NotUnderstood("null", "PostgreSQL gave no number", local=True) from error


def _fault(measure: Measure, value: float, limit: float) -> str:
    wrong = value < limit if measure.at_least else value > limit
    if not wrong:
        return ""
    return f"{measure.words} {value:g}{measure.unit} (expected {_relation(measure)} {limit:g}{measure.unit})"


def _relation(measure: Measure) -> str:
    return "at least" if measure.at_least else "at most"


def read_postgres(common: Common, params: Mapping[str, Any], runner: Runner) -> PostgresCheck:
    """Read the options of a check of kind C(postgres)."""
    path, limits = common.path, {}
    for measure in MEASURES:
        value = params[measure.option]
        if value is None:
            continue
        option = f"{path}.{measure.option}"
        if measure.option == "max_connection_use":
            limits[measure.option] = share(option, value)
        elif isinstance(value, int):
            limits[measure.option] = float(whole(option, value, least=0))
        else:
            limits[measure.option] = number(option, value, least=0.0)
    return PostgresCheck(common, read_psql(common, params, runner), limits)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus: one value, or a rate as two counts.

The two counts are asked for apart: a series of errors that does not exist yet is then no error, no traffic is no
division by nothing, and the size of the sample is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._http import read_headers, standard_headers
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._limits import (
    Limits,
    judge,
    read_limits,
    sample_of,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._http import Request, ask
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._network import tls_context
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import (
    duration,
    host,
    needed,
    share,
    url,
    whole,
)
from ansible_collections.slipway.django.plugins.module_utils._gate._thresholds import Counts, Rung, judge_counts

_PORTS = {"http": 80, "https": 443}
_PATH = "/api/v1/query"
_WINDOW = "$window"


@dataclass(frozen=True)
class PrometheusCheck:
    """One check by queries. Either ``query``, or ``bad`` and ``total``."""

    common: Common
    url: str
    request: Request
    limits: Limits
    query: str | None
    bad: str | None
    total: str | None
    window_s: float
    min_total: int
    confidence: float

    instrument = True

    def where(self) -> str:
        return self.url

    def expected(self) -> str:
        least = f", at least {self.min_total} in the window" if self.total else ""
        return self.limits.describe() + least

    def facts(self) -> dict[str, object]:
        queries = {"query": self.query, "bad": self.bad, "total": self.total}
        return {"url": self.url, "window_s": self.window_s, **{k: v for k, v in queries.items() if v is not None}}

    def look(self, watch: Watch) -> Sample:
        if self.query is not None:
            return self._look_at_value(self.query, watch)
        return self._look_at_rate(self.bad or "", self.total or "", watch)

    def _look_at_value(self, query: str, watch: Watch) -> Sample:
        value = self._ask(query, watch)
        if value is None:
            return Sample(State.NO_DATA, "no_data", "Prometheus has no data for the query", watch.elapsed_s())
        return judge(value, self.limits, watch)

    def _look_at_rate(self, bad: str, total: str, watch: Watch) -> Sample:
        seen = self._ask(total, watch)
        if seen is None or round(seen) == 0:
            return Sample(State.NO_DATA, "no_traffic", "no request was counted in the window", watch.elapsed_s())
        # No series of bad ones is none of them: since the total is there, Prometheus has looked.
        found = self._ask(bad, watch) or 0.0
        # increase() extrapolates to the ends of the window: it gives no whole numbers.
        counts = Counts(min(round(found), round(seen)), round(seen))
        if counts.total < self.min_total:
            text = f"{counts.total} in the window (expected {self.min_total} or more)"
            return Sample(State.NO_DATA, "too_few", text, watch.elapsed_s(), numbers={"total": counts.total})
        finding = judge_counts(
            counts, self.limits.rungs, watch.moment.age_s, self.limits.baseline_counts, self.confidence
        )
        return sample_of(finding, watch, "rate", counts.rate)

    def _ask(self, query: str, watch: Watch) -> float | None:
        window = f"{round(watch.moment.window_s(self.window_s))}s"
        body = urlencode({"query": query.replace(_WINDOW, window)}).encode()
        length = ("Content-Length", str(len(body)))
        request = replace(self.request, body=body, headers=(*self.request.headers, length))
        answer = ask(request, watch)
        return read_value(answer.status, answer.body)


def read_value(status: int, body: bytes) -> float | None:
    """The one number of an answer of Prometheus; None when it has no data.

    :raises NotUnderstood: an error, several series, or no answer of Prometheus.
    """
    try:
        document = json.loads(body)
    except ValueError as error:
        raise NotUnderstood("not_prometheus", f"status {status} without JSON: no answer of Prometheus") from error
    if not isinstance(document, dict) or document.get("status") not in ("success", "error"):
        raise NotUnderstood("not_prometheus", f"status {status}: no answer of Prometheus")
    if document["status"] == "error":
        kind = str(document.get("errorType", ""))[:20]
        raise NotUnderstood("query", f"Prometheus answers with the error {kind if kind.isidentifier() else 'unknown'}")
    try:
        return _number(document["data"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise NotUnderstood("not_prometheus", "an answer of Prometheus without a number") from error


def _number(data: Mapping[str, Any]) -> float | None:
    if data["resultType"] == "vector":
        series = data["result"]
        if not series:
            return None
        if len(series) > 1:
            raise NotUnderstood("several_series", f"the query gives {len(series)} series (expected one: use sum)")
        value = float(series[0]["value"][1])
    elif data["resultType"] == "scalar":
        value = float(data["result"][1])
    else:
        raise NotUnderstood("query", "the query gives no instant value")
    if math.isinf(value):
        raise NotUnderstood("infinite", "the query gives infinity, which is no measurement")
    return None if math.isnan(value) else value


def read_prometheus(common: Common, params: Mapping[str, Any]) -> PrometheusCheck:
    """Read the options of a check of kind C(prometheus)."""
    path = common.path
    address = url(f"{path}.url", needed(path, params, "url"), _PORTS)
    name = host(f"{path}.host", params["host"]) or address.netloc
    tls = None
    if address.scheme == "https":
        tls = tls_context(f"{path}.ca_path", params["ca_path"], verify=params["validate_certs"])
    form = ("Content-Type", "application/x-www-form-urlencoded")
    request = Request(
        method="POST",
        hostname=address.hostname or "",
        port=address.port or _PORTS[address.scheme],
        target=address.path.rstrip("/") + _PATH,
        headers=(*standard_headers(name), form, *read_headers(path, params)),
        tls=tls,
        server_hostname=address.hostname if tls else None,
    )
    check = PrometheusCheck(
        common,
        params["url"],
        request,
        read_limits(common, params),
        params["query"],
        params["bad"],
        params["total"],
        duration(f"{path}.window", params["window"]),
        whole(f"{path}.min_total", params["min_total"], least=1),
        share(f"{path}.confidence", params["confidence"]),
    )
    _refuse_half_said(check)
    return check


def _refuse_half_said(check: PrometheusCheck) -> None:
    path, limits = check.common.path, check.limits
    as_value = bool(check.query) and not check.bad and not check.total
    as_rate = bool(check.bad) and bool(check.total) and not check.query
    if as_value == as_rate:
        raise InvalidOption(f"{path}.query", check.query, "either query, or bad and total")
    if not limits.asked:
        raise InvalidOption(f"{path}.thresholds", [], "thresholds, equals, min or max: any value would do")
    if as_rate and (limits.equals is not None or any(_least(rung) for rung in limits.rungs)):
        strange = "equals, min, below or below_baseline"
        raise InvalidOption(f"{path}.thresholds", strange, "above and times_baseline with bad and total")


def _least(rung: Rung) -> bool:
    return rung.below is not None or rung.below_baseline is not None

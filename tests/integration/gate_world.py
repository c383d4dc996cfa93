# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases that are well or broken on purpose, their traffic, and a real Prometheus that measures them.

Each application is a server on the loopback that is asked by the gate and by Prometheus; its traffic is made in this
process, request by request, through the same code. The names of its series are those of django-prometheus.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._gate._options import World, read_gate
from ansible_collections.slipway.django.plugins.module_utils._gate._report import evidence
from ansible_collections.slipway.django.plugins.module_utils._gate._run import run_gate, system_probe
from ansible_collections.slipway.django.plugins.module_utils._gate._spec import check_spec
from ansible_collections.slipway.django.plugins.module_utils._gate._statistics import (
    fisher_worse,
    lower_bound,
    upper_bound,
)
from ansible_collections.slipway.django.plugins.module_utils._polling import SystemClock
from ansible_collections.slipway.django.plugins.module_utils._process import SystemRunner

RELEASE = "3f2a9c1d2e4f-0a1b2c3d"
OTHER = "000000000000-11111111"
SCRAPE_S = 1
PROMETHEUS = shutil.which("prometheus")


@dataclass(frozen=True)
class Behaviour:
    """How a release behaves.

    :param per_s: requests a second.
    :param errors: share of them that is answered with 500.
    :param errors_from_s: age from which on it errs.
    :param slow: share of the requests that takes longer than 2.5 s.
    """

    name: str
    per_s: float = 20.0
    errors: float = 0.002
    errors_from_s: float = 0.0
    slow: float = 0.0
    health: int = 200
    release: str = RELEASE


@dataclass
class Application:
    """A running release with its traffic."""

    behaviour: Behaviour
    seed: int
    requests: int = 0
    failed: int = 0
    slow: int = 0
    history: list[tuple[float, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = 0.0
        self._random = random.Random(self.seed)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True),
        ]
        self._threads[0].start()

    def go_live(self) -> None:
        """Get traffic: from here on its age counts."""
        self.began = time.monotonic()
        self._threads.append(threading.Thread(target=self._make_traffic, daemon=True))
        self._threads[1].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def age_s(self) -> float:
        return time.monotonic() - self.began

    def close(self) -> None:
        self._stop.set()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    def _make_traffic(self) -> None:
        """Requests come at random moments, as those of many people do."""
        while self.behaviour.per_s and not self._stop.wait(self._random.expovariate(self.behaviour.per_s)):
            with self._lock:
                self.requests += 1
                errs = self.age_s() >= self.behaviour.errors_from_s and self._random.random() < self.behaviour.errors
                self.failed += errs
                self.slow += self._random.random() < self.behaviour.slow
                self.history.append((self.age_s(), self.requests, self.failed, self.slow))

    def metrics(self) -> str:
        with self._lock:
            count, failed, slow = self.requests, self.failed, self.slow
        name, latency = "django_http_responses_total_by_status_total", "django_http_requests_latency_seconds"
        # No series of errors before the first one, as django-prometheus has it.
        errors = f'{name}{{status="500"}} {failed}\n' if failed else ""
        return (
            f'{name}{{status="200"}} {count - failed}\n{errors}'
            f'{latency}_bucket{{le="2.5"}} {count - slow}\n{latency}_count {count}\n'
        )


def _handler(application: Application) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            metrics = self.path == "/metrics"
            body = application.metrics() if metrics else json.dumps({"status": "ok"})
            data = body.encode()
            self.send_response(200 if metrics else application.behaviour.health)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Release", application.behaviour.release)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


@dataclass(frozen=True)
class Prometheus:
    """A real one, which finds what it is to measure in a file."""

    url: str
    targets: Path

    def measure(self, applications: Sequence[Application]) -> None:
        """Measure these, and wait until it has begun."""
        self.measure_addresses([application.address for application in applications])

    def measure_addresses(self, addresses: Sequence[str]) -> None:
        """The same for whatever answers there."""
        rows = [{"targets": [address]} for address in addresses]
        fresh = self.targets.with_suffix(".tmp")
        fresh.write_text(json.dumps(rows), encoding="utf-8")
        fresh.replace(self.targets)
        deadline = time.monotonic() + 30
        while self._up(set(addresses)) and time.monotonic() < deadline:
            time.sleep(0.2)

    def _up(self, wanted: set[str]) -> set[str]:
        with urllib.request.urlopen(f"{self.url}/api/v1/query?query=up", timeout=5) as answer:
            result = json.load(answer)["data"]["result"]
        return wanted - {series["metric"]["instance"] for series in result if series["value"][1] == "1"}


@contextmanager
def prometheus(
    folder: Path, port: int, *, address: str = "127.0.0.1", alerts: Sequence[Mapping[str, str]] = ()
) -> Iterator[Prometheus]:
    """Run Prometheus, on the loopback if nothing else is said.

    :param alerts: rules, each with ``alert`` and ``expr``.
    """
    assert PROMETHEUS is not None
    targets = folder / "targets.json"
    targets.write_text("[]", encoding="utf-8")
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "site", "rules": list(alerts)}]}), "utf-8")
    settings = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [
            {"job_name": "site", "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    command = [PROMETHEUS, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address={address}:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://{address}:{port}"
    try:
        _wait_until_ready(url)
        yield Prometheus(url, targets)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("Prometheus did not get ready")


# The ladder of the runbooks, with seconds in place of minutes, and what was measured before the deployment.
LADDER: tuple[dict[str, Any], ...] = (
    {"from": 0, "above": 0.05, "action": "rollback"},
    {"from": 20, "above": 0.02, "action": "rollback"},
    {"from": 0, "times_baseline": 1.2, "action": "rollback"},
)
SLOW: tuple[dict[str, Any], ...] = ({"from": 0, "above": 0.05, "action": "rollback"},)
WINDOW_S = 600
BASELINE = {"bad": 20, "total": 4000}
_NO_RUNG = dict.fromkeys(("above", "below", "times_baseline", "below_baseline"))


def gate_options(application: Application, url: str, *, interval_s: float, deadline_s: float) -> dict[str, Any]:
    """A gate as a team would write it: the health endpoint, the error rate, the share of slow requests."""
    me = f'instance="{application.address}"'
    responses, latency = "django_http_responses_total_by_status_total", "django_http_requests_latency_seconds"
    counted = f"sum(increase({latency}_count{{{me}}}[$window]))"
    checks: list[dict[str, Any]] = [
        {"name": "health", "url": f"http://{application.address}/health/ready", "release": RELEASE, "successes": 3},
        {
            "name": "error rate",
            "kind": "prometheus",
            "url": url,
            "bad": f'sum(increase({responses}{{{me},status=~"5.."}}[$window]))',
            "total": f"sum(increase({responses}{{{me}}}[$window]))",
            "thresholds": [{**_NO_RUNG, **rung} for rung in LADDER],
            "window": WINDOW_S,
            "baseline": BASELINE,
        },
        {
            "name": "slow",
            "kind": "prometheus",
            "url": url,
            "bad": f'{counted} - sum(increase({latency}_bucket{{{me},le="2.5"}}[$window]))',
            "total": counted,
            "thresholds": [{**_NO_RUNG, **rung} for rung in SLOW],
            "window": WINDOW_S,
        },
    ]
    defaults = {option: given.get("default") for option, given in check_spec().items()}
    return {
        "checks": [{**defaults, **check} for check in checks],
        "successes": 3,
        "failures_allowed": 1,
        "wrong_release_limit": 1,
        "interval": interval_s,
        "initial_delay": 0.0,
        "deadline": deadline_s,
        "duration": 0.0,
        "since": None,
        "fail_on": [],
    }


@dataclass(frozen=True)
class Watching:
    """How long a gate looks, and how often."""

    interval_s: float = 2.0
    duration_s: float = 24.0
    deadline_s: float = 60.0


@dataclass(frozen=True)
class Judged:
    """What a gate said of a release, and when.

    :param evidence_s: age of the release at which its own counts, of which the gate sees a scrape, showed the verdict.
    """

    behaviour: Behaviour
    verdict: str
    reason: str
    elapsed_s: float
    evidence_s: float | None

    def late_s(self, watching: Watching) -> float | None:
        """Seconds between the evidence and the verdict; a pass may come at the end of the duration."""
        if self.evidence_s is None:
            return None
        earliest = max(self.evidence_s, watching.duration_s) if self.verdict == "pass" else self.evidence_s
        return self.elapsed_s - earliest


def judge(application: Application, url: str, watching: Watching) -> Judged:
    """Run a gate from the birth of the release on."""
    clock = SystemClock()
    options = {
        **gate_options(application, url, interval_s=watching.interval_s, deadline_s=watching.deadline_s),
        "since": clock.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration": watching.duration_s,
    }
    gate = read_gate(options, World(clock, SystemRunner()))
    result = run_gate(gate, system_probe(clock), clock)
    facts = evidence(gate, result, "here")
    verdict = str(facts["verdict"])
    return Judged(
        application.behaviour,
        verdict,
        str(facts["reason"]),
        result.elapsed_s,
        evidence_of(application, verdict, until_s=result.elapsed_s),
    )


def evidence_of(application: Application, verdict: str, *, until_s: float) -> float | None:
    """Since when the application's own counts show that a threshold is exceeded, or that all are kept.

    At a rate near the threshold chance shows it and takes it away again between two looks: what counts is the last time
    that it came before the verdict.
    """
    behaviour = application.behaviour
    if behaviour.health != 200 or behaviour.release != RELEASE:
        return 0.0
    shown = _exceeded if verdict == "rollback" else _kept
    came, there = None, False
    for age_s, *counts in application.history:
        if age_s > until_s:
            break
        was, there = there, shown(age_s, *counts)
        came = age_s if there and not was else came
    return came


def _limit(age_s: float) -> float:
    return min(float(rung["above"]) for rung in LADDER if "above" in rung and rung["from"] <= age_s)


def _exceeded(age_s: float, requests: int, failed: int, slow: int) -> bool:
    worse = failed * BASELINE["total"] > 1.2 * BASELINE["bad"] * requests
    by_chance = fisher_worse(failed, requests, BASELINE["bad"], BASELINE["total"])
    above = lower_bound(failed, requests, 0.95) > _limit(age_s) or lower_bound(slow, requests, 0.95) > 0.05
    return above or (worse and by_chance < 0.01)


def _kept(age_s: float, requests: int, failed: int, slow: int) -> bool:
    return upper_bound(failed, requests, 0.95) <= _limit(age_s) and upper_bound(slow, requests, 0.95) <= 0.05


# Each is broken in one way; none of them by much more than a gate must find.
BROKEN = {
    "errs in 5 of 100": (Behaviour("errs in 5 of 100", errors=0.05), "rollback"),
    "slow": (Behaviour("slow", slow=0.3), "rollback"),
    "red health": (Behaviour("red health", health=503), "rollback"),
    "wrong release": (Behaviour("wrong release", release=OTHER), "rollback"),
    "errs after a while": (Behaviour("errs after a while", errors=0.3, errors_from_s=12.0), "rollback"),
    "no traffic": (Behaviour("no traffic", per_s=0.0), "hold"),
}
HEALTHY = Behaviour("healthy")
LOW_TRAFFIC = Behaviour("healthy, low traffic", per_s=2.0, errors=0.005)


def judge_together(
    behaviours: Sequence[Behaviour], measured: Prometheus, watching: Watching, seed: int
) -> list[Judged]:
    """Let releases live at the same time, each under a gate of its own."""
    applications = [Application(behaviour, seed + number) for number, behaviour in enumerate(behaviours)]
    try:
        measured.measure(applications)
        for application in applications:
            application.go_live()
        with ThreadPoolExecutor(len(applications)) as pool:
            return list(pool.map(lambda application: judge(application, measured.url, watching), applications))
    finally:
        for application in applications:
            application.close()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load on the site while something happens to it: the generator runs on load1, its figures are judged here."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from shopload import orders as order_files

from .errors import LabError
from .fleet import DOMAIN, LOAD_PASSWORD, Fleet
from .settings import Settings

HOST = "load1"
_PROGRAM = "/opt/load"
_RUNS = "/run/load"
_PREPARE = """
set -e
install -d -m 0700 {folder}
umask 077
cat > {folder}/secrets
"""
_BEGIN = """
systemd-run --quiet --collect --unit={unit} --property=RuntimeMaxSec={limit} --property=TimeoutStopSec=90 \\
  --property=StandardOutput=append:{folder}/status --property=StandardError=append:{folder}/status \\
  python3 {program}/load.py run --target http://lb1:80 --host {domain} --secrets {folder}/secrets --run-id {run} \\
  --rate {rate} --duration {duration} --profile {profile} --sockets {sockets} \\
  --out {folder}/summary.json --orders {folder}/orders.jsonl --failures {folder}/failures.jsonl
"""


@dataclass(frozen=True)
class Figures:
    """What a run of the load has shown, its orders compared with the database."""

    document: dict[str, Any]
    """The generator's own summary, whole."""
    orders: order_files.Comparison

    @property
    def sent(self) -> int:
        """Requests sent."""
        return int(self.document["sent"])

    @property
    def failed(self) -> int:
        """Requests without the answer that they should have had."""
        return int(self.document["failed"])

    @property
    def cut(self) -> int:
        """Answers that ended in the middle."""
        return int(self.document["cut"])

    @property
    def failed_by_kind(self) -> dict[str, dict[str, int]]:
        """Failures by kind of request, then class."""
        found: dict[str, dict[str, int]] = self.document["failed_by_kind"]
        return found

    @property
    def sockets(self) -> dict[str, Any]:
        """What became of the WebSockets (lab/load/README.md)."""
        found: dict[str, Any] = self.document["sockets"]
        return found

    @property
    def rate(self) -> float:
        """Requests a second that were really sent."""
        return float(self.document["generator"]["achieved_rate"])

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return float(self.document["elapsed_s"])

    @property
    def kept_up(self) -> bool:
        """Whether the load was as strong as meant; if not, nothing is proven."""
        return bool(self.document["generator"]["kept_up"])

    @property
    def why_not(self) -> str:
        """Why the generator did not keep up."""
        return str(self.document["generator"]["why_not"] or "")

    def latency_ms(self, quantile: str) -> float:
        """The p50, p95, p99 or max of all quick kinds."""
        return float(self.document["latency_ms"]["quick"][quantile])

    def servers(self, release: str) -> dict[str, int]:
        """How many answers each host has given with a release."""
        counted: dict[str, int] = {}
        for served_by, count in self.document["answers"].get(release, {}).items():
            host = re.split(r"[^A-Za-z0-9]", served_by)[0]
            counted[host] = counted.get(host, 0) + int(count)
        return counted

    def headline(self) -> str:
        """The figures that count, in one line."""
        return (
            f"{self.sent} requests in {self.seconds:.0f} s ({self.rate:.0f}/s), failed {self.failed}, cut {self.cut}, "
            f"p50 {self.latency_ms('p50'):g} ms, p99 {self.latency_ms('p99'):g} ms; orders accepted "
            f"{self.orders.accepted}, lost {len(self.orders.lost)}, doubled {len(self.orders.duplicated)}"
        )


class Load:
    """One run of the load under way."""

    def __init__(self, fleet: Fleet, run: str) -> None:
        self._fleet = fleet
        self._run = run
        self._folder = f"{_RUNS}/{run}"

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave no load behind."""
        if self.running():
            self._fleet.try_run(HOST, "systemctl", "kill", "--signal=KILL", self._unit)

    @property
    def _unit(self) -> str:
        return f"load-{self._run}.service"

    def running(self) -> bool:
        """Whether it still sends."""
        return self._fleet.try_run(HOST, "systemctl", "is-active", "--quiet", self._unit).returncode == 0

    def _state(self) -> str:
        return self._fleet.try_run(
            HOST, "systemctl", "show", "--property=ActiveState", "--value", self._unit
        ).stdout.strip()

    def status(self) -> str:
        """The latest line that it printed."""
        lines = self._fleet.script(HOST, f"tail -n 1 {self._folder}/status 2>/dev/null; true").splitlines()
        return lines[-1] if lines else ""

    def wait_sending(self, timeout_s: float = 20) -> Load:
        """Wait until it has sent for a while, so that what comes next is under load."""
        deadline = time.monotonic() + timeout_s
        while not self.status():
            if not self.running() or time.monotonic() > deadline:
                raise LabError(f"the load did not start: {self._said()}")
            time.sleep(0.3)
        return self

    def stop(self) -> Figures:
        """End it: what is under way is waited for. Then count its orders.

        :raises LabError: it left no summary.
        """
        told = self._fleet.try_run(HOST, "systemctl", "stop", self._unit, timeout_s=120)
        # Once a stop came back while the last requests were under way: the unit's own word counts.
        self._fleet.wait_until(lambda: self._state() in {"inactive", "failed"}, f"the load ends ({told.stderr})", 90)
        summary = self._fleet.script(HOST, f"cat {self._folder}/summary.json 2>/dev/null; true")
        if not summary.strip():
            raise LabError(f"the load left no summary: {self._said()}")
        return Figures(json.loads(summary), self._compare())

    def confirmed(self, accepted: int, still_s: float = 60) -> int:
        """How many of the orders a worker has confirmed; waits for them as long as more become confirmed.

        :param still_s: it has come to an end when no further one is confirmed for so long.
        """
        query = f"SELECT count(DISTINCT reference) FROM shop_taskrun WHERE reference LIKE '{self._prefix}%'"
        done, deadline = -1, 0.0
        while True:
            seen, now = int(self._fleet.psql(query)[0]), time.monotonic()
            if seen > done:
                done, deadline = seen, now + still_s
            if done >= accepted or now > deadline:
                return done
            time.sleep(1)

    @property
    def _prefix(self) -> str:
        return order_files.prefix(self._run)

    def failures(self) -> list[dict[str, Any]]:
        """Each failed request, as the generator wrote it down."""
        text = self._fleet.script(HOST, f"cat {self._folder}/failures.jsonl 2>/dev/null; true")
        return [json.loads(line) for line in text.splitlines()]

    def _compare(self) -> order_files.Comparison:
        text = self._fleet.script(HOST, f"cat {self._folder}/orders.jsonl")
        sent = order_files.read_sent(text.splitlines())
        return order_files.compare(sent, self._fleet.psql(order_files.query(sent.run)))

    def _said(self) -> str:
        return self._fleet.script(HOST, f"tail -n 5 {self._folder}/status 2>/dev/null; true").strip() or "nothing said"


class Traffic:
    """Starts load on the balancer, from the host that is there for it."""

    def __init__(self, fleet: Fleet, settings: Settings) -> None:
        self._fleet = fleet
        self._settings = settings

    def start(self, *, rate: float = 120, duration_s: float = 1500, profile: str = "strict", sockets: int = 0) -> Load:
        """Start sending, for so long at most; the site must have the load's user (``Fleet.fill``)."""
        run = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        folder = f"{_RUNS}/{run}"
        self._fleet.lay(HOST, self._settings.checkout / "lab" / "load", _PROGRAM)
        secrets = f"API_TOKEN={self._token()}\nLOAD_USER_PASSWORD={LOAD_PASSWORD}\n"
        self._fleet.script(HOST, _PREPARE.format(folder=folder), stdin=secrets)
        begin = _BEGIN.format(
            unit=f"load-{run}",
            limit=int(duration_s) + 120,
            folder=folder,
            program=_PROGRAM,
            domain=DOMAIN,
            run=run,
            rate=rate,
            duration=duration_s,
            profile=profile,
            sockets=sockets,
        )
        self._fleet.script(HOST, begin)
        return Load(self._fleet, run).wait_sending()

    def _token(self) -> str:
        return vault_value(self._settings, "vault_api_token")


def vault_value(settings: Settings, name: str) -> str:
    """A value of the lab's inventory that stands for a secret.

    :raises LabError: there is none.
    """
    vault = settings.checkout / "inventories" / "lab" / "group_vars" / "all" / "vault.yml"
    found = re.search(rf"^{name}: *(\S+)$", vault.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LabError(f"{vault} has no {name}")
    return found[1]

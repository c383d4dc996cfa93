# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site that is closed to visitors and opened again under load: one window of the tests and of the proof."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .errors import LabError
from .fleet import DOMAIN
from .project import Run
from .traffic import HOST, Figures, vault_value
from .world import World

RATE = 120.0
EDGE_S = 1.0
"""How far what visitors see may be from what the log tells."""
_CALM_S = 5.0
_ASKER = "/run/asker.py"
_ANSWERS = "/run/asker.jsonl"
# Each kind of client asks by connections of its own, ten times a second, and writes down what it was answered.
_PROGRAM = """
import http.client, json, sys, threading, time

secret = sys.stdin.readline().strip()
CLIENTS = {
    "visitor": ("GET", "/", {"Accept": "text/html"}),
    "sender": ("POST", "/api/orders", {"Accept": "text/html"}),
    "program": ("GET", "/", {"Accept": "application/json"}),
    "health check": ("GET", "/health/ready", {}),
    "operator": ("GET", "/", {"X-Maintenance-Pass": secret}),
}
lock, out = threading.Lock(), open(sys.argv[1], "w", buffering=1)

def ask(who, method, path, headers):
    due = time.time()
    while True:
        line = {"who": who, "begun": time.time(), "status": 0}
        try:
            connection = http.client.HTTPConnection("lb1", 80, timeout=10)
            connection.request(method, path, b"{}" if method == "POST" else None, {"Host": sys.argv[2], **headers})
            answer = connection.getresponse()
            answer.read()
            line["status"] = answer.status
            line["retry_after"] = answer.getheader("Retry-After")
            line["type"] = answer.getheader("Content-Type", "").partition(";")[0]
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            line["error"] = repr(error)
        line["ended"] = time.time()
        with lock:
            out.write(json.dumps(line) + "\\n")
        due += 0.1
        time.sleep(max(0.0, due - time.time()))

for who, client in CLIENTS.items():
    threading.Thread(target=ask, args=(who, *client)).start()
"""
_BEGIN = """
set -e
install -m 0600 /dev/null {answers}
systemd-run --quiet --collect --unit={unit} --property=RuntimeMaxSec=900 \\
  --property=StandardInput=file:/run/asker.secret \\
  python3 {program} {answers} {domain}
"""
_WANTED_TYPES = {"visitor": "text/html", "sender": "text/html", "program": "application/json"}


@dataclass(frozen=True)
class Answer:
    """What one client was answered. Times are seconds since the epoch; status 0: nothing."""

    who: str
    begun: float
    ended: float
    status: int
    retry_after: str | None = None
    type: str = ""


@dataclass(frozen=True)
class Closing:
    """One window, under one run of the load."""

    on: Run
    off: Run
    closed_at: float
    """When it was closed and opened, as the deployments' records tell."""
    opened_at: float
    answers: tuple[Answer, ...]
    figures: Figures
    started_at: float
    """When the load began."""
    failures: tuple[dict[str, Any], ...]

    def seen(self, who: str) -> tuple[Answer, ...]:
        """What a kind of client was answered, in order."""
        return tuple(sorted((one for one in self.answers if one.who == who), key=lambda one: one.begun))

    @property
    def edges(self) -> tuple[float, float]:
        """Seconds from the record to the first page that the visitor got, and from the last one to the record."""
        pages = [one for one in self.seen("visitor") if one.status == 503]
        if not pages:
            return float("inf"), float("inf")
        return pages[0].begun - self.closed_at, self.opened_at - pages[-1].ended

    @property
    def pages(self) -> int:
        """How many maintenance pages were sent, to the clients and to the load."""
        return sum(one.status == 503 for one in self.answers) + self.figures.failed


def shortfalls(one: Closing) -> list[str]:
    """What is not as promised, in words. Pure."""
    found = [f"{run.argv[1]} ended with status {run.rc}" for run in (one.on, one.off) if run.rc != 0]
    for who in ("health check", "operator"):
        bad = [answer for answer in one.seen(who) if answer.status != 200]
        if bad or not one.seen(who):
            found.append(f"{who}: {len(bad)} of {len(one.seen(who))} answers were not 200, the first {bad[:1]}")
    for who in _WANTED_TYPES:
        found += _of_client(one, who)
    first, last = one.edges
    if max(abs(first), abs(last)) > EDGE_S:
        found.append(f"the visitor's window is {first:+.2f} s and {last:+.2f} s from the record's")
    return found + _of_load(one)


def _of_client(one: Closing, who: str) -> list[str]:
    # Without a login the sender is refused by the site; what matters is that it is the site.
    outside = {"sender": {401, 403}}.get(who, {200})
    wrong: list[Answer] = []
    for answer in one.seen(who):
        inside = one.closed_at + EDGE_S < answer.begun and answer.ended < one.opened_at - EDGE_S
        out = answer.ended < one.closed_at - EDGE_S or answer.begun > one.opened_at + EDGE_S
        page = answer.status == 503 and (answer.retry_after or "").isdigit() and answer.type == _WANTED_TYPES[who]
        allowed = page if inside else answer.status in outside if out else page or answer.status in outside
        if not allowed:
            wrong.append(answer)
    if wrong or not one.seen(who):
        return [
            f"{who}: {len(wrong)} of {len(one.seen(who))} answers were other than they must be, the first {wrong[:1]}"
        ]
    return []


def _of_load(one: Closing) -> list[str]:
    found: list[str] = []
    others = [line for line in one.failures if line["status"] != 503 or "Retry-After" not in str(line["detail"])]
    if others:
        found.append(f"{len(others)} requests of the load got neither the site nor the page, the first {others[0]}")
    begins, ends = one.closed_at - one.started_at, one.opened_at - one.started_at
    for row in one.figures.document["timeline"]:
        second, sent, failed = int(row["second"]), int(row["sent"]), int(row["failed"])
        if second > begins + EDGE_S and second + 1 < ends - EDGE_S and failed < sent:
            found.append(
                f"{sent - failed} requests of the load reached the site in second {second}, while it was closed"
            )
        if (second + 1 < begins - EDGE_S or second > ends + EDGE_S) and failed:
            found.append(f"{failed} requests of the load failed in second {second}, while it was open")
    if one.figures.cut:
        found.append(f"{one.figures.cut} answers were cut")
    if one.figures.orders.lost or one.figures.orders.duplicated:
        found.append(f"{len(one.figures.orders.lost)} orders are lost, {len(one.figures.orders.duplicated)} doubled")
    return found


def close_and_open(world: World, *, seconds: float = 10.0) -> Closing:
    """Close the site, reload the balancer, open the site, under load; the site is at v1 before and after."""
    fleet = world.fleet
    world.at_v1()
    with world.traffic.start(rate=RATE) as load:
        unit = _start_asking(world)
        time.sleep(_CALM_S)
        on = world.project.run("maintenance.yml", extra={"maintenance": "on", "reason": "a proof"})
        time.sleep(seconds / 2)
        fleet.run("lb1", "systemctl", "reload", "haproxy")
        time.sleep(seconds / 2)
        off = world.project.run("maintenance.yml", extra={"maintenance": "off"})
        time.sleep(_CALM_S)
        answers = _stop_asking(world, unit)
        figures, failures = load.stop(), load.failures()
    closed, opened = (_recorded(world, state) for state in ("on", "off"))
    begun = _epoch(str(figures.document["started_at"]))
    return Closing(on, off, closed, opened, answers, figures, begun, tuple(failures))


def run_conclusive(world: World, tries: int = 3) -> Closing:
    """Once more when the load was too weak because this machine was busy with other things."""
    for attempt in range(1, tries + 1):
        one = close_and_open(world)
        if one.figures.kept_up or shortfalls(one) or attempt == tries:
            break
        world.talk.say(f"the load was too weak ({one.figures.why_not}): once more")
    return one


def _start_asking(world: World) -> str:
    fleet, unit = world.fleet, f"asker-{time.time_ns()}"
    fleet.run(HOST, "tee", _ASKER, stdin=_PROGRAM)
    fleet.script(
        HOST, "umask 077; cat > /run/asker.secret", stdin=f"{vault_value(world.settings, 'vault_maintenance_secret')}\n"
    )
    fleet.script(HOST, _BEGIN.format(unit=unit, program=_ASKER, answers=_ANSWERS, domain=DOMAIN))
    return unit


def _stop_asking(world: World, unit: str) -> tuple[Answer, ...]:
    world.fleet.try_run(HOST, "systemctl", "kill", "--signal=KILL", f"{unit}.service")
    lines = world.fleet.run(HOST, "cat", _ANSWERS).splitlines()
    # The last line may be half a one: it was killed.
    documents = [json.loads(line) for line in lines if line.endswith("}")]
    names = ("who", "begun", "ended", "status", "retry_after", "type")
    return tuple(Answer(**{name: line[name] for name in names if name in line}) for line in documents)


def _recorded(world: World, state: str) -> float:
    """When the newest record says that the balancer was switched.

    :raises LabError: none does.
    """
    for record in reversed(world.fleet.records()):
        times = record["facts"].get(f"maintenance_{state}")
        if times:
            return _epoch(times["lb1"])
    raise LabError(f"no record tells when maintenance was switched {state}")


def _epoch(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()

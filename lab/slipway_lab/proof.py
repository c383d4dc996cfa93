# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a campaign has shown, written down with its date, versions and machine: ``docs/proof/zero-loss.md``."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import closing, losing, process
from .closing import Closing
from .fleet import Fleet
from .losing import Lost
from .project import controller_environment
from .rounds import Round, shortfalls
from .settings import Settings
from .traffic import Figures

# What is asked on which host, and what finds the version in the answer.
_PROGRAMS = (
    ("Debian", "app1", ("cat", "/etc/debian_version")),
    ("systemd", "app1", ("systemctl", "--version")),
    ("Python", "app1", ("python3", "--version")),
    ("HAProxy", "lb1", ("haproxy", "-v")),
    ("nginx", "app1", ("sh", "-c", "nginx -v 2>&1")),
    ("PostgreSQL", "db1", ("psql", "--version")),
    ("Redis", "db1", ("redis-server", "--version")),
)
_COLUMNS = (
    *("round", "deploy s", "back s", "sent", "per s", "failed", "cut"),
    *("p50 ms", "p99 ms", "orders", "lost", "doubled", "confirmed"),
)
_PAGE = """# No request, answer or order is lost

Written by `make proof` (`tests/proof/test_zero_loss.py`).

**{verdict} with {balancer}: {rollings} rolling replacements of the fleet in a row, {rounds} deployments of v2 over v1
with its migrations and as many ways back, {sent} requests, {accepted} orders.**

Each round: `ansible-playbook deploy.yml -i prod -e slipway_version=v2`, then `rollback.yml`, on three servers behind
one balancer, under load that is open loop and never retries (`lab/load/README.md`). A drained service is stopped with
SIGKILL, so that a drain that ends too early costs requests. Between the rounds the migrations are undone, so that each
deployment applies them. Orders are looked up in the database afterwards.

{table}

`failed` counts every request without the answer it should have had, `cut` answers that ended in the middle, `confirmed`
the orders whose task a worker has done. `v1` and `v2`: answers of each release by app1, app2, app3.

## The control

The same load while the live web service of each host is restarted, one host after another, without a drain:
**{control}** ({kinds}), {cut} were cut.

## Circumstances

{date}, commit {commit}. {versions}.
Machine: {machine}. Load average before the first round: {busy}.
"""
_VERSION = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True)
class Circumstances:
    """When, with what and on what a campaign ran."""

    date: str
    commit: str
    versions: dict[str, str]
    machine: str
    busy: float
    """The machine's load average before the first round: what others had it do."""


def circumstances(settings: Settings, fleet: Fleet) -> Circumstances:
    """Ask the checkout, the hosts and this machine."""
    versions = {"ansible-core": _ansible(settings)}
    for name, host, argv in _PROGRAMS:
        versions[name] = _first_version(fleet.run(host, *argv))
    pinned = (settings.checkout / "lab" / "site" / "base" / "requirements.txt").read_text(encoding="utf-8")
    versions.update(re.findall(r"^(Django|gunicorn|celery)(?:\[.*\])?==(\S+)", pinned, re.MULTILINE | re.IGNORECASE))
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return Circumstances(date, commit(settings.checkout), versions, _machine(), os.getloadavg()[0])


def _first_version(text: str) -> str:
    found = _VERSION.search(text)
    return found[0] if found else "unknown"


def _ansible(settings: Settings) -> str:
    env = controller_environment(settings, os.environ)
    return _first_version(
        process.run([str(settings.checkout / ".venv/bin/ansible"), "--version"], env=env).check().stdout
    )


def commit(checkout: Path) -> str:
    """The commit of the checkout, and whether what it delivers differs from it."""
    head = process.run(["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]).check().stdout.strip()
    paths = ("playbooks", "roles", "plugins")
    changed = process.run(["git", "-C", str(checkout), "status", "--porcelain", "--", *paths]).check().stdout
    return f"{head}, with changes that are not committed" if changed.strip() else head


def _machine() -> str:
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    model = re.search(r"model name\s*: *(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    gib = round(int(memory[1]) / 2**20) if memory else 0
    name = model[1] if model else os.uname().machine
    return f"{os.cpu_count()} cores ({name}), {gib} GiB, Linux {os.uname().release}; all servers and the load on it"


def machine_in_words() -> str:
    """When and on what, for a page about no more than that."""
    checkout = Path(__file__).resolve().parents[2]
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{date}, commit {commit(checkout)}. Machine: {_machine()}. Load average: {os.getloadavg()[0]:.1f}."


class Kept:
    """What a campaign has seen of its parts, which may be done one by one: of one commit only."""

    def __init__(self, checkout: Path, campaign: str) -> None:
        self._folder = checkout / ".cache" / "proof" / "seen" / campaign
        self._folder.mkdir(parents=True, exist_ok=True)
        self._commit = commit(checkout)

    def put(self, part: str, value: object) -> None:
        """Keep what JSON can hold, in place of what an earlier run has kept."""
        (self._folder / f"{part}.json").write_text(json.dumps([self._commit, value]), encoding="utf-8")

    def get(self, part: str) -> Any:
        """Return it, None when there is nothing of this commit."""
        path = self._folder / f"{part}.json"
        found, value = json.loads(path.read_text(encoding="utf-8")) if path.exists() else ("", None)
        return value if found == self._commit else None


def render_zero_loss(seen: Circumstances, balancer: str, rounds: Sequence[Round], control: Figures) -> str:
    """The page of one kind of balancer. Pure."""
    broken = [f"round {number}: {what}" for number, one in enumerate(rounds, 1) for what in shortfalls(one)]
    return _PAGE.format(
        verdict="Nothing was lost" if not broken else "NOT as promised: " + "; ".join(broken),
        rounds=len(rounds),
        rollings=2 * len(rounds),
        balancer={"haproxy": "HAProxy", "nginx_flag": "nginx (driver `nginx_flag`)"}[balancer],
        sent=sum(one.figures.sent for one in rounds),
        accepted=sum(one.figures.orders.accepted for one in rounds),
        table="\n".join(_table(rounds)),
        control=f"{control.failed} of {control.sent} requests failed",
        kinds=", ".join(f"{count} {name}" for name, count in control.document["failed_by_class"].items()) or "none",
        cut=control.cut,
        date=seen.date,
        commit=seen.commit,
        versions=", ".join(f"{name} {version}" for name, version in seen.versions.items()),
        machine=seen.machine,
        busy=f"{seen.busy:.1f}",
    )


_LOST_PAGE = """# A host that dies in the middle

Written by `make proof` (`tests/proof/test_lost_hosts.py`).

**{verdict}: each of {hosts} servers killed (`lab kill`, a power cut) at its {moments}, {cases} deployments of v2 over
v1.**

Each time: the deployment ends by itself with status 2 and the verdict `rolled_back`, the site answers, the other hosts
are on v1, both servers of the lost host are in maintenance in the balancer, also after the balancer's restart and the
host's own boot, record and message name it; the same command once more, when the host is back, finishes.

{table}

`ends s`: seconds from the command to its end, the death included.

{date}, commit {commit}. {versions}.
Machine: {machine}. Load average before the first round: {busy}.
"""


def render_lost_hosts(seen: Circumstances, cases: Sequence[Lost]) -> str:
    """The page of the hosts that were killed. Pure."""
    broken = [f"{one.host} at its {one.moment.name}: {what}" for one in cases for what in losing.shortfalls(one)]
    rows = ["| killed | at its | ends s | site answers | once more s |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {one.host} | {one.moment.name} | {one.run.seconds:.0f} | {one.served} | {one.again.seconds:.0f} |"
        for one in cases
    ]
    return _LOST_PAGE.format(
        verdict="All held" if not broken else "NOT as promised: " + "; ".join(broken),
        hosts=len({one.host for one in cases}),
        moments=", ".join(dict.fromkeys(one.moment.name for one in cases)),
        cases=len(cases),
        table="\n".join(rows),
        date=seen.date,
        commit=seen.commit,
        versions=", ".join(f"{name} {version}" for name, version in seen.versions.items()),
        machine=seen.machine,
        busy=f"{seen.busy:.1f}",
    )


_CLOSED_PAGE = """# Visitors get the site or the maintenance page, and nothing else

Written by `make proof` (`tests/proof/test_maintenance.py`).

**{verdict}.**

Each window: `ansible-playbook maintenance.yml -i prod -e maintenance=on`, a reload of HAProxy, `-e maintenance=off`,
under load that is open loop and never retries. Beside the load five clients ask ten times a second each, by connections
of their own: a visitor, one who sends (POST), a program that accepts JSON, a health check, an operator with the secret.
While the site is open every answer is the site's. While it is closed every answer is 503 with `Retry-After` and the
page that this client understands, but for the health check and the operator, who get the site all the time.

{table}

`closes`, `opens`: seconds from the time in the deployment's record to the first page that the visitor got, and from the
last one to the record's time; at most one second is allowed. `on s`, `off s`: the playbook's whole time.

## Circumstances

{date}, commit {commit}. {versions}.
Machine: {machine}. Load average before the first window: {busy}.
"""


def render_maintenance(seen: Circumstances, windows: Sequence[Closing]) -> str:
    """The page of the windows. Pure."""
    broken = [f"window {number}: {what}" for number, one in enumerate(windows, 1) for what in closing.shortfalls(one)]
    columns = (
        "window",
        "closed s",
        "on s",
        "off s",
        "closes",
        "opens",
        "pages",
        "load sent",
        "per s",
        "orders",
        "lost",
    )
    rows = ["| " + " | ".join(columns) + " |", "|" + " ---: |" * len(columns)]
    for number, one in enumerate(windows, 1):
        first, last = one.edges
        cells = [
            number,
            f"{one.opened_at - one.closed_at:.1f}",
            f"{one.on.seconds:.1f}",
            f"{one.off.seconds:.1f}",
            f"{first:+.2f}",
            f"{last:+.2f}",
            one.pages,
            one.figures.sent,
            f"{one.figures.rate:.0f}",
            one.figures.orders.accepted,
            len(one.figures.orders.lost),
        ]
        rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return _CLOSED_PAGE.format(
        verdict=f"Held in all of {len(windows)} windows" if not broken else "NOT as promised: " + "; ".join(broken),
        table="\n".join(rows),
        date=seen.date,
        commit=seen.commit,
        versions=", ".join(f"{name} {version}" for name, version in seen.versions.items()),
        machine=seen.machine,
        busy=f"{seen.busy:.1f}",
    )


def _table(rounds: Sequence[Round]) -> list[str]:
    columns = [*_COLUMNS, "v1", "v2"]
    rows = ["| " + " | ".join(columns) + " |", "|" + " ---: |" * len(columns)]
    return rows + [f"| {' | '.join(_row(number, one))} |" for number, one in enumerate(rounds, 1)]


def _row(number: int, one: Round) -> list[str]:
    figures, orders = one.figures, one.figures.orders
    cells = [
        number,
        f"{one.forward.seconds:.0f}",
        f"{one.back.seconds:.0f}",
        figures.sent,
        f"{figures.rate:.0f}",
        figures.failed,
        figures.cut,
        f"{figures.latency_ms('p50'):g}",
        f"{figures.latency_ms('p99'):g}",
        orders.accepted,
        len(orders.lost),
        len(orders.duplicated),
        one.confirmed,
        *(" ".join(str(figures.servers(name).get(host, 0)) for host in one.after) for name in (one.old, one.new)),
    ]
    return [str(cell) for cell in cells]

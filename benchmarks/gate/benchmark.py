#!/usr/bin/env python3
# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gate costs: the same HTTP checks in one call of health_gate and as tasks of ansible.builtin.uri with retries.

Both are plays of ansible-playbook on this machine, run in turn over several rounds against one server on the loopback.
What ansible-playbook costs without any task is measured too and taken off: it is the same for both.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
EMPTY, PEER, OURS = "no task", "ansible.builtin.uri, a task a check", "health_gate, one call"


@dataclass(frozen=True)
class Cost:
    """One run of one play."""

    cpu_s: float
    wall_s: float


Figure = Callable[[Cost], float]


def wall(cost: Cost) -> float:
    return cost.wall_s


def cpu(cost: Cost) -> float:
    return cost.cpu_s


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status": "ok"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """A server on the loopback, in this process: its CPU time is nobody's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/health/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def plays(url: str, checks: int) -> dict[str, list[dict[str, Any]]]:
    """The tasks of each contender. Each check is good when the status is 200 and the JSON says ok."""
    asked = [{"name": f"check {n}", "url": f"{url}{n}", "json": {"status": "ok"}} for n in range(checks)]
    peer = [
        {
            "name": check["name"],
            "ansible.builtin.uri": {"url": check["url"], "return_content": True, "timeout": 5},
            "register": "seen",
            "until": ["seen.status == 200", "seen.json.status == 'ok'"],
            "retries": 5,
            "delay": 1,
        }
        for check in asked
    ]
    gate = {"name": "Gate", "slipway.django.health_gate": {"checks": asked, "successes": 1, "deadline": 30}}
    return {EMPTY: [], PEER: peer, OURS: [gate]}


def run(playbook: Path) -> Cost:
    """Run a playbook and count its CPU time, that of all its children included."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".cache" / "collections"),
        "ANSIBLE_HOME": str(TOP / ".cache" / "ansible"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    command = [str(TOP / ".venv" / "bin" / "ansible-playbook"), "-i", "localhost,", "-c", "local", str(playbook)]
    before, began = os.times(), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after, wall_s = os.times(), time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"{playbook.name} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(cpu_s, wall_s)


def write(folder: Path, name: str, tasks: Sequence[Mapping[str, Any]]) -> Path:
    variables = {"ansible_python_interpreter": sys.executable}
    play = {"name": name, "hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": list(tasks)}
    path = folder / f"{name.split(',', maxsplit=1)[0].replace(' ', '_')}.yml"
    path.write_text(yaml.safe_dump([play]), encoding="utf-8")
    return path


def table(costs: Mapping[str, Sequence[Cost]]) -> str:
    """The results as Markdown: medians, and ratios without what no task costs."""

    def median(name: str, figure: Figure) -> float:
        return statistics.median(figure(cost) for cost in costs[name])

    def ratio(name: str, figure: Figure) -> str:
        if name == EMPTY:
            return ""
        base = median(EMPTY, figure)
        return f"{(median(name, figure) - base) / (median(PEER, figure) - base):.3f}"

    def cell(name: str, figure: Figure) -> str:
        seen = [figure(cost) for cost in costs[name]]
        return f"{statistics.median(seen):.2f} ({min(seen):.2f} … {max(seen):.2f})"

    rows = [
        f"| {name} | {cell(name, wall)} | {ratio(name, wall)} | {cell(name, cpu)} | {ratio(name, cpu)} |"
        for name in costs
    ]
    head = (
        "| play | wall s, median (range) | ratio | CPU s, median (range) | ratio |\n| --- | --- | --- | --- | --- |\n"
    )
    return head + "\n".join(rows)


def compare(*, rounds: int, checks: int) -> str:
    """Run all plays in turn and return the page."""
    with serving() as url, tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        playbooks = {name: write(Path(folder), name, tasks) for name, tasks in plays(url, checks).items()}
        costs: dict[str, list[Cost]] = {name: [] for name in playbooks}
        for number in range(1, rounds + 1):
            for name, playbook in playbooks.items():
                costs[name].append(run(playbook))
                print(f"round {number}: {name}: {costs[name][-1]}", file=sys.stderr, flush=True)
    words = [str(TOP / ".venv" / "bin" / "ansible"), "--version"]
    version = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return (
        f"Date: {time.strftime('%Y-%m-%d', time.gmtime())}. {checks} checks, {rounds} rounds. {version}; "
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load at the end {os.getloadavg()[0]:.1f}. The ratios are against the tasks of uri, both without what no task "
        f"costs.\n\n{table(costs)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checks", type=int, default=20)
    parser.add_argument("--write", type=Path, help="write the page to this file, too")
    given = parser.parse_args()
    page = compare(rounds=given.rounds, checks=given.checks)
    print(page)
    if given.write:
        given.write.write_text(f"# What a gate costs: one run\n\n{page}", encoding="utf-8")


if __name__ == "__main__":
    main()

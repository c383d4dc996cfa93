# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to bring a release to three servers, each under the same load: what each of them loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import rounds
from .proof import Circumstances
from .traffic import Figures
from .world import World

RUNBOOK_PAUSE_S = 30.0
"""What runbook S1 sleeps between two hosts."""


@dataclass(frozen=True)
class Way:
    """A way, as a person would type it, and how it is gone."""

    name: str
    go: Callable[[World], Figures]


OURS = Way("ansible-playbook deploy.yml", rounds.deploy_only)
WAYS = (
    OURS,
    # A reload of gunicorn is SIGHUP to its main process.
    Way(
        "systemctl reload gunicorn; sleep 30",
        lambda world: rounds.host_by_host(world, "kill", "--signal=HUP", "--kill-who=main", pause_s=RUNBOOK_PAUSE_S),
    ),
    Way("systemctl restart gunicorn", rounds.restart_without_drain),
)


@dataclass(frozen=True)
class Trial:
    """One way, gone once."""

    way: str
    figures: Figures


def run_all(world: World, times: int) -> list[Trial]:
    """Go each way so often, in turn, so that what else the machine does hits all of them."""
    trials = []
    for number in range(1, times + 1):
        for way in WAYS:
            trials.append(Trial(way.name, way.go(world)))
            world.talk.say(f"round {number}: {way.name}: {trials[-1].figures.headline()}")
    return trials


_PAGE = """# What a deployment loses

Written by `make benchmark-zero-loss`. {rounds} rounds, all ways in turn, behind HAProxy, {rate:.0f} requests a second:
open loop, no retries, with orders, slow uploads and requests of 5 s.

{table}

`failed`: requests without the answer that they should have had, in each round. `cut`: answers that ended in the middle.
`lost`: orders that were accepted and are not in the database. `p99`, `longest`: milliseconds of a quick request in the
worst round.

{date}, commit {commit}. {versions}.
Machine: {machine}. Load average before the first round: {busy:.1f}.
"""


def render(seen: Circumstances, trials: Sequence[Trial]) -> str:
    """The page. Pure."""
    columns = ("way", "sent", "failed", "cut", "orders", "lost", "p99 ms", "longest ms", "of which")
    lines = ["| " + " | ".join(columns) + " |", "| --- |" + " ---: |" * (len(columns) - 2) + " --- |"]
    for name in dict.fromkeys(trial.way for trial in trials):
        lines.append(_row(name, [trial.figures for trial in trials if trial.way == name]))
    weak = [f"{trial.way}: {trial.figures.why_not}" for trial in trials if not trial.figures.kept_up]
    table = "\n".join(lines) + ("\n\nThe load was weaker than meant: " + "; ".join(weak) + "." if weak else "")
    return _PAGE.format(
        rounds=max(sum(trial.way == name for trial in trials) for name in {trial.way for trial in trials}),
        rate=rounds.RATE,
        table=table,
        date=seen.date,
        commit=seen.commit,
        versions=", ".join(f"{name} {version}" for name, version in seen.versions.items()),
        machine=seen.machine,
        busy=seen.busy,
    )


def _row(name: str, runs: Sequence[Figures]) -> str:
    classes: dict[str, int] = {}
    for run in runs:
        for failure, count in run.document["failed_by_class"].items():
            classes[failure] = classes.get(failure, 0) + int(count)
    cells = (
        f"`{name}`",
        sum(run.sent for run in runs),
        ", ".join(str(run.failed) for run in runs),
        sum(run.cut for run in runs),
        sum(run.orders.accepted for run in runs),
        sum(len(run.orders.lost) for run in runs),
        f"{max(run.latency_ms('p99') for run in runs):.0f}",
        f"{max(run.latency_ms('max') for run in runs):.0f}",
        ", ".join(f"{count} {failure}" for failure, count in sorted(classes.items())) or "none",
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |"

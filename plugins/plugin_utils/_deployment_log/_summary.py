# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a run in short: a document for machines, a few lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

UNPHASED = "other"
MOST_FAILURES = 50
MOST_SHOWN = 10

RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
INTERRUPTED = "interrupted"
ABANDONED = "abandoned"
# What a deployment says of itself.
_TOLD = ("attempt", "kind", "version", "commit", "release", "hosts", "actor", "origin", "interrupted", "verdict")

# A deployment was opened, and the run ended without closing it.
UNCLOSED = "unclosed"


def utc_text(moment: datetime) -> str:
    """A time as records hold it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_text(seconds: float) -> str:
    """A duration for people: C(0.4 s), C(41 s), C(2 min 03 s), C(1 h 02 min)."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@dataclass
class Phase:
    """A phase and what it took, all its visits together: batches come back to the same phases."""

    name: str
    seconds: float = 0.0
    tasks: int = 0
    failed: int = 0


@dataclass
class Summary:
    """Grows with the run. All texts in it are redacted already."""

    run_id: str
    playbook: str
    started_at: str
    check_mode: bool
    actor: str
    controller: str
    status: str = RUNNING
    finished_at: str | None = None
    seconds: float = 0.0
    deployment: dict[str, Any] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    failures_left_out: int = 0
    gates: list[dict[str, Any]] = field(default_factory=list)
    hosts: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def phase(self, name: str) -> Phase:
        """The phase of that name, made when it is new."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        self.phases.append(Phase(name))
        return self.phases[-1]

    def failure(self, failure: dict[str, Any]) -> None:
        """Remember a failure; beyond a number only count it."""
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(failure)
        else:
            self.failures_left_out += 1

    def tell_deployment(self, facts: Mapping[str, Any]) -> None:
        """Take over what a C(deployment.*) event says."""
        names = (
            "attempt",
            "kind",
            "version",
            "commit",
            "release",
            "hosts",
            "actor",
            "origin",
            "interrupted",
            "verdict",
        )
        told = {name: facts[name] for name in names if facts.get(name) is not None}
        self.deployment = {**self.deployment, **told, "id": facts["deployment_id"]}

    @property
    def verdict(self) -> str:
        """The deployment's own verdict, else how the run ended."""
        return str(self.deployment.get("verdict") or self.status)

    def to_json(self, head: str, seq: int, events: str) -> dict[str, Any]:
        return {
            "v": 1,
            "run_id": self.run_id,
            "playbook": self.playbook,
            "status": self.status,
            "verdict": self.verdict,
            "check_mode": self.check_mode,
            "actor": self.actor,
            "controller": self.controller,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "seconds": round(self.seconds, 3),
            "deployment": self.deployment or None,
            "phases": [
                {"name": phase.name, "seconds": round(phase.seconds, 3), "tasks": phase.tasks, "failed": phase.failed}
                for phase in self.phases
            ],
            "failures": self.failures,
            "failures_left_out": self.failures_left_out,
            "gates": self.gates,
            "hosts": self.hosts,
            "notes": self.notes,
            "events": events,
            "head": {"seq": seq, "hash": head},
        }


def end_status(summary: Summary, hosts: Mapping[str, Mapping[str, int]]) -> str:
    """How a run ended that came to its end, from Ansible's counts: its exit status is not told to callbacks."""
    if any(counts.get("failures") or counts.get("unreachable") for counts in hosts.values()):
        return FAILED
    if summary.deployment and not summary.deployment.get("verdict") and not summary.check_mode:
        return UNCLOSED
    return SUCCEEDED


def terminal_text(summary: Summary, path: str) -> str:
    """The lines that are printed at the end."""
    return "\n".join(_lines(summary, path))


def _lines(summary: Summary, path: str) -> Iterable[str]:
    yield ""
    yield "DEPLOYMENT LOG"
    known = summary.deployment
    if known:
        attempt = f", attempt {known['attempt']}" if known.get("attempt", 1) != 1 else ""
        yield f"  release   {known.get('version', '?')} ({known.get('release', '?')}), {known['id']}{attempt}"
        if summary.verdict == "rolled_back" and known.get("origin"):
            yield f"  serving   {known['origin'].get('version')} ({known['origin'].get('release')})"
    check = " (check mode: nothing was changed)" if summary.check_mode else ""
    yield f"  verdict   {summary.verdict}{check}"
    timed = [phase for phase in summary.phases if phase.tasks]
    phases = ", ".join(f"{phase.name} {seconds_text(phase.seconds)}" for phase in timed)
    yield f"  time      {seconds_text(summary.seconds)}{f': {phases}' if phases else ''}"
    # An error that was ignored is part of the plan, but for a host that went away.
    shown = [entry for entry in summary.failures if not entry["ignored"] or entry["status"] == "unreachable"]
    for number, failure in enumerate(shown[:MOST_SHOWN]):
        yield f"  {'failed' if number == 0 else '':<9} {_failure(failure)}"
    more = max(0, len(shown) - MOST_SHOWN) + summary.failures_left_out
    if more:
        yield f"            and {more} more, see the log"
    for note in summary.notes:
        yield f"  note      {note}"
    yield f"  log       {path}"


def _failure(failure: Mapping[str, Any]) -> str:
    after = " (ignored)" if failure.get("ignored") else " (a rescue followed)" if failure.get("rescuable") else ""
    lines = str(failure["msg"]).splitlines()
    # The first sentences say what was seen; all of it stands in the log and above.
    said = lines[0][:300] if lines else failure["status"]
    return f"{failure['host']}: {failure['task']}: {said}{after}"

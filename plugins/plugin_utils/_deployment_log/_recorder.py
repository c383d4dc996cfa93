# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns events into records and a summary. Knows what is recorded at all: that is the first defence of secrets.

Of a result only status, return code, counts, message and what our own modules wrote for the log is
taken; no arguments, no result body, no differences, no exception, no facts of hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._events import (
    Event,
    HostStarted,
    Interrupted,
    NoHosts,
    Outcome,
    PlayStarted,
    Retried,
    RunFinished,
    RunStarted,
    Status,
    TaskStarted,
)
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._redaction import Redactor
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._summary import (
    INTERRUPTED,
    UNPHASED,
    Summary,
    end_status,
    utc_text,
)

CENSORED = "censored, the task has no_log"
_BAD = (Status.FAILED, Status.UNREACHABLE)
#: What ``detail`` lets through beside failures, retries and what our modules say.
_DETAILS = {
    "failures": frozenset(_BAD),
    "changed": frozenset((*_BAD, Status.CHANGED)),
    "all": frozenset(Status),
}

Emit = Callable[[Mapping[str, Any], bool], None]


@dataclass
class _Task:
    number: int
    started: TaskStarted
    phase: str


class Recorder:
    """One run, from its first event to its last.

    :param emit: takes a record and whether it is a boundary, after which the log must be durable.
    """

    def __init__(self, run_id: str, redactor: Redactor, clock: Clock, emit: Emit, detail: str) -> None:
        self.redactor = redactor
        self._run_id = run_id
        self._clock = clock
        self._emit = emit
        self._recorded = _DETAILS[detail]
        self._began = clock.monotonic()
        self._plays: dict[str, int] = {}
        self._batch = 0
        self._play: PlayStarted | None = None
        self._tasks: dict[str, _Task] = {}
        self._started: dict[tuple[str, str], float] = {}
        self._items: dict[tuple[str, str], dict[str, int]] = {}
        self._phase: str | None = None
        self._phase_began = self._began
        self._deployment_id: str | None = None
        self.finished = False
        self.summary = Summary(run_id, "", utc_text(clock.utcnow()), False, "", "")

    def handle(self, event: Event) -> None:
        """Record what happened."""
        handlers: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            PlayStarted: self._play_started,
            TaskStarted: self._task_started,
            HostStarted: self._host_started,
            Outcome: self._outcome,
            Retried: self._retried,
            NoHosts: self._no_hosts,
            RunFinished: self._run_finished,
            Interrupted: self._interrupted,
        }
        handlers[type(event)](event)

    def note(self, text: str) -> None:
        """Something a person should know about the log itself or an earlier run."""
        self.summary.notes.append(self.redactor.text(text))
        self._record("log.note", boundary=True, msg=self.redactor.text(text))

    def _record(self, event: str, *, boundary: bool = False, **values: Any) -> None:
        record: dict[str, Any] = {
            "v": 1,
            "ts": utc_text(self._clock.utcnow()),
            "run_id": self._run_id,
            "deployment_id": self._deployment_id,
            "event": event,
            "phase": self._phase,
        }
        if self._play is not None:
            record["play"] = {
                "n": self._plays[self._play.key],
                "batch": self._batch,
                "name": self.redactor.text(self._play.name, 200),
            }
        self._emit({**record, **values}, boundary)

    def _run_started(self, event: RunStarted) -> None:
        text = self.redactor.text
        self.summary.playbook = text(event.playbook)
        self.summary.check_mode = event.check_mode
        self.summary.actor = text(event.actor)
        self.summary.controller = text(event.controller)
        self._record(
            "run.started",
            boundary=True,
            playbook=text(event.playbook),
            actor=text(event.actor),
            controller=text(event.controller),
            core_version=event.core_version,
            check_mode=event.check_mode,
            limit=text(event.limit),
            tags=[text(tag) for tag in event.tags],
            skip_tags=[text(tag) for tag in event.skip_tags],
            start_at_task=text(event.start_at_task),
        )

    def _play_started(self, event: PlayStarted) -> None:
        again = self._play is not None and self._play.key == event.key
        batch = self._batch + 1 if again else 1
        self._plays.setdefault(event.key, len(self._plays) + 1)
        # The phase before belongs to the play before.
        self._enter(event.phase, play=event, batch=batch)
        self._record("play.started")

    def _task_started(self, event: TaskStarted) -> None:
        phase = event.phase or (self._play.phase if self._play is not None else None)
        self._enter(phase)
        known = self._tasks.get(event.key)
        number = len(self._tasks) + 1 if known is None else known.number
        self._tasks[event.key] = _Task(number, event, phase or UNPHASED)
        self.summary.phase(phase or UNPHASED).tasks += 1

    def _enter(self, phase: str | None, play: PlayStarted | None = None, batch: int = 1) -> None:
        """Time runs for one phase at a time: that of the play or task that was started last."""
        changes = phase != self._phase
        if changes:
            self._leave(self._clock.monotonic())
            self._phase = phase
        if play is not None:
            self._play, self._batch = play, batch
        if changes and phase is not None:
            self.summary.phase(phase)
            self._record("phase.started", boundary=True)

    def _leave(self, now: float) -> None:
        seconds = now - self._phase_began
        self.summary.phase(self._phase or UNPHASED).seconds += seconds
        self._phase_began = now
        if self._phase is not None:
            self._record("phase.finished", duration_ms=round(seconds * 1000))

    def _host_started(self, event: HostStarted) -> None:
        self._started[event.host, event.task] = self._clock.monotonic()

    def _duration_ms(self, host: str, task: str, *, item: bool) -> int | None:
        began = self._started.get((host, task)) if item else self._started.pop((host, task), None)
        return None if began is None else round((self._clock.monotonic() - began) * 1000)

    def _outcome(self, event: Outcome) -> None:
        if event.item:
            counts = self._items.setdefault((event.host, event.task), {})
            counts[event.status.value] = counts.get(event.status.value, 0) + 1
        common = self._common(event)
        duration_ms = self._duration_ms(event.host, event.task, item=event.item)
        facts = [] if event.no_log else [self.redactor.value(dict(fact)) for fact in event.facts]
        bad = event.status in _BAD
        # A round of a loop is recorded when it went wrong or has something to say; the loop itself counts them all.
        if not event.item or bad or facts:
            self._task_result(event, common, duration_ms, facts)
        for fact in facts:
            self._fact(fact, common)

    def _common(self, event: Outcome | Retried) -> dict[str, Any]:
        task = self._tasks.get(event.task)
        if task is None:
            return {"host": self.redactor.text(event.host), "task": None}
        name = getattr(event, "name", "") or task.started.name
        return {
            "host": self.redactor.text(event.host),
            "phase": None if task.phase == UNPHASED else task.phase,
            "task": {
                "n": task.number,
                "name": self.redactor.text(name, 200),
                "action": task.started.action,
                "role": task.started.role,
                "path": task.started.path,
            },
        }

    def _task_result(
        self, event: Outcome, common: Mapping[str, Any], duration_ms: int | None, facts: list[dict[str, Any]]
    ) -> None:
        bad = event.status in _BAD
        msg = CENSORED if event.no_log else self.redactor.text(event.msg)
        values: dict[str, Any] = {
            **common,
            "status": event.status.value,
            "duration_ms": duration_ms,
            "attempts": event.attempts,
            "ignored": event.ignored,
            "delegate": None if event.delegate is None else self.redactor.text(event.delegate),
            "no_log": event.no_log,
        }
        if bad or (event.status is Status.CHANGED and msg):
            values["msg"] = msg
        if event.rc is not None:
            values["rc"] = event.rc
        if bad:
            values["rescuable"] = event.rescuable
        if not event.item:
            items = self._items.pop((event.host, event.task), None)
            if items:
                values["items"] = items
        if event.status in self._recorded or bad or facts:
            self._record("task.item" if event.item else "task.result", boundary=bad, **values)
        if bad and not event.item:
            self._failure(values, msg)

    def _failure(self, values: Mapping[str, Any], msg: str) -> None:
        task = values["task"] or {"name": "?", "action": "?", "role": None, "path": None}
        phase = values.get("phase")
        self.summary.phase(phase or UNPHASED).failed += 1
        self.summary.failure(
            {
                "host": values["host"],
                "delegate": values["delegate"],
                "phase": phase,
                "task": task["name"],
                "action": task["action"],
                "role": task["role"],
                "path": task["path"],
                "status": values["status"],
                "ignored": values["ignored"],
                "rescuable": values["rescuable"],
                "msg": msg,
                "at": utc_text(self._clock.utcnow()),
            }
        )

    def _fact(self, fact: Mapping[str, Any], common: Mapping[str, Any]) -> None:
        name = str(fact.get("event") or "task.fact")
        if isinstance(fact.get("deployment_id"), str):
            self._deployment_id = fact["deployment_id"]
            if name.startswith("deployment."):
                self.summary.tell_deployment(fact)
        told = {key: value for key, value in fact.items() if key != "event"}
        if name.startswith("gate."):
            self.summary.gates.append({"host": common["host"], "phase": common.get("phase"), **told})
        self._record(name, boundary=True, **common, facts=told)

    def _retried(self, event: Retried) -> None:
        self._record("task.retry", **self._common(event), attempts=event.attempts, retries=event.retries)

    def _no_hosts(self, event: NoHosts) -> None:
        self.summary.notes.append(event.why)
        self._record("play.no_hosts", boundary=True, msg=event.why)

    def _run_finished(self, event: RunFinished) -> None:
        self.summary.hosts = {self.redactor.text(host): dict(counts) for host, counts in event.hosts.items()}
        self._end(end_status(self.summary, event.hosts))
        self._record("run.finished", boundary=True, status=self.summary.status, hosts=self.summary.hosts)

    def _interrupted(self, event: Interrupted) -> None:
        self._end(INTERRUPTED)
        self.summary.notes.append(f"interrupted by {event.by}")
        self._record("run.interrupted", boundary=True, by=event.by)

    def _end(self, status: str) -> None:
        now = self._clock.monotonic()
        self._leave(now)
        self._phase = None
        self.finished = True
        self.summary.status = status
        self.summary.seconds = now - self._began
        self.summary.finished_at = utc_text(self._clock.utcnow())

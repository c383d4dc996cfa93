# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder, told events as a run brings them: no object of Ansible's is made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
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
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._recorder import CENSORED, Recorder
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._redaction import MARK, Redactor
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._summary import (
    seconds_text,
    terminal_text,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock

SECRET = "tr0ub4dor-and-3"
OPENED = {
    "event": "deployment.opened",
    "deployment_id": "20261121T160528Z-3f2a9c1",
    "attempt": 1,
    "kind": "deploy",
    "version": "v2",
    "commit": "3f2a9c1",
    "release": "3f2a9c1d4e5f-0a1b2c3d",
    "hosts": ["app1"],
    "origin": {"release": "111111111111-00000000", "version": "v1"},
}


class Story:
    """A recorder, its clock and what it emitted."""

    def __init__(self, detail: str = "changed") -> None:
        self.clock = FakeClock()
        self.records: list[dict[str, Any]] = []
        self.boundaries: list[str] = []
        redactor = Redactor()
        redactor.register(SECRET)
        self.recorder = Recorder("run-1", redactor, self.clock, self._emit, detail)

    def _emit(self, record: Mapping[str, Any], boundary: bool) -> None:
        self.records.append(dict(record))
        if boundary:
            self.boundaries.append(str(record["event"]))

    def tell(self, *events: Event, seconds: float = 0) -> Story:
        for event in events:
            self.recorder.handle(event)
            self.clock.advance(seconds)
        return self

    def start(self, phase: str | None = "rollout", **task: Any) -> Story:
        return self.tell(
            RunStarted("deploy.yml", "anna", "ci-7", "2.19.14"),
            PlayStarted("play-1", "Roll", phase),
            TaskStarted("task-1", **{"name": "Restart", "action": "slipway.django.service_slot", **task}),
        )

    def events(self) -> list[str]:
        return [record["event"] for record in self.records]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]

    @property
    def text(self) -> str:
        return terminal_text(self.recorder.summary, "/log/events.jsonl")


def outcome(status: Status = Status.CHANGED, host: str = "app1", **values: Any) -> Outcome:
    return Outcome(host=host, task="task-1", status=status, **values)


def test_a_small_run_from_its_first_to_its_last_event() -> None:
    story = Story().start(role="service", path="roles/service/tasks/start.yml:3")
    story.tell(HostStarted("app1", "task-1"), seconds=1.5)
    story.tell(outcome(msg="the unit was started", rc=0, delegate="lb1"))
    story.tell(RunFinished({"app1": {"ok": 1, "failures": 0}}))
    assert story.events() == [
        "run.started",
        "phase.started",
        "play.started",
        "task.result",
        "phase.finished",
        "run.finished",
    ]
    result = story.of("task.result")[0]
    assert result == {
        "v": 1,
        "ts": "2026-11-21T16:05:29.500000Z",
        "run_id": "run-1",
        "deployment_id": None,
        "event": "task.result",
        "phase": "rollout",
        "play": {"n": 1, "batch": 1, "name": "Roll"},
        "host": "app1",
        "task": {
            "n": 1,
            "name": "Restart",
            "action": "slipway.django.service_slot",
            "role": "service",
            "path": "roles/service/tasks/start.yml:3",
        },
        "status": "changed",
        "duration_ms": 1500,
        "attempts": None,
        "ignored": False,
        "delegate": "lb1",
        "no_log": False,
        "msg": "the unit was started",
        "rc": 0,
    }
    assert story.recorder.summary.status == "succeeded"
    assert story.recorder.finished


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("failures", ["failed", "unreachable"]),
        ("changed", ["changed", "failed", "unreachable"]),
        ("all", ["ok", "changed", "failed", "unreachable", "skipped"]),
    ],
)
def test_detail(detail: str, expected: list[str]) -> None:
    story = Story(detail).start()
    story.tell(*(outcome(status) for status in Status))
    assert [record["status"] for record in story.of("task.result")] == expected


def test_what_our_modules_say_is_kept_at_every_detail() -> None:
    story = Story("failures").start()
    story.tell(outcome(Status.OK, facts=(OPENED,)))
    assert story.of("deployment.opened")[0]["facts"]["version"] == "v2"
    assert story.of("task.result")[0]["status"] == "ok"


def test_the_deployment_is_known_from_its_opening_on() -> None:
    story = Story().start()
    story.tell(outcome(facts=(OPENED,)), outcome(host="app2"))
    assert [record["deployment_id"] for record in story.records[-3:]] == [
        None,
        OPENED["deployment_id"],
        OPENED["deployment_id"],
    ]
    assert story.recorder.summary.deployment["id"] == OPENED["deployment_id"]


def test_no_log_leaves_a_status_and_nothing_else() -> None:
    story = Story("all").start()
    story.tell(
        outcome(Status.FAILED, msg=f"wrong password {SECRET}", no_log=True, facts=({"event": "x", "a": SECRET},))
    )
    record = story.of("task.result")[0]
    assert (record["status"], record["msg"]) == ("failed", CENSORED)
    assert story.events().count("x") == 0
    assert story.recorder.summary.failures[0]["msg"] == CENSORED


def test_secrets_are_in_no_field_of_any_record() -> None:
    story = Story("all")
    facts = ({"event": "gate.verdict", SECRET: SECRET},)
    story.tell(
        RunStarted(f"{SECRET}.yml", SECRET, SECRET, "2.19", limit=SECRET, tags=(SECRET,), start_at_task=SECRET),
        PlayStarted("play-1", f"Play of {SECRET}", None),
        TaskStarted("task-1", f"Task of {SECRET}", "ansible.builtin.command"),
        outcome(Status.FAILED, host=SECRET, name=SECRET, msg=SECRET, delegate=SECRET, item=True),
        outcome(Status.FAILED, host=SECRET, name=SECRET, msg=SECRET, facts=facts),
        RunFinished({SECRET: {"failures": 1}}),
    )
    story.recorder.note(SECRET)
    assert SECRET not in repr(story.records)
    assert SECRET not in repr(story.recorder.summary)
    assert SECRET not in story.text
    assert MARK in story.text


def test_serial_brings_the_same_play_again_as_a_further_batch() -> None:
    story = Story("all")
    story.tell(RunStarted("deploy.yml", "anna", "ci-7", "2.19"))
    for host in ("app1", "app2"):
        story.tell(
            PlayStarted("play-1", "Roll", "rollout"),
            TaskStarted("task-1", "Restart", "x"),
            HostStarted(host, "task-1"),
            seconds=1,
        )
        story.tell(outcome(host=host))
    story.tell(PlayStarted("play-2", "Close", "close"), TaskStarted("task-2", "Close", "x"))
    plays = [(record["play"]["n"], record["play"]["batch"]) for record in story.of("play.started")]
    assert plays == [(1, 1), (1, 2), (2, 1)]
    assert [record["task"]["n"] for record in story.of("task.result")] == [1, 1]
    assert [record["duration_ms"] for record in story.of("task.result")] == [1000, 1000]


def test_time_belongs_to_the_phase_of_the_last_started_task() -> None:
    story = Story()
    story.tell(RunStarted("deploy.yml", "anna", "ci-7", "2.19"), seconds=2)
    story.tell(PlayStarted("play-1", "Roll", "rollout"), TaskStarted("task-1", "Drain", "x"), seconds=5)
    story.tell(TaskStarted("task-2", "Gate", "x", phase="gate"), seconds=3)
    story.tell(TaskStarted("task-3", "Drain", "x"), seconds=4)
    story.tell(PlayStarted("play-2", "Close", None), TaskStarted("task-4", "Close", "x"), seconds=1)
    story.tell(RunFinished({}))
    seconds = {phase.name: phase.seconds for phase in story.recorder.summary.phases}
    assert seconds == {"other": 4, "rollout": 14, "gate": 3}
    assert sum(seconds.values()) == story.recorder.summary.seconds
    phases = [(record["event"], record["phase"]) for record in story.records if "phase" in record["event"]]
    assert phases == [
        ("phase.started", "rollout"),
        ("phase.finished", "rollout"),
        ("phase.started", "gate"),
        ("phase.finished", "gate"),
        ("phase.started", "rollout"),
        ("phase.finished", "rollout"),
    ]
    assert story.of("phase.finished")[-1]["play"]["n"] == 1


def test_a_loop_is_one_record_with_counts_and_its_bad_rounds() -> None:
    story = Story("all").start()
    story.tell(
        HostStarted("app1", "task-1"),
        outcome(Status.OK, item=True),
        outcome(Status.CHANGED, item=True, facts=({"event": "backup.created", "label": "b1"},)),
        outcome(Status.FAILED, item=True, msg="the third round"),
        outcome(Status.FAILED, msg="One or more items failed"),
    )
    assert [record["status"] for record in story.of("task.item")] == ["changed", "failed"]
    assert story.of("task.result")[0]["items"] == {"ok": 1, "changed": 1, "failed": 1}
    assert story.of("backup.created")[0]["facts"] == {"label": "b1"}
    assert len(story.recorder.summary.failures) == 1


def test_retries_and_plays_without_hosts_are_recorded() -> None:
    story = Story().start().tell(Retried("app1", "task-1", 2, 5), NoHosts("a play found no host to run on"))
    assert (story.of("task.retry")[0]["attempts"], story.of("task.retry")[0]["retries"]) == (2, 5)
    assert "note      a play found no host to run on" in story.text


def test_an_outcome_of_a_task_that_was_never_started_is_still_recorded() -> None:
    story = Story().tell(outcome(Status.FAILED, msg="x"))
    assert story.of("task.result")[0]["task"] is None
    assert story.recorder.summary.failures[0]["task"] == "?"


def test_boundaries_are_what_must_not_be_lost() -> None:
    story = Story("all").start()
    story.tell(outcome(Status.OK), outcome(facts=(OPENED,)), outcome(Status.FAILED, msg="x"), RunFinished({}))
    assert story.boundaries == ["run.started", "phase.started", "deployment.opened", "task.result", "run.finished"]


def ended(*facts: Mapping[str, Any], failures: int = 0, check_mode: bool = False) -> Story:
    story = Story()
    story.tell(
        RunStarted("deploy.yml", "anna", "ci-7", "2.19", check_mode=check_mode),
        PlayStarted("play-1", "Roll", "rollout"),
        TaskStarted("task-1", "Restart", "x"),
        outcome(facts=facts),
        seconds=31,
    )
    return story.tell(RunFinished({"app1": {"failures": failures}}))


def closed(verdict: str) -> dict[str, Any]:
    return {"event": "deployment.closed", "deployment_id": OPENED["deployment_id"], "verdict": verdict}


@pytest.mark.parametrize(
    ("story", "status", "verdict"),
    [
        (ended(), "succeeded", "succeeded"),
        (ended(failures=1), "failed", "failed"),
        (ended(OPENED, closed("whole")), "succeeded", "whole"),
        (ended(OPENED, closed("rolled_back"), failures=1), "failed", "rolled_back"),
        (ended(OPENED), "unclosed", "unclosed"),
        (ended(OPENED, check_mode=True), "succeeded", "succeeded"),
        (Story().start().tell(Interrupted("SIGTERM")), "interrupted", "interrupted"),
    ],
)
def test_the_verdict_is_the_deployments_own_else_how_the_run_ended(story: Story, status: str, verdict: str) -> None:
    assert (story.recorder.summary.status, story.recorder.summary.verdict) == (status, verdict)


def test_the_lines_for_the_terminal() -> None:
    story = Story().start()
    story.tell(outcome(facts=(OPENED,)), seconds=20)
    story.tell(TaskStarted("task-2", "Look at the site", "slipway.django.health_gate", phase="gate"), seconds=43)
    story.tell(
        Outcome("app1", "task-2", Status.FAILED, name="Look at the site", msg="503 five times\nmore", rescuable=True),
        Outcome("app1", "task-2", Status.FAILED, msg="not told, it was ignored", ignored=True),
        Outcome("app2", "task-2", Status.UNREACHABLE, name="Look at the site", msg="timed out", ignored=True),
        Outcome("app1", "task-2", Status.OK, facts=({**closed("rolled_back"), "origin": OPENED["origin"]},)),
        RunFinished({"app1": {"failures": 1}}),
    )
    assert story.text.splitlines() == [
        "",
        "DEPLOYMENT LOG",
        "  release   v2 (3f2a9c1d4e5f-0a1b2c3d), 20261121T160528Z-3f2a9c1",
        "  serving   v1 (111111111111-00000000)",
        "  verdict   rolled_back",
        "  time      63 s: rollout 20 s, gate 43 s",
        "  failed    app1: Look at the site: 503 five times (a rescue followed)",
        "            app2: Look at the site: timed out (ignored)",
        "  log       /log/events.jsonl",
    ]


def test_many_failures_are_counted_and_not_all_told() -> None:
    story = Story().start()
    story.tell(*(outcome(Status.FAILED, host=f"app{number}", msg="x") for number in range(70)), RunFinished({}))
    assert "            and 60 more, see the log" in story.text
    assert len(story.recorder.summary.failures) == 50


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (41.2, "41 s"), (123, "2 min 03 s"), (7260, "2 h 01 min")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text

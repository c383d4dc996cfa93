# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines are shown, which result is returned, and when a module is run without a job."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.slipway.django.plugins.module_utils._postgres._progress import Step
from ansible_collections.slipway.django.plugins.plugin_utils._progress_action import (
    Interrupted,
    Job,
    Lines,
    ProgressAction,
    _Watch,
    own_result,
    waits,
)
from ansible_collections.slipway.django.tests.unit.fakes import FakeClock

NAME = "slipway.django.pg_backup"


def test_the_waits_are_short_at_first() -> None:
    first = list(itertools.islice(waits(), 10))
    assert first[:3] == pytest.approx([0.3, 0.45, 0.675])
    assert first == sorted(first)
    assert first[-1] == 3.0


def test_a_new_phase_is_shown_at_once_and_then_ever_fewer_lines() -> None:
    lines = Lines()
    shown = [at for at in range(600) if lines.line(Step("dump", at + 1, 1000, "bytes"), float(at))]
    gaps = [after - before for before, after in itertools.pairwise(shown)]
    assert shown[:3] == [0, 2, 5]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 60
    assert lines.line(Step("verify"), 600.0) == "verify"
    assert lines.line(Step("verify"), 700.0) is None
    assert lines.line(Step("verify", text="level read"), 701.0) == "verify, level read"


# --- results -------------------------------------------------------------------------------------------------------


def test_the_modules_own_result() -> None:
    own = {"changed": True, "stderr": "of the module", "invocation": {"module_args": {"label": "x"}}}
    job = {**own, "finished": True, "ansible_job_id": "j1.2", "invocation": {"module_args": {"label": "x"}}}
    job["invocation"] = {"module_args": {"label": "x", "progress_file": "/home/x/1.progress"}}
    assert own_result(job, NAME) == {
        **own, "invocation": {"module_args": {"label": "x", "progress_file": None}},
    }  # fmt: skip


def test_a_failure_before_there_are_options_is_the_modules_own_too() -> None:
    failed = {"failed": True, "msg": "no json", "exception": "Traceback …"}
    assert own_result({**failed, "finished": True}, NAME) == failed


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ({"msg": "Timeout exceeded", "child_pid": 7}, "it did not end by its own deadline and was killed"),
        ({"msg": "could not find job"}, "the host does not know of it any more, it may have been restarted"),
        ({"msg": "Traceback …", "data": "half", "stderr": "Killed", "cmd": "x"}, "it was killed or died"),
        ({}, "it was killed or died"),
        # As ansible-core 2.17 has it.
        ({"data": "", "invocation": {"module_args": {"jid": "j1.2", "_async_dir": "/jobs"}}}, "it was killed or died"),
    ],
)
def test_a_job_without_a_result_is_a_failure(left: Mapping[str, Any], why: str) -> None:
    result = own_result({**left, "failed": True, "finished": True, "ansible_job_id": "j1.2"}, NAME)
    assert result["failed"]
    assert result["msg"].startswith(f"{NAME} ended without a result: {why}. What it leaves looks like no backup")
    assert result["job"] == {"finished": True, "ansible_job_id": "j1.2"}
    assert result["job_output"] == left.get("data", "")
    assert result["job_stderr"] == left.get("stderr", "")


# --- a job that is watched -----------------------------------------------------------------------------------------


@dataclass
class Host:
    """What is asked of a host, and what it answers."""

    clock: FakeClock
    answers: dict[str, list[Any]]
    shown: list[tuple[float, str]] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    reconnected: int = 0
    MODULE = NAME

    def on_host(self, module: str, arguments: Mapping[str, Any], _task_vars: object) -> Any:
        self.calls.append((module, arguments))
        answers = self.answers[module]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def show(self, text: str, _task_vars: object) -> None:
        self.shown.append((self.clock.elapsed, text))

    def forget(self, *paths: str) -> None:
        self.calls.append(("forget", {"paths": paths}))

    def reconnect(self) -> None:
        self.reconnected += 1


RUNS = {"ansible_job_id": "j1.2", "finished": False}
ENDED = {**RUNS, "finished": True, "changed": True}


def file(text: str) -> dict[str, str]:
    return {"content": base64.b64encode(text.encode()).decode()}


def progress(done: int) -> dict[str, str]:
    return file(json.dumps({"phase": "dump", "done": done, "total": 100, "unit": "tables", "text": "", "pid": 4711}))


def watched(**answers: list[Any]) -> tuple[_Watch, Host]:
    clock = FakeClock()
    host = Host(clock, {"slurp": [{"failed": True, "msg": "no such file"}], **answers})
    watch = _Watch(host, Job("j1.2", "/jobs", "/jobs/x.progress"), None, monotonic=clock.monotonic, sleep=clock.sleep)  # type: ignore[arg-type]
    return watch, host


def test_a_short_run_is_asked_once() -> None:
    watch, host = watched(async_status=[ENDED])
    assert watch.until_finished(100) == ENDED
    assert [name for name, _ in host.calls] == ["async_status"]
    assert host.clock.elapsed == pytest.approx(0.3)


def test_the_progress_is_shown() -> None:
    watch, host = watched(
        async_status=[RUNS] * 8 + [ENDED],
        slurp=[progress(1), {"failed": True}, file("half of a fi"), progress(1), progress(50)],
    )
    assert watch.until_finished(100) == ENDED
    assert [text for _at, text in host.shown] == [
        "dump, 1 tables of 100 tables (1%)",
        "dump, 50 tables of 100 tables (50%), about 10 s left",
    ]


def test_a_lost_connection_is_borne_for_a_minute() -> None:
    lost = AnsibleConnectionFailure("no route")
    watch, host = watched(async_status=[RUNS, lost, lost, RUNS, lost, ENDED])
    assert watch.until_finished(100) == ENDED
    assert host.reconnected == 3
    watch, host = watched(async_status=[RUNS, lost])
    with pytest.raises(AnsibleConnectionFailure):
        watch.until_finished(1000)
    assert 60 < host.clock.elapsed < 66


def test_ansible_is_gone() -> None:
    watch, host = watched(async_status=[RUNS])
    parents = iter([100, 100, 100, 1])
    watch._parent = lambda: next(parents)
    with pytest.raises(Interrupted):
        watch.until_finished(100)
    assert len(host.calls) == 2


def test_a_job_that_never_ends() -> None:
    watch, host = watched(async_status=[RUNS])
    with pytest.raises(AnsibleError) as caught:
        watch.until_finished(100)
    assert "The job j1.2 is there still, 160 s after it was started" in str(caught.value)
    assert host.clock.elapsed < 165


def test_the_job_is_ended_as_by_ctrl_c() -> None:
    watch, host = watched(slurp=[progress(1), file("python\0AnsiballZ_pg_backup.py")], command=[{"rc": 0}])
    watch.stop()
    assert host.calls[2] == ("command", {"argv": ["kill", "-s", "INT", "4711"]})
    assert [text for _at, text in host.shown] == ["interrupted; the job on the host was ended"]


@pytest.mark.parametrize(
    "answers", [[{"failed": True}], [progress(1), file("vim\0notes")], [progress(1), {"failed": True}], [OSError()]]
)
def test_another_process_is_never_ended(answers: list[Any]) -> None:
    watch, host = watched(slurp=answers)
    watch.stop()
    assert "command" not in [name for name, _ in host.calls]


# --- with a job or without -----------------------------------------------------------------------------------------


class Action(ProgressAction):
    MODULE = NAME
    SECRETS = ("secret_key",)


def action(arguments: Mapping[str, Any], *, task: Mapping[str, Any], connection: Mapping[str, Any]) -> Any:
    made: Any = Action.__new__(Action)
    made._task = SimpleNamespace(
        **{"args": dict(arguments), "check_mode": False, "async_val": 0, "no_log": False, **task}
    )
    shell = SimpleNamespace(join_path=lambda *parts: "/".join(parts), tmpdir=None)
    usual = {"has_native_async": False, "always_pipeline_modules": False, "_shell": shell}
    made._connection = SimpleNamespace(**{**usual, **connection})
    made._display = SimpleNamespace(vvv=lambda _text: None)
    return made


@pytest.mark.parametrize(
    ("arguments", "task", "connection", "limit"),
    [
        ({}, {}, {}, 3660),
        ({"timeout": "100.5", "secret_key": None}, {}, {}, 160),
        ({"timeout": "soon"}, {}, {}, None),
        ({"timeout": "inf"}, {}, {}, None),
        ({"progress_file": None}, {}, {}, None),
        ({"secret_key": "x"}, {}, {}, None),
        ({}, {"check_mode": True}, {}, None),
        ({}, {"async_val": 5}, {}, None),
        ({}, {"no_log": True}, {}, None),
        ({}, {}, {"has_native_async": True}, None),
        ({}, {}, {"always_pipeline_modules": True}, None),
        ({}, {}, {"_remote_is_local": True}, None),
    ],
)
def test_when_there_is_a_job(
    arguments: Mapping[str, Any], task: Mapping[str, Any], connection: Mapping[str, Any], limit: int | None
) -> None:
    assert action(arguments, task=task, connection=connection)._limit() == limit


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ansible_job_id": "j1.2", "results_file": "/home/x/jobs/j1.2"}, "/home/x/jobs"),
        (AnsibleError("Failed to set permissions on the temporary files Ansible needs to create"), None),
        (AnsibleError("something else"), "something else"),
        (AnsibleConnectionFailure("temporary files"), "temporary files"),
        ({"failed": True, "msg": "could not create directory"}, "could not be started as a job: could not create"),
    ],
)
def test_the_start(answer: Any, expected: str | None) -> None:
    made = action({"label": "x"}, task={}, connection={})
    seen: list[Any] = []

    def execute(**arguments: Any) -> Any:
        seen.append((made._task.async_val, arguments))
        if isinstance(answer, Exception):
            raise answer
        return answer

    made._execute_module = execute
    made._remote_expand_user = lambda path: path.replace("~", "/home/x")
    made.get_shell_option = lambda _name, default: default
    if isinstance(answer, dict) and "results_file" in answer:
        job = made._start(100, None)
        assert (job.id, job.directory) == ("j1.2", expected)
        assert seen[0][0] == 100
        given = seen[0][1]["module_args"]
        assert given == {"label": "x", "progress_file": job.progress_file}
        assert job.progress_file.startswith("/home/x/.ansible_async/")
    elif expected is None:
        assert made._start(100, None) is None
    else:
        with pytest.raises(AnsibleError, match=expected):
            made._start(100, None)
    # Whatever happened: Ansible must not wait for a job that it does not know.
    assert made._task.async_val == 0
    assert made._task.args == {"label": "x"}

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Celery, asked by the site's own Python: which workers answer, what they consume, what they know, what waits.

That a worker answers a ping does not mean that it consumes anything, so it is asked for its queues. Asked over the
broker in the site's own words, whatever the broker is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import InvalidOption
from ansible_collections.slipway.django.plugins.module_utils._gate._attempt import NotUnderstood, Watch
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._check import Common
from ansible_collections.slipway.django.plugins.module_utils._gate._checks._program import Program, read_program
from ansible_collections.slipway.django.plugins.module_utils._gate._model import Sample, State
from ansible_collections.slipway.django.plugins.module_utils._gate._reading import needed, printable, whole
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

# Marks our line among what the site's own code may print.
_MARK = "slipway-celery "
_WAIT_S = 1.0
# Run by the site's Python, in its directory, with its environment.
SCRIPT = f"""
import json, sys
found = {{}}
try:
    from celery.app.utils import find_app
    app = find_app(sys.argv[1])
    inspect = app.control.inspect(timeout=float(sys.argv[2]))
    consumed = inspect.active_queues() or {{}}
    found["workers"] = {{name: [queue["name"] for queue in queues] for name, queues in consumed.items()}}
    if sys.argv[3] == "tasks":
        known = (inspect.registered() or {{}}).items()
        found["tasks"] = {{name: [task.split(" ")[0] for task in tasks] for name, tasks in known}}
    found["waiting"] = {{}}
    with app.connection_for_read() as connection:
        for queue in sys.argv[4:]:
            try:
                waiting = connection.default_channel.queue_declare(queue, passive=True).message_count
            except connection.channel_errors:
                waiting = 0
            found["waiting"][queue] = waiting
except Exception as error:
    found = {{"error": type(error).__name__}}
print({_MARK!r} + json.dumps(found), flush=True)
"""


@dataclass(frozen=True)
class CeleryCheck:
    """One check of the workers of a site.

    :param workers: parts of names, such as the hosts': of each a worker must answer.
    """

    common: Common
    program: Program
    app: str
    min_workers: int
    workers: tuple[str, ...]
    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    max_queue_length: int | None

    instrument = False

    def where(self) -> str:
        return f"Celery application {self.app}"

    def expected(self) -> str:
        parts = [f"{self.min_workers} workers"]
        parts += [f"worker {name}" for name in self.workers]
        parts += [f"queue {name} consumed" for name in self.queues]
        parts += [f"task {name}" for name in self.tasks]
        if self.max_queue_length is not None:
            parts.append(f"at most {self.max_queue_length} waiting")
        return ", ".join(parts)

    def facts(self) -> dict[str, object]:
        return {}

    def look(self, watch: Watch) -> Sample:
        wait_s = max(0.2, min(_WAIT_S, watch.left_s() / 3))
        asked = ("tasks" if self.tasks else "no_tasks", *self.queues)
        done = self.program.run(watch, "-c", SCRIPT, self.app, f"{wait_s:.2f}", *asked)
        found = _read(done.stdout)
        fault = self.fault(found)
        waiting = sum(found["waiting"].values())
        numbers = {"workers": len(found["workers"]), "waiting": waiting}
        state = State.BAD if fault else State.GOOD
        code, text = fault or ("ok", f"{len(found['workers'])} workers answer, {waiting} tasks wait")
        return Sample(state, code, text, watch.elapsed_s(), action=self.common.action, numbers=numbers)

    def fault(self, found: Mapping[str, Any]) -> tuple[str, str] | None:
        """Code and words of the first thing that is not as it should be."""
        names, waiting = sorted(found["workers"]), found["waiting"]
        if len(names) < self.min_workers:
            return "workers", f"{len(names)} workers answer (expected {self.min_workers} or more)"
        missing = [wanted for wanted in self.workers if not any(wanted in name for name in names)]
        if missing:
            return "workers", f"no worker of {', '.join(missing)} answers"
        consumed = {queue for queues in found["workers"].values() for queue in queues}
        idle = [queue for queue in self.queues if queue not in consumed]
        if idle:
            return "queues", f"nobody consumes queue {', '.join(idle)}"
        for name in names:
            lacking = [task for task in self.tasks if task not in found["tasks"].get(name, ())]
            if lacking:
                return "tasks", f"worker {printable(name)} does not know {', '.join(lacking)}"
        limit = self.max_queue_length
        if limit is not None:
            long = [f"{waiting[queue]} in {queue}" for queue in self.queues if waiting[queue] > limit]
            if long:
                return "queue_length", f"{', '.join(long)} wait (expected at most {limit})"
        return None


def _read(output: str) -> dict[str, Any]:
    lines = [line[len(_MARK) :] for line in output.splitlines() if line.startswith(_MARK)]
    if not lines:
        raise NotUnderstood("no_answer", "the site's Python did not answer: is Celery in it?")
    found: dict[str, Any] = json.loads(lines[-1])
    if "error" in found:
        raise NotUnderstood("celery", f"Celery could not be asked: {printable(found['error'])}")
    return found


def read_celery(common: Common, params: Mapping[str, Any], runner: Runner) -> CeleryCheck:
    """Read the options of a check of kind C(celery)."""
    path = common.path
    if params["max_queue_length"] is not None and not params["queues"]:
        raise InvalidOption(
            f"{path}.max_queue_length", params["max_queue_length"], "queues too: those that are counted"
        )
    return CeleryCheck(
        common,
        read_program(common, params, runner),
        needed(path, params, "app"),
        whole(f"{path}.min_workers", params["min_workers"], least=1),
        tuple(params["workers"]),
        tuple(params["tasks"]),
        tuple(params["queues"]),
        params["max_queue_length"],
    )

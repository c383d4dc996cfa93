# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of logs: one folder for each run, the way to it, and what dead runs left.

::

    <path>/<run id>/events.jsonl, summary.json
    <path>/latest -> <run id>
    <path>/by-deployment/<deployment id>/<run id> -> ../../<run id>
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._files import read_json, replace_symlink, write_json
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._events import Event
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._recorder import Recorder
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._redaction import Redactor
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._summary import (
    ABANDONED,
    RUNNING,
    terminal_text,
    utc_text,
)
from ansible_collections.slipway.django.plugins.plugin_utils._deployment_log._writer import (
    NAME,
    EventFile,
    Recovered,
    recover,
)

SUMMARY = "summary.json"
LATEST = "latest"
BY_DEPLOYMENT = "by-deployment"
# Older runs than these were looked at when they were newer.
LOOKED_AT = 20
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_.-]+-[0-9a-f]{4}")


def file_mode(text: str) -> int:
    """Read an octal mode; the owner can always write.

    :raises ValueError: it is none, or it lets others write.
    """
    mode = int(text, 8)
    if not 0 <= mode <= 0o777 or mode & 0o002:
        raise ValueError(f"file_mode: {text!r} is not accepted, expected an octal mode that lets no others write")
    return mode | 0o600


def directory_mode(mode: int) -> int:
    """Who may read a file may enter its directory."""
    return mode | 0o700 | (mode & 0o444) >> 2


class RunLog:
    """The log of one run on disk."""

    def __init__(
        self,
        path: str,
        clock: Clock,
        *,
        playbook: str,
        detail: str,
        durability: str,
        mode: int,
        warn: Callable[[str], None],
    ) -> None:
        self._top = path
        self._mode = mode
        self._clock = clock
        self._linked: str | None = None
        self._durability = durability
        os.makedirs(path, mode=directory_mode(mode), exist_ok=True)
        abandoned = settle_dead_runs(path, clock, mode=mode, warn=warn)
        self.run_id, self.directory = self._new_directory(playbook)
        self._file = EventFile(self.directory, mode=mode, durability=durability, warn=warn)
        self.recorder = Recorder(self.run_id, Redactor(), clock, self._emit, detail)
        self._urgent = False
        replace_symlink(os.path.join(path, LATEST), self.run_id)
        for note in abandoned:
            self.recorder.note(note)

    @property
    def events_path(self) -> str:
        return self._file.path

    def _new_directory(self, playbook: str) -> tuple[str, str]:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", os.path.splitext(os.path.basename(playbook))[0]).strip("-.") or "run"
        while True:
            run_id = f"{self._clock.utcnow():%Y%m%dT%H%M%SZ}-{name[:40]}-{secrets.token_hex(2)}"
            directory = os.path.join(self._top, run_id)
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, directory_mode(self._mode))
                return run_id, directory

    def _emit(self, record: Any, boundary: bool) -> None:
        self._file.append(record, boundary=boundary)
        self._urgent = self._urgent or boundary

    def handle(self, event: Event) -> None:
        """Record an event; after a boundary the summary is written anew. What comes after the end is dropped."""
        if self.recorder.finished:
            return
        self.recorder.handle(event)
        if self._urgent:
            self._urgent = False
            self._save()

    def _save(self) -> None:
        summary = self.recorder.summary
        document = summary.to_json(self._file.head, self._file.seq, NAME)
        write_json(os.path.join(self.directory, SUMMARY), document, mode=self._mode)
        deployment = summary.deployment.get("id")
        if deployment is not None and deployment != self._linked:
            self._link(str(deployment))
            self._linked = str(deployment)

    def _link(self, deployment: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", deployment):
            return
        folder = os.path.join(self._top, BY_DEPLOYMENT, deployment)
        os.makedirs(folder, mode=directory_mode(self._mode), exist_ok=True)
        replace_symlink(os.path.join(folder, self.run_id), os.path.join("..", "..", self.run_id))

    def close(self) -> str:
        """Let the files go and return the lines for the terminal."""
        text = terminal_text(self.recorder.summary, self._file.path)
        self._file.close()
        return text


def settle_dead_runs(path: str, clock: Clock, *, mode: int, warn: Callable[[str], None]) -> list[str]:
    """Close the logs of runs that died without a word, and return a sentence for each."""
    names = sorted((name for name in os.listdir(path) if _RUN_ID.fullmatch(name)), reverse=True)
    notes = []
    for name in names[:LOOKED_AT]:
        directory = os.path.join(path, name)
        try:
            summary = read_json(os.path.join(directory, SUMMARY))
            if summary is not None and summary.get("status") != RUNNING:
                continue
            recovered = recover(directory)
            if recovered is not None:
                notes.append(_abandon(directory, summary or {}, recovered, clock, mode=mode, warn=warn))
        except (OSError, SlipwayError) as error:
            warn(f"The log of an earlier run, {directory}, can't be completed: {error}")
    return notes


def _abandon(
    directory: str,
    summary: dict[str, Any],
    recovered: Recovered,
    clock: Clock,
    *,
    mode: int,
    warn: Callable[[str], None],
) -> str:
    run_id = os.path.basename(directory)
    records = recovered.content.records
    last = records[-1] if records else {}
    ended = next((record for record in reversed(records) if record["event"] in _ENDS), None)
    status = _ENDS[ended["event"]] if ended is not None else ABANDONED
    if ended is not None and ended["event"] == "run.finished":
        status = str(ended.get("status", ABANDONED))
    head, seq = recovered.content.head, len(records)
    if recovered.usable and ended is None:
        file = EventFile(directory, mode=mode, durability="boundary", warn=warn, resume=recovered.content)
        common = {"v": 1, "ts": utc_text(clock.utcnow()), "run_id": run_id}
        if recovered.torn:
            file.append({**common, "event": "log.recovered", "torn": recovered.torn})
        file.append({**common, "event": "run.abandoned", "phase": last.get("phase")}, boundary=True)
        head, seq = file.head, file.seq
        file.close()
    trouble = recovered.content.trouble if not recovered.usable else None
    document = {"v": 1, "run_id": run_id, **summary, "status": status, "head": {"seq": seq, "hash": head}}
    deployment = document.get("deployment") or {}
    document["verdict"] = deployment.get("verdict") or status
    if trouble is not None:
        document["notes"] = [*summary.get("notes", []), f"the log is not as it was written: {trouble}"]
    write_json(os.path.join(directory, SUMMARY), document, mode=mode)
    which = f" of deployment {deployment['id']}" if deployment.get("id") else ""
    where = f" in phase {last['phase']}" if last.get("phase") else ""
    return f"run {run_id}{which} died without a word{where}, last seen {last.get('ts', 'never')}"


_ENDS = {"run.finished": "finished", "run.interrupted": "interrupted", "run.abandoned": ABANDONED}

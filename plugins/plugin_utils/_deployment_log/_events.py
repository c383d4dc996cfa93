# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in a run, as values of our own. The callback makes them from what Ansible hands it.

Nothing here was filtered yet: texts may hold secrets until the recorder has redacted them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Union


class Status(Enum):
    """How a task ended on a host."""

    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class RunStarted:
    """A playbook begins. Extra variables are not part of it: they hold secrets."""

    playbook: str
    actor: str
    controller: str
    core_version: str
    check_mode: bool = False
    limit: str = ""
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    start_at_task: str = ""


@dataclass(frozen=True)
class PlayStarted:
    """A play begins, or a further batch of it: C(serial) starts the same play, with the same key, again."""

    key: str
    name: str
    phase: str | None = None


@dataclass(frozen=True)
class TaskStarted:
    """A task begins on some hosts. Its key comes again with each batch."""

    key: str
    name: str
    action: str
    role: str | None = None
    path: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class HostStarted:
    """A host begins a task."""

    host: str
    task: str


@dataclass(frozen=True)
class Outcome:
    """A task, or (``item``) one round of its loop, ended on a host.

    :param task: the key of the task.
    :param facts: what modules of ours want to be kept (their C(deployment_log)), one for each round of a loop.
    :param no_log: the task must leave nothing but its status.
    """

    host: str
    task: str
    status: Status
    name: str = ""
    msg: str = ""
    rc: int | None = None
    attempts: int | None = None
    delegate: str | None = None
    ignored: bool = False
    rescuable: bool = False
    no_log: bool = False
    item: bool = False
    facts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Retried:
    """A task was not well yet and will be tried again."""

    host: str
    task: str
    attempts: int
    retries: int | None = None


@dataclass(frozen=True)
class NoHosts:
    """A play found no host, or has none left. Ansible may end with status 0 all the same."""

    why: str


@dataclass(frozen=True)
class RunFinished:
    """The playbook came to its end. ``hosts`` are Ansible's own counts."""

    hosts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Interrupted:
    """The run is about to die: by a signal, or without having finished."""

    by: str


Event = Union[RunStarted, PlayStarted, TaskStarted, HostStarted, Outcome, Retried, NoHosts, RunFinished, Interrupted]

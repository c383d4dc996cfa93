# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A control host and hosts in a temporary directory, for the tests of deployments.

:func:`killed_before` ends the process before a chosen file operation, as SIGKILL does: nothing after
it happens, no clean-up either. :func:`failing` lets one operation fail and goes on, as a full disk does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from ansible_collections.slipway.django.plugins.module_utils._deployment._operations import info, run
from ansible_collections.slipway.django.plugins.module_utils._polling import Clock

DEFAULTS: dict[str, Any] = {
    "scope": "control",
    "site": "shop",
    "id": None,
    "token": None,
    "kind": "deploy",
    "version": "v1",
    "commit": "3f2a9c1d4e5f60718293a4b5c6d7e8f901234567",
    "release": "3f2a9c1d4e5f-0a1b2c3d",
    "hosts": ["app1", "app2", "app3"],
    "actor": "anna",
    "controller": "ci-7",
    "reason": "release 1",
    "limit": 120,
    "takeover": "",
    "command": None,
    "step": None,
    "facts": {},
    "verdict": None,
}

# What `_files` and `tempfile` do to files. A read changes nothing, so dying before it is dying after the last write.
CHANGING = ("open", "write", "fsync", "rename", "mkdir", "unlink", "fchmod")


class Site:
    """One site: its control host and its hosts, all in one directory."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock

    def run(self, state: str, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module C(deployment)."""
        params = {**DEFAULTS, "root": str(self.root), "state": state, **options}
        return run(params, self.clock, check_mode=check_mode)

    def open(self, **options: Any) -> dict[str, Any]:
        """Open a deployment and return it."""
        deployment: dict[str, Any] = self.run("opened", **options)["deployment"]
        return deployment

    def step(self, deployment: dict[str, Any], step: str, **options: Any) -> dict[str, Any]:
        """Make a checkpoint of a deployment that C(open) returned."""
        return self.run("checkpoint", id=deployment["id"], token=str(deployment["token"]), step=step, **options)

    def close(self, deployment: dict[str, Any], verdict: str = "whole", **options: Any) -> dict[str, Any]:
        """Close a deployment that C(open) returned."""
        return self.run("closed", id=deployment["id"], token=str(deployment["token"]), verdict=verdict, **options)

    def info(self, limit: int = 1000) -> dict[str, Any]:
        """Run the module C(deployment_info)."""
        return info(str(self.root), limit, self.clock)

    @property
    def control(self) -> Path:
        return self.root / "control"

    def journal(self, deployment: dict[str, Any]) -> Path:
        """The control host's journal of a deployment."""
        return self.control / "deployments" / str(deployment["id"]) / "journal.jsonl"

    def tree(self) -> dict[str, bytes]:
        """All files with their contents; an empty directory is a name with a slash."""
        found: dict[str, bytes] = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            found[f"{name}/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
        return found


class Killed(BaseException):
    """The process is gone. No C(except Exception) catches it."""


@contextmanager
def _told(operations: list[str], before: Callable[[str], None]) -> Iterator[list[str]]:
    """Call ``before`` with the name of each operation, ahead of it."""
    with ExitStack() as patches:
        for name in CHANGING:
            patches.enter_context(mock.patch.object(os, name, _wrapped(name, getattr(os, name), before)))
        yield operations


def _wrapped(name: str, real: Callable[..., Any], before: Callable[[str], None]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        before(name)
        return real(*args, **kwargs)

    return call


def counting() -> AbstractContextManager[list[str]]:
    """Collect the names of the file operations that are made."""
    operations: list[str] = []
    return _told(operations, operations.append)


def killed_before(number: int) -> AbstractContextManager[list[str]]:
    """Raise Killed at the operation with that number, from 0, and at each later one: the dead do nothing."""
    operations: list[str] = []

    def die(name: str) -> None:
        operations.append(name)
        if len(operations) > number:
            raise Killed(name)

    return _told(operations, die)


def failing(number: int, code: int = errno.ENOSPC) -> AbstractContextManager[list[str]]:
    """Let the operation with that number fail, and no other."""
    operations: list[str] = []

    def fail(name: str) -> None:
        operations.append(name)
        if len(operations) == number + 1:
            raise OSError(code, os.strerror(code))

    return _told(operations, fail)

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""C(deployment) and C(deployment_info) through ansible-core itself.

Each state: check, apply, check again, apply again; each answer is held against the files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.django.tests.integration.ansible_module import ModuleRun, run_module, run_task

OPENED: dict[str, Any] = {
    "state": "opened",
    "site": "shop",
    "version": "v1",
    "commit": "3f2a9c1d4e5f60718293a4b5c6d7e8f901234567",
    "release": "3f2a9c1d4e5f-0a1b2c3d",
    "hosts": ["app1", "app2"],
    "actor": "anna",
    "controller": "ci-7",
    "reason": "release 1",
}


class Control:
    """A control host: a directory, and the real ansible that works in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def module(self, *, check: bool = False, **options: Any) -> ModuleRun:
        return run_module("deployment", {"root": str(self.root), "site": "shop", **options}, check=check)

    def changed(self, *, check: bool = False, **options: Any) -> bool:
        """Whether a call that must succeed reports a change. A check must leave every file as it was."""
        before = self.tree()
        result = self.module(check=check, **options).succeeded()
        assert not check or self.tree() == before
        return bool(result["changed"])

    def refused(self, *, check: bool = False, **options: Any) -> ModuleRun:
        """A call that must fail, with a message and not with a traceback, and change no file."""
        before = self.tree()
        run = self.module(check=check, **options)
        assert run.failed
        assert "Traceback" not in run.output
        assert {name: text for name, text in self.tree().items() if not name.endswith(".lock")} == {
            name: text for name, text in before.items() if not name.endswith(".lock")
        }
        return run

    def json(self, name: str) -> Any:
        return json.loads((self.root / name).read_text())

    def tree(self) -> dict[str, str]:
        return {str(path): path.read_text() for path in sorted(self.root.rglob("*")) if path.is_file()}

    def stable(self) -> dict[str, str]:
        """The tree without what a renewal of the lease alone changes."""
        return {
            name: re.sub(r'"(renewed_at|expires_at)": "[^"]*"', "", content) for name, content in self.tree().items()
        }


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


@pytest.mark.timeout(300)
def test_opened(control: Control) -> None:
    predicted = control.module(check=True, **OPENED).succeeded()
    assert predicted["changed"]
    assert control.tree() == {}
    opened = control.module(**OPENED).succeeded()
    assert opened["changed"]
    deployment = opened["deployment"]
    assert deployment["token"] == predicted["deployment"]["token"] == 1
    assert set(deployment) == set(predicted["deployment"])
    assert control.json("control/lease.json")["id"] == deployment["id"]
    assert control.json(f"control/deployments/{deployment['id']}/record.json")["verdict"] is None
    for check in (True, False):
        run = control.refused(check=check, **OPENED, command="ansible-playbook deploy.yml -i prod")
        assert f"run ansible-playbook deploy.yml -i prod -e takeover={deployment['id']}." in run.msg
        assert "by anna from ci-7, reason: 'release 1'" in run.msg
        assert run.result["holder"]["id"] == deployment["id"]


@pytest.mark.timeout(300)
def test_checkpoint_and_closed(control: Control) -> None:
    deployment = control.module(**OPENED).succeeded()["deployment"]
    own = {"id": deployment["id"], "token": deployment["token"]}

    step: dict[str, Any] = {
        **own,
        "state": "checkpoint",
        "step": "backup",
        "limit": 300,
        "facts": {"backup": {"id": "b1"}},
    }
    assert control.changed(check=True, **step)
    assert control.changed(**step)
    assert control.json("control/lease.json")["step"] == "backup"
    assert not control.changed(check=True, **step)
    stable, tree = control.stable(), control.tree()
    assert not control.changed(**step)
    assert control.stable() == stable
    assert control.tree() != tree, "the expiry was not renewed"

    close: dict[str, Any] = {**own, "state": "closed", "verdict": "whole", "reason": "all gates passed"}
    assert control.changed(check=True, **close)
    assert control.changed(**close)
    assert control.json(f"control/deployments/{deployment['id']}/record.json")["verdict"] == "whole"
    assert control.json("control/lease.json")["held"] is False
    tree = control.tree()
    assert not control.changed(check=True, **close)
    assert not control.changed(**close)
    assert control.tree() == tree

    known = run_module("deployment_info", {"root": str(control.root)}).succeeded()
    assert (known["current"]["id"], known["lease"]) == (deployment["id"], None)
    assert known["current"]["facts"] == {"backup": {"id": "b1"}}


@pytest.mark.timeout(300)
def test_checkpoint_on_a_host(control: Control) -> None:
    step: dict[str, Any] = {
        "state": "checkpoint",
        "scope": "host",
        "step": "drain",
        "id": "20261121T160528Z-3f2a9c1",
        "token": 7,
    }
    assert control.changed(check=True, **step)
    assert control.changed(**step)
    assert control.json("token")["token"] == 7
    tree = control.tree()
    assert not control.changed(check=True, **step)
    assert not control.changed(**step)
    assert control.tree() == tree
    assert "has the older token 6" in control.refused(**{**step, "token": 6}).msg


def test_the_difference_shows_what_changes_and_no_time(control: Control) -> None:
    shown = run_task("deployment", {"root": str(control.root), "site": "shop", **OPENED}).output
    assert re.search(r'^\+.*"version": "v1"', shown, re.MULTILINE)
    assert not re.search(r'^[+-].*"expires_at"', shown, re.MULTILINE)


@pytest.mark.parametrize("scope", ["control", "host"])
def test_a_run_that_skipped_its_first_play_is_told_so(control: Control, scope: str) -> None:
    for token in ("", "0"):
        run = control.refused(state="checkpoint", scope=scope, step="drain of app1", id="", token=token)
        assert "This run holds no lease, so it may not begin step 'drain of app1'" in run.msg
        assert "--limit, --tags, --skip-tags and --start-at-task skip that play" in run.msg
    assert control.tree() == {}


def test_a_lease_that_can_not_be_read_is_refused_without_a_traceback(control: Control) -> None:
    (control.root / "control").mkdir()
    (control.root / "control" / "lease.json").write_text('{"id": "2026')
    assert "lease.json is not a JSON document" in control.refused(**OPENED).msg

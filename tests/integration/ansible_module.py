# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running one module: by itself on this machine, or as a task does, packed, sent and run by ansible-core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
COLLECTIONS = TOP / ".cache" / "collections"


@dataclass(frozen=True)
class ModuleRun:
    """What a module returned. ``output`` is all that was printed."""

    result: dict[str, Any]
    output: str

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))

    @property
    def msg(self) -> str:
        return str(self.result["msg"])

    def succeeded(self) -> dict[str, Any]:
        """Return the result of one that did not fail."""
        assert not self.failed, self.msg
        return self.result


def run_module(name: str, options: Mapping[str, Any], *, check: bool = False, timeout_s: float = 120) -> ModuleRun:
    """Run the module ``slipway.django.<name>`` on this machine and return what it returned.

    Fed as ansible-core feeds a module, without ansible-core around it, which costs a second of processor each time.
    """
    given = {
        **options,
        "_ansible_check_mode": check,
        "_ansible_diff": True,
        "_ansible_verbosity": 3,
        "_ansible_remote_tmp": str(TOP / ".cache" / "ansible" / "tmp"),
    }
    done = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.slipway.django.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": given}),
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    output = done.stdout + done.stderr
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        raise AssertionError(f"no result in what the module printed:\n{output}") from error
    return ModuleRun({"failed": False, **found}, output)


def run_task(
    name: str,
    options: Mapping[str, Any],
    *,
    check: bool = False,
    host: str = "localhost",
    arguments: Sequence[str] = ("-i", "localhost,", "-c", "local"),
    timeout_s: float = 120,
) -> ModuleRun:
    """The same on ``host`` as a task does it: by its action plugin, packed, sent and run by ansible-core.

    :param arguments: how the host is found and reached; by default this machine.
    """
    command = [
        str(Path(sys.executable).with_name("ansible")),
        *arguments,
        *(["-e", f"ansible_python_interpreter={sys.executable}"] if host == "localhost" else []),
        *(["--check"] if check else []),
        "--diff",
        "-vvv",
        "-m",
        f"slipway.django.{name}",
        "-a",
        json.dumps(options),
        host,
    ]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
    }
    done = subprocess.run(
        command, env=environment, cwd=TOP, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return ModuleRun(_result(done.stdout), done.stdout + done.stderr)


def _result(output: str) -> dict[str, Any]:
    for mark in (" | SUCCESS => ", " | CHANGED => ", " | FAILED! => ", " | UNREACHABLE! => "):
        if mark in output:
            found, _end = json.JSONDecoder().raw_decode(output.split(mark, 1)[1])
            return {"failed": mark == " | FAILED! => ", **found}
    raise AssertionError(f"no result in what ansible printed:\n{output}")

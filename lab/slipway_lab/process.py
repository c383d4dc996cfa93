# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: a list of arguments, never a shell; a deadline, always."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import LabError
from .talk import Talk

_HEARTBEAT_S = 5.0


@dataclass(frozen=True)
class Completed:
    """A program that has ended, whatever its status."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> Completed:
        """Return self after status 0.

        :raises LabError: after any other status, with the last lines of what the program said.
        """
        if self.returncode != 0:
            said = (self.stderr.strip() or self.stdout.strip())[-1500:]
            raise LabError(f"{' '.join(self.argv[:6])} … ended with status {self.returncode}: {said}")
        return self


def run(
    argv: Sequence[str],
    *,
    timeout_s: float = 60,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run to the end; standard input is empty unless given.

    :raises LabError: the program is missing, or did not end within its time and was killed.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=b"" if stdin is None else stdin,
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv[:6])} … did not end within {timeout_s:g} s and was killed") from error
    return Completed(tuple(argv), done.returncode, _text(done.stdout), _text(done.stderr))


def follow(
    argv: Sequence[str], talk: Talk, log: Path, *, timeout_s: float, env: Mapping[str, str] | None = None
) -> None:
    """Run something long: its output goes to a log, its latest line to the person every few seconds.

    :raises LabError: it failed or ran out of time; names the log and shows its end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(f"\n# {' '.join(argv)}\n".encode())
        file.flush()
        with subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        ) as process:
            assert process.stdout is not None
            try:
                latest = _relay(process.stdout, file, talk, time.monotonic() + timeout_s)
            except BaseException:
                process.kill()
                raise
    if process.returncode != 0:
        raise LabError(f"{argv[0]} ended with status {process.returncode}: {latest[-1500:]} (all of it: {log})")


def _relay(source: IO[bytes], log: IO[bytes], talk: Talk, deadline: float) -> str:
    """Copy until the source ends; return its last lines."""
    tail = b""
    spoken = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if time.monotonic() > deadline:
                raise LabError("it did not end within its time and was killed")
            if selector.select(timeout=1):
                data = os.read(source.fileno(), 65536)
                if not data:
                    return _text(tail).strip()
                log.write(data)
                tail = (tail + data)[-4096:]
            if time.monotonic() - spoken >= _HEARTBEAT_S:
                spoken = time.monotonic()
                talk.say(f"    … {last_line(_text(tail))}")


def last_line(text: str) -> str:
    """The last line that says something, short enough for a terminal."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:100] if lines else "nothing said yet"


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")

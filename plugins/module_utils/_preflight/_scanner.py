# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hard-coded secrets in a release's source, as detect-secrets finds them.

Both of its lines, detect-secrets and the one that is kept up to date (bc-detect-secrets), have the same command and the
same output. It ends with status 0 also when it has read nothing (it passes over what lies outside of its working
directory), so it is first handed a file with a secret that it must find, in the same way as the source. What was
audited stands in the repository's own C(.secrets.baseline).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.django.plugins.module_utils._errors import CommandFailed, SlipwayError
from ansible_collections.slipway.django.plugins.module_utils._preflight._rows import Mark, Row
from ansible_collections.slipway.django.plugins.module_utils._process import Runner

BASELINE = ".secrets.baseline"
NEVER, WHEN_INSTALLED, ALWAYS = "never", "when_installed", "always"
_EXPECTED = f"no secret in the source beside those audited in {BASELINE}"
_SHOWN = 10
# The form of an AWS key, in pieces, so that no scanner finds this file.
_CANARY = 'KEY = "{}"\n'.format("AKI" + "A" + "J7Q2XK5VN3WZ8RTM")


@dataclass(frozen=True)
class Finding:
    """A place that looks like a secret. ``digest`` recognises it again and is shown to nobody: it is a plain SHA-1."""

    path: str
    line: int
    kind: str
    digest: str


def read_findings(text: str) -> list[Finding]:
    """Read what C(detect-secrets scan) prints, and a baseline, which is the same.

    :raises SlipwayError: it is something else.
    """
    try:
        document = json.loads(text)
        return [_finding(path, each) for path, found in document["results"].items() for each in found]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SlipwayError(f"the scanner's report is not understood ({type(error).__name__})") from error


def _finding(path: str, each: Mapping[str, Any]) -> Finding:
    # Slim baselines leave the line out.
    return Finding(os.path.normpath(path), int(each.get("line_number", 0)), str(each["type"]), each["hashed_secret"])


def unknown_findings(found: Iterable[Finding], audited: Iterable[Finding]) -> list[Finding]:
    """Those that nobody has audited: a line may move, the secret of a file may not change."""
    known = {(each.path, each.kind, each.digest) for each in audited}
    return [each for each in found if (each.path, each.kind, each.digest) not in known]


def find_program(command: Sequence[str]) -> Sequence[str] | None:
    """The command with the whole path of its program, None when it is not installed."""
    path = shutil.which(command[0])
    return None if path is None else [path, *command[1:]]


def secrets_rows(src: str, command: Sequence[str], when: str, runner: Runner, timeout_s: float) -> Iterator[Row]:
    """Scan the source of a release.

    :param when: whether a scanner that is not installed is a failure (C(always)) or a row that was not asked.
    """
    program = None if when == NEVER else find_program(command)
    if program is None:
        seen = "switched off" if when == NEVER else f"{command[0]} is not installed on this host"
        yield Row("A3", "secrets", Mark.FAILED if when == ALWAYS else Mark.NOT_ASKED, seen, _EXPECTED)
        return
    yield secrets_row(_scan(src, program, runner, timeout_s), _audited(src))


def _scan(src: str, program: Sequence[str], runner: Runner, timeout_s: float) -> list[Finding]:
    def scan(place: str) -> list[Finding]:
        # The baseline is compared by us: the option --baseline would write into the release.
        argv = [*program, "scan", "--all-files", "--no-verify", "."]
        done = runner.run(argv, timeout_s=timeout_s, cwd=place)
        if done.returncode != 0:
            raise CommandFailed(argv[:2], done.returncode, done.stderr.strip().rpartition("\n")[2])
        return read_findings(done.stdout)

    with tempfile.TemporaryDirectory(prefix="slipway-scan-") as folder:
        with open(os.path.join(folder, "canary.py"), "w", encoding="utf-8") as stream:
            stream.write(_CANARY)
        if not scan(folder):
            raise SlipwayError("the scanner did not find the secret that it was given to find")
    return [each for each in scan(src) if each.path != BASELINE]


def _audited(src: str) -> list[Finding]:
    try:
        with open(os.path.join(src, BASELINE), encoding="utf-8") as stream:
            return read_findings(stream.read())
    except FileNotFoundError:
        return []


def secrets_row(found: Sequence[Finding], audited: Sequence[Finding]) -> Row:
    """Judge a scan. Says where and of what kind, never what."""
    new = unknown_findings(found, audited)
    if not new:
        seen = f"none but {len(found)} that were audited" if found else "none"
        return Row("A3", "secrets", Mark.PASSED, seen, _EXPECTED)
    shown = ", ".join(f"{each.path}:{each.line} {each.kind}" for each in new[:_SHOWN])
    more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
    return Row("A3", "secrets", Mark.FAILED, f"{shown}{more}", _EXPECTED)

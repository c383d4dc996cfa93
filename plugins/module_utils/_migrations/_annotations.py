# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with migrations, where it stands, in the forms that CI systems show beside the code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

FORMATS = ("plain", "github", "gitlab")
_SEVERITY = {"contract": "major", "offline": "major", "unknown": "minor"}


@dataclass(frozen=True)
class Note:
    """One objection.

    :param line: 1 where the operation's line is not known.
    :param code: what to write instead; for several statements of the operation one after the other.
    """

    file: str
    line: int
    migration: str
    rule: str
    phase: str
    fails: bool
    why: str
    instead: str
    code: str = ""

    @property
    def text(self) -> str:
        instead = f" Instead: {self.instead}." if self.instead else ""
        return f"{self.migration}: {self.why}.{instead}"


def notes(plan: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Return the objections in a plan that nobody has let pass, each rule once for an operation."""
    found: list[Note] = []
    for entry in plan:
        allowed = {each["rule"] for each in entry["acknowledgements"]}
        for operation in entry["operations"]:
            codes: dict[Note, dict[str, None]] = {}
            for finding in operation["findings"]:
                if _objects(finding) and finding["rule"] not in allowed:
                    codes.setdefault(_note(entry, operation, finding), {})[finding["code"]] = None
            found += [replace(note, code="\n".join(filter(None, code))) for note, code in codes.items()]
    return found


def _objects(finding: Mapping[str, Any]) -> bool:
    return finding["phase"] != "expand" or finding["lock"] in {"downtime", "fails"}


def _note(entry: Mapping[str, Any], operation: Mapping[str, Any], finding: Mapping[str, Any]) -> Note:
    return Note(
        file=entry.get("file", ""),
        line=operation.get("line", 1),
        migration=f"{entry['app']}.{entry['name']}",
        rule=finding["rule"],
        phase=finding["phase"],
        fails=finding["lock"] == "fails",
        why=finding["why"],
        instead=finding["instead"],
    )


def render(found: Sequence[Note], form: str) -> str:
    """Return the notes as a text that ends with a line feed, unless it is empty.

    :param form: one of ``FORMATS``.
    """
    if form == "gitlab":
        return json.dumps([_gitlab(note) for note in found], indent=1) + "\n"
    line = _github if form == "github" else _plain
    return "".join(f"{line(note)}\n" for note in found)


def _plain(note: Note) -> str:
    code = "".join(f"\n    {line}" for line in note.code.splitlines())
    return f"{note.file}:{note.line}: {note.rule}: {note.text}{code}"


def _github(note: Note) -> str:
    place = f"file={_property(note.file)},line={note.line},title={_property(note.rule)}"
    code = f"\n{note.code}" if note.code else ""
    return f"::error {place}::{_data(note.text + code)}"


def _data(text: str) -> str:
    """As a workflow command takes it: what would end it is written otherwise."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _gitlab(note: Note) -> dict[str, Any]:
    same = "\0".join((note.file, note.migration, note.rule, str(note.line)))
    return {
        "description": note.text,
        "content": {"body": f"```python\n{note.code}\n```" if note.code else ""},
        "check_name": note.rule,
        "fingerprint": hashlib.sha256(same.encode()).hexdigest(),
        "severity": "critical" if note.fails else _SEVERITY.get(note.phase, "info"),
        "location": {"path": note.file, "lines": {"begin": note.line}},
    }

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with migrations, where it stands, in the forms that CI systems show beside the code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = ("plain", "github", "gitlab")
_SEVERITY = {"contract": "major", "offline": "major", "unknown": "minor"}


@dataclass(frozen=True)
class Note:
    """One objection. ``line`` is 1 where the operation's line is not known."""

    file: str
    line: int
    migration: str
    rule: str
    phase: str
    fails: bool
    why: str
    instead: str

    @property
    def text(self) -> str:
        instead = f" Instead: {self.instead}." if self.instead else ""
        return f"{self.migration}: {self.why}.{instead}"


def notes(plan: Sequence[Mapping[str, Any]]) -> list[Note]:
    """Return the objections in a plan that nobody has let pass, each rule once for an operation."""
    found: dict[Note, None] = {}
    for entry in plan:
        allowed = {each["rule"] for each in entry["acknowledgements"]}
        for operation in entry["operations"]:
            for finding in operation["findings"]:
                if not _objects(finding) or finding["rule"] in allowed:
                    continue
                found[_note(entry, operation, finding)] = None
    return list(found)


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
    return f"{note.file}:{note.line}: {note.rule}: {note.text}"


def _github(note: Note) -> str:
    place = f"file={_property(note.file)},line={note.line},title={_property(note.rule)}"
    return f"::error {place}::{_data(note.text)}"


def _data(text: str) -> str:
    """As a workflow command takes it: what would end it is written otherwise."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _gitlab(note: Note) -> dict[str, Any]:
    same = "\0".join((note.file, note.migration, note.rule, str(note.line)))
    return {
        "description": note.text,
        "check_name": note.rule,
        "fingerprint": hashlib.sha256(same.encode()).hexdigest(),
        "severity": "critical" if note.fails else _SEVERITY.get(note.phase, "info"),
        "location": {"path": note.file, "lines": {"begin": note.line}},
    }

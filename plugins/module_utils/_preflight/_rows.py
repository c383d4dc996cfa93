# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the checklist. What could not be looked at is no pass: a row is passed only when something was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from ansible_collections.slipway.django.plugins.module_utils._errors import Refused, SlipwayError


class Mark(Enum):
    """What became of a row. The last two refuse a deployment."""

    PASSED = "passed"
    NOT_ASKED = "not asked"
    FAILED = "failed"
    UNKNOWN = "could not be checked"

    @property
    def refuses(self) -> bool:
        return self in (Mark.FAILED, Mark.UNKNOWN)


@dataclass(frozen=True)
class Row:
    """One line of the checklist.

    :param step: the step of the runbooks that it belongs to, C(A1) to C(A15).
    :param check: what was looked at, a few words.
    :param seen: what was found. No secret: it is printed.
    :param expected: what must be there.
    """

    step: str
    check: str
    mark: Mark
    seen: str
    expected: str

    def to_json(self) -> dict[str, str]:
        return {
            "step": self.step,
            "check": self.check,
            "mark": self.mark.value,
            "seen": self.seen,
            "expected": self.expected,
        }

    @property
    def sentence(self) -> str:
        """The row in words."""
        return f"{self.check}: expected {self.expected}, seen: {self.seen}"


def judged(step: str, check: str, passed: bool, seen: str, expected: str) -> Row:
    """A row that was looked at."""
    return Row(step, check, Mark.PASSED if passed else Mark.FAILED, seen, expected)


def guarded(step: str, check: str, expected: str, look: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of one look; when it fails, the row that says that it could not be made.

    One look that fails must not take the others out of the report.
    """
    try:
        return list(look())
    except (SlipwayError, OSError) as error:
        said = error.seen if isinstance(error, SlipwayError) else str(error)
        return [Row(step, check, Mark.UNKNOWN, said, expected)]


def refuse(rows: Sequence[Row], *, untouched: str, remedy: str) -> list[Row]:
    """Return the rows when none of them refuses.

    :raises Refused: naming every row that does; all rows are in its facts.
    """
    refusing = [row for row in rows if row.mark.refuses]
    if refusing:
        raise Refused(
            "; ".join(row.sentence for row in refusing),
            untouched=untouched,
            remedy=remedy,
            facts={"rows": [row.to_json() for row in rows]},
        )
    return list(rows)

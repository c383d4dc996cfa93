# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders: what the shop said it accepted, against what is in its database."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

RUN_ID = re.compile(r"[A-Za-z0-9-]{1,32}")


class OrdersError(Exception):
    """The orders can't be compared."""


def prefix(run: str) -> str:
    """Return what the references of a run begin with."""
    return f"L-{run}-"


def query(run: str) -> str:
    """Return the SQL that lists the references of a run, one a row."""
    return f"SELECT reference FROM shop_order WHERE reference LIKE '{prefix(run)}%' ORDER BY reference"


@dataclass(frozen=True)
class Sent:
    """The orders file of a run. Its first line names the run; the others are one order each."""

    run: str
    accepted: tuple[str, ...]
    failed: tuple[str, ...]


def read_sent(lines: Iterable[str]) -> Sent:
    """Read an orders file; a line that is not understood is an error, never skipped."""
    run = ""
    outcomes: dict[str, list[str]] = {"accepted": [], "failed": []}
    for number, line in enumerate(lines, start=1):
        try:
            document = json.loads(line)
            if number == 1:
                run = document["run"]
            else:
                outcomes[document["outcome"]].append(document["reference"])
        except (ValueError, KeyError, TypeError) as error:
            raise OrdersError(f"line {number} of the orders file is not understood: {line.strip()[:120]!r}") from error
    if not RUN_ID.fullmatch(run):
        raise OrdersError("the orders file does not begin with a line that names its run")
    return Sent(run, tuple(outcomes["accepted"]), tuple(outcomes["failed"]))


@dataclass(frozen=True)
class Comparison:
    """What became of the orders of a run.

    ``failed_but_executed``: the client got no good answer, and the order is there all the same.
    ``unknown``: in the database, of this run, and the generator did not live to write what it was told.
    """

    run: str
    accepted: int
    found: int
    lost: tuple[str, ...]
    duplicated: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    failed_but_executed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return ``whole``, or in words what is wrong."""
        wrong = []
        if not self.accepted:
            wrong.append("no order was accepted, so nothing is shown")
        if self.lost:
            wrong.append(f"{len(self.lost)} accepted orders are lost")
        if self.duplicated:
            wrong.append(f"{len(self.duplicated)} orders were executed more than once")
        return "; ".join(wrong) or "whole"

    def document(self) -> dict[str, object]:
        """Return it for JSON."""
        return {
            "run": self.run,
            "verdict": self.verdict,
            "accepted": self.accepted,
            "found": self.found,
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "failed": self.failed,
            "failed_but_executed": len(self.failed_but_executed),
            "unknown": len(self.unknown),
            "references": {
                "lost": list(self.lost),
                "duplicated": self.duplicated,
                "failed_but_executed": list(self.failed_but_executed),
                "unknown": list(self.unknown),
            },
        }


def compare(sent: Sent, rows: Iterable[str]) -> Comparison:
    """Compare an orders file with the references found in the database."""
    there = Counter(row.strip() for row in rows if row.strip())
    strangers = [reference for reference in there if not reference.startswith(prefix(sent.run))]
    if strangers:
        raise OrdersError(
            f"{len(strangers)} rows are not references of run {sent.run}, the first is {strangers[0][:120]!r}; "
            f"expected are the rows of: {query(sent.run)}"
        )
    known = {*sent.accepted, *sent.failed}
    return Comparison(
        run=sent.run,
        accepted=len(sent.accepted),
        found=sum(reference in there for reference in sent.accepted),
        lost=tuple(reference for reference in sent.accepted if reference not in there),
        duplicated={reference: count for reference, count in there.items() if count > 1},
        failed=len(sent.failed),
        failed_but_executed=tuple(reference for reference in sent.failed if reference in there),
        unknown=tuple(reference for reference in there if reference not in known),
    )

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the logic raises. Modules translate them once, in C(main).

An error carries facts as fields, so that a test, the log and a person read the same thing.
No secret belongs in an error: its text reaches the terminal, the log and AWX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class SlipwayError(Exception):
    """A refusal or a failure that was understood.

    :param seen: what was observed, one sentence without its final period.
    :param untouched: what was left as it was; empty when nothing could have changed.
    :param remedy: what to do now.
    :param facts: values for machines, JSON types only.
    """

    def __init__(
        self,
        seen: str,
        *,
        untouched: str = "",
        remedy: str = "",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self.seen = seen
        self.untouched = untouched
        self.remedy = remedy
        self.facts: dict[str, object] = dict(facts or {})
        super().__init__(self.message)

    def __str__(self) -> str:
        # Not what __init__ was given: whoever passes an error on may know better what was left untouched.
        return self.message

    @property
    def message(self) -> str:
        """The whole sentence for people: seen, left untouched, what to do."""
        parts = [self.seen, self.untouched, self.remedy]
        return " ".join(f"{part.rstrip('.')}." for part in parts if part)


class InvalidOption(SlipwayError):
    """An option has a value that can't be used. Raised before anything is touched."""

    def __init__(self, option: str, value: object, accepted: str, *, remedy: str = "") -> None:
        self.option = option
        self.value = value
        self.accepted = accepted
        super().__init__(
            f"{option}: {value!r} is not accepted, expected {accepted}",
            untouched="Nothing was changed",
            remedy=remedy,
            facts={"option": option, "value": str(value), "accepted": accepted},
        )


class Refused(SlipwayError):
    """What was asked for would break a rule. Raised before anything is touched."""


class CommandFailed(SlipwayError):
    """A command ended with a status that was not expected, or could not be started."""

    def __init__(
        self, argv: Sequence[str], returncode: int | None, stderr: str, *, remedy: str = "", untouched: str = ""
    ) -> None:
        self.argv = list(argv)
        self.returncode = returncode
        self.stderr = stderr
        ended = "could not be started" if returncode is None else f"ended with status {returncode}"
        last = stderr.strip()[-2000:]
        super().__init__(
            f"{' '.join(argv[:6])}{' …' if len(argv) > 6 else ''} {ended}" + (f": {last}" if last else ""),
            untouched=untouched,
            remedy=remedy,
            facts={"command": list(argv), "returncode": returncode, "stderr": last},
        )


class TimedOut(SlipwayError):
    """A deadline passed. The last observation is part of the message: silence is no verdict."""


class Doomed(SlipwayError):
    """A state was seen from which waiting can't lead to success."""

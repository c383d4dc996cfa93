# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for time and for other programs, shared by the unit tests.

Import them by their full name::

    from ansible_collections.slipway.django.tests.unit.fakes import FakeClock, FakeRunner, Call, completed, shown_units
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Union

from ansible_collections.slipway.django.plugins.module_utils._process import Completed

START = datetime(2026, 11, 21, 16, 5, 28, tzinfo=timezone.utc)


class FakeClock:
    """A clock that moves only when it is told to: by ``sleep`` or by ``advance``.

    :param on_sleep: called after each sleep, e.g. to change the world that the next observation sees.
    """

    def __init__(self, *, start: datetime = START, on_sleep: Callable[[float], None] | None = None) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self._start = start
        self._on_sleep = on_sleep

    @property
    def elapsed(self) -> float:
        """Seconds since this clock was made."""
        return self.now - 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise AssertionError(f"sleep({seconds}): time does not go back")
        self.sleeps.append(seconds)
        self.now += seconds
        if self._on_sleep is not None:
            self._on_sleep(seconds)

    def utcnow(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def advance(self, seconds: float) -> None:
        """Let time pass, as work does."""
        self.now += seconds


def shown_units(*, enabled: str = "", running: Sequence[str] = (), starting: str = "") -> str:
    """What ``systemctl show`` of systemd 252 says of the units of a site named shop.

    :param enabled: slot of the web unit that is enabled, whatever runs.
    :param running: units that are active, as ``web@blue``; ``starting``: one that is about to be.
    """
    states = {**dict.fromkeys(running, "active"), starting: "activating"}
    names = [f"{kind}@{slot}" for kind in ("web", "asgi", "worker", "beat") for slot in ("blue", "green")]
    return "\n".join(
        f"Id=shop-{name}.service\nActiveState={states.get(name, 'inactive')}\n"
        f"UnitFileState={'enabled' if name == f'web@{enabled}' else 'disabled'}\n"
        for name in names
    )


@dataclass(frozen=True)
class Call:
    """One program that was run, with all that it was given."""

    argv: tuple[str, ...]
    stdin: str | None
    env: Mapping[str, str]
    cwd: str | None
    timeout_s: float


def completed(stdout: str = "", *, returncode: int = 0, stderr: str = "") -> Completed:
    """The end of a program; :class:`FakeRunner` fills in its arguments."""
    return Completed((), returncode, stdout, stderr)


# What a scripted program does: end, raise, or look at the call first.
Answer = Union[Completed, str, Exception, Callable[[Call], "Completed | str"]]


@dataclass
class FakeRunner:
    """Answers from a script and records each call.

    ``answers`` are given in order, one for each call; a call beyond them is an error.
    ``rules`` are looked at first: ``runner.on("systemctl", "show", answer=…)`` answers every call whose
    arguments begin with those words, the rule added last first.
    """

    answers: Iterable[Answer] = ()
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._script = list(self.answers)
        self._rules: list[tuple[tuple[str, ...], Answer]] = []

    def on(self, *words: str, answer: Answer = "") -> FakeRunner:
        """Answer every call that begins with ``words``. Returns self."""
        self._rules.insert(0, (words, answer))
        return self

    @property
    def argvs(self) -> list[tuple[str, ...]]:
        """The argument lists of all calls, in order."""
        return [call.argv for call in self.calls]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        if isinstance(argv, str) or not all(isinstance(word, str) for word in argv):
            raise AssertionError(f"argv is a list of strings, not {argv!r}")
        if timeout_s <= 0:
            raise AssertionError(f"{argv[0]} was given no time: timeout_s={timeout_s}")
        call = Call(tuple(argv), stdin, dict(env or {}), cwd, timeout_s)
        self.calls.append(call)
        answer = self._answer(call)
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            answer = completed(answer)
        return Completed(call.argv, answer.returncode, answer.stdout, answer.stderr)

    def _answer(self, call: Call) -> Answer:
        for words, answer in self._rules:
            if call.argv[: len(words)] == words:
                return answer
        if not self._script:
            raise AssertionError(f"unexpected call: {' '.join(call.argv)}")
        return self._script.pop(0)

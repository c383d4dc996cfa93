# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks that may hang, each with a real deadline: a socket's timeout is none when a server drips bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Look(Generic[T]):
    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self.answer: T | None = None
        self.error: Exception | None = None
        # What hangs is left behind; a module's process ends all the same.
        self.thread = threading.Thread(target=self._run, name="slipway-preflight", daemon=True)

    def _run(self) -> None:
        try:
            self.answer = self._look()
        except Exception as error:  # the thread's only way to tell
            self.error = error

    def told(self, seconds: float) -> T | Exception:
        if self.thread.is_alive():
            return TimeoutError(f"no answer within {seconds:g} s")
        if self.error is not None:
            return self.error
        answer: T = self.answer  # type: ignore[assignment]  # the thread has ended without an error
        return answer


def all_within(looks: Sequence[Callable[[], T]], seconds: float) -> list[T | Exception]:
    """Make all looks at once and return what each gave: its answer, its exception, or a TimeoutError.

    Returns at the latest after so many seconds, whatever the looks do.
    """
    started: list[_Look[T]] = [_Look(look) for look in looks]
    for look in started:
        look.thread.start()
    waited = threading.Event()
    timer = threading.Timer(seconds, waited.set)
    timer.daemon = True
    timer.start()
    for look in started:
        while look.thread.is_alive() and not waited.is_set():
            look.thread.join(0.05)
    timer.cancel()
    return [look.told(seconds) for look in started]

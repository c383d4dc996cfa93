# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling the person what is going on, with the time since the start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


class Talk:
    """Prints whole lines, also from several threads at once."""

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._now = now
        self._start = now()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line, with the elapsed time before it."""
        with self._lock:
            print(f"[{self._now() - self._start:6.1f} s] {text}", file=self._stream, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say that something begins, then that it is done and how long it took (or that it failed)."""
        self.say(text)
        begun = self._now()
        try:
            yield
        except BaseException:
            self.say(f"{text}: failed after {self._now() - begun:.1f} s")
            raise
        self.say(f"{text}: done in {self._now() - begun:.1f} s")

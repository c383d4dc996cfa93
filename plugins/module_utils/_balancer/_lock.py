# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lock for all that one run tells a balancer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class OneLock:
    """Takes the lock once, however deep the calls that ask for it: a second descriptor would wait for the first."""

    def __init__(self, take: Callable[[], AbstractContextManager[None]]) -> None:
        self._take = take
        self._held = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        if self._held:
            yield
            return
        with self._take():
            self._held = True
            try:
                yield
            finally:
                self._held = False

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's readers, as a database sees them: requests that come whether or not the ones before are answered."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.slipway.django.tests.integration.django_site import DjangoSite


@dataclass(frozen=True)
class Read:
    """One request. ``at``: when it was due; ``s``: from then to its answer."""

    at: float
    s: float


class Readers:
    """Readers with a connection each. Each has a request due at a fixed rate; one that is late counts as late."""

    def __init__(self, site: DjangoSite, *, count: int = 4, every_s: float = 0.02) -> None:
        self._site = site
        self._every_s = every_s
        self._stop = threading.Event()
        self._found: list[list[Read]] = [[] for _number in range(count)]
        self._pool = ThreadPoolExecutor(count)

    def _read(self, reader: int) -> None:
        with self._site.cluster.connect(self._site.database, user="shop") as connection:
            due = time.monotonic()
            while not self._stop.is_set():
                connection.execute("SELECT count(*) FROM orders_order WHERE id < 10")
                self._found[reader].append(Read(due, time.monotonic() - due))
                due += self._every_s
                time.sleep(max(0.0, due - time.monotonic()))

    def __enter__(self) -> Readers:
        self._tasks = [self._pool.submit(self._read, number) for number in range(len(self._found))]
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for task in self._tasks:
            task.result(timeout=120)
        self._pool.shutdown()

    def answered(self) -> int:
        """The requests of the reader that had the fewest answers so far."""
        return min(map(len, self._found))

    @property
    def reads(self) -> list[Read]:
        return [read for found in self._found for read in found]

    @property
    def longest_s(self) -> float:
        return max(read.s for read in self.reads)

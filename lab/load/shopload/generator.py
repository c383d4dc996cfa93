# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run: arrivals become requests when they are due, whether the earlier ones are answered or not."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from . import failures, shop, wire
from .failures import Failure
from .figures import Figures, Record, milliseconds, timestamp
from .orders import prefix
from .response import Response, ResponseParser
from .schedule import arrivals
from .shop import Request
from .sockets import Sockets

PAGES = ("/", "/orders/", "/customers/")


@dataclass(frozen=True)
class Options:
    """What a run is to be. ``address`` is resolved beforehand."""

    run: str
    address: wire.Address
    host: str
    rate: float
    duration: float
    mix: dict[str, int]
    profile: str
    clients: int
    idle_limit: float
    timeout: float
    grace: float
    max_in_flight: int
    status_every: float
    username: str
    sockets: int = 0


@dataclass(frozen=True)
class Secrets:
    """What is kept out of arguments and files."""

    api_token: str
    password: str

    def __repr__(self) -> str:
        return "Secrets(…)"


@dataclass(frozen=True)
class Files:
    """Lines written as things happen, so that a killed generator leaves what it knew."""

    orders: TextIO
    failures: TextIO
    status: Callable[[str], None]


class Generator:
    """One run against one shop."""

    def __init__(self, options: Options, secrets: Secrets, files: Files) -> None:
        self.options = options
        self.figures = Figures()
        self.epoch = 0.0
        self.skipped = 0
        self.due_for = 0.0
        self._secrets = secrets
        self._files = files
        self._pool = wire.Pool(options.clients, looks=options.profile == "browser", idle_limit=options.idle_limit)
        self.sockets = Sockets(options.address, options.host, options.sockets)
        self._static = shop.StaticNames()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sender: asyncio.Task[None] | None = None
        self._own_error: BaseException | None = None
        self._turns = itertools.count()
        self._order_numbers = itertools.count(1)
        self._last_order = ""
        self._started = 0.0
        self._flows: dict[str, Callable[[float], Coroutine[Any, Any, object]]] = {
            "page": lambda due: self._page("page", due, self._pooled()),
            "page_new": lambda due: self._page("page_new", due, self._new()),
            "static": self._static_file,
            "order": lambda due: self._order("order", due, self._pooled()),
            "order_new": lambda due: self._order("order_new", due, self._new()),
            "login": self._login,
            "upload": self._upload,
            "slow": lambda due: self._single("slow", shop.slow(), due, self._either()),
        }

    # --- the run ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Send no more; what is under way is waited for."""
        if self._sender is not None:
            self._sender.cancel()

    async def run(self) -> None:
        """Send what is due until the duration is over or somebody says stop."""
        self._started, self.epoch = time.monotonic(), time.time()
        write_line(self._files.orders, {"run": self.options.run, "started": timestamp(self.epoch)})
        status = asyncio.create_task(self._status_lines())
        self.sockets.start()
        self._sender = asyncio.create_task(self._send_all())
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender
            self.due_for = min(self._now(), self.options.duration)
            await self._finish()
        finally:
            status.cancel()
            await self.sockets.stop()
            self._pool.close()
        if self._own_error is not None:
            raise self._own_error
        self._files.status(self._status_line())

    def _now(self) -> float:
        return time.monotonic() - self._started

    async def _send_all(self) -> None:
        for arrival in arrivals(self.options.mix, self.options.rate, self.options.duration):
            # At least a turn of the event loop, also when much is due at once: answers must be read.
            await asyncio.sleep(max(0.0, arrival.due - self._now()))
            if len(self._tasks) >= self.options.max_in_flight:
                self.skipped += 1
                continue
            task = asyncio.create_task(self._begin(arrival.kind, arrival.due))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        await asyncio.sleep(max(0.0, self.options.duration - self._now()))

    async def _begin(self, kind: str, due: float) -> None:
        self.figures.started_late_by(self._now() - due)
        await self._flows[kind](due)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The generator's own fault, not the site's: the run must not go on as if all were well.
            self._own_error = self._own_error or error
            self.stop()

    async def _finish(self) -> None:
        """Wait for what is under way, no longer than the grace."""
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=self.options.grace)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _status_lines(self) -> None:
        while True:
            await asyncio.sleep(self.options.status_every)
            self._files.status(self._status_line())

    def _status_line(self) -> str:
        figures, elapsed = self.figures, self._now()
        p99 = figures.recent_p99()
        releases = ", ".join(f"{name} {sum(hosts.values())}" for name, hosts in sorted(figures.answers.items()))
        classes = "".join(f", {name} {count}" for name, count in figures.by_class().items())
        return (
            f"{elapsed:6.1f} s  sent {figures.sent}  failed {figures.failed} (cut {figures.cut}{classes})  "
            f"{figures.sent / elapsed if elapsed else 0:.1f}/s  under way {len(self._tasks)}  "
            f"p99 {'-' if p99 is None else milliseconds(p99)} ms  answered by {releases or 'none'}"
        )

    # --- what a client does -----------------------------------------------------------------------------------------

    def _pooled(self) -> wire.Lane:
        return wire.Lane(self.options.address, self._pool)

    def _new(self) -> wire.Lane:
        return wire.Lane(self.options.address, None, close=True)

    def _either(self) -> wire.Lane:
        return self._new() if next(self._turns) % 2 else self._pooled()

    async def _single(self, kind: str, request: Request, due: float, lane: wire.Lane) -> Response | None:
        try:
            return await self._fetch(lane, kind, request, due)
        finally:
            lane.release()

    async def _page(self, kind: str, due: float, lane: wire.Lane) -> None:
        """One of the lists, or the page of an order that was accepted just before: it must be there."""
        targets = [*PAGES, f"/orders/{self._last_order}/"] if self._last_order else PAGES
        response = await self._single(kind, shop.page(targets[next(self._turns) % len(targets)]), due, lane)
        if response is not None:
            self._static.learn(response)

    async def _static_file(self, due: float) -> None:
        name = self._static.pick()
        if name is None:
            await self._page("page", due, self._pooled())
            return
        response = await self._single("static", self._static.request(name), due, self._pooled())
        if response is not None:
            self.figures.static_files[self._static.release_of[name]] += 1

    async def _order(self, kind: str, due: float, lane: wire.Lane) -> None:
        number = next(self._order_numbers)
        reference = f"{prefix(self.options.run)}{number:07d}"
        request = shop.order(reference, number, self._secrets.api_token)
        accepted = False
        try:
            accepted = await self._fetch(lane, kind, request, due, reference) is not None
        finally:
            lane.release()
            outcome = {"reference": reference, "outcome": "accepted" if accepted else "failed"}
            write_line(self._files.orders, outcome | {"at": timestamp(self.epoch + self._now())})
        if accepted:
            self.figures.orders_accepted += 1
            self._last_order = reference

    async def _upload(self, due: float) -> None:
        request = shop.upload(next(self._turns), self._secrets.api_token)
        await self._single("upload", request, due, self._either())

    async def _login(self, due: float) -> None:
        """The form, the login, a page that only a logged-in user sees: three requests of one client."""
        lane = wire.Lane(self.options.address, None)
        try:
            form = await self._fetch(lane, "login_form", shop.page("/login/", text=b"csrfmiddlewaretoken"), due)
            csrf = shop.cookie(form, "csrftoken") if form else None
            if csrf is None:
                return
            request = shop.login(csrf, self.options.username, self._secrets.password)
            answer = await self._fetch(lane, "login", request, self._now())
            session = shop.cookie(answer, "sessionid") if answer else None
            if session is None:
                return
            account = shop.page("/account/", f"sessionid={session}", self.options.username.encode())
            await self._fetch(lane, "account", account, self._now())
        finally:
            lane.release()

    # --- one request ------------------------------------------------------------------------------------------------

    async def _fetch(
        self, lane: wire.Lane, kind: str, request: Request, due: float, reference: str | None = None
    ) -> Response | None:
        """Send one request, once; record what became of it; return the answer when it is a right one."""
        started, parser = self._now(), ResponseParser()
        response: Response | None = None
        failure: Failure | None = Failure.UNFINISHED
        detail, reused = "", False
        try:
            response = await asyncio.wait_for(self._attempt(lane, request, parser), self.options.timeout)
            failure, detail = judge(response, request)
        except wire.ExchangeError as error:
            failure, detail = error.failure, error.detail
        except TimeoutError:
            failure, detail = Failure.TIMEOUT, f"no whole answer within {self.options.timeout:g} s"
        finally:
            reused = lane.connection is not None and lane.connection.used > 1
            lane.answered(response)
            self._record(
                Record(
                    kind=kind,
                    intended=due,
                    started=started,
                    finished=self._now(),
                    reused=reused,
                    status=response.status if response else None,
                    release=response.headers.get("x-release") if response else None,
                    served_by=response.headers.get("x-served-by") if response else None,
                    failure=failure,
                    cut=failure is not None and failures.is_cut(failure, begun=parser.begun),
                    detail=detail,
                    reference=reference,
                )
            )
        return response if failure is None else None

    async def _attempt(self, lane: wire.Lane, request: Request, parser: ResponseParser) -> Response:
        connection = await lane.get()
        return await wire.exchange(connection, request, self.options.host, parser, close=lane.close)

    def _record(self, record: Record) -> None:
        self.figures.add(record)
        if record.failure is not None:
            write_line(self._files.failures, record.as_failure(self.epoch))


def judge(response: Response, request: Request) -> tuple[Failure | None, str]:
    """Say what is wrong with a whole answer, if anything."""
    failure = failures.of_status(response.status, request.wanted)
    if failure is not None:
        told = response.headers.get("retry-after")
        later = "" if told is None else f", Retry-After {told}"
        return failure, f"status {response.status}, wanted {request.wanted}{later}"
    wrong = request.check(response)
    return (Failure.CORRUPT, wrong) if wrong else (None, "")


def write_line(stream: TextIO, document: Mapping[str, object]) -> None:
    """Write one JSON line, at once."""
    stream.write(json.dumps(document, ensure_ascii=False) + "\n")
    stream.flush()

# Copyright (c) 2026 slipway.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that keep a WebSocket open, talk over it once a second, and come back as soon as it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import frames
from .figures import milliseconds
from .frames import Frame, FrameParser
from .response import MalformedError
from .wire import Address

TARGET = "/ws/live"
BEAT_S = 1.0
PATIENCE_S = 5.0
AGAIN_S = 0.1
"""Pause after an attempt that failed; after a close the client comes back at once."""


@dataclass
class SocketFigures:
    """What became of the sockets."""

    opened: Counter[str] = field(default_factory=Counter)
    """By the release that answered."""
    closed: Counter[int] = field(default_factory=Counter)
    """By the code of the server's close frame; 1006: there was none."""
    refused: Counter[str] = field(default_factory=Counter)
    """Attempts that failed, by status or error."""
    open: Counter[str] = field(default_factory=Counter)
    """Those that are open, by release."""
    echoes: int = 0
    mute: int = 0
    """Texts that did not come back in time."""
    longest_gap: float = 0.0
    """Seconds from a close to the next greeting."""

    def document(self, wanted: int) -> dict[str, Any]:
        """Return it for the summary."""
        return {
            "wanted": wanted,
            "opened": dict(sorted(self.opened.items())),
            "closed": {str(code): count for code, count in sorted(self.closed.items())},
            "refused": dict(sorted(self.refused.items())),
            "open": {release: count for release, count in sorted(self.open.items()) if count},
            "echoes": self.echoes,
            "mute": self.mute,
            "longest_gap_ms": milliseconds(self.longest_gap),
        }


class ClosedError(Exception):
    """The server has closed the socket."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client:
    """One client."""

    def __init__(self, address: Address, host: str, figures: SocketFigures) -> None:
        self._address = address
        self._host = host
        self._figures = figures
        self._parser = FrameParser()
        self._frames: deque[Frame] = deque()
        self._left = time.monotonic()

    async def run(self) -> None:
        """Open, talk, come back, until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.wait_for(self._open(), PATIENCE_S)
            except (OSError, EOFError, MalformedError, TimeoutError) as error:
                self._figures.refused[str(error) or type(error).__name__] += 1
                await asyncio.sleep(AGAIN_S)
                continue
            with contextlib.closing(writer):
                await self._live(reader, writer)
            self._left = time.monotonic()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            key = frames.new_key()
            writer.write(frames.handshake(TARGET, self._host, key))
            status = frames.accepted((await reader.readuntil(b"\r\n\r\n"))[:-4], key)
            if status != 101:
                raise MalformedError(f"status {status}")
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _live(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._parser, self._frames = FrameParser(), deque()
        release = ""
        try:
            greeting = await self._text(reader, writer)
            release = str(_document(greeting).get("release", "unknown"))
            self._figures.opened[release] += 1
            self._figures.open[release] += 1
            self._figures.longest_gap = max(self._figures.longest_gap, time.monotonic() - self._left)
            while True:
                await self._say(reader, writer)
                # Between two texts the server may close: that is to be noticed at once.
                await self._quiet(reader, writer)
        except ClosedError as closed:
            self._figures.closed[closed.code] += 1
        finally:
            if release:
                self._figures.open[release] -= 1

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = f"beat {time.monotonic():.6f}".encode()
        writer.write(frames.masked(frames.TEXT, said))
        if await self._text(reader, writer) == said:
            self._figures.echoes += 1
        else:
            self._figures.mute += 1

    async def _quiet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._next(reader, writer), BEAT_S)

    async def _text(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The next text, empty when none comes in time."""
        try:
            return (await asyncio.wait_for(self._next(reader, writer), PATIENCE_S)).payload
        except TimeoutError:
            return b""

    async def _next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Frame:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.kind == frames.CLOSE:
                    writer.write(frames.masked(frames.CLOSE, frame.payload[:2]))
                    raise ClosedError(frame.code)
                if frame.kind == frames.PING:
                    writer.write(frames.masked(frames.PONG, frame.payload[:125]))
                if frame.kind == frames.TEXT:
                    return frame
            try:
                data = await reader.read(65536)
                self._frames += self._parser.feed(data)
            except (OSError, MalformedError):
                data = b""
            if not data:
                raise ClosedError(frames.ABNORMAL)


def _document(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Sockets:
    """So many clients at once."""

    def __init__(self, address: Address, host: str, count: int) -> None:
        self.figures = SocketFigures()
        self._count = count
        self._address = address
        self._host = host
        self._tasks: list[asyncio.Task[None]] = []
        self._last: dict[str, Any] = self.figures.document(count)

    def start(self) -> None:
        """Begin to open them."""
        self._tasks = [
            asyncio.create_task(Client(self._address, self._host, self.figures).run()) for _ in range(self._count)
        ]

    async def stop(self) -> None:
        """Remember how they are, then leave."""
        self._last = self.figures.document(self._count)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def document(self) -> dict[str, Any]:
        """What was seen until they were stopped."""
        return self._last
